import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest
from contracts.journaled import Journaled, batch_of, event_batch
from contracts.series_store import columns_of, rows_of

from ingest.errors import StoreError
from ingest.reading import Flag, Quantity
from ingest.sealer import NOTE, Sealer, shares_of
from ingest.stores import Columns, StoredEvent
from ingest.stores.merging import DAY_MS
from ingest.stores.parquet import ParquetStore, day_number

DAY = day_number("2026-03-01")
MIDNIGHT_MS = DAY * DAY_MS
MINUTE_MS = 60_000
LUX = Quantity.ILLUMINANCE


class City(Journaled):
    """A journal, an archive and a clock that tests move."""

    def __init__(self, folder: Path) -> None:
        self.now = MIDNIGHT_MS
        super().__init__(folder, lambda: self.now)
        self.store = ParquetStore(folder / "archive", tail=self.reader)
        self.sealer = self.new_sealer()

    def new_sealer(self) -> Sealer:
        return Sealer(self.journal, self.reader, self.store, now_ms=lambda: self.now)

    def say(self, *times_ms: int, value: float = 1.0, received_ms: int | None = None) -> None:
        self.journal.commit(
            batch_of(
                LUX,
                columns_of(
                    [
                        ("L-1", t, value, self.now if received_ms is None else received_ms, 0)
                        for t in times_ms
                    ]
                ),
            )
        )

    def in_journal(self) -> int:
        return self.reader.in_journal()


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    city = City(tmp_path)
    yield city
    city.close()


def test_a_day_is_sealed_half_an_hour_after_it_is_over_and_not_before(city: City) -> None:
    city.say(MIDNIGHT_MS + MINUTE_MS)
    city.now = MIDNIGHT_MS + DAY_MS + 30 * MINUTE_MS - 1
    assert not city.sealer.step()
    city.now += 1
    assert city.sealer.step()
    assert city.store.days(LUX) == [DAY]
    assert city.in_journal() == 0


def test_a_day_that_is_sealed_on_time_dirties_no_night(city: City) -> None:
    city.say(MIDNIGHT_MS + MINUTE_MS)
    city.now = MIDNIGHT_MS + DAY_MS + 30 * MINUTE_MS
    city.sealer.step()
    assert city.reader.dirty_days() == []


def test_late_readings_are_visible_at_once_and_rewrite_the_day_after_an_hour(city: City) -> None:
    city.say(MIDNIGHT_MS + MINUTE_MS)
    city.now = MIDNIGHT_MS + 3 * DAY_MS
    city.sealer.step()
    city.say(MIDNIGHT_MS + 2 * MINUTE_MS, value=7.0)
    assert not city.sealer.step()
    window = {"start_ms": MIDNIGHT_MS, "stop_ms": MIDNIGHT_MS + DAY_MS}
    assert list(city.store.columns(LUX, **window).value) == [1.0, 7.0]
    city.now += 60 * MINUTE_MS - 1
    assert not city.sealer.step()
    city.now += 1
    assert city.sealer.step()
    assert city.in_journal() == 0
    assert list(city.store.archived(LUX, **window).value) == [1.0, 7.0]
    assert [(q, d) for q, d, _ in city.reader.dirty_days()] == [("illuminance_lx", DAY)]


def test_many_late_readings_do_not_wait_for_the_hour(city: City) -> None:
    city.say(MIDNIGHT_MS + MINUTE_MS)
    city.now = MIDNIGHT_MS + 3 * DAY_MS
    city.sealer.step()
    city.say(*range(MIDNIGHT_MS, MIDNIGHT_MS + 50_001))
    assert city.sealer.step()
    assert city.in_journal() == 0


def test_a_device_whose_clock_is_years_ahead_does_not_keep_its_readings_in_the_journal(
    city: City,
) -> None:
    city.say(MIDNIGHT_MS + 40_000 * DAY_MS)
    assert city.sealer.step()
    assert city.in_journal() == 0


