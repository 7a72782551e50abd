"""The journal keeps what it was given, all of it, until a store has it."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ingest.batch import BadMessage, Batch
from ingest.errors import JournalError, JournalFullError, Reason
from ingest.journal import Journal, JournalReader, check_journal
from ingest.journal.rows import Rows, blob_of, row_count
from ingest.journal.rows import rows_of as rows_in
from ingest.reading import Event, Flag, Quantity
from ingest.receipts import Seen

NOON_MS = 1_790_000_000_000
DAY_MS = 86_400_000
LUX = Quantity.ILLUMINANCE


def open_journal(path: Path, **changes: int) -> Journal:
    options = {"quota_bytes": 50_000_000, "min_free_bytes": 0, **changes}
    return Journal(path, now_ms=lambda: NOON_MS, **options)  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path) -> Generator[Journal]:
    journal = open_journal(tmp_path / "journal.db")
    yield journal
    journal.close()


@pytest.fixture
def reader(journal: Journal) -> Generator[JournalReader]:
    reader = JournalReader(journal.path)
    yield reader
    reader.close()


def readings(*rows: tuple[str, int, float], quantity: Quantity = LUX) -> Batch:
    batch = Batch()
    for device_id, time_ms, value in rows:
        batch.add(device_id, quantity, [time_ms], [value], 0, NOON_MS)
    return batch


def rows_of(reader: JournalReader, quantity: str = LUX) -> list[tuple[str, int, float]]:
    columns = reader.tail(quantity, 0, 2**60)
    return [
        (columns.device_ids[device], time_ms, value)
        for device, time_ms, value in zip(
            columns.device.tolist(), columns.time_ms.tolist(), columns.value.tolist(), strict=True
        )
    ]


def test_what_is_committed_can_be_read_beside_the_writer(
    journal: Journal, reader: JournalReader
) -> None:
    journal.commit(readings(("d1", NOON_MS, 3.5), ("d2", NOON_MS + 1, 4.5)))
    assert rows_of(reader) == [("d1", NOON_MS, 3.5), ("d2", NOON_MS + 1, 4.5)]
    assert reader.last_id() == journal.last_id == 1


def test_flags_and_receive_time_stand_beside_each_value(
    journal: Journal, reader: JournalReader
) -> None:
    batch = Batch()
    batch.add("d1", LUX, [1, 2], [0.5, 0.25], [int(Flag.LATE), int(Flag.CLOCK)], NOON_MS)
    journal.commit(batch)
    columns = reader.tail(LUX, 0, 10)
    assert columns.flags.tolist() == [Flag.LATE, Flag.CLOCK]
    assert columns.received_ms.tolist() == [NOON_MS, NOON_MS]


def test_a_batch_over_midnight_becomes_an_entry_a_day(
    journal: Journal, reader: JournalReader
) -> None:
    midnight_ms = NOON_MS // DAY_MS * DAY_MS
    batch = Batch()
    batch.add("d1", LUX, [midnight_ms - 1, midnight_ms, midnight_ms - 2], [1, 2, 3], 0, NOON_MS)
    journal.commit(batch)
    day = midnight_ms // DAY_MS
    assert reader.quantity_days() == {(LUX, day - 1): 2, (LUX, day): 1}
    assert reader.tail(LUX, midnight_ms - DAY_MS, midnight_ms).value.tolist() == [1, 3]
    assert reader.tail(LUX, midnight_ms, midnight_ms + 1).value.tolist() == [2]


def test_times_before_1970_have_days_too(journal: Journal, reader: JournalReader) -> None:
    journal.commit(readings(("d1", -1, 1.0)))
    assert reader.quantity_days() == {(LUX, -1): 1}
    assert reader.tail(LUX, -10, 0).time_ms.tolist() == [-1]


def test_the_tail_can_be_asked_for_some_devices_and_up_to_an_entry(
    journal: Journal, reader: JournalReader
) -> None:
    first = journal.commit(readings(("d1", NOON_MS, 1), ("d2", NOON_MS, 2)))
    journal.commit(readings(("d1", NOON_MS + 5, 3)))
    some = reader.tail(LUX, 0, 2**60, devices=["d1"])
    assert some.value.tolist() == [1, 3]
    assert reader.tail(LUX, 0, 2**60, upto_id=first).value.tolist() == [1, 2]
    assert len(reader.tail(LUX, 0, 2**60, devices=[])) == 0
    assert len(reader.tail(Quantity.POWER, 0, 2**60)) == 0


def test_entries_come_in_the_order_of_their_ids_and_in_bites(
    journal: Journal, reader: JournalReader
) -> None:
    for i in range(5):
        journal.commit(readings(*[(f"d{j}", NOON_MS + i, float(j)) for j in range(10)]))
    bite = reader.entries(0, 15)
    assert [entry.id for entry in bite] == [1, 2]
    assert [entry.id for entry in reader.entries(bite[-1].id, 1000)] == [3, 4, 5]
    assert reader.entries(5, 10) == []


def test_what_a_store_has_goes_and_is_counted(journal: Journal, reader: JournalReader) -> None:
    journal.commit(readings(("d1", NOON_MS, 1), ("d1", NOON_MS, 2)))
    last = journal.commit(readings(("d1", NOON_MS + 1, 3)))
    journal.drop_shipped(last, stored=2, duplicate=1).result(5)
    counters = reader.counters()
    assert (counters.stored, counters.duplicate, counters.in_journal) == (2, 1, 0)
    assert counters.balanced
    assert rows_of(reader) == []
    assert reader.dirty_days() == [(LUX, NOON_MS // DAY_MS, NOON_MS)]


def test_an_emptied_journal_never_gives_an_id_twice(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "journal.db")
    last = journal.commit(readings(("d1", NOON_MS, 1)))
    journal.drop_shipped(last, stored=1, duplicate=0)
    journal.close()
    journal = open_journal(tmp_path / "journal.db")
    assert journal.commit(readings(("d1", NOON_MS, 2))) == last + 1
    journal.close()


def test_only_the_sealed_day_goes(journal: Journal, reader: JournalReader) -> None:
    day = NOON_MS // DAY_MS
    upto = journal.commit(readings(("d1", NOON_MS, 1), ("d1", NOON_MS + DAY_MS, 2)))
    journal.commit(readings(("d1", NOON_MS + 5, 3)))
    journal.drop_sealed(LUX, day, upto, stored=1, duplicate=0).result(5)
    assert rows_of(reader) == [("d1", NOON_MS + DAY_MS, 2), ("d1", NOON_MS + 5, 3)]
    assert reader.dirty_days() == [(LUX, day, NOON_MS)]
    journal.clean(LUX, day, seen_since=NOON_MS).result(5)
    assert reader.dirty_days() == []


def test_a_day_that_changed_after_it_was_looked_at_stays_dirty(
    journal: Journal, reader: JournalReader
) -> None:
    journal.mark_dirty([(LUX, 7)]).result(5)
    journal.clean(LUX, 7, seen_since=NOON_MS - 1).result(5)
    assert reader.dirty_days() == [(LUX, 7, NOON_MS)]


def test_a_store_that_accounts_for_too_little_is_told_and_changes_nothing(
    journal: Journal, reader: JournalReader
) -> None:
    last = journal.commit(readings(("d1", NOON_MS, 1), ("d2", NOON_MS, 2)))
    with pytest.raises(ValueError, match="2 readings leave the journal, but 1"):
        journal.drop_shipped(last, stored=1, duplicate=0).result(5)
    assert reader.counters().in_journal == 2
    assert reader.counters().balanced


def test_fault_reports_travel_with_the_readings(journal: Journal, reader: JournalReader) -> None:
    batch = readings(("d1", NOON_MS, 1))
    batch.add_event(Event("d2", NOON_MS, "lamp_failure", True, "DALI 0x12", 16), NOON_MS + 7)
    batch.add_event(Event("d2", NOON_MS + DAY_MS, "restart"), NOON_MS + 8)
    journal.commit(batch)
    (first, lamp), (second, restart) = reader.events()
    assert (lamp.device_id, lamp.event, lamp.active, lamp.info) == (
        "d2",
        "lamp_failure",
        True,
        "DALI 0x12",
    )
    assert (lamp.received_ms, lamp.flags, restart.active) == (NOON_MS + 7, 16, None)
    day = NOON_MS // DAY_MS
    assert reader.event_days() == [day, day + 1]
    assert reader.counters().in_journal == 3
    journal.drop_events(second, stored=1, duplicate=0, day=day).result(5)
    assert [number for number, _ in reader.events()] == [second] != [first]
    assert reader.counters().balanced


def test_small_neighbours_are_merged_under_the_id_of_the_last(
    journal: Journal, reader: JournalReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.journal.writer.MERGE_ABOVE", 20)
    for i in range(20):
        journal.commit(readings(("d1", NOON_MS + i, float(i))))
    assert len(reader.entries(0, 1000)) == 20
    half_way = reader.entries(0, 10)
    journal.commit(readings(("d1", NOON_MS + 20, 20.0)))
    (merged,) = reader.entries(0, 1000)
    assert merged.id == 21
    assert merged.columns.value.tolist() == [float(i) for i in range(21)]
    # A shipper that was half-way deletes nothing that it never saw, and nothing is counted twice.
    journal.drop_shipped(half_way[-1].id, stored=10, duplicate=0).result(5)
    assert len(rows_of(reader)) == 21
    assert reader.counters().balanced
    journal.drop_shipped(21, stored=21, duplicate=0).result(5)
    assert reader.counters().stored == 21
    assert reader.counters().balanced


def test_merging_never_makes_an_older_reading_newer(
    journal: Journal, reader: JournalReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.journal.writer.MERGE_ABOVE", 6)
    monkeypatch.setattr("ingest.journal.neighbours.MERGE_BYTES", 600)
    large = [("d1", NOON_MS + i, 2.0) for i in range(30)]
    for i in range(3):
        journal.commit(readings(("d1", NOON_MS + i, 1.0)))
    journal.commit(readings(*large))
    for i in range(5):
        journal.commit(readings(("d2", NOON_MS + i, 3.0)))
    assert [entry.id for entry in reader.entries(0, 1000)] == [3, 4, 7, 8, 9]
    newest = {(device, time_ms): value for device, time_ms, value in rows_of(reader)}
    assert [newest["d1", NOON_MS + i] for i in range(30)] == [2.0] * 30
    assert reader.counters().in_journal == 38


def test_withdrawn_readings_travel_but_do_not_count(
    journal: Journal, reader: JournalReader
) -> None:
    batch = readings(("d1", NOON_MS, 1))
    batch.withdraw("d1", LUX, [NOON_MS + 60_000], [1.0], int(Flag.WITHDRAWN), NOON_MS)
    journal.commit(batch)
    (entry,) = reader.entries(0, 10)
    assert (entry.readings, len(entry.columns)) == (1, 2)
    assert reader.counters().in_journal == 1
    assert reader.counters().balanced


def test_the_quarantine_is_whole_searchable_and_pages(
    journal: Journal, reader: JournalReader
) -> None:
    batch = Batch()
    for i in range(10):
        reason = Reason.SYNTAX if i % 2 else Reason.RANGE
        batch.add_bad(BadMessage(NOON_MS + i, f"t/100%_{i}", bytes([0, 255, i]), reason, "why"))
    journal.commit(batch)
    newest = reader.quarantined(limit=3)
    assert [m.payload for m in newest] == [b"\0\xff\x09", b"\0\xff\x08", b"\0\xff\x07"]
    assert [m.topic for m in reader.quarantined(limit=2, before_id=newest[-1].id)] == [
        "t/100%_6",
        "t/100%_5",
    ]
    assert len(reader.quarantined("syntax")) == 5
    assert [m.topic for m in reader.quarantined("100%_3")] == ["t/100%_3"]
    assert reader.quarantined("100x_3") == []
    assert reader.counters().rejected == {"range": 5, "syntax": 5}


def test_a_full_quarantine_lets_the_oldest_go_and_counts_it(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "journal.db", quarantine_bytes=10_000)
    for i in range(30):
        batch = Batch()
        batch.add_bad(BadMessage(i, f"t{i}", b"x" * 900, Reason.SYNTAX))
        journal.commit(batch)
    reader = JournalReader(journal.path)
    assert [m.topic for m in reader.quarantined()] == [f"t{i}" for i in range(29, 19, -1)]
    counters = reader.counters()
    assert (counters.quarantined, counters.other["quarantine_dropped"]) == (30, 20)
    assert counters.balanced
    reader.close()
    journal.close()


def test_full_it_takes_nothing_and_drops_nothing_until_a_store_has_taken_some(
    tmp_path: Path,
) -> None:
    journal = open_journal(tmp_path / "journal.db", quota_bytes=400_000)
    reader = JournalReader(journal.path)
    hundred = readings(*[("d1", NOON_MS + i, 1.0) for i in range(100)])
    kept = 0
    while journal.room():
        journal.commit(hundred)
        kept += 100
    while kept < 100_000:
        try:
            journal.commit(hundred)
        except JournalFullError as error:
            assert "quota" in str(error)  # noqa: PT017 - it may come at any of these
            break
        kept += 100
    assert not journal.room()
    assert reader.counters().received == reader.counters().in_journal == kept
    assert 200_000 < journal.used_bytes <= 400_000
    journal.drop_shipped(reader.last_id(), stored=kept, duplicate=0).result(5)
    assert journal.room()
    journal.commit(readings(("d1", NOON_MS, 1.0)))
    reader.close()
    journal.close()


def test_too_little_free_disk_is_full_as_well(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "journal.db", min_free_bytes=2**60)
    with pytest.raises(JournalFullError, match="make room"):
        journal.commit(readings(("d1", NOON_MS, 1.0)))
    journal.close()


def test_a_failed_commit_leaves_nothing_behind_and_can_be_tried_again(
    journal: Journal, reader: JournalReader
) -> None:
    journal.commit(readings(("d1", NOON_MS, 1)))
    block = sqlite3.connect(journal.path, isolation_level=None)
    block.execute("CREATE TRIGGER no BEFORE INSERT ON entry BEGIN SELECT raise(ABORT, 'no'); END")
    batch = readings(("new device", NOON_MS, 2))
    with pytest.raises(JournalError, match="nothing is lost"):
        journal.commit(batch)
    assert reader.counters().received == 1
    block.execute("DROP TRIGGER no")
    block.close()
    journal.commit(batch)
    assert rows_of(reader) == [("d1", NOON_MS, 1), ("new device", NOON_MS, 2)]
    assert reader.counters().balanced
    assert journal.counters() == reader.counters()


def test_what_a_failed_batch_has_seen_is_never_durable_without_its_readings(
    tmp_path: Path,
) -> None:
    journal = open_journal(tmp_path / "journal.db")
    reader = JournalReader(journal.path)
    failed = readings(("d1", NOON_MS, 1))
    seen = Seen("d1", 1, 0, 1, NOON_MS, NOON_MS)
    journal.receipts.add(seen)
    failed.sequences.append(seen)
    journal.quota_bytes = 0
    with pytest.raises(JournalFullError):
        journal.commit(failed)
    journal.quota_bytes = 50_000_000
    # Another sender's repeat of the same row is counted, and would be acknowledged, now.
    repeat = Batch()
    repeat.add_duplicate(1)
    journal.commit(repeat)
    assert rows_of(reader) == [("d1", NOON_MS, 1)]
    journal.commit(failed)
    assert rows_of(reader) == [("d1", NOON_MS, 1)]
    counters = reader.counters()
    assert (counters.received, counters.in_journal, counters.duplicate) == (2, 1, 1)
    journal.commit(failed)  # once more is a batch of its own again
    assert len(rows_of(reader)) == 2
    reader.close()
    journal.close()


def test_a_second_writer_is_told_who_the_first_is(journal: Journal) -> None:
    script = (
        "import sys; from pathlib import Path; from ingest.journal import Journal\n"
        "Journal(Path(sys.argv[1]), quota_bytes=1, now_ms=lambda: 0)"
    )
    second = subprocess.run(
        [sys.executable, "-c", script, str(journal.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode != 0
    assert f"process {os.getpid()} writes the journal" in second.stderr


def test_what_is_no_journal_is_left_alone_and_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"not a database at all, " * 100)
    before = path.read_bytes()
    with pytest.raises(JournalError, match="doctor"):
        open_journal(path)
    assert path.read_bytes() == before
    assert check_journal(path)


def test_a_journal_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    open_journal(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(JournalError, match="newer"):
        open_journal(path)


def test_a_damaged_page_is_found_and_nothing_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = open_journal(path)
    for i in range(200):
        journal.commit(readings(*[(f"d{j}", NOON_MS + i, 1.0) for j in range(100)]))
    journal.close()
    assert check_journal(path) == []
    whole = bytearray(path.read_bytes())
    whole[8192 * 3 : 8192 * 12] = b"\xa5" * 8192 * 9
    path.write_bytes(whole)
    assert check_journal(path)


def test_everything_is_there_after_it_was_closed_and_opened(tmp_path: Path) -> None:
    path = tmp_path / "a folder with åäö" / "journal.db"
    journal = open_journal(path)
    batch = readings(("d1", NOON_MS, 1), ("d2", NOON_MS, 2))
    seen = Seen("d1", 7, 40, 2, NOON_MS, NOON_MS)
    journal.receipts.add(seen)
    batch.sequences.append(seen)
    journal.commit(batch)
    journal.close()
    journal = open_journal(path)
    reader = JournalReader(path)
    assert rows_of(reader) == [("d1", NOON_MS, 1), ("d2", NOON_MS, 2)]
    assert journal.counters() == reader.counters()
    assert journal.receipts.repeats(seen)
    assert journal.last_id == 1
    reader.close()
    journal.close()


def test_columns_of_many_devices_become_one_block() -> None:
    n = 1000
    batch = Batch()
    batch.add_columns(
        LUX,
        ["d1", "d2"],
        np.arange(n, dtype=np.int32) % 2,
        NOON_MS + np.arange(n, dtype=np.int64),
        np.ones(n),
        np.full(n, NOON_MS),
        np.zeros(n, np.uint8),
    )
    (block,) = batch.blocks()
    assert (batch.rows, batch.nbytes) == (n, 25 * n)
    assert (block.day, len(block.time_ms)) == (NOON_MS // DAY_MS, n)


def test_rows_come_back_as_they_went_in_however_they_lie_in_the_file() -> None:
    rng = np.random.default_rng(7)
    for n, runs, apart_ms in ((1, 1, 0), (40, 40, 5), (40, 3, 86_399_999), (12, 4, 1 << 33)):
        whose = np.sort(rng.integers(0, runs, n))
        rows = Rows(
            rng.integers(1, 9, runs).astype(np.int32)[whose],
            NOON_MS + rng.integers(0, apart_ms + 1, n),
            rng.normal(size=n),
            NOON_MS - rng.integers(0, apart_ms + 1, runs)[whose],
            rng.integers(0, 3, runs).astype(np.uint8)[whose],
        )
        blob = blob_of(rows)
        assert row_count(blob) == n
        for mine, theirs in zip(rows, rows_in(blob), strict=True):
            assert mine.dtype == theirs.dtype
            assert mine.tolist() == theirs.tolist()


def test_the_rows_of_a_message_are_half_as_large_as_rows_that_came_alone() -> None:
    n = 1000
    time_ms, ones = NOON_MS + np.arange(n), np.ones(n)
    alone = Rows(np.arange(1, n + 1, dtype=np.int32), time_ms, ones, time_ms, np.zeros(n, np.uint8))
    whose = np.repeat(np.arange(1, 51, dtype=np.int32), 20)
    together = alone._replace(device=whose, received_ms=NOON_MS + whose.astype(np.int64))
    assert (len(blob_of(alone)), len(blob_of(together))) == (28 + 21 * n, 28 + 12 * n + 13 * 50)


def test_a_journal_of_an_earlier_version_is_read_and_written_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with closing(open_journal(path)) as journal:
        journal.commit(readings(("d1", NOON_MS, 1.5), ("d1", NOON_MS + 1, 2.5)))
    with closing(sqlite3.connect(path)) as db:
        for number, blob in db.execute("SELECT id, b FROM entry").fetchall():
            plain = b"".join(column.tobytes() for column in rows_in(blob))
            db.execute("UPDATE entry SET b = ? WHERE id = ?", (plain, number))
        db.execute("PRAGMA user_version = 1")
        db.commit()
    with closing(open_journal(path)) as journal:
        journal.commit(readings(("d1", NOON_MS + 2, 3.5)))
        reader = JournalReader(path)
        assert [value for _, _, value in rows_of(reader)] == [1.5, 2.5, 3.5]
        assert reader.counters().balanced
        reader.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
