"""The clock that switches a whole feeder: seen in several lamps, and against the other feeders.

A clock that was wrong before the first reading is the feeder's habit, but not the city's.
"""

import numpy as np

from analytics.cause import Section, Whole
from analytics.findings import CauseKind, FindingKind
from analytics.grid import Bools, Floats, row_quantiles
from analytics.judge import Judge
from analytics.memory import KIND_AT
from analytics.sun import LAMP_OUTSHINES_DEG

__all__ = ["as_the_city", "same_clock"]

FEW = 6  # members that make a feeder's habit, feeders that make a city's
ALIKE_DEG = 1.5
ODD_DEG = 2.5  # of the sun's elevation: about twenty minutes
MOST_ALIKE = 0.7
SAME_MINUTES = 25.0


def as_the_city(habit: Floats, whole: Whole, asked: Bools) -> Floats:
    """What each lamp's switching is held against: its own habit, or the city's.

    Most feeders switch by the same sun. One whose lamps all come on when the sun is lower by a few
    degrees, or go off so, has a clock that was wrong from the first day on.

    Parameters
    ----------
    habit : float32 (n,)
        Sun's elevation at the first (or last) lit reading [degrees]; NaN while not known.
    whole : Whole
    asked : bool (n,)
        Lamps that are asked: lit by night only, and long enough known.
    """
    # Watts see lamps come on by a higher sun than light does; feeders are compared below it.
    padded = np.where(asked, np.minimum(habit, LAMP_OUTSHINES_DEG), np.nan)
    members = np.where(whole.feeder >= 0, padded[np.maximum(whole.feeder, 0)], np.nan)
    if not members.size:
        return habit
    low, middle, high = row_quantiles(members.astype(np.float32), 0.25, 0.5, 0.75)
    told = np.count_nonzero(np.isfinite(members), axis=1) >= FEW
    if told.sum() < FEW:
        return habit
    city = np.float32(np.median(middle[told]))
    near = np.abs(middle[told] - city) <= ALIKE_DEG
    odd = told & (city - middle > ODD_DEG) & (city - high > ALIKE_DEG) & (middle - low < ODD_DEG)
    if near.mean() < MOST_ALIKE or not odd.any():
        return habit
    rows = whole.feeder[odd]
    rows = rows[rows >= 0]
    out = habit.copy()
    out[rows] = np.where(asked[rows] & np.isfinite(habit[rows]), city, habit[rows])
    return out


def same_clock(judge: Judge, late: Bools, minutes: Floats) -> list[Section]:
    """Lamps of one feeder that switch wrongly at the same end by the same minutes: one matter."""
    street, night = judge.street, judge.night
    evening = night.lead > night.trail
    # Flagged tonight for the first time may be anything.
    before = judge.memory.hits[:, KIND_AT[FindingKind.SWITCHING_ERROR]] >= 1
    follows = late & before & ~street.clouds & (street.feeder >= 0)
    sections: list[Section] = []
    for feeder in np.unique(street.feeder[follows]):
        for side in (evening, ~evening):
            rows = np.flatnonzero(follows & side & (street.feeder == feeder)).astype(np.int32)
            if len(rows) < 2:
                continue
            rows = rows[np.abs(minutes[rows] - np.median(minutes[rows])) <= SAME_MINUTES]
            if len(rows) >= 2:
                sections.append(Section(rows, CauseKind.FEEDER, int(feeder), judge.start_ms))
    return sections
