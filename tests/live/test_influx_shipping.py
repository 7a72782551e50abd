"""Journal to a real InfluxDB while everything goes wrong that can."""

import asyncio
import itertools
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from contracts.influx_server import Handler, InfluxServer, RewritingProxy
from contracts.journaled import batch_of, event_batch
from contracts.series_store import columns_of, rows_of
from contracts.waiting import until

from ingest.errors import StoreAwayError, StoreDeniedError
from ingest.journal import Journal, JournalReader
from ingest.reading import Quantity
from ingest.shipper import StoreShipper, pause_after
from ingest.stores import StoredEvent
from ingest.stores.influx import InfluxStore, InfluxTarget
from ingest.stores.lines import parse_reading

pytestmark = [pytest.mark.live, pytest.mark.faults, pytest.mark.anyio]

LUX = Quantity.ILLUMINANCE
NOW_MS = 1_770_000_000_000
numbers = itertools.count()


class Ship:
    """A journal, a shipper and the database behind the proxy."""

    def __init__(self, folder: Path, influx: InfluxServer, proxy: RewritingProxy) -> None:
        self.database = f"ship_{next(numbers)}"
        influx.query(f'CREATE DATABASE "{self.database}"')
        self.journal = Journal(
            folder / "journal.db",
            quota_bytes=1 << 30,
            now_ms=lambda: NOW_MS,
            synchronous="NORMAL",
        )
        self.reader = JournalReader(folder / "journal.db")
        self.proxy = proxy
        self.store = InfluxStore(
            InfluxTarget(proxy.url, self.database, timeout_s=2.0), now_ms=lambda: NOW_MS
        )
        self.shipper = self.new_shipper()
        self.said: dict[tuple[str, int], float] = {}

    def new_shipper(self) -> StoreShipper:
        # The shortest pauses there are: draws of 0.
        return StoreShipper(
            self.journal,
            self.reader,
            self.store,
            now_ms=lambda: NOW_MS,
            most_readings=500,
            draw=lambda: 0.0,
        )

    def say(self, readings: int, *, devices: int = 10) -> None:
        """Commit readings that were not there before."""
        first = len(self.said)
        rows = [
            (f"L-{n % devices}", NOW_MS - 3_600_000 + n * 100, float(n % 97), NOW_MS, 0)
            for n in range(first, first + readings)
        ]
        self.journal.commit(batch_of(LUX, columns_of(rows)))
        self.said.update({(row[0], row[1]): row[2] for row in rows})

    def stored(self) -> dict[tuple[str, int], float]:
        rows = rows_of(
            self.store.columns(LUX, start_ms=NOW_MS - 86_400_000, stop_ms=NOW_MS + 86_400_000)
        )
        assert len({row[:2] for row in rows}) == len(rows)
        return {row[:2]: row[2] for row in rows}

    async def until_empty(self) -> None:
        """Run the loop until the journal is empty."""
        running = asyncio.create_task(self.shipper.run())
        await until(lambda: not self.reader.in_journal(), 40)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    def amiss(self) -> dict[str, int]:
        """Readings that are not in the store as they were said, by how; empty where all is well."""
        stored, counters = self.stored(), self.reader.counters()
        found = {
            "lost": len(self.said.items() - stored.items()),
            "never said": len(stored.items() - self.said.items()),
            "in the journal": counters.in_journal,
            "quarantined": counters.quarantined,
            "not counted": counters.received - counters.stored - counters.duplicate,
        }
        return {how: n for how, n in found.items() if n}

    def close(self) -> None:
        self.store.close()
        self.reader.close()
        self.journal.close()


@pytest.fixture
def ship(tmp_path: Path, influx: InfluxServer, proxy: RewritingProxy) -> Iterator[Ship]:
    ship = Ship(tmp_path, influx, proxy)
    yield ship
    ship.close()


async def test_everything_said_is_in_influxdb_once_and_the_journal_is_empty(ship: Ship) -> None:
    for _ in range(7):
        ship.say(300)
    report = StoredEvent("L-1", NOW_MS, NOW_MS, "lamp_failure", True, "DALI 0x12", 16)
    ship.journal.commit(event_batch([report]))
    await ship.shipper.drain()
    assert ship.store.events(start_ms=NOW_MS, stop_ms=NOW_MS + 1) == [report]
    assert ship.stored() == ship.said
    assert ship.reader.counters().stored == 2101
    assert ship.shipper.status.stored == 2101


async def test_b03_store_away_at_start_and_for_a_while_loses_nothing(
    ship: Ship, influx: InfluxServer
) -> None:
    influx.stop()
    ship.say(800)
    running = asyncio.create_task(ship.shipper.run())
    await until(lambda: ship.shipper.status.failing_since_ms is not None, 20)
    assert "does not answer" in ship.shipper.status.error
    for _ in range(20):
        ship.say(200)
    assert ship.reader.in_journal() == 4800
    influx.start()
    await until(lambda: not ship.reader.in_journal(), 40)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ship.shipper.status.error == ""
    assert ship.amiss() == {}


