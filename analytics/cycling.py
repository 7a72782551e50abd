"""Luminaires that go out and come back again and again in one night."""

import numpy as np

from analytics.findings import FindingKind
from analytics.grid import HOUR_MS, Bools, Floats, Ints
from analytics.judge import Judge
from analytics.levels import first_nights
from analytics.memory import Memory
from analytics.nights import Night
from analytics.pace import SELDOM_MIN, interval_min, watched_long_enough
from analytics.street import Street

__all__ = ["judge_cycling", "settle_cycling"]

LEAST_NIGHTS = 4  # that show how often this luminaire changes anyway
ONE_SPELL = 2  # a lamp that went out and came back once is not cycling
EXCESS = 4  # changes beyond: three dark spells between lit ones in all
POOLED_READINGS = 30
RESTLESS = 3  # changes a night that are motion control where the feeder's others do it too
SHARED = 0.15


def judge_cycling(night: Night, memory: Memory, street: Street) -> tuple[Bools, Bools]:
    """Lamps with at least three dark spells between lit ones, and those that burned steadily.

    The night's own lit level must be near normal: a soiled or snowed-on lamp wanders around the
    threshold without going out. Lamps that did so from the first night, as others on their feeder
    do, are asked to by passers-by.

    Returns
    -------
    cycling, steady : bool (n,)
    """
    with np.errstate(invalid="ignore"):
        high = night.lux_high / np.maximum(memory.own_lx, 1)
        share = night.n_low / np.maximum(night.n_steady, 1)
    changes = night.falls + night.rises
    habit = np.nan_to_num(first_nights(memory.ref_changes, least=1))
    known = np.count_nonzero(np.isfinite(memory.ref_changes), axis=1) >= LEAST_NIGHTS
    # Before a habit is known, tonight tells who does it together.
    alone = share_restless(np.maximum(habit, changes), street) < SHARED
    usual = np.where(alone, ONE_SPELL, np.maximum(2 * habit, ONE_SPELL))
    beyond = np.where(known | alone, np.maximum(changes - usual, 0), 0)
    follow(memory, beyond, night.n_steady)
    interval = interval_min(memory, street)
    seldom = interval > SELDOM_MIN
    seen = watched_long_enough(night.n_steady, interval)
    bright = (high > 0.55) | watts_told(night)
    cycling = seen & bright & (share > 0.06) & (share < 0.85)
    cycling &= (beyond > 0) & (
        pooled_excess(memory, np.where(seldom, POOLED_READINGS, 1)) >= EXCESS
    )
    steady = seen & (changes <= 1) & (share < 0.1)
    return cycling, steady


def watts_told(night: Night) -> Bools:
    """Luminaires whose watts were seen through the night."""
    told: Bools = np.isfinite(night.power_dark)
    return told


def follow(memory: Memory, beyond: Floats, readings: Ints) -> None:
    """Move the look-back of comings and goings on by one night."""
    news = ((memory.excess, beyond), (memory.watched, readings))
    for history, newest in news:
        history[:, :-1] = history[:, 1:]
        history[:, -1] = newest


def pooled_excess(memory: Memory, readings: Ints) -> Floats:
    """Comings and goings beyond the usual, over as many last nights as make so many readings.

    A device that speaks every ten minutes sees every dark spell of a night; one that speaks once an
    hour meets few of them, and sees in some nights what the other sees in one.
    """
    watched = np.nan_to_num(memory.watched)
    later = np.cumsum(watched[:, ::-1], axis=1)[:, ::-1] - watched
    counted = np.where(later < readings[:, None], np.nan_to_num(memory.excess), 0)
    total: Floats = counted.sum(axis=1).astype(np.float32)
    return total


def share_restless(habit: Floats, street: Street) -> Floats:
    """Share of the other luminaires of the same feeder that change often; 1 without a feeder."""
    on = street.feeder >= 0
    size = int(street.feeder.max(initial=-1)) + 1
    restless = habit >= RESTLESS
    members = np.bincount(street.feeder[on], minlength=size)
    often = np.bincount(street.feeder[on & restless], minlength=size)
    f = np.maximum(street.feeder, 0)
    if not size:
        return np.ones(len(habit), dtype=np.float32)
    others = (often[f] - restless) / np.maximum(members[f] - 1, 1)
    return np.where(on & (members[f] >= 5), others, 1).astype(np.float32)


def settle_cycling(judge: Judge) -> None:
    """Lamps that go out and come back."""
    cycling, steady = judge_cycling(judge.night, judge.memory, judge.street)
    onset = np.full(judge.street.n, judge.start_ms + 6 * HOUR_MS, dtype=np.int64)
    interval = interval_min(judge.memory, judge.street)
    by_watts = watts_told(judge.night)  # which no weather takes
    known = watched_long_enough(judge.night.n_steady, interval) & (by_watts | ~judge.held)
    changes = (judge.night.falls + judge.night.rises).astype(np.float32)
    judge.memory.excess[(judge.held & ~by_watts) | judge.taken, -1] = 0
    told, blind = judge.told(FindingKind.CYCLING_FAILURE, ~by_watts)
    judge.settle(
        FindingKind.CYCLING_FAILURE,
        (cycling | told) & ~judge.taken,
        known | blind,
        np.where(blind, ~told, steady),
        onset,
        need=np.where(told, 1, 2).astype(np.int32),
        evidence={"changes": changes},
    )
