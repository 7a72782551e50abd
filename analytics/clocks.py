"""Device clocks that run wrong, put right from when their readings came.

A device's time is its identity and is kept; only what is judged is moved.
"""

import numpy as np
import numpy.typing as npt

from analytics.grid import Bools, Ints, Times

__all__ = [
    "EARLY_MS",
    "LATE_MS",
    "clock_shift",
    "clock_votes",
    "doubted",
    "steady_shift",
    "true_ms",
]

LATE_MS = 900_000
EARLY_MS = 600_000
STEADY_MS = 600_000
WHOLE_MS = 60_000  # by whole minutes, so that one more reading does not move a day's slots
LEAST_VOTES = 6
Votes = npt.NDArray[np.int64]


def clock_votes(row: Ints, delta_ms: Times, *, n: int) -> tuple[Votes, Votes]:
    """How many readings of each device there are, and how many speak against its clock.

    Parameters
    ----------
    row : int32 (m,)
        Readings with a negative row are left out.
    delta_ms : int64 (m,)
        Receive time minus device time [ms].
    n : int
        Number of devices.

    Returns
    -------
    readings, against : int64 (n,)
    """
    there = row >= 0
    off = there & ((delta_ms > LATE_MS) | (delta_ms < -EARLY_MS))
    return np.bincount(row[there], minlength=n), np.bincount(row[off], minlength=n)


def doubted(readings: Votes, against: Votes) -> Bools:
    """Devices of which most readings speak against the clock."""
    found: Bools = (against > 0.6 * readings) & (readings >= LEAST_VOTES)
    return found


def steady_shift(row: Ints, delta_ms: Times, *, n: int) -> Times:
    """Median offset of each device's clock, where it is the same all day; 0 elsewhere.

    A wrong clock is wrong by the same amount; a buffer that was sent later is late by hours that
    shrink reading by reading.

    Parameters
    ----------
    row : int32 (m,)
        Of doubted devices alone.
    delta_ms : int64 (m,)

    Returns
    -------
    int64 (n,)
        To be added to the device's time, in whole minutes [ms].
    """
    shift = np.zeros(n, dtype=np.int64)
    if not len(row):
        return shift
    order = np.lexsort((delta_ms, row))
    r, d = row[order], delta_ms[order]
    first = np.flatnonzero(np.r_[True, r[1:] != r[:-1]])
    count = np.diff(np.r_[first, len(r)])
    low, mid, high = (d[first + (count - 1) * q // 4] for q in (1, 2, 3))
    steady = high - low <= STEADY_MS
    shift[r[first[steady]]] = np.round(mid[steady] / WHOLE_MS).astype(np.int64) * WHOLE_MS
    return shift


def clock_shift(row: Ints, time_ms: Times, received_ms: Times, *, n: int) -> Times:
    """How far each device's clock must be moved in this window.

    The offset must be large for most readings *and* steady.

    Returns
    -------
    int64 (n,)
        To be added to the device's time [ms]; 0 where the clock is right or nothing is known.
    """
    delta = received_ms - time_ms
    suspect = doubted(*clock_votes(row, delta, n=n))
    if not suspect.any():
        return np.zeros(n, dtype=np.int64)
    asked = (row >= 0) & suspect[np.maximum(row, 0)]
    return steady_shift(row[asked], delta[asked], n=n)


def true_ms(row: Ints, time_ms: Times, received_ms: Times, shift_ms: Times) -> Times:
    """When readings were taken: the clock put right, and never later than they came.

    A lone time far ahead is no clock that is wrong all day; what came cannot have been taken later.
    """
    if shift_ms.any():
        time_ms = time_ms + shift_ms[np.maximum(row, 0)]
    ahead = time_ms > received_ms + EARLY_MS
    return np.where(ahead, received_ms, time_ms) if ahead.any() else time_ms
