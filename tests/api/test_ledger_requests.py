"""Citizens' reports: matched, joined, answered; and our orders in another city's system."""

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import numpy as np
import pyarrow.parquet as pq
import pytest
from contracts.lamp_street import HOUR_MS, NOW_MS, finding, street
from contracts.receiver import serving

from api.errors import BadInputError, NotFoundError
from api.interop import open311
from api.interop.case_system import CaseClient, CaseSync, CaseSystemSettings
from api.ledger import Ledger, open_ledger
from api.notify import Outgoing
from api.operations.reports import (
    DUPLICATE_MS,
    ExtendedStatus,
    PlacedReport,
    duplicate_of,
    public_status,
)
from api.operations.states import LuminaireState
from api.operations.work_orders import Action, Rejection, WorkOrderState

DAY_MS = 24 * HOUR_MS
L7 = (56.03 + 7 * 0.00027, 12.7)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with open_ledger(ledger_url) as opened:
        opened.put_assets(street(40), now_ms=NOW_MS)
        yield opened


def test_a_report_joins_the_open_order_of_the_lamp_it_means(ledger: Ledger) -> None:
    ledger.reconcile([finding(7, "x")], now_ms=NOW_MS)
    request = ledger.report(
        service_code="flickering", lat=L7[0] + 0.0001, lon=L7[1], now_ms=NOW_MS + 1
    )
    assert (request.luminaire_id, request.order_id, request.status) == ("L7", 1, "open")
    assert request.match_distance_m == pytest.approx(11.1, abs=0.1)
    assert "arbetsorder 1" in request.answer
    assert len(ledger.work_orders().items) == 1
    assert ledger.work_order(1).requests == (request.id,)


def test_the_clock_starts_at_a_report_that_was_first(ledger: Ledger) -> None:
    ledger.reconcile([finding(7, "x")], now_ms=NOW_MS)
    detected = ledger.work_order(1).order.detected_ms
    ledger.report(service_code="lamp_out", luminaire_id="L7", now_ms=detected - DAY_MS)
    assert ledger.work_order(1).order.detected_ms == detected - DAY_MS


@pytest.mark.parametrize(
    ("state", "answer", "orders"),
    [
        (LuminaireState.OK, "såg senast att lampan lyste", 0),
        (LuminaireState.FAULTY, "ser också att lampan är trasig", 1),
        (LuminaireState.UNKNOWN, "ingen givare som svarar", 1),
        (LuminaireState.PLANNED, "släckt med avsikt", 0),
    ],
)
def test_a_report_without_a_finding_asks_the_sensor(
    ledger: Ledger, state: LuminaireState, answer: str, orders: int
) -> None:
    ledger.reconcile([], now_ms=NOW_MS, states={"d7": state})
    request = ledger.report(service_code="lamp_out", luminaire_id="L7", now_ms=NOW_MS)
    assert answer in request.answer
    assert len(ledger.work_orders().items) == orders
    assert request.status == ("closed" if state is LuminaireState.PLANNED else "open")


def test_danger_makes_an_urgent_order_whatever_the_sensor_says(ledger: Ledger) -> None:
    ledger.reconcile([], now_ms=NOW_MS, states={"d7": LuminaireState.OK})
    request = ledger.report(service_code="danger", luminaire_id="L7", now_ms=NOW_MS)
    assert request.order_id is not None
    order = ledger.work_order(request.order_id).order
    assert (order.priority, order.rule_id) == ("akut", "hbg-akut-fara")


def test_a_report_that_says_what_an_open_one_says_gives_that_one_back(ledger: Ledger) -> None:
    lat, lon = 56.2, 12.9  # where no lamp of ours stands
    first = ledger.report(service_code="lamp_out", lat=lat, lon=lon, now_ms=NOW_MS)
    near = ledger.report(
        service_code="dark_area", lat=lat + 0.0002, lon=lon, now_ms=NOW_MS + DAY_MS
    )
    far = ledger.report(service_code="lamp_out", lat=lat + 0.0003, lon=lon, now_ms=NOW_MS)
    assert near.id == first.id
    assert far.id != first.id
    assert len(ledger.work_orders().items) == 2


def test_the_case_systems_own_number_makes_a_report_the_same(ledger: Ledger) -> None:
    a = ledger.report(service_code="lamp_out", luminaire_id="L7", reference="x", now_ms=NOW_MS)
    b = ledger.report(service_code="danger", luminaire_id="L9", reference="x", now_ms=NOW_MS)
    assert a.id == b.id


def test_a_report_needs_a_known_kind_and_a_place(ledger: Ledger) -> None:
    with pytest.raises(BadInputError, match="no service"):
        ledger.report(service_code="x", luminaire_id="L7", now_ms=NOW_MS)
    with pytest.raises(BadInputError, match="needs lat"):
        ledger.report(service_code="lamp_out", now_ms=NOW_MS)
    with pytest.raises(NotFoundError):
        ledger.report(service_code="lamp_out", luminaire_id="L9999", now_ms=NOW_MS)


