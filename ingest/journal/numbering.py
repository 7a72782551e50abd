"""What was seen of devices' numbering, as the journal keeps it.

Each commit appends what it has seen; now and then all of it is folded into one row a device and
boot. A row a device in every commit would dirty a page a device.
"""

import sqlite3
from collections.abc import Callable

import numpy as np

from ingest.receipts import Delivered, Numbered, Receipts, Run, Seen

__all__ = ["fold", "load", "log"]

SEEN = np.dtype(
    [
        ("device", "<i4"),
        ("boot", "<i8"),
        ("first", "<i8"),
        ("count", "<i4"),
        ("from_ms", "<i8"),
        ("to_ms", "<i8"),
    ]
)


def load(db: sqlite3.Connection, names: list[str]) -> tuple[Receipts, int]:
    """What was folded, then what was logged since; and how many messages that were.

    Parameters
    ----------
    db : sqlite3.Connection
    names : list of str
        Devices by their number, from 1.
    """
    receipts = Receipts()
    for number, boot, runs in db.execute("SELECT device, boot, runs FROM sequence ORDER BY seen"):
        numbers = np.frombuffer(runs, "<i8").reshape(-1, 4).tolist()
        receipts.restore(names[number - 1], boot, [Run(*run) for run in numbers])
    logged = 0
    for (blob,) in db.execute("SELECT b FROM sequence_log ORDER BY id"):
        for number, boot, first, count, from_ms, to_ms in np.frombuffer(blob, SEEN).tolist():
            receipts.add(Seen(names[number - 1], boot, first, count, from_ms, to_ms))
            logged += 1
    return receipts, logged


def log(db: sqlite3.Connection, sequences: Numbered, numbers: list[int]) -> None:
    """Append what was seen, of devices with these numbers, in the running transaction."""
    rows = np.empty(len(sequences), SEEN)
    rows["device"] = numbers
    rows["boot"] = sequences.boot
    rows["first"] = sequences.first
    rows["count"] = sequences.count
    rows["from_ms"] = sequences.from_ms
    rows["to_ms"] = sequences.to_ms
    db.execute("INSERT INTO sequence_log(b) VALUES (?)", (rows.tobytes(),))


def fold(
    db: sqlite3.Connection, receipts: Receipts, number_of: Callable[[str], int], now_ms: int
) -> list[Delivered]:
    """Put what was logged into rows, in the running transaction; what to mark as unchanged then."""
    db.executemany(
        "DELETE FROM sequence WHERE device = ? AND boot = ?",
        [(number_of(name), boot) for name, boot in receipts.dropped],
    )
    rows: list[tuple[int, int, int, bytes]] = []
    changed = receipts.fold()
    for name, boot, delivered in changed:
        runs = [(r.first, r.last, r.from_ms, r.to_ms) for r in delivered.runs]
        rows.append((number_of(name), boot, now_ms, np.array(runs, "<i8").tobytes()))
    db.executemany("INSERT OR REPLACE INTO sequence VALUES (?, ?, ?, ?)", rows)
    db.execute("DELETE FROM sequence_log")
    return [delivered for _, _, delivered in changed]
