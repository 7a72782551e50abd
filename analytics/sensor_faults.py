"""Sensors that are stuck, blind, drifting or turned away, told apart from lamps that fail.

What the sensor loses it loses by night and by day alike; what the lamp loses it loses by night
only.
"""

from dataclasses import dataclass

import numpy as np

from analytics.grid import Bools, Floats, Ints, row_quantiles
from analytics.levels import last_median, spread
from analytics.memory import Memory
from analytics.nights import Night
from analytics.rules import Rules
from analytics.street import Street

__all__ = ["Verdict", "judge_stuck", "whose_fault"]

READINGS_OF_A_WEEK = 1008
COARSE_BELOW = 25  # steps: a light of fewer steps varies by less than one of them


def judge_stuck(night: Night, memory: Memory, street: Street, rules: Rules) -> tuple[Bools, Bools]:
    """Sensors that gave one and the same value through day and night, and those that moved again.

    A saturated sensor rests by day and moves at night; one with 1 lx steps under a 5 lx lamp rests
    at night and moves by day; in a tunnel a steady lamp is normal, so its own longest run is the
    measure.

    Returns
    -------
    stuck, moving : bool (n,)
    """
    least = np.clip(36_000 / np.maximum(np.nan_to_num(street.interval_s, nan=600), 600), 20, None)
    least = np.minimum(least, rules.equal_readings)
    outdoor = (night.equal_count >= least) & (night.equal_day >= 8) & (night.equal_night >= 8)
    usual = np.maximum(memory.longest_run, 48)
    inside = (night.equal_count > 3 * usual) & (memory.heard_nights >= 3)
    # A steady lamp and a sensor with coarse steps may rest for weeks. Whole numbers are taken for
    # steps of 1 lx, whatever the registry says.
    value = night.equal_value
    step = np.maximum(street.resolution_lx, np.where(value == np.round(value), 1, 0))
    with np.errstate(invalid="ignore"):
        coarse = (value < COARSE_BELOW * step) & (value > 0.5 * memory.own_lx)
    coarse &= memory.longest_run >= 24  # one that rested before will rest longer some day
    inside &= ~coarse | (night.equal_count > READINGS_OF_A_WEEK)
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
        c, the median C of the same nights; for a step only what changed with it.
    step : bool (n,)
        Whether at least half of the change came at once.
    sensor, misaimed, lamp : bool (n,)
        At most one of them is true.
    """

    change: Floats
    response: Floats
    step: Bools
    sensor: Bools
    misaimed: Bools
    lamp: Bools


def whose_fault(memory: Memory, power: Floats) -> Verdict:
    """Lamp, sensor, or a sensor that looks elsewhere; watts are asked first where there are any.

    For a step only the simultaneous step of C counts: leaves move C by as much, but in weeks.

    Parameters
    ----------
    memory : Memory
        With tonight's levels and responses as its newest columns.
    power : float32 (n,)
        Power over its own normal; NaN where not measured.
    """
    m = last_median(memory.levels, 3, 2)
    c = last_median(memory.responses, 3, 1)
    step, before = in_one_step(memory.levels, m)
    base = median_before(memory.responses, before)
    c = np.where(step & np.isfinite(base), c - base, c).astype(np.float32)
    scatter = np.maximum(np.nan_to_num(spread(memory.ref_am), nan=0.04), 0.025)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = c / m
        by_watts = power < 0.93
        in_range = (ratio > 0.5) & (ratio < 1.7)
        sensor = ~by_watts & (np.abs(c) > 0.12) & in_range
        turned = np.abs(c) > np.where(step, np.maximum(0.13, 4 * scatter), np.inf)
        misaimed = ~by_watts & turned & ~in_range & np.isfinite(ratio)
        no_sky = np.isnan(c)
        sensor |= ~by_watts & no_sky & (power > 0.95) & (m < -0.5)
    lamp = np.isfinite(m) & ~sensor & ~misaimed
    return Verdict(m, c, step, sensor, misaimed, lamp)


def in_one_step(levels: Floats, change: Floats) -> tuple[Bools, Ints]:
    """Whether at least half of the change, up or down, came within two nights, and when.

    Parameters
    ----------
    levels : float32 (n, nights)
        A', newest last; nights without a value are bridged.
    change : float32 (n,)
        The whole change.

    Returns
    -------
    step : bool (n,)
    before : int32 (n,)
        Column of the last night before it.
    """
    nights = levels.shape[1]
    at = np.maximum.accumulate(
        np.where(np.isfinite(levels), np.arange(nights, dtype=np.int16), np.int16(-1)), axis=1
    )
    filled = np.take_along_axis(levels, np.maximum(at, 0), 1)
    # A step in mid-night is spread over two nights.
    moves = (filled[:, 2:] - filled[:, :-2]) * np.sign(np.nan_to_num(change))[:, None]
    moves = np.nan_to_num(moves, nan=-np.inf)
    largest, where = moves.max(axis=1), moves.argmax(axis=1)
    with np.errstate(invalid="ignore"):
        step = largest >= 0.6 * np.abs(change)
    return step, where.astype(np.int32)


def median_before(history: Floats, column: Ints, nights: int = 6) -> Floats:
    """Median of the columns up to and including `column`; NaN with fewer than two values."""
    index = np.arange(history.shape[1])
    inside = (index <= column[:, None]) & (index > column[:, None] - nights)
    part = np.where(inside, history, np.float32(np.nan))
    (middle,) = row_quantiles(part, 0.5)
    enough = np.count_nonzero(np.isfinite(part), axis=1) >= 2
    return np.where(enough, middle, np.float32(np.nan))