def test_fixed_is_said_of_nothing_but_a_proved_repair() -> None:
    said = {
        state: public_status(state, owner="E.ON", rejection="not_ours") for state in WorkOrderState
    }
    assert [s for s, (_, extended, _) in said.items() if extended is ExtendedStatus.FIXED] == [
        WorkOrderState.VERIFIED
    ]
    assert said[WorkOrderState.DONE][0] == "open"
    assert "nästa mörker" in said[WorkOrderState.DONE][2]
    assert "E.ON" in said[WorkOrderState.REJECTED][2]


def test_updates_are_told_with_numbers_that_stay(ledger: Ledger) -> None:
    ledger.reconcile([finding(7, "x")], now_ms=NOW_MS)
    request = ledger.report(service_code="lamp_out", luminaire_id="L7", now_ms=NOW_MS)
    ledger.transition(1, Action.START, version=1, actor="kim", now_ms=NOW_MS + HOUR_MS)
    ledger.transition(
        1,
        Action.REJECT,
        version=2,
        actor="kim",
        now_ms=NOW_MS + 2 * HOUR_MS,
        rejection=Rejection.NOT_OURS,
        owner="Trafikverket",
    )
    updates = ledger.request_updates(start_ms=NOW_MS + 1, stop_ms=NOW_MS + 3 * HOUR_MS)
    assert [(u.update_id, u.extended_status) for u in updates] == [
        (f"{request.id}-1-2", "IN_PROGRESS"),
        (f"{request.id}-1-3", "NOT_COUNCILS_RESPONSIBILITY"),
    ]
    assert "Trafikverket" in updates[1].description
    assert ledger.service_request(request.id).status == "closed"
    assert [r.id for r in ledger.service_requests(status="closed")] == [request.id]
    assert ledger.service_requests(status="open") == []


@contextmanager
def other_city(ledger: Ledger, *, lose: set[int] | None = None) -> Iterator[str]:
    """A second instance: our own Open311 words over another ledger; `lose` = posts not answered."""
    posts = [0]
    lost = lose or set()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, content: Any, status: int = 200) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            ids = [int(i) for part in query.get("service_request_id", []) for i in part.split(",")]
            found = ledger.service_requests(ids=ids)
            self.answer([open311.request_item(r, extended=True) for r in found])

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if not urlsplit(self.path).path.endswith("/requests.json"):
                self.answer([{"code": 404, "description": "not here"}], 404)
                return
            report = open311.parse_report(dict(parse_qsl(text)))
            with lock:
                posts[0] += 1
                number = posts[0]
            made = ledger.report(
                service_code=report.service_code,
                description=report.description,
                lat=report.lat,
                lon=report.lon,
                address=report.address,
                # A server that knows nothing of references: only the text can tell.
                reference=None,
                now_ms=NOW_MS + number,
            )
            if number in lost:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.answer([{"service_request_id": str(made.id), "service_notice": made.answer}])

        def log_message(self, *_: object) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"127.0.0.1:{port}"


def sync_to(where: str, ledger: Ledger) -> CaseSync:
    settings = CaseSystemSettings("city", f"http://{where}/open311/v2", "key", "lamp_out")
    return CaseSync(ledger, CaseClient(settings, Outgoing(allow=[where])), name="one")


