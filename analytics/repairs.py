"""What is forgotten of a luminaire that was worked on, and what its light proves afterwards."""

from collections.abc import Mapping

import numpy as np

from analytics.grid import Bools, Ints
from analytics.levels import last_median
from analytics.memory import Memory

__all__ = ["note_maintenance", "prove_repairs", "unproved"]

AS_BEFORE = 0.1  # log: a repaired lamp within it is the lamp of before
PROVING_NIGHTS = 3


def note_maintenance(memory: Memory, fresh: Mapping[str, Bools], number: int) -> None:
    """After a logged swap or cleaning the luminaire is learned anew; until then it has no level.

    A repair may bring back the light of before: `prove_repairs` tells when it is seen.
    """
    for action in ("sensor_swap", "lamp_swap", "cleaned", "repaired"):
        rows = fresh.get(action)
        if rows is None or not rows.any():
            continue
        anew = rows & ~memory.frozen if action == "repaired" else rows
        forget(memory, anew)
        if action == "lamp_swap":
            memory.ref_power[rows] = np.nan
        if action in ("sensor_swap", "cleaned"):
            memory.ref_am[rows] = memory.ref_pm[rows] = np.nan
            memory.share[rows] = np.nan
        for history in (memory.levels, memory.late_levels):
            history[rows] = np.nan
        if action != "repaired":
            memory.responses[rows] = np.nan
        memory.learn_from[rows] = number + 1


def prove_repairs(memory: Memory, number: int) -> None:
    """Learn repaired luminaires anew whose light of the first nights is not that of before.

    To be called when the night's levels have been remembered: the night that ended with the work
    tells nothing of what came after it.
    """
    ended = memory.learn_from > number
    for history in (memory.levels, memory.late_levels):
        history[ended, -1] = np.nan
    nights = nights_since_work(memory, number)
    with np.errstate(invalid="ignore"):
        other = np.abs(last_median(memory.levels, memory.levels.shape[1], 3)) > AS_BEFORE
    proved_now = (nights == PROVING_NIGHTS) & np.isfinite(memory.levels[:, -1])
    forget(memory, proved_now & other & memory.frozen)


def unproved(memory: Memory, number: int) -> Bools:
    """Luminaires whose light since a repair was not yet seen for long enough."""
    found: Bools = nights_since_work(memory, number) < PROVING_NIGHTS
    return found


def nights_since_work(memory: Memory, number: int) -> Ints:
    """Nights with a level since work was logged; more than can be where none was lately."""
    seen = np.count_nonzero(np.isfinite(memory.levels), axis=1)
    since = number - memory.learn_from
    lately = (memory.learn_from > 0) & (since < memory.levels.shape[1])
    found: Ints = np.where(lately, seen, memory.levels.shape[1] + 1).astype(np.int32)
    return found


def forget(memory: Memory, rows: Bools) -> None:
    """Learn the level of these luminaires anew."""
    for buffer in (
        memory.ref_lux,
        memory.ref_dim,
        memory.ref_late,
        memory.ref_level,
        memory.ref_surplus,
    ):
        buffer[rows] = np.nan
    memory.frozen[rows] = False
