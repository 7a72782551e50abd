"""Columns put together: later wins, and an identical repeat keeps the time it first came.

Every store passes its readings through here, so that they cannot disagree about what the same
reading twice is, or about the precision a quantity is kept in.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ingest.reading import QUANTITIES, Flag, Quantity
from ingest.stores import Columns

__all__ = [
    "DAY_MS",
    "at_kept_precision",
    "concatenate",
    "days_of",
    "empty",
    "in_time_order",
    "latest_of",
    "merge",
    "rows",
    "select",
    "standing",
    "withdrawals",
]

DAY_MS = 86_400_000
_INT64_MAX = 2**63 - 1


def empty() -> Columns:
    """No readings."""
    return Columns(
        np.empty(0, np.int32),
        np.empty(0, np.int64),
        np.empty(0, np.float64),
        np.empty(0, np.int64),
        np.empty(0, np.uint8),
        [],
    )


def rows(columns: Columns, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp] | slice) -> Columns:
    """The readings that `which` (mask, positions or slice) picks, with the same device ids."""
    return Columns(
        columns.device[which],
        columns.time_ms[which],
        columns.value[which],
        columns.received_ms[which],
        columns.flags[which],
        columns.device_ids,
    )


def at_kept_precision(quantity: Quantity, columns: Columns) -> Columns:
    """The same readings with values as the archive keeps them.

    A float32 quantity is rounded here, once, before values are compared: 23.4 and the 23.4 that
    came back from a file would otherwise look like two different values.
    """
    kept = columns.value.astype(QUANTITIES[quantity].archive_type).astype(np.float64)
    return Columns(
        columns.device,
        columns.time_ms,
        kept,
        columns.received_ms,
        columns.flags,
        columns.device_ids,
    )


def concatenate(parts: Sequence[Columns]) -> Columns:
    """All parts one after the other, device ids sorted; later parts are newer."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return empty()
    renumbered, names = _renumber(filled)
    if len(filled) == 1:
        (one,) = filled
        return Columns(renumbered[0], one.time_ms, one.value, one.received_ms, one.flags, names)
    return Columns(
        np.concatenate(renumbered),
        np.concatenate([part.time_ms for part in filled]),
        np.concatenate([part.value for part in filled]),
        np.concatenate([part.received_ms for part in filled]),
        np.concatenate([part.flags for part in filled]),
        names,
    )


def _renumber(parts: Sequence[Columns]) -> tuple[list[npt.NDArray[np.int32]], list[str]]:
    """Each part's `device` column as an index into one sorted list of the ids in use."""
    first = parts[0].device_ids
    if all(part.device_ids == first for part in parts) and _strictly_sorted(first):
        return [part.device for part in parts], first
    names = sorted({name for part in parts for name in part.device_ids})
    number = {name: n for n, name in enumerate(names)}
    renumbered: list[npt.NDArray[np.int32]] = []
    for part in parts:
        lookup = np.fromiter(
            (number[name] for name in part.device_ids), np.int32, len(part.device_ids)
        )
        renumbered.append(lookup[part.device])
    return renumbered, names


def _strictly_sorted(names: Sequence[str]) -> bool:
    return all(a < b for a, b in pairwise(names))


def merge(columns: Columns) -> Columns:
    """Unique readings sorted by device id and time; later rows are newer.

    Parameters
    ----------
    columns : Columns
        In the order of arrival.

    Returns
    -------
    Columns
        For each (device, time) the last value, with `received_ms` and `flags` of the first row of
        the unbroken run of identical values that it ends. Every device id has a reading.
    """
    if not len(columns):
        return empty()
    (device,), names = _renumber([columns])
    columns = Columns(
        device, columns.time_ms, columns.value, columns.received_ms, columns.flags, names
    )
    key = _sort_key(columns)
    if np.all(key[1:] > key[:-1]):
        return _without_unused(columns)
    order = np.argsort(key, kind="stable")
    return _without_unused(rows(columns, order[_newest_of_each_key(columns, key, order)]))


def _sort_key(columns: Columns) -> npt.NDArray[np.int64]:
    """One integer a row that orders by device, then time."""
    lowest = int(columns.time_ms.min())
    span = int(columns.time_ms.max()) - lowest + 1
    if span * len(columns.device_ids) <= _INT64_MAX:
        return columns.device.astype(np.int64) * span + (columns.time_ms - lowest)
    # Times so far apart that no product holds them: their rank stands in for them.
    _, rank = np.unique(columns.time_ms, return_inverse=True)
    return columns.device.astype(np.int64) * len(columns) + rank


