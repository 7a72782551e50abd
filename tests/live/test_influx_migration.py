"""The embedded archive carried to a real InfluxDB."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from contracts.influx_server import InfluxServer, RewritingProxy
from contracts.series_store import columns_of, rows_of
from typer.testing import CliRunner

from api.cli import app
from api.errors import LjusvaktError
from api.keeping.migrate import migrate
from ingest.errors import StoreDeniedError
from ingest.reading import Quantity
from ingest.stores import StoredEvent
from ingest.stores.influx import InfluxStore, InfluxTarget
from ingest.stores.merging import DAY_MS
from ingest.stores.parquet import ParquetStore, day_number

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("clean_environment")]

DAY = day_number("2026-03-01")
MIDNIGHT_MS = DAY * DAY_MS
FOREVER = {"start_ms": MIDNIGHT_MS, "stop_ms": MIDNIGHT_MS + 5 * DAY_MS}


@pytest.fixture
def archive(tmp_path: Path) -> ParquetStore:
    """Three days of a small city, lamps and people, and a fault report."""
    store = ParquetStore(tmp_path / "data" / "archive")
    rng = np.random.default_rng(1)
    for quantity in (Quantity.ILLUMINANCE, Quantity.PEOPLE_IN):
        store.add(
            quantity,
            columns_of(
                [
                    (f"L-{d}", MIDNIGHT_MS + n * 600_000, float(rng.integers(90)), MIDNIGHT_MS, 0)
                    for d in range(20)
                    for n in range(3 * 144)
                ]
            ),
        )
    store.add_events([StoredEvent("L-1", MIDNIGHT_MS, MIDNIGHT_MS, "lamp_failure", True, "x")])
    return store


@pytest.fixture
def target(
    request: pytest.FixtureRequest, influx: InfluxServer, proxy: RewritingProxy
) -> Iterator[InfluxStore]:
    database = request.node.name[:60]
    influx.query(f'CREATE DATABASE "{database}"')
    store = InfluxStore(InfluxTarget(proxy.url, database), now_ms=lambda: MIDNIGHT_MS + 9 * DAY_MS)
    yield store
    store.close()


def test_every_day_is_carried_once_and_verified(
    archive: ParquetStore, target: InfluxStore, proxy: RewritingProxy, tmp_path: Path
) -> None:
    notes = tmp_path / "migration.json"
    first = migrate(archive, target, name="there", watermark=notes)
    assert (first.days, first.skipped) == (6, 0)
    assert (first.readings, first.events) == (17_280, 1)
    assert first.written == 17_281
    for quantity in (Quantity.ILLUMINANCE, Quantity.PEOPLE_IN):
        here, there = archive.columns(quantity, **FOREVER), target.columns(quantity, **FOREVER)
        assert rows_of(here) == rows_of(there)
    assert target.events(**FOREVER) == archive.events(**FOREVER)
    writes = proxy.writes
    second = migrate(archive, target, name="there", watermark=notes)
    assert (second.days, second.skipped, second.written) == (0, 6, 0)
    notes.unlink()
    third = migrate(archive, target, name="there", watermark=notes)
    assert (third.days, third.written) == (6, 0)
    assert proxy.writes == writes, "what is there is not written again"


def test_a_day_that_changed_is_carried_again(
    archive: ParquetStore, target: InfluxStore, tmp_path: Path
) -> None:
    notes = tmp_path / "migration.json"
    migrate(archive, target, name="there", watermark=notes)
    archive.add(Quantity.PEOPLE_IN, columns_of([("L-1", MIDNIGHT_MS, 500.0, MIDNIGHT_MS + 1, 0)]))
    again = migrate(archive, target, name="there", watermark=notes)
    assert (again.days, again.skipped) == (1, 5)
    assert target.columns(Quantity.PEOPLE_IN, **FOREVER, devices=["L-1"]).value[0] == 500.0


def test_a_target_that_lost_a_reading_is_found_out(
    archive: ParquetStore, target: InfluxStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = target._write
    monkeypatch.setattr(target, "_write", lambda lines: write(lines[1:]))
    notes = tmp_path / "migration.json"
    with pytest.raises(LjusvaktError, match="illuminance_lx of L-0 on 2026-03-01 is not the same"):
        migrate(archive, target, name="there", watermark=notes)
    assert not notes.exists()


def test_a_retention_that_is_too_short_is_said(
    archive: ParquetStore, target: InfluxStore, influx: InfluxServer, tmp_path: Path
) -> None:
    influx.query(
        f'ALTER RETENTION POLICY "autogen" ON "{target.target.bucket}" DURATION 1h '
        "SHARD DURATION 1h"
    )
    with pytest.raises(LjusvaktError, match=r"retention policy .*lengthen it"):
        migrate(archive, target, name="there", watermark=tmp_path / "n.json")


def test_the_command_carries_sealed_and_unsealed_readings(
    archive: ParquetStore, proxy: RewritingProxy, influx: InfluxServer, tmp_path: Path
) -> None:
    influx.query("CREATE DATABASE city")
    late = tmp_path / "late.csv"
    late.write_text("device_id,time,power_w\nL-1,2026-03-01T00:00:00Z,31\n")
    args = ["--data", str(tmp_path / "data"), "--json"]
    assert CliRunner().invoke(app, ["import-readings", str(late), *args]).exit_code == 0
    result = CliRunner().invoke(
        app, ["migrate", "--to", proxy.url, "--bucket", "city", *args], catch_exceptions=False
    )
    answer = json.loads(result.stdout)
    assert (answer["readings"], answer["events"]) == (17_281, 1)
    with pytest.raises(StoreDeniedError):
        CliRunner().invoke(
            app, ["migrate", "--to", proxy.url, "--bucket", "none", *args], catch_exceptions=False
        )
    # The journal was left in order.
    with sqlite3.connect(tmp_path / "data" / "journal.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
