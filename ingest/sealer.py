"""Whole days from the journal into files of the archive.

A day is sealed half an hour after it is over. What comes later stays in the journal, where it is
read all the same, until there is enough of it or it has waited an hour; then the file is rewritten.

The file is put in its place before the journal forgets. Killed between the two, the readings lie in
both; a note beside the file says what was about to be counted, so that the next start finishes the
step instead of counting the same readings again as duplicates.
"""

import json
import os
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ingest.journal import Journal, JournalReader
from ingest.log import Log
from ingest.reading import Quantity
from ingest.shipper import EmptyingLoop, in_thread, is_late
from ingest.stores import Columns
from ingest.stores.merging import DAY_MS
from ingest.stores.parquet import (
    ParquetStore,
    Prepared,
    checksum_of,
    disk_errors,
    sync_folder,
)

__all__ = ["Sealer", "shares_of", "thin"]

SEAL_AFTER_MS = 30 * 60_000  # after the end of the day
LATE_WAITS_MS = 60 * 60_000
LATE_READINGS = 50_000
SHARE_ROWS = 400_000  # so many are merged at a time, whatever the city's size
FULL_SHARE = 0.5  # of the journal's quota, from which on open days are sealed as well
EVENTS = "events"
KEPT_FOR_EVER = frozenset(
    {
        Quantity.PEOPLE_COUNT,
        Quantity.PEOPLE_IN,
        Quantity.PEOPLE_OUT,
        Quantity.PEOPLE_COUNT_TOTAL,
        Quantity.PEOPLE_IN_TOTAL,
        Quantity.PEOPLE_OUT_TOTAL,
    }
)
NOTE = ".sealing.json"

_log = Log(__name__)


@dataclass(frozen=True, slots=True)
class Note:
    """What is being sealed: found again after a kill, the step is finished."""

    name: str
    day: int
    upto_id: int
    stored: int
    duplicate: int
    checksum: int
    late: bool

    def write(self, path: Path) -> None:
        """Bring it to the disk."""
        with path.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)

    @classmethod
    def read(cls, path: Path) -> "Note | None":
        """None where it was only half written: then nothing had been put in its place yet."""
        try:
            found: Any = json.loads(path.read_text(encoding="utf-8"))
            return cls(**found)
        except (ValueError, TypeError):
            return None


def thin(store: ParquetStore, *, before_day: int) -> dict[str, list[int]]:
    """Remove days below `before_day` from an archive; counts of people stay.

    Planners look back on counts for years, and a counter takes no more room than a luminaire.

    Returns
    -------
    dict of str to list of int
        Quantity or "events", and the days that went.
    """
    gone = {
        quantity.value: store.delete_days(quantity, before_day)
        for quantity in store.quantities()
        if quantity not in KEPT_FOR_EVER
    }
    gone[EVENTS] = store.delete_event_days(before_day)
    return {name: days for name, days in gone.items() if days}


