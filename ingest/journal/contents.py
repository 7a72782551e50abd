"""What lies in the journal: its rows, and the running sums the writer keeps of them in memory."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ingest.batch import BadMessage, Batch, Block
from ingest.journal.file import COUNT_EVENTS, PAGE_SIZE
from ingest.journal.rows import Rows, blob_of
from ingest.reading import Event, Flag

__all__ = ["Contents", "Mark"]

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Mark:
    """How the sums stood before a transaction."""

    devices: int
    in_journal: int
    quarantine_size: int
    last_id: int
    entries: "Counter[tuple[str, int]] | None"


class Contents:
    """Rows and sums; every change is made in the caller's transaction.

    Parameters
    ----------
    db : sqlite3.Connection
    quarantine_bytes : int
        How much the quarantine may hold [bytes].
    now_ms : callable
        The clock [ms, UTC].

    Attributes
    ----------
    in_journal : int
        Readings and fault reports.
    last_id : int
        Id of the newest entry.
    entries : Counter
        How many entries there are of a quantity and day.
    """

    def __init__(
        self, db: sqlite3.Connection, *, quarantine_bytes: int, now_ms: Callable[[], int]
    ) -> None:
        self.db = db
        self.quarantine_bytes = quarantine_bytes
        self.now_ms = now_ms
        self._device: dict[str, int] = {
            name: number for number, name in db.execute("SELECT id, name FROM device ORDER BY id")
        }
        self.entries: Counter[tuple[str, int]] = Counter()
        self.in_journal = int(db.execute(COUNT_EVENTS).fetchone()[0])
        for quantity, day, entries, n in db.execute(
            "SELECT quantity, day, count(*), sum(n) FROM entry GROUP BY quantity, day"
        ):
            self.entries[quantity, day] = entries
            self.in_journal += n
        self._quarantine_size = int(
            db.execute("SELECT coalesce(sum(length(payload) + 100), 0) FROM quarantine")
            .fetchone()[0]
        )  # fmt: skip
        self.last_id = self._highest("entry")

    def _highest(self, table: str) -> int:
        row = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return int(row[0]) if row else 0

    def used_bytes(self) -> int:
        """Its size on disk, without pages that are free [bytes]."""
        pages = int(self.db.execute("PRAGMA page_count").fetchone()[0])
        free = int(self.db.execute("PRAGMA freelist_count").fetchone()[0])
        return (pages - free) * PAGE_SIZE

    # ------------------------------------------------------------------ undoing

    def mark(self) -> Mark:
        """How the sums stand now."""
        entries = self.entries.copy() if len(self.entries) < 64 else None
        return Mark(
            len(self._device), self.in_journal, self._quarantine_size, self.last_id, entries
        )

    def forget(self, mark: Mark) -> None:
        """Undo in memory what the transaction did not make durable."""
        self.in_journal, self.last_id = mark.in_journal, mark.last_id
        self._quarantine_size = mark.quarantine_size
        for name in list(self._device)[mark.devices :]:
            del self._device[name]
        if mark.entries is not None:
            self.entries = mark.entries

    # ------------------------------------------------------------------ devices

    def device_names(self) -> list[str]:
        """Devices by their number, from 1."""
        return list(self._device)

    def number_of(self, name: str) -> int:
        """The number of a device."""
        number = self._device.get(name)
        if number is None:
            number = self._device[name] = len(self._device) + 1
            self.db.execute("INSERT INTO device VALUES (?, ?)", (number, name))
        return number

    def numbers_of(self, names: list[str]) -> list[int]:
        """The numbers of devices."""
        try:
            return list(map(self._device.__getitem__, names))
        except KeyError:
            return [self.number_of(name) for name in names]

    # ------------------------------------------------------------------ what comes

    def put(self, batch: Batch, counts: Counter[str]) -> None:
        """Write a batch's readings, fault reports and bad messages."""
        for block in batch.blocks():
            self._put_block(block)
        if batch.events:
            self.db.executemany(
                "INSERT INTO event(device, time_ms, received_ms, event, active, info, flags)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [self._event_row(event, received_ms) for event, received_ms in batch.events],
            )
            self.in_journal += sum(not event.flags & Flag.WITHDRAWN for event, _ in batch.events)
        for number in batch.released:
            self._quarantine_size -= self._size_in_quarantine(number)
            self.db.execute("DELETE FROM quarantine WHERE id = ?", (number,))
        if batch.bad:
            self._put_aside(batch.bad, counts)

    def _event_row(
        self, event: Event, received_ms: int
    ) -> tuple[int, int, int, str, int | None, str, int]:
        return (
            self.number_of(event.device_id),
            event.time_ms,
            received_ms,
            event.event,
            None if event.active is None else int(event.active),
            event.info,
            event.flags,
        )

    def _put_block(self, block: Block) -> None:
        number = np.array(self.numbers_of(block.device_ids), np.int32)
        readings = int(np.count_nonzero((block.flags & Flag.WITHDRAWN) == 0))
        cursor = self.db.execute(
            "INSERT INTO entry(quantity, day, n, t_min, t_max, b) VALUES (?, ?, ?, ?, ?, ?)",
            (
                block.quantity,
                block.day,
                readings,
                int(block.time_ms.min()),
                int(block.time_ms.max()),
                blob_of(
                    Rows(
                        number[block.device],
                        block.time_ms,
                        block.value,
                        block.received_ms,
                        block.flags,
                    )
                ),
            ),
        )
        self.last_id = int(cursor.lastrowid or 0)
        self.in_journal += readings
        self.entries[block.quantity, block.day] += 1

    # ------------------------------------------------------------------ the quarantine

    def _size_in_quarantine(self, number: int) -> int:
        row = self.db.execute(
            "SELECT length(payload) + 100 FROM quarantine WHERE id = ?", (number,)
        ).fetchone()
        return int(row[0]) if row else 0

    def _put_aside(self, bad: Sequence[BadMessage], counts: Counter[str]) -> None:
        self.db.executemany(
            "INSERT INTO quarantine(received_ms, topic, reason, detail, readings, payload)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(m.received_ms, m.topic, m.reason, m.detail, m.readings, m.payload) for m in bad],
        )
        self._quarantine_size += sum(len(m.payload) + 100 for m in bad)
        while self._quarantine_size > self.quarantine_bytes:
            oldest = self.db.execute(
                "SELECT id, length(payload) + 100 FROM quarantine ORDER BY id LIMIT 100"
            ).fetchall()
            if not oldest:
                break
            for number, size in oldest:
                self.db.execute("DELETE FROM quarantine WHERE id = ?", (number,))
                self._quarantine_size -= size
                counts["quarantine_dropped"] += 1
                if self._quarantine_size <= self.quarantine_bytes:
                    break

    def keep_refused(self, bad: Sequence[BadMessage]) -> Counter[str]:
        """Put what a store refused into the quarantine; nothing of it is counted as received."""
        counts = Counter[str]()
        if bad:
            self._put_aside(bad, counts)
            counts.update(f"rejected.{message.reason}" for message in bad)
        return counts

    # ------------------------------------------------------------------ what goes

    def delete_entries(
        self,
        where: str,
        args: tuple[str | int, ...],
        *,
        stored: int,
        duplicate: int,
        quarantined: int = 0,
    ) -> Counter[str]:
        """Delete entries; what their readings are to be counted as.

        Raises
        ------
        ValueError
            If more leave than are accounted for; nothing was deleted.
        """
        held = self.db.execute(
            f"SELECT quantity, day, count(*), sum(n) FROM entry WHERE {where}"  # noqa: S608 - fixed text
            " GROUP BY quantity, day",
            args,
        ).fetchall()
        gone = sum(row[3] for row in held)
        became = _became(gone, stored, duplicate, quarantined)
        self.db.execute(f"DELETE FROM entry WHERE {where}", args)  # noqa: S608 - fixed text
        self.in_journal -= gone
        for quantity, day, entries, _ in held:
            self.entries[quantity, day] -= entries
            if self.entries[quantity, day] <= 0:
                del self.entries[quantity, day]
        return became

    def delete_events(
        self, upto_id: int, day: int | None, *, stored: int, duplicate: int, quarantined: int
    ) -> Counter[str]:
        """Delete fault reports, of one UTC day or of all; what they are to be counted as.

        Raises
        ------
        ValueError
            If more leave than are accounted for; nothing was deleted.
        """
        where, args = "id <= ?", [upto_id]
        if day is not None:
            where += " AND time_ms >= ? AND time_ms < ?"
            args += [day * DAY_MS, (day + 1) * DAY_MS]
        gone = int(self.db.execute(f"{COUNT_EVENTS} AND {where}", args).fetchone()[0])
        became = _became(gone, stored, duplicate, quarantined)
        self.db.execute(f"DELETE FROM event WHERE {where}", args)  # noqa: S608 - fixed text
        self.in_journal -= gone
        return became

    # ------------------------------------------------------------------ what is to be evaluated

    def days_upto(self, upto_id: int) -> list[tuple[str, int]]:
        """Quantities and days that entries up to this one belong to."""
        return self.db.execute(
            "SELECT DISTINCT quantity, day FROM entry WHERE id <= ?", (upto_id,)
        ).fetchall()

    def mark_dirty(self, days: Sequence[tuple[str, int]]) -> None:
        """These (quantity, day) are to be evaluated again."""
        now = self.now_ms()
        self.db.executemany(
            "INSERT INTO dirty VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET since = max(since, excluded.since)",
            [(quantity, day, now) for quantity, day in days],
        )

    def mark_clean(self, quantity: str, day: int, *, seen_since: int) -> None:
        """Evaluated; it stays dirty if it changed after `seen_since`."""
        self.db.execute(
            "DELETE FROM dirty WHERE quantity = ? AND day = ? AND since <= ?",
            (quantity, day, seen_since),
        )


def _became(gone: int, stored: int, duplicate: int, quarantined: int) -> Counter[str]:
    """What to count for `gone` readings that left the journal.

    Neighbours merged between the store's reading and this deletion stay and will be sent again; the
    store then counts them a second time, so they are not counted now.
    """
    surplus = stored + duplicate + quarantined - gone
    if surplus < 0:
        raise ValueError(
            f"{gone} readings leave the journal, but {gone + surplus} are accounted for"
        )
    keep = max(0, min(stored, surplus))
    return Counter(
        stored=stored - keep,
        duplicate=duplicate - max(0, min(duplicate, surplus - keep)),
        quarantined=quarantined - max(0, surplus - keep - max(0, duplicate)),
    )