def test_a_crowded_journal_is_relieved_of_days_that_are_not_over(tmp_path: Path) -> None:
    city = City(tmp_path)
    city.say(*range(MIDNIGHT_MS, MIDNIGHT_MS + 5_000))
    assert not city.sealer.step()
    city.journal.quota_bytes = 2 * city.journal.used_bytes - 1
    assert city.sealer.step()
    assert city.in_journal() == 0
    city.close()


def test_fault_reports_are_sealed_with_their_day(city: City) -> None:
    report = StoredEvent("L-1", MIDNIGHT_MS + 5, MIDNIGHT_MS + 9, "lamp_failure", True, "x", 16)
    city.journal.commit(event_batch([report, report]))
    city.now = MIDNIGHT_MS + 2 * DAY_MS
    assert city.sealer.step()
    assert city.store.read_events(DAY) == [report]
    counters = city.reader.counters()
    assert (counters.stored, counters.duplicate, counters.in_journal) == (1, 1, 0)


def test_what_is_sealed_is_counted_as_stored_or_duplicate(city: City) -> None:
    city.say(MIDNIGHT_MS, MIDNIGHT_MS + 1, MIDNIGHT_MS)
    city.sealer._drain()
    city.say(MIDNIGHT_MS + 1, MIDNIGHT_MS + 2)
    city.sealer._drain()
    counters = city.reader.counters()
    assert (counters.received, counters.stored, counters.duplicate) == (5, 3, 2)
    assert counters.balanced