async def test_b03_store_killed_in_the_middle_of_batches_loses_nothing(
    ship: Ship, influx: InfluxServer
) -> None:
    reached = threading.Event()

    def kill_at_the_third(handler: Handler, _body: bytes) -> bool:
        if handler.server.writes == 3 and not reached.is_set():
            influx.kill()
            reached.set()
        return False

    ship.proxy.faults = [kill_at_the_third]
    for _ in range(10):
        ship.say(400)
    running = asyncio.create_task(ship.shipper.run())
    await until(reached.is_set, 30)
    ship.say(300)
    influx.start()
    await until(lambda: not ship.reader.in_journal(), 40)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ship.amiss() == {}


def answering(
    status: int, body: bytes = b'{"error":"no"}', times: int = 1, **headers: str
) -> Callable[[Handler, bytes], bool]:
    """A fault that answers the first writes itself."""
    left = [times]

    def fault(handler: Handler, _body: bytes) -> bool:
        if left[0] <= 0:
            return False
        left[0] -= 1
        handler.give(status, body, [(k.replace("_", "-"), v) for k, v in headers.items()])
        return True

    return fault


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_b03_an_overloaded_store_is_asked_again_until_it_takes_everything(
    ship: Ship, status: int
) -> None:
    ship.proxy.faults = [answering(status, times=2)]
    ship.say(900)
    await ship.until_empty()
    assert ship.amiss() == {}


async def test_b03_retry_after_is_obeyed(ship: Ship) -> None:
    ship.proxy.faults = [answering(429, Retry_After="7")]
    ship.say(5)
    with pytest.raises(StoreAwayError) as failure:
        await ship.shipper.drain()
    assert failure.value.retry_after_s == 7.0
    assert pause_after(failure.value, 3, lambda: 0.5) == 7.0


