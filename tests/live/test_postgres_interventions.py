"""Interventions on PostgreSQL: the same records, and texts that no database can hold."""

from datetime import date
from typing import TYPE_CHECKING

import pytest

from api.interventions import NoteKind, Phase, WalkPoint
from api.ledger import open_ledger
from api.ledger.interventions import Interventions
from api.ledger.note_files import NoteFiles

if TYPE_CHECKING:
    from contracts.postgres_server import PostgresServer

pytestmark = pytest.mark.live

WANTED = {
    "title": "Nytt ljus\x00", "kind": "lighting", "sites": ("Kärnan",), "area": "Söder",
    "start": date(2026, 5, 1), "end": None, "band": "", "hypothesis": "Fler\x00 går här.",
    "factors": (2, 4), "budget_sek": 2e6, "budget_account": "investering",
    "maintenance_plan": "", "yearly_operating_cost_sek": 1500.0, "labels": (), "exclude": (),
    "near": (),
}  # fmt: skip


def test_a_record_lives_through_plan_result_notes_and_publication(
    postgres: "PostgresServer",
) -> None:
    with open_ledger(postgres.fresh()) as ledger:
        records = Interventions(ledger.database)
        one = records.create(WANTED, actor="planerare", now_ms=1)
        one = records.get(one.id)
        assert (one.title, one.hypothesis) == ("Nytt ljus", "Fler går här.")
        assert (one.sites, one.factors, one.result) == (("Kärnan",), (2, 4), None)
        records.keep_plan(one.id, {"n_controls": 9}, now_ms=2)
        counts = {"counts": [[1.5, None]]}
        records.freeze(one.id, {"result": {"percent": 4.0}}, counts, sha256="0" * 64, now_ms=3)
        assert records.frozen_data(one.id) == counts
        assert records.publish(one.id, published=True, now_ms=4).published_ms == 4
        assert [found.id for found in records.all(published=True)] == [one.id]
        records.add_note(
            one.id, phase=Phase.BEFORE, kind=NoteKind.INSPECTION, day=date(2026, 4, 1),
            text="mörkt", scores={3: 2}, remarks={3: "häcken"}, author="p", now_ms=5,
        )  # fmt: skip
        note = records.notes(one.id)[0]
        assert (note.scores, note.remarks) == ({3: 2}, {3: "häcken"})
        files = NoteFiles(ledger.database)
        for _ in range(2):
            files.attach(one.id, note.id, "å.pdf", b"%PDF-1.7\n\x00", author="p", now_ms=6)
        kept = files.of(one.id)[note.id]
        assert [f.name for f in kept] == ["å.pdf"]
        assert files.content(one.id, kept[0].id)[1] == b"%PDF-1.7\n\x00"
        point = WalkPoint(0, "höst", date(2026, 4, 1), 56.0, 12.0, "mörkt\x00", "d1", 4.5)
        for _ in range(2):
            records.put_walk("höst", [point])
        assert [found.text for found in records.walk_points(walk="höst")] == ["mörkt"]
