"""Full disks, folders that cannot be written, and processes killed while they seal."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from contracts.journaled import batch_of
from contracts.series_store import columns_of, rows_of

from ingest.errors import StoreError
from ingest.journal import Journal, JournalReader
from ingest.reading import Quantity
from ingest.sealer import NOTE, Sealer
from ingest.stores import influxql
from ingest.stores.merging import DAY_MS
from ingest.stores.parquet import ParquetStore, day_number

LUX = Quantity.ILLUMINANCE
DAY = day_number("2026-03-01")
MIDNIGHT_MS = DAY * DAY_MS
LATER_MS = MIDNIGHT_MS + 5 * DAY_MS
Kept = tuple[Journal, JournalReader, ParquetStore]
WINDOW = {"start_ms": MIDNIGHT_MS - 10 * DAY_MS, "stop_ms": MIDNIGHT_MS + 10 * DAY_MS}


def many(n: int, value: float = 1.0) -> list[tuple]:
    noise = np.random.default_rng(n).random(n).tolist()
    return [(f"L-{k % 50}", MIDNIGHT_MS + k * 37, value + noise[k], k, 0) for k in range(n)]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """A journal with its reader, and the archive into which it is sealed."""
    journal = Journal(tmp_path / "journal.db", quota_bytes=1 << 30, now_ms=lambda: LATER_MS)
    reader = JournalReader(journal.path)
    yield journal, reader, ParquetStore(tmp_path / "archive", tail=reader)
    reader.close()
    journal.close()


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """A disk on which no file grows beyond this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.faults
def test_b05_a_full_disk_leaves_the_archive_as_it_was_and_readable(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    store.add(LUX, columns_of(many(500)))
    before = rows_of(store.columns(LUX, **WINDOW))
    with files_at_most(10_000):
        with pytest.raises(StoreError, match=r"part\.parquet cannot be written: .*"):
            store.add(LUX, columns_of(many(20_000, 5.0)))
        assert rows_of(store.columns(LUX, **WINDOW)) == before
    assert list(tmp_path.rglob(".tmp-*")) == []
    store.add(LUX, columns_of(many(20_000, 5.0)))
    assert len(store.columns(LUX, **WINDOW)) == 20_000


@pytest.mark.faults
def test_b05_a_full_disk_while_sealing_keeps_the_readings_in_the_journal(kept: Kept) -> None:
    journal, reader, store = kept
    sealer = Sealer(journal, reader, store, now_ms=lambda: LATER_MS)
    journal.commit(batch_of(LUX, columns_of(many(20_000))))
    everything = rows_of(store.columns(LUX, **WINDOW))
    with files_at_most(10_000), pytest.raises(StoreError):
        sealer.step()
    assert rows_of(store.columns(LUX, **WINDOW)) == everything
    assert reader.in_journal() == 20_000
    assert sealer.step()
    assert reader.in_journal() == 0
    assert rows_of(store.columns(LUX, **WINDOW)) == everything
    assert reader.counters().balanced


@pytest.mark.faults
@pytest.mark.parametrize("call", range(1, 9))
def test_b05_whichever_disk_call_fails_while_sealing_nothing_is_lost(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    journal, reader, store = kept
    sealer = Sealer(journal, reader, store, now_ms=lambda: LATER_MS)
    journal.commit(batch_of(LUX, columns_of(many(300))))
    sealer.step()
    journal.commit(batch_of(LUX, columns_of(many(300, 7.0))))
    everything = rows_of(store.columns(LUX, **WINDOW))
    calls = [0]

    def failing(real):
        def wrapped(*args, **kwargs):
            calls[0] += 1
            if calls[0] == call:
                raise OSError(28, "No space left on device")
            return real(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing(os.fsync))
        patched.setattr(Path, "replace", failing(Path.replace))
        patched.setattr(Path, "unlink", failing(Path.unlink))
        try:
            sealer._drain()
        except (OSError, StoreError):
            failed = True
        else:
            failed = False
    assert failed == (calls[0] >= call)
    assert rows_of(store.columns(LUX, **WINDOW)) == everything
    again = Sealer(journal, reader, store, now_ms=lambda: LATER_MS)
    again._drain()
    assert rows_of(store.columns(LUX, **WINDOW)) == everything
    assert rows_of(ParquetStore(tmp_path / "archive").columns(LUX, **WINDOW)) == everything
    counters = reader.counters()
    assert (counters.stored, counters.duplicate, counters.in_journal) == (300, 300, 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_b06_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    store.add(LUX, columns_of(many(5)))
    folder = store.part(LUX, DAY).parent
    folder.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            store.add(LUX, columns_of(many(6)))
    finally:
        folder.chmod(0o700)


def test_b06_an_archive_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("not a folder")
    with pytest.raises(StoreError, match="archive"):
        ParquetStore(tmp_path / "archive").add(LUX, columns_of(many(5)))


WORKER = """
import sys, json
sys.path[:0] = {path!r}
from pathlib import Path
from contracts.journaled import batch_of
from contracts.series_store import columns_of
from ingest.journal import Journal, JournalReader
from ingest.reading import Quantity
from ingest.sealer import Sealer
from ingest.stores.parquet import ParquetStore

folder, first = Path({folder!r}), {first}
now = {now}
journal = Journal(folder / "journal.db", quota_bytes=1 << 30, now_ms=lambda: now,
                  synchronous="NORMAL")
reader = JournalReader(folder / "journal.db")
store = ParquetStore(folder / "archive", tail=reader)
sealer = Sealer(journal, reader, store, now_ms=lambda: now)
print("up", flush=True)
for n in range(first, first + 100_000):
    rows = [(f"L-{{k % 7}}", {midnight} + (n % 3) * {day} + k, float(n), n, 0)
            for k in range(n % 50, n % 50 + 20)]
    journal.commit(batch_of(Quantity.ILLUMINANCE, columns_of(rows)))
    print(n, flush=True)
    if n % 3 == 0:
        sealer._drain()
"""


@pytest.mark.faults
@pytest.mark.slow
def test_killed_while_sealing_again_and_again_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    expected: dict[tuple[str, int], int] = {}
    acknowledged = 0
    for _ in range(3 if not os.environ.get("LJUSVAKT_LONG") else 40):
        script = WORKER.format(
            path=[str(Path(__file__).parents[1])],
            folder=str(tmp_path),
            first=acknowledged + 1,
            now=MIDNIGHT_MS + 9 * DAY_MS,
            midnight=MIDNIGHT_MS,
            day=DAY_MS,
        )
        worker = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "up\n"
        for _ in range(int(rng.integers(3, 9))):
            acknowledged = int(worker.stdout.readline())
        moment = time.monotonic() + rng.uniform(0, 0.03)
        while time.monotonic() < moment:
            pass  # somewhere in the next commits and seals
        worker.kill()
        # What was said before the kill was acknowledged; one more may be in without being said.
        said = worker.stdout.read().split()
        acknowledged = max([acknowledged, *(int(n) for n in said if n.isdigit())])
        worker.wait()
        worker.stdout.close()
        journal = Journal(
            tmp_path / "journal.db", quota_bytes=1 << 30, now_ms=lambda: MIDNIGHT_MS + 9 * DAY_MS
        )
        reader = JournalReader(tmp_path / "journal.db")
        store = ParquetStore(tmp_path / "archive", tail=reader)
        for n in range(1, acknowledged + 1):
            for k in range(n % 50, n % 50 + 20):
                expected[f"L-{k % 7}", MIDNIGHT_MS + (n % 3) * DAY_MS + k] = n
        found = {row[:2]: row[2] for row in rows_of(store.columns(LUX, **WINDOW))}
        lost = [key for key, n in expected.items() if found.get(key, -1.0) < n]
        assert lost == []
        Sealer(journal, reader, store, now_ms=lambda: MIDNIGHT_MS + 9 * DAY_MS)._drain()
        archive = ParquetStore(tmp_path / "archive").columns(LUX, **WINDOW)
        counters = reader.counters()
        assert {row[:2]: row[2] for row in rows_of(archive)} == found
        assert counters.balanced
        assert counters.stored == len(archive)
        reader.close()
        journal.close()
    assert acknowledged > 10
    assert list(tmp_path.rglob(NOTE)) == []


HOSTILE = ["'; DROP MEASUREMENT x --", "x' OR 'a'='a", '") |> drop()', "a\n", "", "å", "a" * 65]


@pytest.mark.parametrize("device_id", HOSTILE)
def test_b02_no_device_id_gets_into_a_query_but_one_of_the_pattern(device_id: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        influxql.window(LUX, 0, 1, [device_id])


def test_b02_the_text_of_a_query_is_its_template() -> None:
    assert influxql.window(LUX, 5, 9, ["L-1", "b_2"]) == (
        'SELECT "value", "received_ms", "flags" FROM "illuminance_lx" WHERE time >= 5ms AND '
        'time < 9ms AND ("device" = \'L-1\' OR "device" = \'b_2\') GROUP BY "device"'
    )
    with pytest.raises(ValueError, match="invalid literal"):
        influxql.window(LUX, "0ms; DROP", 9)
    with pytest.raises(ValueError, match="no end"):
        influxql.bound("mean", LUX)
    assert json.dumps(influxql.ping()).count(";") == 0
