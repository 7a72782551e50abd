"""Readings in plain files: one Parquet file per quantity and UTC day, for any tool to read.

The archive lies in `readings/quantity=<name>/day=<YYYY-MM-DD>/part.parquet` and
`events/day=<YYYY-MM-DD>/part.parquet`. A file never changes in place: a new one is written beside
it, brought to the disk and renamed over it. What the journal still holds is laid on top when
reading, so a reading is visible from the moment it is acknowledged.
"""

import fcntl
import os
import re
import threading
import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import StoreError
from ingest.reading import QUANTITIES, Quantity
from ingest.stores import Added, Columns, StoredEvent
from ingest.stores.event_rows import merge_events, standing_events, taken_back
from ingest.stores.merging import (
    DAY_MS,
    at_kept_precision,
    concatenate,
    days_of,
    empty,
    in_time_order,
    latest_of,
    merge,
    rows,
    select,
    standing,
    withdrawals,
)

__all__ = ["ParquetStore", "Prepared", "Tail", "day_name", "day_number"]

# Small row groups make one device over a month quick; a whole day is hardly slower for it.
ROW_GROUP = 32_768
_TEMPORARY = ".tmp-part.parquet"
_EPOCH = date(1970, 1, 1)
_DAY_FOLDER = re.compile(r"day=\d{4}-\d{2}-\d{2}")
_Number = TypeVar("_Number", bound=np.generic)


class Tail(Protocol):
    """What is acknowledged but not yet in the archive; `JournalReader` is one."""

    def tail(
        self,
        quantity: str,
        start_ms: int,
        stop_ms: int,
        devices: Sequence[str] | None = None,
    ) -> Columns:
        """Readings in the order they came."""
        ...

    def events(self, *, start_ms: int, stop_ms: int) -> list[tuple[int, StoredEvent]]:
        """Fault reports in the order they came, each with its number."""
        ...


def day_name(day: int) -> str:
    """ISO date of a day number (days since 1970-01-01)."""
    try:
        return (_EPOCH + timedelta(days=day)).isoformat()
    except OverflowError as error:
        raise StoreError(f"day {day} after 1970-01-01 has no date") from error


def day_number(name: str) -> int:
    """Day number of an ISO date."""
    return (date.fromisoformat(name) - _EPOCH).days


@dataclass(frozen=True, slots=True)
class Prepared:
    """A partition written and on the disk, but not yet in its place.

    Attributes
    ----------
    temporary, target : Path
    stored : int
        Readings that the partition has more than before.
    duplicate : int
        Readings whose (device, time) was there already, or came again within the same batch.
    checksum : int
        CRC-32 of the file.
    """

    temporary: Path
    target: Path
    stored: int
    duplicate: int
    checksum: int

    def publish(self) -> None:
        """Put the file in its place; afterwards it survives a loss of power."""
        self.temporary.replace(self.target)
        sync_folder(self.target.parent)


