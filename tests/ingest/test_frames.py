"""A LoRaWAN frame heard again is one reading, whatever the order in which its copies come."""

import itertools
from collections.abc import Generator
from pathlib import Path

import pytest
from contracts.journaled import Journaled
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.batch import Batch
from ingest.devices import Registry
from ingest.frames import HOUR_MS, Frames, Verdict
from ingest.intake import Intake
from ingest.journal import Journal
from ingest.liveness import Liveness
from ingest.reading import Decoded, Event, Frame, Quantity, Series
from ingest.sealer import Sealer
from ingest.settings import CollectorSettings
from ingest.stores.parquet import ParquetStore

T0 = 1_790_000_000_000
MINUTE_MS = 60_000
FRAME = Frame("A81758FFFE04B1C1", 71, b"\x01\x02")


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Generator[Journal]:
    path = tmp_path_factory.mktemp("frames") / "journal.db"
    journal = Journal(path, quota_bytes=10**9, now_ms=lambda: 0, min_free_bytes=0)
    yield journal
    journal.close()


def hear(journal: Journal, frame: Frame, network_ms: int) -> Verdict:
    verdict = journal.call(lambda j: j.frames.hear(frame, network_ms, network_ms))
    journal.commit(Batch())
    return verdict


def standing(journal: Journal, frame: Frame, times: list[int]) -> set[int]:
    """Where readings stand after copies came at these network times, in this order."""
    kept: set[int] = set()
    for time_ms in times:
        verdict = hear(journal, frame, time_ms)
        kept -= set(verdict.withdraw_at)
        if not verdict.repeat:
            kept.add(time_ms)
    return kept


def expected(times: list[int]) -> set[int]:
    """The first of each chain of copies at most an hour apart, by a plain loop."""
    first: set[int] = set()
    before = None
    for time_ms in sorted(times):
        if before is None or time_ms - before > HOUR_MS:
            first.add(time_ms)
        before = time_ms
    return first


def test_the_same_frame_within_an_hour_is_a_repeat_and_after_it_is_not(journal: Journal) -> None:
    assert hear(journal, FRAME, 0) == Verdict(repeat=False)
    assert hear(journal, FRAME, HOUR_MS) == Verdict(repeat=True)
    assert hear(journal, FRAME, 2 * HOUR_MS + 1) == Verdict(repeat=False)


@pytest.mark.parametrize(
    "other",
    [Frame("other", 71, b"\x01\x02"), Frame(FRAME.device_id, 72, b"\x01\x02"),
     Frame(FRAME.device_id, 71, b"\x01\x03")],
    ids=["another device", "another counter", "other bytes"],
)  # fmt: skip
def test_another_frame_is_no_repeat(journal: Journal, other: Frame) -> None:
    hear(journal, FRAME, 50 * HOUR_MS)
    assert not hear(journal, other, 50 * HOUR_MS).repeat


def test_an_earlier_copy_takes_the_place_of_a_later_one(journal: Journal) -> None:
    frame = Frame("earlier", 1, b"")
    assert hear(journal, frame, 10 * MINUTE_MS) == Verdict(repeat=False)
    assert hear(journal, frame, 4 * MINUTE_MS) == Verdict(
        repeat=False, withdraw_at=(10 * MINUTE_MS,)
    )
    assert hear(journal, frame, 10 * MINUTE_MS) == Verdict(repeat=True)


def test_a_copy_between_two_joins_them(journal: Journal) -> None:
    frame = Frame("between", 1, b"")
    assert not hear(journal, frame, 0).repeat
    assert not hear(journal, frame, 110 * MINUTE_MS).repeat
    assert hear(journal, frame, 55 * MINUTE_MS) == Verdict(
        repeat=True, withdraw_at=(110 * MINUTE_MS,)
    )


def test_every_order_ends_with_the_same_readings(journal: Journal) -> None:
    times = [0, 30 * MINUTE_MS, 80 * MINUTE_MS, 200 * MINUTE_MS]
    for number, order in enumerate(itertools.permutations(times)):
        assert standing(journal, Frame("orders", number, b""), list(order)) == {0, 200 * MINUTE_MS}


counter = itertools.count()


@given(st.lists(st.integers(0, 12).map(lambda k: k * 25 * MINUTE_MS), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_feed_in_any_order_ends_as_the_plain_loop_says(
    journal: Journal, times: list[int]
) -> None:
    assert standing(journal, Frame("any", next(counter), b""), times) == expected(times)


def test_only_so_many_frames_are_remembered(tmp_path: Path) -> None:
    journal = Journal(
        tmp_path / "j.db", quota_bytes=10**9, now_ms=lambda: 0, min_free_bytes=0, frames_kept=10
    )
    for number in range(30):
        hear(journal, Frame("d", number, b""), 0)
    assert hear(journal, Frame("d", 25, b""), 0).repeat
    assert not hear(journal, Frame("d", 5, b""), 0).repeat
    frames: Frames = journal.frames
    assert journal.call(lambda _: frames.db.execute("SELECT count(*) FROM frame").fetchone()) == (
        10,
    )
    journal.close()


def test_frames_are_remembered_when_the_journal_is_opened_again(tmp_path: Path) -> None:
    for repeat in (False, True, True):
        journal = Journal(tmp_path / "j.db", quota_bytes=10**9, now_ms=lambda: 0, min_free_bytes=0)
        assert hear(journal, FRAME, 0).repeat is repeat
        journal.close()


def test_an_earlier_copy_takes_back_what_a_later_one_left_in_the_archive(tmp_path: Path) -> None:
    """Readings and fault reports alike, in the journal still or sealed long ago."""
    city = Journaled(tmp_path, lambda: 0)
    store = ParquetStore(tmp_path / "archive", tail=city.reader)
    sealer = Sealer(city.journal, city.reader, store, now_ms=lambda: 0)
    registry = Registry(enrol=True)
    intake = Intake(city.journal, registry, CollectorSettings(), Liveness(since_ms=0))
    copies_ms = (T0 + 9000, T0 + 4000, T0, T0 + 2000)
    for number, network_ms in enumerate(copies_ms):
        batch = Batch()
        decoded = Decoded(
            series=[Series("d", Quantity.POWER, [network_ms], [12.0])],
            events=[Event("d", network_ms, "lamp_failure", active=True)],
            network_ms=network_ms,
            frame=FRAME,
        )
        intake.admit(batch, decoded, T0 + 10_000)
        city.journal.commit(batch)
        earliest = min(copies_ms[: number + 1])
        window = {"start_ms": T0, "stop_ms": T0 + 10_000}
        for _ in range(2):
            assert [event.time_ms for event in store.events(**window)] == [earliest]
            assert store.columns(Quantity.POWER, **window).time_ms.tolist() == [earliest]
            assert city.reader.counters().balanced
            if number != 1:  # of the second, what stands in the journal is taken back by the third
                sealer._drain()
    counters = city.reader.counters()
    assert (counters.received, counters.stored, counters.duplicate) == (8, 2, 6)
    city.close()