def _newest_of_each_key(
    columns: Columns, key: npt.NDArray[np.int64], order: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Places in `order` of one row a key, as `merge` promises; `order` sorts by key, stably.

    Only what is compared is sorted here: a city's day is some hundred megabytes.
    """
    ordered = key[order]
    new_key = np.r_[True, ordered[1:] != ordered[:-1]]
    value = columns.value[order]
    withdrawn = (columns.flags & Flag.WITHDRAWN)[order]
    changed = (value[1:] != value[:-1]) | (withdrawn[1:] != withdrawn[:-1])
    start_of_run = np.flatnonzero(new_key | np.r_[True, changed])
    last_of_key = np.r_[np.flatnonzero(new_key)[1:], len(order)] - 1
    at: npt.NDArray[np.intp] = np.searchsorted(start_of_run, last_of_key, "right") - 1
    newest: npt.NDArray[np.intp] = start_of_run[at]
    return newest


def _without_unused(columns: Columns) -> Columns:
    """The same readings, without device ids that have none."""
    used = np.zeros(len(columns.device_ids), np.bool_)
    used[columns.device] = True
    if used.all():
        return columns
    number = (np.cumsum(used) - 1).astype(np.int32)
    return Columns(
        number[columns.device],
        columns.time_ms,
        columns.value,
        columns.received_ms,
        columns.flags,
        [name for name, keep in zip(columns.device_ids, used.tolist(), strict=True) if keep],
    )


def in_time_order(parts: Sequence[Columns]) -> Columns:
    """Parts that are each merged and follow one another in time, as one merged whole.

    Sorting a month of readings costs more than reading it. As the days are disjoint and each is
    sorted, the place of every row follows from counts alone.

    Parameters
    ----------
    parts : sequence of Columns
        Each as `merge` returns it; all times of a part lie before those of the next.
    """
    filled = [part for part in parts if len(part)]
    if not filled:
        return empty()
    if len(filled) == 1:
        return filled[0]
    renumbered, names = _renumber(filled)
    counts = np.stack([np.bincount(device, minlength=len(names)) for device in renumbered], axis=1)
    starts = (np.cumsum(counts) - counts.ravel()).reshape(counts.shape)
    n = int(counts.sum())
    whole = Columns(
        np.empty(n, np.int32),
        np.empty(n, np.int64),
        np.empty(n, np.float64),
        np.empty(n, np.int64),
        np.empty(n, np.uint8),
        names,
    )
    for number, (part, device) in enumerate(zip(filled, renumbered, strict=True)):
        first_row = np.cumsum(counts[:, number]) - counts[:, number]
        place = np.arange(len(part)) + (starts[:, number] - first_row)[device]
        whole.device[place] = device
        whole.time_ms[place] = part.time_ms
        whole.value[place] = part.value
        whole.received_ms[place] = part.received_ms
        whole.flags[place] = part.flags
    return whole


def select(
    columns: Columns, *, start_ms: int, stop_ms: int, devices: Iterable[str] | None = None
) -> Columns:
    """Readings with `start_ms <= time_ms < stop_ms` of all devices or of those named."""
    wanted = (columns.time_ms >= start_ms) & (columns.time_ms < stop_ms)
    if devices is not None:
        names = frozenset(devices)
        known = np.fromiter(
            (name in names for name in columns.device_ids), np.bool_, len(columns.device_ids)
        )
        wanted &= known[columns.device] if len(columns) else False
    if wanted.all():
        return columns
    return rows(columns, wanted)


def withdrawals(columns: Columns) -> int:
    """How many rows take a reading back instead of giving one."""
    return int(np.count_nonzero(columns.flags & Flag.WITHDRAWN))


def standing(merged: Columns) -> Columns:
    """Merged readings without those that were taken back."""
    if not withdrawals(merged):
        return merged
    return _without_unused(rows(merged, (merged.flags & Flag.WITHDRAWN) == 0))


def latest_of(columns: Columns) -> Columns:
    """The newest reading of each device; `columns` as `merge` returns them."""
    if not len(columns):
        return columns
    return rows(columns, np.r_[columns.device[1:] != columns.device[:-1], True])


def days_of(columns: Columns) -> list[tuple[int, Columns]]:
    """The readings of each UTC day (days since 1970-01-01), in the order they came."""
    day = columns.time_ms // DAY_MS
    found = np.unique(day)
    if len(found) == 1:
        return [(int(found[0]), columns)]
    return [(int(d), rows(columns, day == d)) for d in found]
