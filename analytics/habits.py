"""Dimming programmes that the registry does not know, learned from the light itself.

Each night the largest lasting fall and the largest rise after it are noted, with what was left
between them. What comes at the same local time by the same share night after night is a programme.
"""

from dataclasses import dataclass

import numpy as np

from analytics.grid import Bools, Floats, row_quantiles

__all__ = ["DAY_MIN", "Habit", "dimmed_stretch", "learned_habit", "within_habit"]

DAY_MIN = 1440
SIDE = 3  # slots whose means are compared on either side of a change
LEAST_FALL = float(np.log(0.85))
LEAST_NIGHTS = 5
SAME_TIME_MIN = 25.0  # between the quartiles of the nights
SAME_SHARE = 0.10


@dataclass(slots=True)
class Habit:
    """A learned programme for each luminaire; NaN where there is none.

    Attributes
    ----------
    start_min, stop_min : float32 (n,)
        Local minutes after noon; a stop that never came (dimmed until dawn) is a whole day.
    level : float32 (n,)
        What is left of full light.
    """

    start_min: Floats
    stop_min: Floats
    level: Floats


def dimmed_stretch(lux: Floats, seen: Bools) -> tuple[Floats, Floats, Floats]:
    """The stretch of each row that burned lower: where it began, where it ended, what was left.

    Parameters
    ----------
    lux : float32 (n, s)
        Slots of one night.
    seen : bool (n, s)
        Where light was asked for and a reading came.

    Returns
    -------
    start, stop : float32 (n,)
        Slot edges; `stop` is s where the light did not rise again. NaN where nothing fell by 15 %
        and more for half an hour.
    level : float32 (n,)
        Median inside over median outside.
    """
    n, s = lux.shape
    nothing = np.full(n, np.nan, dtype=np.float32)
    if s < 4 * SIDE:
        return nothing, nothing.copy(), nothing.copy()
    y = np.zeros((n, s + 1), dtype=np.float32)
    np.cumsum(np.where(seen, np.log(np.maximum(lux, 0.1)), 0), axis=1, out=y[:, 1:])
    m = np.zeros((n, s + 1), dtype=np.float32)
    np.cumsum(seen, axis=1, out=m[:, 1:])
    # Change at edge e: the mean of the slots after it over the mean of those before it.
    edges = np.arange(SIDE, s - SIDE + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        after = (y[:, edges + SIDE] - y[:, edges]) / (m[:, edges + SIDE] - m[:, edges])
        before = (y[:, edges] - y[:, edges - SIDE]) / (m[:, edges] - m[:, edges - SIDE])
        change = np.nan_to_num(after - before)
    fell = np.argmin(change, axis=1)
    index = np.arange(len(edges))
    later = np.where(index > (fell + SIDE)[:, None], change, np.float32(0))
    rose = np.argmax(later, axis=1)
    depth = np.take_along_axis(change, fell[:, None], 1)[:, 0]
    height = np.take_along_axis(later, rose[:, None], 1)[:, 0]
    back = height > -0.5 * depth
    start, stop = edges[fell], np.where(back, edges[rose], s)
    # Most luminaires burn evenly: only the others are sorted.
    some = np.flatnonzero(depth < LEAST_FALL)
    slot = np.arange(s)
    own, there = lux[some], seen[some]
    inside = there & (slot >= start[some, None]) & (slot < stop[some, None])
    nan = np.float32(np.nan)
    (low,) = row_quantiles(np.where(inside, own, nan), 0.5)
    (high,) = row_quantiles(np.where(there & ~inside, own, nan), 0.5)
    with np.errstate(invalid="ignore", divide="ignore"):
        level = low / high
        good = (level < 0.85) & np.isfinite(level)
    out = np.full((3, n), np.nan, dtype=np.float32)
    out[:, some[good]] = start[some[good]], stop[some[good]], level[good]
    return out[0], out[1], out[2]


def learned_habit(start_min: Floats, stop_min: Floats, level: Floats) -> Habit:
    """What the nights have in common.

    Parameters
    ----------
    start_min, stop_min, level : float32 (n, nights)
        Of the nights learned from; NaN where nothing was dimmed.
    """
    a1, a2, a3 = row_quantiles(start_min, 0.25, 0.5, 0.75)
    b1, b2, b3 = row_quantiles(stop_min, 0.25, 0.5, 0.75)
    l1, l2, l3 = row_quantiles(level, 0.25, 0.5, 0.75)
    seen = np.count_nonzero(np.isfinite(level), axis=1)
    with np.errstate(invalid="ignore"):
        same = (a3 - a1 <= SAME_TIME_MIN) & (l3 - l1 <= SAME_SHARE) & (seen >= LEAST_NIGHTS)
        # Where dawn ends it, the stop wanders with the seasons; where a clock does, it does not.
        until = np.where(b3 - b1 <= SAME_TIME_MIN, b2, np.float32(DAY_MIN))
    nan = np.float32(np.nan)
    return Habit(
        np.where(same, a2, nan).astype(np.float32),
        np.where(same, until, nan).astype(np.float32),
        np.where(same, l2, nan).astype(np.float32),
    )


def within_habit(habit: Habit, minute: Floats, widen_min: float) -> Bools:
    """Which slots lie in each luminaire's dimmed stretch, widened (or narrowed) on both sides.

    Parameters
    ----------
    habit : Habit
    minute : float32 (s,)
        Local minutes after noon.
    widen_min : float

    Returns
    -------
    bool (n, s)
        False where no habit is known.
    """
    with np.errstate(invalid="ignore"):
        begun: Bools = minute >= (habit.start_min - widen_min)[:, None]
        return begun & (minute < (habit.stop_min + widen_min)[:, None])
