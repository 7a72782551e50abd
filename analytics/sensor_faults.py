"""Sensors that are stuck, blind, drifting or turned away, told apart from lamps that fail.

What the sensor loses it loses by night and by day alike; what the lamp loses it loses by night
only.
"""

from dataclasses import dataclass

import numpy as np

from analytics.day_and_night import daylight_per_night
from analytics.findings import FindingKind
from analytics.grid import Bools, Floats, Ints, row_quantiles
from analytics.judge import Judge
from analytics.levels import last_median, spread
from analytics.memory import Memory
from analytics.nights import Night
from analytics.rules import Rules
from analytics.street import Street

__all__ = ["Verdict", "judge_stuck", "settle_stuck", "whose_fault"]

READINGS_OF_A_WEEK = 1008
SURE_FACTOR = 0.4  # standard error that tells lamp (0) from sensor (1)
STEP_SHARE = 0.7  # of the whole change that came at once
AFTER_NIGHTS = 5  # after a step, in which C tells what changed with it
NOTHING_SEEN = 24  # equal readings of 0 lx beside a lamp that burns
LEAST_STEP_LX = 0.1
MANY_STEPS = 50  # steps: a lamp from whose neighbours more than one of them is left
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
    factor, error : float32 (n,)
        By how much daylight followed the night level over the last weeks, and how sure that is.
    foliage : float32 (n,)
        Part of C that leaves explain.
    sensor, misaimed, lamp : bool (n,)
        At most one of them is true.
    """

    change: Floats
    response: Floats
    step: Bools
    factor: Floats
    error: Floats
    foliage: Floats
    sensor: Bools
    misaimed: Bools
    lamp: Bools


def whose_fault(memory: Memory, power: Floats, blamed: Bools) -> Verdict:
    """Lamp, sensor, or a sensor that looks elsewhere; watts are asked first where there are any.

    For a step only the simultaneous step of C counts: leaves move C by as much, but in weeks.

    Parameters
    ----------
    memory : Memory
        With tonight's levels and responses as its newest columns.
    power : float32 (n,)
        Power over its own normal; NaN where not measured.
    blamed : bool (n,)
        Dark for its sensor, as the lamps beside tell where no daylight comes.
    """
    m = last_median(memory.levels, 3, 2)
    c = last_median(memory.responses, 3, 1)
    step, before = in_one_step(memory.levels, m)
    base = median_near(memory.responses, before, -6)
    after = median_near(memory.responses, before, AFTER_NIGHTS)
    moved = after - base
    c = np.where(step & np.isfinite(moved), moved, c).astype(np.float32)
    scatter = np.maximum(np.nan_to_num(spread(memory.ref_am), nan=0.04), 0.025)
    factor, error, foliage = daylight_per_night(memory.levels, memory.responses, memory.leaves)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = c / m
        by_watts = power < 0.93
        in_range = (ratio > 0.5) & (ratio < 1.7)
        sensor = ~by_watts & (np.abs(c) > 0.12) & in_range
        # What came slowly is told by how day and night moved together, the leaves' part taken off.
        told = ~step & (error < SURE_FACTOR)
        own_c = c - foliage
        follows = (factor > 0.5) & (np.abs(own_c) > 0.3 * np.abs(m))
        sensor = np.where(told, ~by_watts & follows, sensor)
        # No lamp burns brighter by itself.
        sensor |= ~step & (m > 0.15) & (own_c > 0.5 * m) & (own_c > 0.1) & (factor > 0.5)
        turned = np.abs(c) > np.where(step, np.maximum(0.13, 4 * scatter), np.inf)
        misaimed = ~by_watts & turned & ~in_range & np.isfinite(ratio)
        no_sky = np.isnan(c)
        sensor |= ~by_watts & no_sky & ((power > 0.95) | blamed) & (m < -0.5)
    lamp = np.isfinite(m) & ~sensor & ~misaimed
    return Verdict(m, c, step, factor, error, foliage, sensor, misaimed, lamp)


def in_one_step(levels: Floats, change: Floats) -> tuple[Bools, Ints]:
    """Whether most of the change, up or down, came within two nights, and when.

    The medians of three nights before and after are compared, so that one odd night is no step; a
    step in mid-night shows half on the night it came. A step from somewhere else than the usual
    level (back from a shop window's light) is not how this change came.

    Parameters
    ----------
    levels : float32 (n, nights)
        A', newest last; nights without a value are left out.
    change : float32 (n,)
        The whole change.

    Returns
    -------
    step : bool (n,)
    before : int32 (n,)
        Column of the last night before it.
    """
    windows = np.lib.stride_tricks.sliding_window_view(levels, 3, axis=1)
    (middle,) = row_quantiles(windows, 0.5)
    last = levels.shape[1] - 1
    # The newest two nights may be all there is after the step.
    (newest,) = row_quantiles(levels[:, -2:], 0.5)
    after = carried(np.concatenate([middle[:, 3:], newest[:, None]], axis=1)[:, ::-1])[:, ::-1]
    start = carried(middle)[:, : after.shape[1]]
    whole = np.abs(change)[:, None]
    with np.errstate(invalid="ignore"):
        moves = (after - start) * np.sign(np.nan_to_num(change))[:, None]
        usual = np.abs(start) < np.maximum(0.4 * whole, 0.1)
    # What came and went before is not how this change came.
    last_usual = start.shape[1] - 1 - np.argmax(usual[:, ::-1], axis=1)
    usual &= np.arange(start.shape[1]) >= (last_usual - 2)[:, None]
    moves = np.where(np.isfinite(moves) & usual, moves, -np.inf)
    largest, where = moves.max(axis=1), moves.argmax(axis=1)
    with np.errstate(invalid="ignore"):
        step = largest >= STEP_SHARE * np.abs(change)
    return step, np.minimum(where + 2, last).astype(np.int32)


def carried(values: Floats) -> Floats:
    """Values with each gap filled by the last known one before it."""
    at = np.where(np.isfinite(values), np.arange(values.shape[1], dtype=np.int16), np.int16(-1))
    at = np.maximum.accumulate(at, axis=1)
    return np.where(at >= 0, np.take_along_axis(values, np.maximum(at, 0), 1), np.float32(np.nan))


def median_near(history: Floats, column: Ints, nights: int) -> Floats:
    """Median of the columns up to `column` (`nights` < 0) or after it; NaN with fewer than two.

    Parameters
    ----------
    history : float32 (n, columns)
    column : int32 (n,)
    nights : int
        How many columns; negative for those up to and including `column`.
    """
    index = np.arange(history.shape[1])
    at = column[:, None]
    inside = (
        (index <= at) & (index > at + nights)
        if nights < 0
        else (index > at) & (index <= at + nights)
    )
    part = np.where(inside, history, np.float32(np.nan))
    (middle,) = row_quantiles(part, 0.5)
    enough = np.count_nonzero(np.isfinite(part), axis=1) >= (2 if nights < 0 else 1)
    return np.where(enough, middle, np.float32(np.nan))


def nothing_beside_light(judge: Judge) -> Bools:
    """Tunnel sensors that see nothing at all although a lamp beside them burns.

    Under a lamp that failed, the next ones' light is left.
    """
    night, memory, street = judge.night, judge.memory, judge.street
    step = np.maximum(np.nan_to_num(street.resolution_lx, nan=1), LEAST_STEP_LX)
    lit = np.append(judge.darkness.lit, False)
    found: Bools = street.tunnel & (night.equal_value == 0) & (night.equal_count >= NOTHING_SEEN)
    found &= memory.own_lx > MANY_STEPS * step
    found &= lit[street.left] | lit[street.right]
    return found


def settle_stuck(judge: Judge) -> None:
    """Sensors that hold one value by day and night."""
    stuck, moving = judge_stuck(judge.night, judge.memory, judge.street, judge.rules)
    stuck |= nothing_beside_light(judge)
    known = judge.night.n_lux > 0
    since = judge.night.equal_since_ms
    count = judge.night.equal_count.astype(np.float32)
    value = judge.night.equal_value
    evidence = {"equal_readings": count, "value_lx": value}
    judge.settle(FindingKind.SENSOR_STUCK, stuck, known, moving, since, evidence=evidence)