def test_our_orders_go_to_the_other_system_and_their_state_comes_back(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.reconcile([finding(7, "x"), finding(30, "y")], now_ms=NOW_MS)
    with open_ledger(tmp_path / "theirs.db") as theirs, other_city(theirs) as where:
        sync = sync_to(where, ledger)
        assert sync.run_once(now_ms=NOW_MS).told == 2
        assert sync.run_once(now_ms=NOW_MS + HOUR_MS).told == 0
        cases = theirs.service_requests()
        assert len(cases) == 2
        assert "[ljusvakt-1]" in cases[1].description
        # They close it there; here it is done, and the light still decides.
        order = cases[1].order_id
        assert order is not None
        theirs.transition(
            order,
            Action.REJECT,
            version=1,
            actor="them",
            now_ms=NOW_MS,
            rejection=Rejection.NOT_A_FAULT,
        )
        assert sync.run_once(now_ms=NOW_MS + 2 * HOUR_MS).closed == 1
        assert ledger.work_order(1).order.state is WorkOrderState.DONE
        assert ledger.work_order(1).links[0].remote_status == "closed"
        assert ledger.work_order(2).order.state is WorkOrderState.NEW
        # Our own change is told (a server without updates is told nothing, and that is no error).
        assert sync.run_once(now_ms=NOW_MS + 3 * HOUR_MS).failed == 0


def test_a_case_whose_answer_was_lost_is_found_again_not_made_twice(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.reconcile([finding(7, "x")], now_ms=NOW_MS)
    with open_ledger(tmp_path / "theirs.db") as theirs, other_city(theirs, lose={1}) as where:
        sync = sync_to(where, ledger)
        assert sync.run_once(now_ms=NOW_MS).failed == 1
        assert sync.run_once(now_ms=NOW_MS + HOUR_MS).told == 1
        assert len(theirs.service_requests()) == 1
        assert ledger.work_order(1).links[0].remote_id == "1"


def test_simulated_orders_never_reach_the_city(ledger: Ledger, tmp_path: Path) -> None:
    ledger.allow_simulated = True
    ledger.reconcile([finding(7, "x", simulated=True)], now_ms=NOW_MS)
    assert ledger.claim_case_jobs("city", "one", now_ms=NOW_MS) == []


def joined(reports: list[PlacedReport]) -> list[tuple[int, int]]:
    """Pairs (report, the one it joins), by the rule and nothing else; neighbours by cells."""
    cell_deg = 0.0005
    cells: dict[tuple[int, int], list[PlacedReport]] = {}
    pairs = []
    for report in sorted(reports, key=lambda r: (r.requested_ms, r.id)):
        assert report.lat is not None
        assert report.lon is not None
        x, y = int(report.lat / cell_deg), int(report.lon / cell_deg)
        near = [
            other
            for dx in (-1, 0, 1)
            for dy in (-1, 0, 1)
            for other in cells.get((x + dx, y + dy), [])
        ]
        found = duplicate_of(report, near)
        if found is not None:
            pairs.append((report.id, found.id))
        else:
            cells.setdefault((x, y), []).append(report)
    return pairs


@pytest.mark.data
@pytest.mark.slow
def test_real_complaints_are_joined_far_more_often_than_chance_would(data_dir: Path) -> None:
    """20,639 real complaints. Nobody labelled which are duplicates, so two stand-ins are used.

    A report on the very same coordinates as the one it joins is counted as the same place; what
    chance alone would join is measured by dealing the dates out anew among the places.
    """
    table = pq.read_table(data_dir / "faults" / "nyc_streetlight_complaints_2024.parquet")
    rows = table.select(["lat", "lon", "date"]).to_pylist()
    times = [int(row["date"].replace(tzinfo=UTC).timestamp() * 1000) for row in rows]

    def reports(at: list[int]) -> list[PlacedReport]:
        return [
            PlacedReport(i, row["lat"], row["lon"], at[i])
            for i, row in enumerate(rows)
            if row["lat"] is not None
        ]

    given = reports(times)
    pairs = joined(given)
    place = {r.id: (r.lat, r.lon) for r in given}
    same_place = sum(place[a] == place[b] for a, b in pairs)
    rng = np.random.default_rng(311)
    chance = len(joined(reports([times[i] for i in rng.permutation(len(times))])))
    kinds = Counter(place[a] == place[b] for a, b in pairs)
    print(  # shown with -s; docs/operations.md quotes it
        f"{len(given)} reports, {len(pairs)} joined, {same_place} on the same coordinates, "
        f"{chance} joined by chance, {dict(kinds)}, window {DUPLICATE_MS // DAY_MS} d, "
        f"until {datetime.fromtimestamp(max(times) / 1000, UTC).date()}"
    )
    assert same_place / len(pairs) > 0.8
    assert chance < len(pairs) / 2


@pytest.mark.data
@pytest.mark.slow
def test_repeats_put_among_real_complaints_are_found_again(data_dir: Path) -> None:
    """Precision and recall where the truth is known: 2,000 repeats among 20,639 real complaints.

    A repeat is a real complaint once more: up to a week later, at the place a phone would say
    (8 m of error north and east, one standard deviation). Seed 312.
    """
    table = pq.read_table(data_dir / "faults" / "nyc_streetlight_complaints_2024.parquet")
    rows = table.select(["lat", "lon", "date"]).to_pylist()
    real = [
        PlacedReport(
            i, row["lat"], row["lon"], int(row["date"].replace(tzinfo=UTC).timestamp() * 1000)
        )
        for i, row in enumerate(rows)
        if row["lat"] is not None
    ]
    rng = np.random.default_rng(312)
    repeated = [real[i] for i in rng.choice(len(real), 2000, replace=False)]
    repeats = [
        PlacedReport(
            len(rows) + n,
            (one.lat or 0.0) + rng.normal(0, 8) / 111_000,
            (one.lon or 0.0) + rng.normal(0, 8) / (111_000 * 0.757),  # cosine of 40.8 degrees
            one.requested_ms + int(rng.integers(1, 7 * DAY_MS)),
        )
        for n, one in enumerate(repeated)
    ]
    root = dict(joined([*real, *repeats]))
    found = sum(r.id in root for r in repeats)
    right = sum(
        root.get(r.id) == root.get(one.id, one.id) for r, one in zip(repeats, repeated, strict=True)
    )
    recall, precision = right / len(repeats), right / found
    print(f"recall {recall:.3f}, precision {precision:.3f} of {len(repeats)} repeats")
    assert recall > 0.85
    assert precision > 0.9
