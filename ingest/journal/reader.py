"""What lies in a journal, read beside its writer."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ingest.counters import Counters
from ingest.errors import JournalError
from ingest.journal.file import IN_JOURNAL, connect
from ingest.journal.rows import Rows, row_count, rows_of
from ingest.stores import Columns, StoredEvent
from ingest.stores.merging import empty

__all__ = ["JournalEntry", "JournalReader", "QuarantinedMessage", "check_journal"]

QUARANTINED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Readings of one quantity and UTC day that one commit (or one merge) wrote.

    Attributes
    ----------
    readings : int
        How many of them count in the balance; the rest are withdrawals.
    columns : Columns
        In the order they came: the later of two equal keys is newer. Rows with `Flag.WITHDRAWN`
        override an earlier reading of their key and are none themselves.
    """

    id: int
    quantity: str
    day: int
    readings: int
    columns: Columns


@dataclass(frozen=True, slots=True)
class QuarantinedMessage:
    """A message nobody could read, whole."""

    id: int
    received_ms: int
    topic: str
    reason: str
    detail: str
    readings: int
    payload: bytes


class JournalReader:
    """Reads a journal beside its writer, from any thread or process.

    Parameters
    ----------
    path : Path
        It must exist.

    Raises
    ------
    JournalError
        If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._names: list[str] = [""]
        try:
            self._db = connect(path, read_only=True)
            self._db.execute("SELECT 1 FROM meta").fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"the journal {path} cannot be read: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def _ask(self, sql: str, *args: str | int | bytes) -> list[tuple[object, ...]]:
        with self._lock:
            try:
                return self._db.execute(sql, args).fetchall()
            except sqlite3.Error as error:
                raise JournalError(
                    f"the journal {self.path} cannot be read: {error}; `ljusvakt doctor` checks it"
                ) from error

    def _int(self, sql: str, *args: str | int | bytes) -> int:
        value = self._ask(sql, *args)[0][0]
        assert isinstance(value, int)  # noqa: S101 - for the type checkers; every caller counts
        return value

    def device_names(self, upto: int) -> list[str]:
        """Device ids by their number in the journal, at least up to `upto`; 0 is no device."""
        if upto >= len(self._names):
            rows = self._ask("SELECT name FROM device WHERE id >= ? ORDER BY id", len(self._names))
            self._names = [*self._names, *(str(name) for (name,) in rows)]
        return self._names

    def last_id(self) -> int:
        """The highest id an entry has had; 0 before the first."""
        return self._int(
            "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'entry'), 0)"
        )

    def count_after(self, entry_id: int) -> int:
        """How many entries above an id the journal still holds."""
        return self._int("SELECT count(*) FROM entry WHERE id > ?", entry_id)

    def last_event_id(self) -> int:
        """The highest id a fault report has had; 0 before the first."""
        return self._int(
            "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)"
        )

    def in_journal(self) -> int:
        """Readings and fault reports that no store has yet, counted from the entries."""
        return self._int(IN_JOURNAL)

    def counters(self) -> Counters:
        """The counts as they were committed, with what lies in the journal counted anew."""
        rows = self._ask(
            f"SELECT name, n FROM counter UNION ALL SELECT '', ({IN_JOURNAL})"  # noqa: S608 - fixed text
        )
        counts = {str(name): int(n) for name, n in rows if isinstance(n, int)}
        return Counters.of(counts, counts.pop(""))

    def entries(self, after_id: int, most_readings: int) -> list[JournalEntry]:
        """Entries above `after_id` in the order of their ids.

        Returns
        -------
        list of JournalEntry
            At least one where there is one, and no further one once `most_readings` is reached.
        """
        entries: list[JournalEntry] = []
        size = 0
        with self._lock:
            try:
                rows = self._db.execute(
                    "SELECT id, quantity, day, n, b FROM entry WHERE id > ? ORDER BY id",
                    (after_id,),
                )
                taken: list[tuple[int, str, int, int, bytes]] = []
                for row in rows:
                    taken.append(row)
                    size += row_count(row[4])
                    if size >= most_readings:
                        break
                rows.close()
            except sqlite3.Error as error:
                raise JournalError(f"the journal {self.path} cannot be read: {error}") from error
        for number, quantity, day, n, b in taken:
            columns = self._columns([rows_of(b)])
            entries.append(JournalEntry(number, quantity, day, n, columns))
        return entries

    def tail(
        self,
        quantity: str,
        start_ms: int,
        stop_ms: int,
        devices: Sequence[str] | None = None,
        upto_id: int | None = None,
        *,
        day: int | None = None,
        after_id: int | None = None,
    ) -> Columns:
        """What lies in the journal of a quantity with `start_ms <= time_ms < stop_ms`.

        In the order it came, keys repeated: the later of two equal keys is newer. Rows with
        `Flag.WITHDRAWN` override what a store holds for their key and are no readings.

        Parameters
        ----------
        upto_id : int, optional
            Only entries up to and with this id.
        day : int, optional
            Only entries of this UTC day.
        after_id : int, optional
            Only entries above this id: what came since.
        """
        sql = "SELECT t_min, t_max, b FROM entry WHERE quantity = ? AND t_max >= ? AND t_min < ?"
        args: list[str | int] = [quantity, start_ms, stop_ms]
        # Days bound the search by the index; t_min and t_max would read every entry.
        sql += " AND day >= ? AND day <= ?"
        args += [start_ms // 86_400_000, (stop_ms - 1) // 86_400_000]
        if day is not None:
            sql += " AND day = ?"
            args.append(day)
        if upto_id is not None:
            sql += " AND id <= ?"
            args.append(upto_id)
        if after_id is not None:
            sql += " AND id > ?"
            args.append(after_id)
        wanted = None if devices is None else self._chosen(devices)
        parts: list[Rows] = []
        # One blob at a time: of a city's day, what is not wanted must not fill the memory.
        for t_min, t_max, b in self._each(sql + " ORDER BY id", *args):
            rows = rows_of(b)
            if t_min < start_ms or t_max >= stop_ms:
                rows = rows.chosen((rows.time_ms >= start_ms) & (rows.time_ms < stop_ms))
            if wanted is not None:
                rows = rows.chosen(wanted.take(rows.device, mode="clip"))
            if len(rows.time_ms):
                parts.append(rows)
        return self._columns(parts)

    def holds(self, quantity: str, day: int, upto_id: int) -> bool:
        """Whether something of this quantity and UTC day lies here, up to and with this id."""
        return bool(
            self._ask(
                "SELECT 1 FROM entry WHERE quantity = ? AND day = ? AND id <= ? LIMIT 1",
                quantity,
                day,
                upto_id,
            )
        )

    def rows_by_device(self, quantity: str, day: int, upto_id: int) -> dict[str, int]:
        """Devices with rows of this quantity and UTC day, and how many each has."""
        sql = "SELECT t_min, t_max, b FROM entry WHERE quantity = ? AND day = ? AND id <= ?"
        count = np.zeros(0, np.int64)
        for _, _, b in self._each(sql, quantity, day, upto_id):
            some = np.bincount(rows_of(b).device)
            if len(some) > len(count):
                count = np.concatenate([count, np.zeros(len(some) - len(count), np.int64)])
            count[: len(some)] += some
        names = self.device_names(len(count))
        return {names[number]: int(count[number]) for number in np.flatnonzero(count).tolist()}

    def _each(self, sql: str, *args: str | int) -> Iterator[tuple[int, int, bytes]]:
        """The rows of a question about entries, one after another."""
        with self._lock:
            try:
                yield from self._db.execute(sql, args)
            except sqlite3.Error as error:
                raise JournalError(
                    f"the journal {self.path} cannot be read: {error}; `ljusvakt doctor` checks it"
                ) from error

    def _chosen(self, devices: Sequence[str]) -> npt.NDArray[np.bool_]:
        """For each device number, and one beyond, whether it is one of these."""
        known = self.device_names(self._int("SELECT coalesce(max(id), 0) FROM device"))
        names = set(devices)
        return np.array([*(name in names for name in known), False], np.bool_)

    def _columns(self, parts: list[Rows]) -> Columns:
        if not parts:
            return empty()
        number, time_ms, value, received_ms, flags = (
            column[0] if len(column) == 1 else np.concatenate(column)
            for column in zip(*parts, strict=True)
        )
        # By counting, not by sorting: device numbers are small.
        used = np.flatnonzero(np.bincount(number))
        place = np.zeros(int(used[-1]) + 1, np.int32)
        place[used] = np.arange(len(used), dtype=np.int32)
        names = self.device_names(int(used[-1]))
        return Columns(
            place[number],
            time_ms.astype(np.int64, copy=False),
            value.astype(np.float64, copy=False),
            received_ms.astype(np.int64, copy=False),
            flags.astype(np.uint8, copy=False),
            [names[one] for one in used.tolist()],
        )

    def integrity(self) -> list[str]:
        """What SQLite finds wrong with the file; empty when nothing is."""
        return [str(line) for (line,) in self._ask("PRAGMA integrity_check(20)") if line != "ok"]

    def quantity_days(self) -> dict[tuple[str, int], int]:
        """(quantity, UTC day) that lie in the journal, with how many readings each holds."""
        rows = self._ask("SELECT quantity, day, sum(n) FROM entry GROUP BY quantity, day")
        return {(str(q), int(str(day))): int(str(n)) for q, day, n in rows}

    def events(
        self,
        *,
        start_ms: int = -(2**62),
        stop_ms: int = 2**62,
        after_id: int = 0,
        upto_id: int | None = None,
        most: int = 2**31,
    ) -> list[tuple[int, StoredEvent]]:
        """Fault reports in the order they came, each with its id.

        Those with `Flag.WITHDRAWN` take back what stands at their place.
        """
        rows = self._ask(
            "SELECT e.id, d.name, e.time_ms, e.received_ms, e.event, e.active, e.info, e.flags"
            " FROM event e JOIN device d ON d.id = e.device"
            " WHERE e.id > ? AND e.id <= ? AND e.time_ms >= ? AND e.time_ms < ?"
            " ORDER BY e.id LIMIT ?",
            after_id,
            2**62 if upto_id is None else upto_id,
            start_ms,
            stop_ms,
            most,
        )
        return [
            (
                int(str(number)),
                StoredEvent(
                    str(name),
                    int(str(time_ms)),
                    int(str(received_ms)),
                    str(event),
                    None if active is None else bool(active),
                    str(info or ""),
                    int(str(flags)),
                ),
            )
            for number, name, time_ms, received_ms, event, active, info, flags in rows
        ]

    def event_days(self) -> list[int]:
        """UTC days of which fault reports lie in the journal."""
        return [
            int(str(day))
            for (day,) in self._ask(
                "SELECT DISTINCT CASE WHEN time_ms >= 0 THEN time_ms / 86400000"
                " ELSE (time_ms - 86399999) / 86400000 END AS day FROM event ORDER BY day"
            )
        ]

    def dirty_days(self) -> list[tuple[str, int, int]]:
        """(quantity, UTC day, since when [ms, UTC]) that are to be evaluated again."""
        return [
            (str(quantity), int(str(day)), int(str(since)))
            for quantity, day, since in self._ask(
                "SELECT quantity, day, since FROM dirty ORDER BY day, quantity"
            )
        ]

    def quarantine_pages(self, search: str, limit: int) -> Iterator[list[QuarantinedMessage]]:
        """Messages nobody could read, some at a time, newest first; what comes meanwhile not.

        Those of a page may leave the quarantine before the next is asked for.
        """
        before_id = None
        while limit > 0 and (
            page := self.quarantined(search, min(limit, QUARANTINED_AT_ONCE), before_id=before_id)
        ):
            before_id = page[-1].id
            limit -= len(page)
            yield page

    def quarantined(
        self, search: str = "", limit: int = 100, *, before_id: int | None = None
    ) -> list[QuarantinedMessage]:
        """Messages nobody could read, newest first.

        Parameters
        ----------
        search : str
            Part of the topic, the reason or the detail; empty finds all.
        before_id : int, optional
            Only older ones, for paging.
        """
        like = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        rows = self._ask(
            "SELECT id, received_ms, topic, reason, detail, readings, payload FROM quarantine"
            " WHERE id < ? AND (topic LIKE ? ESCAPE '\\' OR reason LIKE ? ESCAPE '\\'"
            " OR detail LIKE ? ESCAPE '\\') ORDER BY id DESC LIMIT ?",
            2**62 if before_id is None else before_id,
            like,
            like,
            like,
            limit,
        )
        return [
            QuarantinedMessage(
                int(str(number)),
                int(str(received_ms)),
                str(topic),
                str(reason),
                str(detail),
                int(str(readings)),
                payload if isinstance(payload, bytes) else b"",
            )
            for number, received_ms, topic, reason, detail, readings, payload in rows
        ]


def check_journal(path: Path) -> list[str]:
    """What is wrong with a journal, in words; empty when nothing is.

    Reads the whole file; for `ljusvakt doctor`.
    """
    try:
        reader = JournalReader(path)
    except JournalError as error:
        return [str(error)]
    try:
        found = reader.integrity()
        counters = reader.counters()
        if not counters.balanced:
            found.append(
                f"{counters.balance} readings are unaccounted for: received {counters.received}, "
                f"stored {counters.stored}, in journal {counters.in_journal}, "
                f"duplicate {counters.duplicate}, quarantined {counters.quarantined}, "
                f"refused {counters.refused}"
            )
    except JournalError as error:
        return [str(error)]
    else:
        return found
    finally:
        reader.close()