class ParquetStore:
    """The embedded `SeriesStore`: a Parquet archive and the tail that is not in it yet.

    Parameters
    ----------
    root : Path
        Made if it does not exist; a local file system (rename must be atomic).
    tail : Tail, optional
        Laid on top of the archive when reading.
    """

    def __init__(self, root: Path, *, tail: Tail | None = None) -> None:
        self.root = root
        self.tail = tail
        self._lock = threading.Lock()
        self._latest: dict[tuple[Quantity, int], tuple[tuple[int, int], Columns]] = {}

    def add(self, quantity: Quantity, columns: Columns) -> None:
        """Merge readings into the archive itself; on return they are on the disk."""
        self.put(quantity, columns)

    def put(self, quantity: Quantity, columns: Columns) -> Added:
        """The same, saying what became of them."""
        stored = duplicate = 0
        for day, new in days_of(columns) if len(columns) else []:
            with self.writing():
                prepared = self.prepare(quantity, day, new)
                prepared.publish()
            stored += prepared.stored
            duplicate += prepared.duplicate
        return Added(stored, duplicate)

    def columns(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        devices: Sequence[str] | None = None,
    ) -> Columns:
        """Readings with `start_ms <= time_ms < stop_ms`, of all devices or of those named."""
        # The tail first: sealing renames before it deletes, so nothing can slip between the two.
        tail = self._tail(quantity, start_ms, stop_ms, devices)
        archive = self.archived(quantity, start_ms=start_ms, stop_ms=stop_ms, devices=devices)
        if not len(tail):
            return archive
        return standing(merge(concatenate([archive, at_kept_precision(quantity, tail)])))

    def archived(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        devices: Sequence[str] | None = None,
    ) -> Columns:
        """The same, from the archive alone."""
        first, last = start_ms // DAY_MS, (stop_ms - 1) // DAY_MS
        parts: list[Columns] = []
        for day in self.days(quantity):
            if first <= day <= last:
                part = self.read_day(quantity, day, devices=devices)
                # A whole day of all devices is as it was written: merged.
                whole = start_ms <= day * DAY_MS and (day + 1) * DAY_MS <= stop_ms
                if not whole or devices is not None:
                    part = merge(select(part, start_ms=start_ms, stop_ms=stop_ms, devices=devices))
                parts.append(part)
        return in_time_order(parts)

    def latest(self, quantity: Quantity, *, start_ms: int, stop_ms: int) -> Columns:
        """The newest reading of each device with `start_ms <= time_ms < stop_ms`.

        Whole days are remembered per file, so asking again costs the tail alone.
        """
        tail = self._tail(quantity, start_ms, stop_ms, None)
        if withdrawals(tail):
            # What was taken back may have been a day's newest: the one before it must be found.
            return latest_of(self.columns(quantity, start_ms=start_ms, stop_ms=stop_ms))
        first, last = start_ms // DAY_MS, (stop_ms - 1) // DAY_MS
        parts: list[Columns] = []
        for day in self.days(quantity):
            if first <= day <= last:
                start, stop = max(start_ms, day * DAY_MS), min(stop_ms, (day + 1) * DAY_MS)
                whole = stop - start == DAY_MS
                parts.append(
                    self._latest_of_day(quantity, day)
                    if whole
                    else self.archived(quantity, start_ms=start, stop_ms=stop)
                )
        parts.append(at_kept_precision(quantity, tail))
        return latest_of(merge(concatenate(parts)))

    def _tail(
        self, quantity: Quantity, start_ms: int, stop_ms: int, devices: Sequence[str] | None
    ) -> Columns:
        if self.tail is None:
            return empty()
        return self.tail.tail(quantity, start_ms, stop_ms, devices)

    def _latest_of_day(self, quantity: Quantity, day: int) -> Columns:
        mark = self.fingerprint(quantity, day)
        if mark is None:
            return empty()
        known = self._latest.get((quantity, day))
        if known is not None and known[0] == mark:
            return known[1]
        newest = merge(latest_of(self.read_day(quantity, day)))
        self._latest[quantity, day] = (mark, newest)
        return newest

    def add_events(self, events: Sequence[StoredEvent]) -> None:
        """Merge fault reports into the archive itself."""
        self.put_events(events)

    def put_events(self, events: Sequence[StoredEvent]) -> Added:
        """The same, saying what became of them."""
        stored = duplicate = 0
        for day in sorted({event.time_ms // DAY_MS for event in events}):
            of_day = [event for event in events if event.time_ms // DAY_MS == day]
            with self.writing():
                prepared = self.prepare_events(day, of_day)
                prepared.publish()
            stored += prepared.stored
            duplicate += prepared.duplicate
        return Added(stored, duplicate)

    def events(self, *, start_ms: int, stop_ms: int) -> list[StoredEvent]:
        """Fault reports with `start_ms <= time_ms < stop_ms`, by time, device and name."""
        tail: list[StoredEvent] = []
        if self.tail is not None:
            numbered = self.tail.events(start_ms=start_ms, stop_ms=stop_ms)
            tail = [event for _, event in numbered]
        archive = [
            event
            for day in self.event_days()
            if start_ms // DAY_MS <= day <= (stop_ms - 1) // DAY_MS
            for event in self.read_events(day)
            if start_ms <= event.time_ms < stop_ms
        ]
        return standing_events(merge_events([*archive, *tail]))

    # The archive as files

    def part(self, quantity: Quantity, day: int) -> Path:
        """Where the readings of one quantity and day lie."""
        folder = self.root / "readings" / f"quantity={quantity.value}" / f"day={day_name(day)}"
        return folder / "part.parquet"

    def event_part(self, day: int) -> Path:
        """Where the fault reports of one day lie."""
        return self.root / "events" / f"day={day_name(day)}" / "part.parquet"

    def days(self, quantity: Quantity) -> list[int]:
        """Days in the archive, ascending."""
        return _days_in(self.root / "readings" / f"quantity={quantity.value}")

    def event_days(self) -> list[int]:
        """Days with fault reports in the archive, ascending."""
        return _days_in(self.root / "events")

    def quantities(self) -> list[Quantity]:
        """Quantities in the archive."""
        return [quantity for quantity in Quantity if self.days(quantity)]

    def fingerprint(self, quantity: Quantity, day: int) -> tuple[int, int] | None:
        """Something that changes whenever the partition does; None where there is none."""
        try:
            found = self.part(quantity, day).stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino

    def read_day(
        self, quantity: Quantity, day: int, *, devices: Sequence[str] | None = None
    ) -> Columns:
        """All readings of one day, or those row groups in which a named device can be."""
        groups = None if devices is None else partial(_groups_with, devices=sorted(devices))
        table = _read(self.part(quantity, day), dictionary=["device"], groups=groups)
        return empty() if table is None else _columns_of(table)

    def read_events(self, day: int) -> list[StoredEvent]:
        """All fault reports of one day in the archive."""
        table = _read(self.event_part(day))
        if table is None:
            return []
        return [StoredEvent(**row) for row in table.to_pylist()]

    def prepare(self, quantity: Quantity, day: int, new: Columns) -> Prepared:
        """Write the partition with `new` merged into it beside the old one.

        Call it, and `publish` what it returns, inside one `writing()`.
        """
        return self.prepare_shares(quantity, day, [("", new)])

    def prepare_shares(
        self, quantity: Quantity, day: int, shares: Iterable[tuple[str, Columns]]
    ) -> Prepared:
        """The same, a share of the devices at a time: a city's day need not fit into memory.

        Parameters
        ----------
        quantity : Quantity
        day : int
        shares : iterable of (str, Columns)
            In the order of device ids: the last id a share may hold, and what is new of it. The
            last share has "" for an id: all that follow.
        """
        stored = duplicate = 0

        def tables() -> Generator[Any]:
            nonlocal stored, duplicate
            above = ""
            for upto, new in shares:
                kept = self._kept(quantity, day, above, upto)
                merged = standing(merge(concatenate([kept, at_kept_precision(quantity, new)])))
                stored += len(merged) - len(kept)
                duplicate += len(new) - withdrawals(new) - (len(merged) - len(kept))
                above = upto
                yield _table_of(quantity, merged)

        temporary, checksum = _write(self.part(quantity, day), tables(), ("device", "time_ms"))
        return Prepared(temporary, self.part(quantity, day), stored, duplicate, checksum)

    def _kept(self, quantity: Quantity, day: int, above: str, upto: str) -> Columns:
        """What a partition holds of devices above one id, up to and with another ("": all)."""
        table = _read(
            self.part(quantity, day),
            dictionary=["device"],
            groups=lambda metadata: _groups_between(metadata, above, upto),
        )
        if table is None:
            return empty()
        columns = _columns_of(table)
        inside = [above < name and (not upto or name <= upto) for name in columns.device_ids]
        return columns if all(inside) else rows(columns, np.array(inside)[columns.device])

    def prepare_events(self, day: int, new: Sequence[StoredEvent]) -> Prepared:
        """The same for fault reports."""
        kept = self.read_events(day)
        merged = standing_events(merge_events([*kept, *new]))
        stored = len(merged) - len(kept)
        duplicate = len(new) - sum(map(taken_back, new)) - stored
        target = self.event_part(day)
        temporary, checksum = _write(target, [_event_table(merged)], ("time_ms", "device_id"))
        return Prepared(temporary, target, stored, duplicate, checksum)

    def delete_days(self, quantity: Quantity, before: int) -> list[int]:
        """Remove the partitions of days below `before`; returns those days."""
        gone = [day for day in self.days(quantity) if day < before]
        for day in gone:
            with self.writing():
                _remove(self.part(quantity, day))
            self._latest.pop((quantity, day), None)
        return gone

    def delete_event_days(self, before: int) -> list[int]:
        """Remove the fault reports of days below `before`; returns those days."""
        gone = [day for day in self.event_days() if day < before]
        for day in gone:
            with self.writing():
                _remove(self.event_part(day))
        return gone

    def clear_temporary(self) -> int:
        """Remove files that an interrupted write left behind; returns how many."""
        with self.writing():
            stale = list(self.root.rglob(".tmp-*"))
            for path in stale:
                path.unlink(missing_ok=True)
        return len(stale)

    @contextmanager
    def writing(self) -> Generator[None]:
        """Be the only one who rewrites partitions, among threads and processes."""
        with self._lock, disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with (self.root / ".writing").open("w") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                yield


@contextmanager
def disk_errors(where: Path) -> Generator[None]:
    """What the disk refuses, as the store's own error that says where."""
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error)
        raise StoreError(
            f"the archive {error.filename or where} cannot be written: {said}. "
            "Make room or check whose folder it is; what waits in the journal is safe."
        ) from error


def _days_in(folder: Path) -> list[int]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names alone; Path objects cost ten times more
    except FileNotFoundError:
        return []
    return sorted(
        day_number(name.removeprefix("day="))
        for name in names
        if _DAY_FOLDER.fullmatch(name) and (folder / name / "part.parquet").exists()
    )


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    for stale in part.parent.glob(".*"):
        stale.unlink()
    part.parent.rmdir()
    sync_folder(part.parent.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk: a rename is durable only then."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def checksum_of(path: Path) -> int:
    """CRC-32 of a file."""
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc


# Tables. pyarrow has no type information: its objects are Any here and nowhere else.


def _table_of(quantity: Quantity, columns: Columns) -> Any:
    kept_as = np.dtype(QUANTITIES[quantity].archive_type)
    device = pa.DictionaryArray.from_arrays(
        pa.array(columns.device), pa.array(columns.device_ids, pa.string())
    )
    return pa.table(
        {
            "device": device,
            "time_ms": pa.array(columns.time_ms),
            "value": pa.array(columns.value.astype(kept_as)),
            "received_ms": pa.array(columns.received_ms),
            "flags": pa.array(columns.flags),
        }
    )


def _event_table(events: Sequence[StoredEvent]) -> Any:
    return pa.table(
        {
            "device_id": pa.array([e.device_id for e in events], pa.string()),
            "time_ms": pa.array([e.time_ms for e in events], pa.int64()),
            "received_ms": pa.array([e.received_ms for e in events], pa.int64()),
            "event": pa.array([e.event for e in events], pa.string()),
            "active": pa.array([e.active for e in events], pa.bool_()),
            "info": pa.array([e.info for e in events], pa.string()),
            "flags": pa.array([e.flags for e in events], pa.uint8()),
        }
    )


def _columns_of(table: Any) -> Columns:
    device = table.unify_dictionaries().column("device").combine_chunks()
    if isinstance(device, pa.ChunkedArray):
        device = pa.concat_arrays(device.chunks)
    names: list[str] = device.dictionary.to_pylist()
    return Columns(
        np.asarray(device.indices, np.int32),
        _numbers(table, "time_ms", np.int64),
        _numbers(table, "value", np.float64),
        _numbers(table, "received_ms", np.int64),
        _numbers(table, "flags", np.uint8),
        names,
    )


def _numbers(table: Any, name: str, kind: type[_Number]) -> npt.NDArray[_Number]:
    return np.asarray(table.column(name).to_numpy(), kind)


def _read(
    part: Path,
    *,
    dictionary: Sequence[str] = (),
    groups: Callable[[Any], list[int]] | None = None,
) -> Any | None:
    """The table of one file, or of those row groups that its metadata show; None where no file."""
    try:
        with pq.ParquetFile(part, read_dictionary=dictionary) as file:
            if groups is None:
                # One thread: five narrow columns are read before others have woken up, and a busy
                # machine has better things to do.
                return file.read(use_threads=False)
            return file.read_row_groups(groups(file.metadata), use_threads=False)
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"{part} cannot be read ({error}). Restore it from a backup (ljusvakt restore) or move "
            f"it away: its readings are then missing."
        ) from error


def _groups_with(metadata: Any, devices: Sequence[str]) -> list[int]:
    """Row groups whose range of device ids holds one of `devices` (sorted)."""
    found: list[int] = []
    names = np.array(devices)
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(0).statistics
        if statistics is None or not statistics.has_min_max:
            found.append(group)
            continue
        below = int(np.searchsorted(names, statistics.min, "left"))
        if below < len(names) and names[below] <= statistics.max:
            found.append(group)
    return found


def _groups_between(metadata: Any, above: str, upto: str) -> list[int]:
    """Row groups in which a device id above one and up to another ("": any) can be."""
    found: list[int] = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(0).statistics
        if (
            statistics is None
            or not statistics.has_min_max
            or (statistics.max > above and (not upto or statistics.min <= upto))
        ):
            found.append(group)
    return found


def _write(target: Path, tables: Iterable[Any], ordered_by: tuple[str, str]) -> tuple[Path, int]:
    """Write tables of one kind, one after another, beside the target; where, and the checksum."""
    temporary = target.with_name(_TEMPORARY)
    make_folders(target.parent)
    packed = ("time_ms", "received_ms")
    parts = iter(tables)
    first = next(parts)
    try:
        with temporary.open("wb") as file:
            with pq.ParquetWriter(
                file,
                first.schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=[  # pyright: ignore[reportArgumentType] - a list is allowed too
                    name for name in first.column_names if name not in packed
                ],
                column_encoding=dict.fromkeys(packed, "DELTA_BINARY_PACKED"),
                sorting_columns=pq.SortingColumn.from_ordering(
                    first.schema, [(name, "ascending") for name in ordered_by]
                ),
            ) as writer:
                for table in chain([first], parts):
                    writer.write_table(table, row_group_size=ROW_GROUP)
            file.flush()
            os.fsync(file.fileno())
    except (pa.ArrowException, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"{target} cannot be written: {error}") from error
    return temporary, checksum_of(temporary)


def make_folders(folder: Path) -> None:
    """Make a folder and those above it, each durable in its parent."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync_folder(one.parent)