class PowerCut(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("kind", ["readings", "events"])
@pytest.mark.parametrize("at", ["before the file", "before the name", "after the name"])
def test_killed_while_sealing_the_next_start_ends_in_the_same_state_with_the_same_counts(
    city: City, monkeypatch: pytest.MonkeyPatch, at: str, kind: str
) -> None:
    def say() -> None:
        if kind == "readings":
            city.say(MIDNIGHT_MS, MIDNIGHT_MS + 1)
        else:
            city.journal.commit(
                event_batch(
                    [StoredEvent("L-1", MIDNIGHT_MS, MIDNIGHT_MS, "lamp_failure", True, "")]
                )
            )

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    say()
    city.sealer._drain()
    say()
    before = city.reader.counters()
    where = {
        "before the file": "ingest.stores.parquet.checksum_of",
        "before the name": "ingest.stores.parquet.Prepared.publish",
        "after the name": "ingest.sealer.Sealer._forget",
    }
    with monkeypatch.context() as patched:
        patched.setattr(where[at], cut)
        with pytest.raises(PowerCut):
            city.sealer._drain()
    city.sealer = city.new_sealer()
    city.sealer._drain()
    after = city.reader.counters()
    assert after.balanced
    assert after.in_journal == 0
    assert after.stored == before.stored
    assert after.duplicate == before.in_journal
    assert list(city.store.root.rglob(NOTE)) == []
    assert list(city.store.root.rglob(".tmp-*")) == []


def test_killed_after_the_name_counts_what_was_new_as_stored(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise PowerCut

    city.say(MIDNIGHT_MS, MIDNIGHT_MS + 1)
    with monkeypatch.context() as patched:
        patched.setattr(Sealer, "_forget", cut)
        with pytest.raises(PowerCut):
            city.sealer._drain()
    city.say(MIDNIGHT_MS + 1, MIDNIGHT_MS + 2)
    city.new_sealer()._drain()
    counters = city.reader.counters()
    assert (counters.stored, counters.duplicate, counters.balance) == (3, 1, 0)


@pytest.mark.anyio
async def test_the_loop_seals_when_it_is_woken_and_stops_when_cancelled(city: City) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    seal = city.sealer._seal

    def seal_and_tell(name: str, day: int) -> None:
        seal(name, day)
        loop.call_soon_threadsafe(done.set)

    city.sealer._seal = seal_and_tell
    running = asyncio.create_task(city.sealer.run())
    city.say(MIDNIGHT_MS - 3 * DAY_MS)
    city.sealer.wake()
    async with asyncio.timeout(10):
        await done.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert city.store.days(LUX) == [DAY - 3]


def test_the_same_readings_in_any_order_make_the_same_bytes(tmp_path: Path) -> None:
    rows = [
        (f"L-{n % 7}", MIDNIGHT_MS + n * 1000, float(n % 11) / 10, MIDNIGHT_MS + n, 0)
        for n in range(300)
    ]
    digests = set()
    for seed in range(3):
        store = ParquetStore(tmp_path / str(seed))
        order = np.random.default_rng(seed).permutation(len(rows))
        for part in np.array_split(order, 1 + seed):
            store.add(LUX, columns_of([rows[k] for k in part]))
        digests.add(hashlib.sha256(store.part(LUX, DAY).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_any_tool_can_read_the_archive(city: City) -> None:
    city.say(MIDNIGHT_MS, MIDNIGHT_MS + DAY_MS, value=3.0)
    city.sealer._drain()
    table = ds.dataset(city.store.root / "readings", partitioning="hive").to_table()
    assert table.select(["device", "value", "quantity", "day"]).to_pylist() == [
        {"device": "L-1", "value": 3.0, "quantity": "illuminance_lx", "day": "2026-03-01"},
        {"device": "L-1", "value": 3.0, "quantity": "illuminance_lx", "day": "2026-03-02"},
    ]


def test_the_latest_readings_come_from_files_and_tail_alike(city: City) -> None:
    city.say(MIDNIGHT_MS, MIDNIGHT_MS + 1, value=1.0)
    city.sealer._drain()
    window = {"start_ms": MIDNIGHT_MS - DAY_MS, "stop_ms": MIDNIGHT_MS + DAY_MS}
    assert list(city.store.latest(LUX, **window).time_ms) == [MIDNIGHT_MS + 1]
    city.say(MIDNIGHT_MS + 2, value=5.0)
    assert list(city.store.latest(LUX, **window).value) == [5.0]
    city.sealer._drain()
    assert list(city.store.latest(LUX, **window).value) == [5.0]
    assert len(city.store.latest(LUX, start_ms=MIDNIGHT_MS, stop_ms=MIDNIGHT_MS + 1)) == 1


def test_a_month_of_days_comes_sorted_by_device_and_time(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    rng = np.random.default_rng(3)
    rows = [
        (f"L-{d}", MIDNIGHT_MS + day * DAY_MS + int(t), float(day), MIDNIGHT_MS, 0)
        for day in range(5)
        for d in rng.permutation(6)[: 2 + day % 4]
        for t in rng.choice(DAY_MS, 3, replace=False)
    ]
    store.add(LUX, columns_of(rows))
    out = store.columns(LUX, start_ms=MIDNIGHT_MS, stop_ms=MIDNIGHT_MS + 9 * DAY_MS)
    assert rows_of(out) == sorted(rows)


def test_one_device_is_found_among_many_row_groups(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    devices, slots = 300, 288
    store.add(
        LUX,
        Columns(
            np.repeat(np.arange(devices, dtype=np.int32), slots),
            np.tile(MIDNIGHT_MS + np.arange(slots) * 300_000, devices),
            np.arange(devices * slots, dtype=np.float64),
            np.full(devices * slots, MIDNIGHT_MS),
            np.zeros(devices * slots, np.uint8),
            [f"L-{n:04}" for n in range(devices)],
        ),
    )
    assert len(store.read_day(LUX, DAY, devices=["L-0123"])) < devices * slots / 2
    window = {"start_ms": MIDNIGHT_MS, "stop_ms": MIDNIGHT_MS + DAY_MS}
    out = store.columns(LUX, devices=["L-0123", "L-0299"], **window)
    assert out.device_ids == ["L-0123", "L-0299"]
    assert list(out.value) == [*range(123 * slots, 124 * slots), *range(299 * slots, 300 * slots)]


def test_b06_a_damaged_file_of_the_archive_is_named_and_not_overwritten(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    reading = columns_of([("L-1", MIDNIGHT_MS, 1.0, MIDNIGHT_MS, 0)])
    store.add(LUX, reading)
    part = store.part(LUX, DAY)
    part.write_bytes(part.read_bytes()[:-20])
    damaged = part.read_bytes()
    with pytest.raises(StoreError, match=r"part\.parquet cannot be read .* Restore it"):
        store.columns(LUX, start_ms=MIDNIGHT_MS, stop_ms=MIDNIGHT_MS + 1)
    with pytest.raises(StoreError, match="cannot be read"):
        store.add(LUX, reading)
    assert part.read_bytes() == damaged


@pytest.mark.anyio
async def test_a_bug_in_the_way_does_not_end_the_loop(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = city.store.prepare_shares
    failures = [1]

    def prepare(*args):
        if failures[0]:
            failures[0] -= 1
            raise ZeroDivisionError
        return real(*args)

    monkeypatch.setattr(city.store, "prepare_shares", prepare)
    monkeypatch.setattr(city.sealer, "_draw", lambda: 0.0)
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    forget = city.sealer._forget

    def forget_and_tell(*args):
        forget(*args)
        loop.call_soon_threadsafe(done.set)

    monkeypatch.setattr(city.sealer, "_forget", forget_and_tell)
    city.say(MIDNIGHT_MS - 3 * DAY_MS)
    running = asyncio.create_task(city.sealer.run())
    async with asyncio.timeout(10):
        await done.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert failures == [0]
    assert city.in_journal() == 0


def test_the_latest_reading_is_the_one_before_where_the_newest_was_taken_back(city: City) -> None:
    city.say(MIDNIGHT_MS, MIDNIGHT_MS + 1)
    city.sealer._drain()
    window = {"start_ms": MIDNIGHT_MS - DAY_MS, "stop_ms": MIDNIGHT_MS + DAY_MS}
    assert list(city.store.latest(LUX, **window).time_ms) == [MIDNIGHT_MS + 1]
    taken_back = [("L-1", MIDNIGHT_MS + 1, 1.0, city.now, int(Flag.WITHDRAWN))]
    city.journal.commit(batch_of(LUX, columns_of(taken_back)))
    assert list(city.store.latest(LUX, **window).time_ms) == [MIDNIGHT_MS]


def test_a_day_sealed_in_shares_is_the_day_sealed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late readings, repeats, withdrawals and devices that only one of two rounds has."""
    rng = np.random.default_rng(20261123)
    told = [
        [
            (
                f"L-{rng.integers(first, first + 9)}",
                MIDNIGHT_MS - DAY_MS + int(rng.integers(0, 40)) * MINUTE_MS,
                float(rng.integers(0, 3)),
                MIDNIGHT_MS + round_ * 1000,
                int(Flag.WITHDRAWN) if rng.random() < 0.1 else 0,
            )
            for _ in range(200)
        ]
        for round_, first in ((0, 1), (1, 5))
    ]
    sealed: list[tuple[list[tuple[object, ...]], int, int]] = []
    for most in (10**9, 7):
        monkeypatch.setattr("ingest.sealer.SHARE_ROWS", most)
        city = City(tmp_path / str(most))
        for rows in told:
            city.journal.commit(batch_of(LUX, columns_of(rows)))
            city.sealer._drain()
        counters = city.reader.counters()
        assert counters.balanced
        columns = city.store.archived(LUX, start_ms=0, stop_ms=MIDNIGHT_MS)
        sealed.append((rows_of(columns), counters.stored, counters.duplicate))
        city.close()
    assert sealed[0] == sealed[1]
    assert len(sealed[0][0]) == sealed[0][1] > 100


def test_shares_are_ranges_of_ids_of_about_one_size() -> None:
    count = {"b": 3, "a": 2, "d": 9, "c": 1, "e": 1}
    assert shares_of(count, 5) == [("b", ["a", "b"]), ("c", ["c"]), ("d", ["d"]), ("", ["e"])]
    assert shares_of(count, 100) == [("", None)]
