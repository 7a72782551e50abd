"""Branches that take a street below its class: no lamp fault, and yet work for somebody."""

import numpy as np

from analytics.grid import Bools, Floats
from analytics.levels import last_median
from analytics.memory import Memory
from analytics.sensor_faults import Verdict

__all__ = ["leaves_cost_class"]

LEAVES_FROM = -0.05  # log of daylight that leaves took away
NIGHTS, LEAST = 14, 8


def leaves_cost_class(memory: Memory, verdict: Verdict, class_lx: Floats) -> Bools:
    """Luminaires whose light fell below their class as the leaves grew, and would meet it without.

    Seasonal shading is expected and raises nothing by itself.

    Parameters
    ----------
    memory : Memory
    verdict : Verdict
        Of tonight; what came in one step, or is the sensor's, is no branch.
    class_lx : float32 (n,)
        Average that the class asks for [lx]; NaN where no class is known.

    Returns
    -------
    bool (n,)
        False where nothing is known: silence is not darkness.
    """
    level = last_median(memory.levels, NIGHTS, LEAST)
    with np.errstate(invalid="ignore"):
        below = memory.own_lx * np.exp(level) < class_lx
        met = memory.own_lx >= class_lx
        leafy = verdict.foliage < LEAVES_FROM
    found: Bools = below & met & leafy & memory.frozen
    return found & ~verdict.step & ~verdict.sensor & ~verdict.misaimed
