"""Sensors that are stuck, blind, drifting or turned away, told apart from lamps that fail.

What the sensor loses it loses by night and by day alike; what the lamp loses it loses by night only.
"""

from dataclasses import dataclass

import numpy as np

from analytics.grid import Bools, Floats
from analytics.levels import last_median
from analytics.memory import Memory
from analytics.nights import Night
from analytics.rules import Rules
from analytics.street import Street

__all__ = ["Verdict", "judge_stuck", "whose_fault"]


def judge_stuck(night: Night, memory: Memory, street: Street, rules: Rules) -> tuple[Bools, Bools]:
    """Sensors that gave one and the same value through day and night, and those that moved again.

    A saturated sensor rests by day and moves at night; one with 1 lx steps under a 5 lx lamp rests at
    night and moves by day; in a tunnel a steady lamp is normal, so its own longest run is the measure.

    Returns
    -------
    stuck, moving : bool (n,)
    """
    least = np.clip(36_000 / np.maximum(np.nan_to_num(street.interval_s, nan=600), 600), 20, None)
    least = np.minimum(least, rules.equal_readings)
    outdoor = (night.equal_count >= least) & (night.equal_day >= 8) & (night.equal_night >= 8)
    usual = np.maximum(memory.longest_run, 48)
    inside = (night.equal_count > 3 * usual) & (memory.heard_nights >= 3)
    stuck = np.where(street.tunnel, inside, outdoor) & (night.n_lux > 0)
    moving = (night.n_lux >= 6) & (night.equal_count < 6)
    return stuck, moving


@dataclass(slots=True)
class Verdict:
    """Whose fault a change of level is.

    Attributes
    ----------
    change : float32 (n,)
        m, the median A' of three nights; NaN where not known.
    response : float32 (n,)
        c, the median C of the same nights.
    sensor, misaimed, lamp : bool (n,)
        At most one of them is true.
    """

    change: Floats
    response: Floats
    sensor: Bools
    misaimed: Bools
    lamp: Bools


def whose_fault(memory: Memory, power: Floats, tunnel: Bools) -> Verdict:
    """Lamp, sensor, or a sensor that looks elsewhere; watts are asked first where there are any.

    Parameters
    ----------
    memory : Memory
        With tonight's levels and responses as its newest columns.
    power : float32 (n,)
        Power over its own normal; NaN where not measured.
    tunnel : bool (n,)
    """
    m = last_median(memory.levels, 3, 2)
    c = last_median(memory.responses, 3, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = c / m
        by_watts = power < 0.93
        in_range = (ratio > 0.5) & (ratio < 1.7)
        sensor = ~by_watts & (np.abs(c) > 0.12) & in_range
        misaimed = ~by_watts & (np.abs(c) > 0.30) & ~in_range & np.isfinite(ratio)
        no_sky = np.isnan(c)
        sensor |= ~by_watts & no_sky & (power > 0.95) & (m < -0.5)
    lamp = np.isfinite(m) & ~sensor & ~misaimed
    return Verdict(m, c, sensor, misaimed, lamp)
