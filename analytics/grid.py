"""Readings laid out as a matrix: one row a device, one column ten minutes, NaN where silent.

A night runs from noon to noon UTC, so that no night is ever cut, and is named by its first date.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "DAY_MS",
    "HOUR_MS",
    "NOON_MS",
    "SLOTS",
    "SLOT_MS",
    "Bools",
    "Floats",
    "Ints",
    "Times",
    "any_slot",
    "count",
    "last_time",
    "lay_out",
    "night_of",
    "row_quantiles",
    "window_start",
]

SLOT_MS = 600_000
SLOTS = 144
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOON_MS = DAY_MS // 2

# float32 throughout: 33,000 x 144 slots are 19 MB, and no lux sensor has 24 bits.
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int32]
Times = npt.NDArray[np.int64]


def night_of(time_ms: int) -> int:
    """Number of the night (days since 1970 of its first date) that holds this moment."""
    return (time_ms - NOON_MS) // DAY_MS


def window_start(night: int) -> int:
    """The noon at which a night's window begins [ms, UTC]."""
    return night * DAY_MS + NOON_MS


def lay_out(
    row: Ints,
    time_ms: Times,
    value: Floats | npt.NDArray[np.float64],
    *,
    n: int,
    start_ms: int,
    several: Literal["median", "last"] = "median",
) -> Floats:
    """Matrix of readings of one window; nothing is interpolated.

    Parameters
    ----------
    row : int32 (m,)
        The device's row; readings with a negative row are left out.
    time_ms : int64 (m,)
        Those outside the window are left out.
    value : float32 or float64 (m,)
        NaN and infinities are left out.
    n : int
        Number of rows.
    start_ms : int
        Noon at which the window begins.
    several : {"median", "last"}
        What stands for several readings in one slot. The last one means the latest in time.

    Returns
    -------
    float32 (n, 144)
        NaN where nothing was received: silence is not darkness.
    """
    slot = (time_ms - start_ms) // SLOT_MS
    keep = (row >= 0) & (slot >= 0) & (slot < SLOTS) & np.isfinite(value)
    if not keep.all():
        row, slot, value, time_ms = row[keep], slot[keep], value[keep], time_ms[keep]
    key = row.astype(np.int64) * SLOTS + slot
    same = row[1:] == row[:-1]
    if np.any(same & (time_ms[1:] < time_ms[:-1])) or (
        np.any(row[1:] < row[:-1]) and not devices_in_blocks(row, n)
    ):
        order = np.lexsort((time_ms, row))
        key, value = key[order], value[order]
    out = np.full(n * SLOTS, np.nan, dtype=np.float32)
    out[key] = value
    if several == "median":
        settle_shared_slots(out, key, value)
    return out.reshape(n, SLOTS)


def devices_in_blocks(row: Ints, n: int) -> bool:
    """Whether each device's readings stand together, whatever the order of the devices."""
    starts = row[np.r_[True, row[1:] != row[:-1]]]
    return bool(np.bincount(starts, minlength=n).max(initial=0) <= 1)


def settle_shared_slots(
    out: Floats, key: npt.NDArray[np.int64], value: Floats | npt.NDArray[np.float64]
) -> None:
    """Put the median where several readings share a slot; `key` has equal ones side by side."""
    twin = key[1:] == key[:-1]
    if not twin.any():
        return
    shared = np.r_[twin, False] | np.r_[False, twin]
    k, v = key[shared], value[shared]
    order = np.lexsort((v, k))
    k, v = k[order], v[order]
    first = np.flatnonzero(np.r_[True, k[1:] != k[:-1]])
    count = np.diff(np.r_[first, len(k)])
    out[k[first]] = 0.5 * (v[first + (count - 1) // 2] + v[first + count // 2])


def any_slot(mask: Bools) -> Bools:
    """Whether anything is true in each row."""
    found: Bools = np.count_nonzero(mask, axis=1) > 0
    return found


def row_quantiles(a: Floats, *quantiles: float) -> tuple[Floats, ...]:
    """Quantiles along the last axis by one sort; a row of NaN gives NaN.

    Parameters
    ----------
    a : float32 (..., s)
    *quantiles : float
        Each in 0..1, linear between neighbours.

    Returns
    -------
    tuple of float32 (...)
        One array a quantile.
    """
    if a.shape[-1] == 0:
        return tuple(np.full(a.shape[:-1], np.nan, dtype=np.float32) for _ in quantiles)
    ordered = np.sort(a, axis=-1)  # NaN last
    n = a.shape[-1] - np.count_nonzero(np.isnan(ordered), axis=-1)
    out: list[Floats] = []
    for q in quantiles:
        at = np.maximum((n - 1) * q, 0)[..., None]
        low = np.floor(at).astype(np.intp)
        high = np.ceil(at).astype(np.intp)
        share = (at - low).astype(np.float32)
        below = np.take_along_axis(ordered, low, -1)
        above = np.take_along_axis(ordered, high, -1)
        # below + share*(above-below) would make NaN of inf-inf; the weighted form keeps a constant
        # exact.
        out.append((below * (1 - share) + above * share)[..., 0].astype(np.float32, copy=False))
    return tuple(out)


def count(mask: Bools) -> Ints:
    """Number of true slots in each row."""
    number: Ints = np.count_nonzero(mask, axis=1).astype(np.int32)
    return number


def last_time(mask: Bools, start_ms: int) -> Times:
    """Start of the last true slot of each row [ms]; 0 where there is none."""
    last = mask.shape[1] - 1 - np.argmax(mask[:, ::-1], axis=1)
    return np.where(mask.any(axis=1), start_ms + last * SLOT_MS, 0).astype(np.int64)
