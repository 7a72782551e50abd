"""Small neighbouring entries of the journal, put together so that reading stays quick."""

import sqlite3

import numpy as np

from ingest.journal.rows import Rows, blob_of, rows_of

__all__ = ["merge_neighbours"]

MERGE_BYTES = 1_000_000  # and this is a blob that is quick to read
MERGE_GROUPS = 8


def merge_neighbours(db: sqlite3.Connection, quantity: str, day: int) -> int:
    """Put small neighbouring blobs together, under the id of the last of each group.

    Under the first id, a shipper half-way would delete readings that it never saw; under the last
    it only sends some twice. Only neighbours: past a large blob between them, older readings would
    become newer. A few groups at a time, so that commits need not wait long and memory stays small.

    Returns
    -------
    int
        How many entries fewer there are.
    """
    groups: list[list[int]] = [[]]
    size = 0
    # The length of a blob stands before it; none is read here.
    for number, length in db.execute(
        "SELECT id, length(b) FROM entry WHERE quantity = ? AND day = ? ORDER BY id",
        (quantity, day),
    ):
        if length > MERGE_BYTES // 2:
            groups.append([])
            size = 0
            continue
        groups[-1].append(number)
        size += length
        if size >= MERGE_BYTES:
            groups.append([])
            size = 0
    whole = sorted((group for group in groups if len(group) > 1), key=len, reverse=True)
    chosen = whole[:MERGE_GROUPS]
    for group in chosen:
        _merge_group(db, quantity, day, group)
    return sum(len(group) - 1 for group in chosen)


def _merge_group(db: sqlite3.Connection, quantity: str, day: int, ids: list[int]) -> None:
    rows = db.execute(
        "SELECT n, t_min, t_max, b FROM entry"
        " WHERE quantity = ? AND day = ? AND id >= ? AND id <= ? ORDER BY id",
        (quantity, day, ids[0], ids[-1]),
    ).fetchall()
    parts = list(zip(*(rows_of(row[3]) for row in rows), strict=True))
    merged = Rows(*(np.concatenate(part) for part in parts))
    db.executemany("DELETE FROM entry WHERE id = ?", [(number,) for number in ids])
    db.execute(
        "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            ids[-1],
            quantity,
            day,
            sum(row[0] for row in rows),
            min(row[1] for row in rows),
            max(row[2] for row in rows),
            blob_of(merged),
        ),
    )
