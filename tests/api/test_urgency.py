"""What cannot wait is seen in what comes, and a round is run for it once it can be believed."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.cause import Whole
from analytics.grid import Ints
from analytics.quick import gone_at_once
from api.clock import Clock
from api.hand_in import HandIn
from api.watch.rounds import Due, RoundKind, Rounds
from api.watch.urgency import JournalNews, StoreNews, Urgency
from ingest.devices import DeviceEntry, Registry
from ingest.journal import Journal, JournalReader
from ingest.reading import Quantity
from ingest.stores import Columns, StoredEvent
from ingest.stores.memory import MemoryStore

START_MS = 1_795_378_800_000
GASP, RESTARTED = 128, 16


class At(Clock):
    """A clock that stands where it is put."""

    def __init__(self, now_ms: int) -> None:
        super().__init__(start_ms=now_ms, held=True)
        self.at_ms = now_ms

    def now_ms(self) -> int:
        return self.at_ms


def bits(names: Sequence[str], time_ms: int, value: int) -> Columns:
    n = len(names)
    return Columns(
        np.arange(n, dtype=np.int32),
        np.full(n, time_ms),
        np.full(n, float(value)),
        np.full(n, time_ms),
        np.zeros(n, dtype=np.uint8),
        list(names),
    )


def event(name: str, time_ms: int, what: str = "supply_loss", active: bool = True) -> StoredEvent:
    return StoredEvent(name, time_ms, time_ms, what, active, "")


def names(n: int) -> list[str]:
    return [f"d{i}" for i in range(n)]


def test_many_losses_of_supply_cannot_wait_and_a_few_can() -> None:
    store, clock = MemoryStore(), At(START_MS)
    urgency = Urgency(StoreNews(store), clock)
    store.add(Quantity.LAMP_STATUS, bits(names(2), START_MS - 1000, GASP))
    assert urgency.next_ms() is None
    store.add_events([event("e", START_MS - 500)])
    due_ms = urgency.next_ms()
    assert due_ms is not None
    assert 20_000 <= due_ms - START_MS <= 35_000


@pytest.mark.parametrize("value", [0, 1, RESTARTED])
def test_other_states_of_a_lamp_can_wait(value: int) -> None:
    store = MemoryStore()
    store.add(Quantity.LAMP_STATUS, bits(names(50), START_MS - 1000, value))
    store.add_events([event(n, START_MS, "lamp_failure") for n in names(50)])
    store.add_events([event(n, START_MS, active=False) for n in names(50)])
    assert Urgency(StoreNews(store), At(START_MS)).next_ms() is None


def test_the_same_losses_seen_again_ask_for_nothing_more() -> None:
    store, clock = MemoryStore(), At(START_MS)
    urgency = Urgency(StoreNews(store), clock)
    store.add(Quantity.LAMP_STATUS, bits(names(9), START_MS - 1000, GASP))
    first_ms = urgency.next_ms()
    assert first_ms is not None
    clock.at_ms = first_ms
    urgency.done(first_ms)
    late_ms = urgency.next_ms()
    assert late_ms is not None
    assert 900_000 <= late_ms - START_MS <= 960_000  # those who may yet restart
    clock.at_ms = late_ms
    urgency.done(late_ms)
    assert urgency.next_ms() is None


def test_the_journal_tells_each_loss_once_and_nothing_from_before(tmp_path: Path) -> None:
    clock = At(START_MS)
    journal = Journal(
        tmp_path / "journal.db",
        quota_bytes=10_000_000,
        quarantine_bytes=1_000_000,
        now_ms=clock.now_ms,
    )
    reader = JournalReader(tmp_path / "journal.db")
    try:
        put(journal, names(9), START_MS - 5000)
        news = JournalNews(reader)
        assert len(news.since_last(START_MS)[0]) == 0
        put(journal, names(7), START_MS - 1000)
        assert len(news.since_last(START_MS)[0]) == 7
        assert len(news.since_last(START_MS)[0]) == 0
    finally:
        reader.close()
        journal.close()


def put(journal: Journal, devices: list[str], time_ms: int) -> None:
    """As if these had published a last gasp."""
    registry = Registry([DeviceEntry(device_id=d) for d in devices], enrol=False)
    hand_in = HandIn(journal, registry=lambda: registry, now_ms=lambda: time_ms)
    hand_in.put(
        [
            (f"ljusvakt/v1/g/{d}/lamp_status", f'{{"t": {time_ms}, "v": {GASP}}}'.encode(), time_ms)
            for d in devices
        ]
    )


class Wish:
    """Wants a round at these moments."""

    def __init__(self, *at_ms: int) -> None:
        self.at_ms = list(at_ms)

    def next_ms(self) -> int | None:
        return min(self.at_ms, default=None)

    def done(self, at_ms: int) -> None:
        self.at_ms = [t for t in self.at_ms if t > at_ms]


def test_a_round_that_cannot_wait_is_run_between_two_and_once(tmp_path: Path) -> None:
    clock, run = At(START_MS + 200_000), list[Due]()
    rounds = Rounds(
        clock=clock,
        judge=run.append,
        state_file=tmp_path / "rounds.json",
        start_ms=START_MS - 60_000,
        urgency=Wish(START_MS + 190_000, START_MS + 500_000),
    )
    assert rounds.turn()
    assert rounds.turn()
    assert run == [
        Due(RoundKind.LIGHT, START_MS),
        Due(RoundKind.LIGHT, START_MS + 200_000),
    ]
    clock.at_ms = START_MS + 600_000
    assert rounds.turn()
    # The round in its turn is later than what was wished for, and stands for it.
    assert run[2:] == [Due(RoundKind.LIGHT, START_MS + 600_000)]


def test_what_cannot_be_looked_for_leaves_the_rounds_in_their_turn(tmp_path: Path) -> None:
    class Broken(Wish):
        def next_ms(self) -> int | None:
            raise OSError("away")

    run: list[Due] = []
    rounds = Rounds(
        clock=At(START_MS), judge=run.append, state_file=tmp_path / "rounds.json",
        start_ms=START_MS - 60_000, urgency=Broken(),
    )  # fmt: skip
    assert rounds.turn()
    assert run == [Due(RoundKind.LIGHT, START_MS)]


@pytest.mark.anyio
async def test_a_wish_cuts_the_wait_short(tmp_path: Path) -> None:
    clock = Clock(start_ms=START_MS + 1, speed=100.0)
    run: asyncio.Queue[Due] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def judged(due: Due) -> None:
        loop.call_soon_threadsafe(run.put_nowait, due)

    rounds = Rounds(
        clock=clock,
        judge=judged,
        state_file=tmp_path / "rounds.json",
        start_ms=START_MS,
        urgency=Wish(START_MS + 60_000),
    )
    running = asyncio.ensure_future(rounds.run())
    try:
        due = await asyncio.wait_for(run.get(), 30)
    finally:
        running.cancel()
    assert START_MS + 60_000 <= due.at_ms < START_MS + 600_000


def padded(*groups: list[int]) -> Ints:
    width = max(len(g) for g in groups)
    return np.array([g + [-1] * (width - len(g)) for g in groups], dtype=np.int32)


def city(*cabinets: list[int]) -> Whole:
    none = np.full((0, 0), -1, dtype=np.int32)
    return Whole(line=none, feeder=none, cabinet=padded(*cabinets), gateway=none)


@given(gone=st.integers(0, 30), span_ms=st.integers(0, 300_000), spoke=st.integers(0, 30))
def test_at_once_is_four_fifths_of_a_cabinet_within_two_minutes_that_stay_silent(
    gone: int, span_ms: int, spoke: int
) -> None:
    whole = city(list(range(30)), list(range(30, 35)))
    told, seen = np.zeros(35, dtype=np.int64), np.full(35, START_MS - 60_000)
    told[:gone] = seen[:gone] = START_MS
    told[:1] = seen[:1] = START_MS - span_ms if gone else 0
    seen[:spoke] = START_MS + 30_000
    found = gone_at_once(told, seen, whole)
    left = max(gone - spoke, 0)
    within = spoke > 0 or span_ms <= 120_000
    assert found.sum() == (left if left >= 24 and within else 0)


def test_a_small_cabinet_is_never_gone_at_once() -> None:
    told = seen = np.full(19, START_MS)
    assert not gone_at_once(told, seen, city(list(range(19)))).any()