async def test_b03_retry_after_as_a_date_is_counted_by_the_servers_own_clock(ship: Ship) -> None:
    ship.proxy.faults = [answering(503, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT")]
    ship.say(5)
    with pytest.raises(StoreAwayError) as failure:
        await ship.shipper.drain()
    assert failure.value.retry_after_s > 1e9
    assert pause_after(failure.value, 0, lambda: 0.5) == 600.0


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_b03_wrong_settings_quarantine_nothing_and_are_tried_once_a_minute(
    ship: Ship, status: int
) -> None:
    ship.proxy.faults = [answering(status, times=1)]
    ship.say(50)
    with pytest.raises(StoreDeniedError, match="Check store") as failure:
        await ship.shipper.drain()
    assert pause_after(failure.value, 0, lambda: 0.0) == 60.0
    assert ship.reader.counters().quarantined == 0
    await ship.shipper.drain()
    assert ship.amiss() == {}


async def test_b03_a_400_that_is_not_about_the_lines_quarantines_nothing(ship: Ship) -> None:
    ship.proxy.faults = [answering(400, b'{"message":"org or orgID is required"}')]
    ship.say(50)
    with pytest.raises(StoreDeniedError, match="not about the readings"):
        await ship.shipper.drain()
    assert ship.reader.counters().quarantined == 0
    assert ship.reader.in_journal() == 50


async def test_b03_a_database_that_does_not_exist_is_a_matter_of_settings(
    ship: Ship, influx: InfluxServer
) -> None:
    ship.say(5)
    influx.query(f'DROP DATABASE "{ship.database}"')
    with pytest.raises(StoreDeniedError, match="influx_bucket"):
        await ship.shipper.drain()
    with pytest.raises(StoreDeniedError, match="database not found"):
        ship.store.columns(LUX, start_ms=NOW_MS, stop_ms=NOW_MS + 1)
    with pytest.raises(StoreDeniedError):
        ship.store.ping()
    assert ship.reader.in_journal() == 5


async def test_b03_a_slow_store_times_out_and_gets_everything_in_the_end(ship: Ship) -> None:
    released = threading.Event()
    slow = [2]

    def hang(handler: Handler, _body: bytes) -> bool:
        if slow[0] <= 0:
            return False
        slow[0] -= 1
        released.wait(10)
        handler.hang_up()
        return True

    ship.proxy.faults = [hang]
    ship.say(600)
    await ship.until_empty()
    released.set()
    assert ship.amiss() == {}


async def test_b03_a_connection_reset_after_the_commit_makes_no_duplicate(ship: Ship) -> None:
    resets = [3]

    def reset_after_commit(handler: Handler, body: bytes) -> bool:
        if resets[0] <= 0:
            return False
        resets[0] -= 1
        target = f"/write?db={ship.database}&precision=ms"
        status, _, _ = handler.forward(target, body)
        assert status == 204
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.hang_up()
        return True

    ship.proxy.faults = [reset_after_commit]
    ship.say(1200)
    await ship.until_empty()
    assert ship.amiss() == {}
    assert ship.reader.counters().stored == 1200


async def test_b03_one_bad_line_among_many_is_found_and_only_it_is_quarantined(
    ship: Ship, influx: InfluxServer
) -> None:
    ship.say(400)
    influx.query(
        f'CREATE RETENTION POLICY "year" ON "{ship.database}" DURATION 8760h REPLICATION 1 DEFAULT',
    )
    # The server's clock is the machine's own: anything from 2020 is out of its year.
    old = [("L-old", 1_580_000_000_000 + n, 5.0, NOW_MS, 0) for n in range(3)]
    fresh_rows = columns_of([*old[:1], ("L-0", NOW_MS, 1.0, NOW_MS, 0), *old[1:]])
    now_rows = rows_of(fresh_rows)
    ship.journal.commit(batch_of(LUX, fresh_rows))
    ship.said["L-0", NOW_MS] = 1.0
    await ship.shipper.drain()
    messages = ship.reader.quarantined()
    lines = [line for m in messages for line in m.payload.decode().splitlines()]
    back = [rows_of(parse_reading(line)[1])[0] for line in lines]
    counters = ship.reader.counters()
    assert sorted(back) == sorted(row for row in now_rows if row[0] == "L-old")
    assert {m.reason for m in messages} == {"store_refused"}
    assert all("retention policy" in m.detail for m in messages)
    assert (counters.quarantined, counters.rejected["store_refused"]) == (3, len(messages))
    assert counters.balanced


async def test_b03_a_type_conflict_is_bisected_down_to_the_very_lines(
    ship: Ship, influx: InfluxServer
) -> None:
    # Someone else wrote this field as text, in one series' shard: our numbers conflict with it.
    ship.proxy.faults = [
        answering_bad_lines(lambda line: b"L-3 " in line, b"partial write: field type conflict")
    ]
    ship.say(100)
    await ship.shipper.drain()
    refused = {key for key in ship.said if key[0] == "L-3"}
    counters = ship.reader.counters()
    assert set(ship.stored()) == set(ship.said) - refused
    assert counters.quarantined == len(refused) == 10
    assert counters.balanced


def answering_bad_lines(
    bad: Callable[[bytes], bool], words: bytes
) -> Callable[[Handler, bytes], bool]:
    """A fault that refuses every write in which there is a bad line."""
    import gzip

    def fault(handler: Handler, body: bytes) -> bool:
        if any(bad(line) for line in gzip.decompress(body).splitlines()):
            handler.give(400, b'{"error":"' + words + b'"}', [])
            return True
        return False

    return fault


async def test_b03_many_bad_lines_do_not_cost_a_write_each(ship: Ship) -> None:
    ship.proxy.faults = [answering_bad_lines(lambda _line: True, b"partial write: no")]
    ship.say(500)
    await ship.shipper.drain()
    assert ship.proxy.writes < 100
    assert ship.reader.counters().quarantined == 500
    assert ship.reader.counters().balanced


async def test_b03_413_halves_the_batch_and_quarantines_nothing(
    tmp_path: Path, influxd: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        InfluxServer(influxd, tmp_path_factory.mktemp("small"), max_body=8_000) as small,
        RewritingProxy(small.port) as proxy,
        closing(Ship(tmp_path, small, proxy)) as ship,
    ):
        ship.say(2000, devices=997)
        await ship.shipper.drain()
        assert ship.store._most_lines < 2000
        assert ship.amiss() == {}


async def test_late_readings_dirty_their_day_and_others_do_not(ship: Ship) -> None:
    ship.say(10)
    await ship.shipper.drain()
    assert ship.reader.dirty_days() == []
    week_ago = NOW_MS - 7 * 86_400_000
    ship.journal.commit(batch_of(LUX, columns_of([("L-1", week_ago, 1.0, NOW_MS, 0)])))
    await ship.shipper.drain()
    assert [(q, d) for q, d, _ in ship.reader.dirty_days()] == [
        ("illuminance_lx", week_ago // 86_400_000)
    ]


async def test_b03_a_store_that_hangs_does_not_keep_the_program_from_stopping(ship: Ship) -> None:
    released = threading.Event()
    reached = threading.Event()

    def hang(handler: Handler, _body: bytes) -> bool:
        reached.set()
        released.wait(10)
        handler.hang_up()
        return True

    ship.proxy.faults = [hang]
    ship.say(5)
    running = asyncio.create_task(ship.shipper.run())
    await until(reached.is_set, 10)
    running.cancel()
    async with asyncio.timeout(4):
        with pytest.raises(asyncio.CancelledError):
            await running
    released.set()
    assert ship.reader.in_journal() == 5
