"""Counts of people by the hour, kept for ever: what planners look back on for years.

They lie in `rollup/quantity=<name>/month=<YYYY-MM>/part.parquet`, made from the archive's days.
Each month notes from which state of each day it was made, so whatever changes is made again and a
day whose raw readings have been removed keeps its hours.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import StoreError
from ingest.reading import Quantity
from ingest.stores import Columns
from ingest.stores.merging import DAY_MS
from ingest.stores.parquet import ParquetStore, day_name, make_folders, sync_folder

__all__ = ["ROLLED_UP", "Hourly", "HourlyRollups"]

HOUR_MS = 3_600_000
ROLLED_UP = (Quantity.PEOPLE_COUNT, Quantity.PEOPLE_IN, Quantity.PEOPLE_OUT)
MADE_FROM = b"ljusvakt.made_from"
_KINDS: dict[str, Any] = {
    "hour_ms": np.int64,
    "sum": np.float64,
    "count": np.int64,
    "mean": np.float64,
    "min": np.float64,
    "max": np.float64,
}


@dataclass(frozen=True, slots=True)
class Hourly:
    """One row per counter and hour in which it sent anything, sorted by id, then time.

    Attributes
    ----------
    device : list of str
    hour_ms : int64 (n,)
        Start of the hour [ms, UTC].
    sum, mean, min, max : float64 (n,)
        Of the readings of that hour.
    count : int64 (n,)
        How many readings there were: an hour with few of them is not a quiet hour.
    """

    device: list[str]
    hour_ms: npt.NDArray[np.int64]
    sum: npt.NDArray[np.float64]
    count: npt.NDArray[np.int64]
    mean: npt.NDArray[np.float64]
    min: npt.NDArray[np.float64]
    max: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.device)


def hourly_of(columns: Columns) -> Hourly:
    """Hours of merged readings."""
    if not len(columns):
        return _empty()
    hour = columns.time_ms // HOUR_MS
    first = np.flatnonzero(
        np.r_[True, (columns.device[1:] != columns.device[:-1]) | (hour[1:] != hour[:-1])]
    )
    count = np.diff(np.r_[first, len(columns)])
    total = np.add.reduceat(columns.value, first)
    return Hourly(
        [columns.device_ids[k] for k in columns.device[first].tolist()],
        hour[first] * HOUR_MS,
        total,
        count,
        total / count,
        np.minimum.reduceat(columns.value, first),
        np.maximum.reduceat(columns.value, first),
    )


def _empty() -> Hourly:
    none = np.empty(0)
    return Hourly([], none.astype(np.int64), none, none.astype(np.int64), none, none, none)


class HourlyRollups:
    """Hourly sums, counts, means, least and greatest of a Parquet archive's people counts.

    Parameters
    ----------
    store : ParquetStore
        They lie beside its readings.
    """

    def __init__(self, store: ParquetStore) -> None:
        self._store = store

    def part(self, quantity: Quantity, month: str) -> Path:
        """Where a month lies."""
        folder = self._store.root / "rollup" / f"quantity={quantity.value}" / f"month={month}"
        return folder / "part.parquet"

    def refresh(self, quantity: Quantity) -> list[int]:
        """Make what has changed in the archive anew; returns the days."""
        by_month: dict[str, dict[int, str]] = {}
        for day in self._store.days(quantity):
            mark = self._store.fingerprint(quantity, day)
            by_month.setdefault(day_name(day)[:7], {})[day] = repr(mark)
        changed: list[int] = []
        for month, marks in by_month.items():
            with self._store.writing():
                changed += self._refresh_month(quantity, month, marks)
        return changed

    def _refresh_month(self, quantity: Quantity, month: str, marks: dict[int, str]) -> list[int]:
        kept, made_from = self._read(quantity, month)
        changed = [day for day, mark in marks.items() if made_from.get(day) != mark]
        if not changed:
            return []
        made = [hourly_of(self._store.read_day(quantity, day)) for day in changed]
        old = ~np.isin(kept.hour_ms // DAY_MS, changed)
        rows = _sorted([_choose(kept, old), *made])
        made_from.update({day: marks[day] for day in changed})
        self._write(quantity, month, rows, made_from)
        return changed

    def hourly(self, quantity: Quantity, *, start_ms: int, stop_ms: int) -> Hourly:
        """Hours that start in `[start_ms, stop_ms)`, as far as their days are sealed."""
        folder = self._store.root / "rollup" / f"quantity={quantity.value}"
        first = day_name(start_ms // DAY_MS)[:7]
        last = day_name((stop_ms - 1) // DAY_MS)[:7]
        parts: list[Hourly] = []
        for path in sorted(folder.glob("month=*")):
            month = path.name.removeprefix("month=")
            if first <= month <= last:
                rows, _ = self._read(quantity, month)
                inside = (rows.hour_ms >= start_ms) & (rows.hour_ms < stop_ms)
                parts.append(_choose(rows, inside))
        return _sorted(parts)

    def _read(self, quantity: Quantity, month: str) -> tuple[Hourly, dict[int, str]]:
        path = self.part(quantity, month)
        try:
            with pq.ParquetFile(path) as file:
                table: Any = file.read()
        except FileNotFoundError:
            return _empty(), {}
        except (pa.ArrowException, OSError) as error:
            raise StoreError(
                f"{path} cannot be read ({error}). Restore it from a backup."
            ) from error
        noted: dict[str, str] = json.loads(table.schema.metadata[MADE_FROM])
        columns: dict[str, Any] = {
            name: np.asarray(table.column(name).to_numpy(), kind) for name, kind in _KINDS.items()
        }
        return (
            Hourly(device=table.column("device").to_pylist(), **columns),
            {int(day): mark for day, mark in noted.items()},
        )

    def _write(
        self, quantity: Quantity, month: str, rows: Hourly, made_from: dict[int, str]
    ) -> None:
        path = self.part(quantity, month)
        make_folders(path.parent)
        table: Any = pa.table(
            {"device": pa.array(rows.device, pa.string())}
            | {name: pa.array(getattr(rows, name)) for name in _KINDS}
        ).replace_schema_metadata({MADE_FROM: json.dumps(made_from)})
        temporary = path.with_name(".tmp-part.parquet")
        with temporary.open("wb") as file:
            pq.write_table(table, file, compression="zstd", compression_level=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)


def _choose(rows: Hourly, which: npt.NDArray[Any]) -> Hourly:
    at = np.flatnonzero(which) if which.dtype == np.bool_ else which
    return Hourly(
        [rows.device[k] for k in at.tolist()], *(getattr(rows, name)[at] for name in _KINDS)
    )


def _sorted(parts: list[Hourly]) -> Hourly:
    filled = [part for part in parts if len(part)]
    if not filled:
        return _empty()
    whole = Hourly(
        [name for part in filled for name in part.device],
        *(np.concatenate([getattr(part, name) for part in filled]) for name in _KINDS),
    )
    order = np.lexsort((whole.hour_ms, np.array(whole.device)))
    return _choose(whole, order)
