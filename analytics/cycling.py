"""Luminaires that go out and come back again and again in one night."""

import numpy as np

from analytics.grid import Bools
from analytics.memory import Memory
from analytics.nights import Night

__all__ = ["judge_cycling"]


def judge_cycling(night: Night, memory: Memory) -> tuple[Bools, Bools]:
    """Lamps with at least three dark spells between lit ones, and those that burned steadily.

    The night's own lit level must be near normal: a soiled or snowed-on lamp wanders around the
    threshold without going out.

    Returns
    -------
    cycling, steady : bool (n,)
    """
    with np.errstate(invalid="ignore"):
        high = night.lux_high / np.maximum(memory.own_lx, 1)
        share = night.n_low / np.maximum(night.n_steady, 1)
    changes = night.falls + night.rises
    cycling = (
        (night.n_steady >= 10) & (high > 0.55) & (changes >= 6) & (share > 0.06) & (share < 0.85)
    )
    steady = (night.n_steady >= 10) & (changes <= 1) & (share < 0.1)
    return cycling, steady