class Sealer(EmptyingLoop):
    """Journal to Parquet archive.

    Parameters
    ----------
    journal : Journal
    reader : JournalReader
    store : ParquetStore
    now_ms : callable
        The clock [ms, UTC].
    retention_days : int, optional
        Whole days of readings and fault reports that are kept; default all. Counts of people are
        kept for ever.
    draw : callable, optional
        A random number in 0..1, for the length of pauses.
    """

    def __init__(
        self,
        journal: Journal,
        reader: JournalReader,
        store: ParquetStore,
        *,
        now_ms: Callable[[], int],
        retention_days: int | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(self._seal_one, reader.in_journal, now_ms, draw)
        self._journal = journal
        self._reader = reader
        self._store = store
        self._retention_days = retention_days
        self._thinned_day: int | None = None
        self._now = now_ms
        self._seen_ms: dict[tuple[str, int], int] = {}
        self._recovered = False

    async def drain(self) -> None:
        """Return when everything acknowledged before the call rests in the archive.

        Days that are not over are sealed too; their files will be rewritten.
        """
        await in_thread(self._drain)

    def _drain(self) -> None:
        with self._one_at_a_time, disk_errors(self._store.root):
            self._recover_once()
            for name, day in self._pending():
                self._seal(name, day)
            self.status.waiting = self._reader.in_journal()

    def _seal_one(self) -> bool:
        """Seal the first (quantity, day) that is due; whether there was one."""
        with disk_errors(self._store.root):
            return self._seal_first()

    def _seal_first(self) -> bool:
        self._recover_once()
        now = self._now()
        self._thin_once_a_day(now)
        pending = self._pending()
        self._seen_ms = {key: self._seen_ms.get(key, now) for key in pending}
        crowded = self._journal.used_bytes > FULL_SHARE * self._journal.quota_bytes
        # A crowded journal lets the largest go first, whether its day is over or not.
        order = sorted(pending, key=lambda key: -pending[key]) if crowded else sorted(pending)
        for key in order:
            if crowded or self._due(key, pending[key], now):
                self._seal(*key)
                del self._seen_ms[key]
                return True
        return False

    def _pending(self) -> dict[tuple[str, int], int]:
        """(quantity or "events", day) in the journal, with how many of each."""
        pending = dict(self._reader.quantity_days())
        # How many fault reports a day has does not matter: they are few.
        pending.update({(EVENTS, day): 1 for day in self._reader.event_days()})
        return pending

    def _due(self, key: tuple[str, int], readings: int, now: int) -> bool:
        name, day = key
        over = now >= (day + 1) * DAY_MS + SEAL_AFTER_MS
        if not over and day <= now // DAY_MS + 1:
            return False
        # Over, or so far ahead that some device's clock is wrong: it must not wait for that day.
        part = (
            self._store.event_part(day) if name == EVENTS else self._store.part(Quantity(name), day)
        )
        waited_ms = now - self._seen_ms[key]
        return not part.exists() or readings > LATE_READINGS or waited_ms >= LATE_WAITS_MS

    def _seal(self, name: str, day: int) -> None:
        if name == EVENTS:
            self._seal_events(day)
        else:
            self._seal_readings(Quantity(name), day)

    def _thin_once_a_day(self, now: int) -> None:
        """Remove days that are older than is kept."""
        today = now // DAY_MS
        if self._retention_days is None or today == self._thinned_day:
            return
        thin(self._store, before_day=today - self._retention_days)
        self._thinned_day = today

    def _seal_readings(self, quantity: Quantity, day: int) -> None:
        upto_id = self._reader.last_id()
        count = self._reader.rows_by_device(quantity, day, upto_id)
        if not count:
            return
        late = False

        def shares() -> Generator[tuple[str, Columns]]:
            nonlocal late
            for upto, devices in shares_of(count, SHARE_ROWS):
                new = self._reader.tail(
                    quantity, day * DAY_MS, (day + 1) * DAY_MS, devices, upto_id, day=day
                )
                late = late or is_late(new)
                yield upto, new

        with self._store.writing():
            prepared = self._store.prepare_shares(quantity, day, shares())
            note = self._publish(prepared, quantity.value, day, upto_id, late=late)
        self._forget(note, prepared.target.with_name(NOTE))

    def _seal_events(self, day: int) -> None:
        upto_id = self._reader.last_event_id()
        numbered = self._reader.events(
            start_ms=day * DAY_MS, stop_ms=(day + 1) * DAY_MS, upto_id=upto_id
        )
        if not numbered:
            return
        with self._store.writing():
            prepared = self._store.prepare_events(day, [event for _, event in numbered])
            note = self._publish(prepared, EVENTS, day, upto_id, late=False)
        self._forget(note, prepared.target.with_name(NOTE))

    def _publish(
        self, prepared: Prepared, name: str, day: int, upto_id: int, *, late: bool
    ) -> Note:
        note = Note(
            name, day, upto_id, prepared.stored, prepared.duplicate, prepared.checksum, late
        )
        note.write(prepared.target.with_name(NOTE))
        prepared.publish()
        return note

    def _forget(self, note: Note, path: Path) -> None:
        """Let the journal forget what is in its place now."""
        if note.name == EVENTS:
            self._journal.drop_events(
                note.upto_id, stored=note.stored, duplicate=note.duplicate, day=note.day
            ).result()
        else:
            self._journal.drop_sealed(
                note.name,
                note.day,
                note.upto_id,
                stored=note.stored,
                duplicate=note.duplicate,
                dirty=note.late,
            ).result()
        path.unlink()
        self.status.stored += note.stored
        self.status.duplicate += note.duplicate

    def _recover_once(self) -> None:
        """Finish what a killed process had begun."""
        if self._recovered:
            return
        removed = self._store.clear_temporary()
        for path in sorted(self._store.root.glob(f"**/{NOTE}")):
            self._recover(path)
        if removed:
            _log.info("unfinished files of the archive removed", files=removed)
        self._recovered = True

    def _recover(self, path: Path) -> None:
        note = Note.read(path)
        part = path.with_name("part.parquet")
        if note is None or not part.exists() or checksum_of(part) != note.checksum:
            path.unlink()  # the new file never came into its place
            return
        if self._in_journal(note):
            self._forget(note, path)
            _log.info("a sealed day taken out of the journal", quantity=note.name, day=note.day)
        else:
            path.unlink()

    def _in_journal(self, note: Note) -> bool:
        start_ms, stop_ms = note.day * DAY_MS, (note.day + 1) * DAY_MS
        if note.name == EVENTS:
            return bool(
                self._reader.events(
                    start_ms=start_ms, stop_ms=stop_ms, upto_id=note.upto_id, most=1
                )
            )
        return self._reader.holds(note.name, note.day, note.upto_id)


def shares_of(count: Mapping[str, int], most: int) -> list[tuple[str, list[str] | None]]:
    """Devices in order, in shares of about so many rows.

    Returns
    -------
    list of (str, list of str or None)
        The last id of each share and its devices. The last share has "", and None where it is the
        only one: all there are.
    """
    names = sorted(count)
    number = (np.cumsum([count[name] for name in names]) - 1) // most
    parts = np.split(np.array(names, object), np.flatnonzero(np.diff(number)) + 1)
    if len(parts) == 1:
        return [("", None)]
    uptos = [part[-1] for part in parts[:-1]] + [""]
    return [(upto, part.tolist()) for upto, part in zip(uptos, parts, strict=True)]
