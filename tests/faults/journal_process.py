"""Commits numbered batches to a journal, hands some to a store, and writes down what it may tell.

`acks` holds the number of each batch whose commit returned; `store` the rows that left the journal.
A commit that the disk refuses is tried again, as the collector does.
"""

import os
import sys
from pathlib import Path

from ingest.batch import Batch
from ingest.errors import JournalError
from ingest.journal import Journal, JournalReader
from ingest.reading import Frame, Quantity
from ingest.receipts import Seen

BORN_MS = 1_790_000_000_000
ROWS = 3
TRIES = 30


def batch_of(journal: Journal, number: int) -> Batch:
    """Three readings, a numbered message and a LoRaWAN frame."""
    batch = Batch()
    times = [BORN_MS + number * 10 + row for row in range(ROWS)]
    device = f"d{number % 5}"
    batch.add(device, Quantity.POWER, times, [float(number)] * ROWS, 0, BORN_MS)
    seen = Seen(device, 1, number // 5, 1, times[0], times[-1])
    journal.call(lambda j: j.receipts.add(seen))
    batch.sequences.append(seen)
    frame = Frame("lora", number, b"x")
    journal.call(lambda j: j.frames.hear(frame, times[0], times[0]))
    return batch


def insist(journal: Journal, batch: Batch) -> None:
    """Commit, also when the disk refuses for a while."""
    for _ in range(TRIES):
        try:
            journal.commit(batch)
        except JournalError:
            continue
        return
    os._exit(3)


def ship(journal: Journal, store: int) -> None:
    """Everything in the journal to the store, as a shipper does."""
    reader = JournalReader(journal.path)
    try:
        entries = reader.entries(0, 10**6)
    except JournalError:
        return
    finally:
        reader.close()
    lines = [
        b"%d %d\n" % (time_ms, value)
        for entry in entries
        for time_ms, value in zip(
            entry.columns.time_ms.tolist(),
            map(int, entry.columns.value.tolist()),
            strict=True,
        )
    ]
    try:
        if os.write(store, b"".join(lines)) and entries:
            os.fsync(store)
            journal.drop_shipped(entries[-1].id, stored=len(lines), duplicate=0)
    except OSError:
        pass  # the store refuses: another time


def main(folder: Path, batches: int) -> None:
    acks = os.open(folder / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    store = os.open(folder / "store", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    normal = (folder / "synchronous-normal").exists()
    for _ in range(TRIES):
        try:
            journal = Journal(
                folder / "journal.db",
                quota_bytes=1 << 30,
                now_ms=lambda: BORN_MS,
                min_free_bytes=0,
                synchronous="NORMAL" if normal else "FULL",
            )
        except JournalError:
            continue
        break
    else:
        os._exit(4)
    journal.call(lambda j: j.db.execute("PRAGMA wal_autocheckpoint = 12"))
    for number in range(batches):
        insist(journal, batch_of(journal, number))
        os.write(acks, b"%d\n" % number)  # goes over the network: no disk can fail it
        if number % 15 == 14:
            ship(journal, store)
    if (folder / "close").exists():
        journal.close()
    os._exit(0)  # as if killed, without closing anything


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
