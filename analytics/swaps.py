"""Sensors that were changed without a word: taken for new ones, no fault."""

import numpy as np

from analytics.grid import Bools
from analytics.judge import Judge
from analytics.sensor_faults import Verdict

__all__ = ["accept_swaps"]

MOST_SWAPS = 0.02  # of the city in one week


def accept_swaps(judge: Judge, swapped: Bools, verdict: Verdict) -> None:
    """A step of night and day alike that leaves the sensor seeing is another sensor."""
    memory = judge.memory
    memory.swap_nights = np.where(swapped, memory.swap_nights + 1, 0).astype(np.int32)
    rows = np.flatnonzero(memory.swap_nights >= 3)
    # Nobody changes a part of the city's sensors at once; snow and rain do.
    together = ((memory.swap_nights > 0) & ~judge.street.tunnel).sum()
    if not len(rows) or together > max(3, MOST_SWAPS * judge.street.n):
        return
    step = np.exp(verdict.change[rows])
    memory.own_lx[rows] *= step
    memory.own_dim_lx[rows] *= step
    for buffer in (memory.ref_lux, memory.ref_dim, memory.ref_late):
        buffer[rows] *= step[:, None]
    for buffer in (memory.ref_am, memory.ref_pm):
        buffer[rows] += verdict.response[rows, None]
    memory.share[rows] += verdict.response[rows]
    for history in (memory.levels, memory.late_levels, memory.responses):
        history[rows] = np.nan
    memory.swap_nights[rows] = 0
