"""Changes of level that last: the lamp's, the sensor's, or another sensor altogether."""

import numpy as np

from analytics.depreciation import (
    additive,
    all_night,
    below_own_scatter,
    explained_by_neighbour,
    slow_loss,
)
from analytics.findings import FindingKind
from analytics.grid import HOUR_MS, Bools, Floats
from analytics.judge import Judge
from analytics.levels import first_nights, spread
from analytics.repairs import unproved
from analytics.sensor_faults import Verdict, whose_fault
from analytics.swaps import accept_swaps
from analytics.vegetation import leaves_cost_class

__all__ = ["settle_levels"]

SHORT_OF_POWER = 0.90  # of its own power at full light
FULL_POWER = 0.95  # a string or a driver that failed takes less
ROUGH = 1.4
ROUGH_NIGHTS = 4  # after the last hold
LEAVES_ON_LIGHT = 0.25  # what a street's light gains, of what daylight gains, when leaves fall
EARLY_NIGHTS = 3  # learned, from which a step of night and day together is seen ...
EARLY_LOSS = -0.42  # ... if it is as large as this, log
PLAIN_DAYLIGHT = 0.30  # of C, log: where ten nights or the weather leave doubt
EARLY_IN_ROUGH = -0.7  # what was learned in snow may be brighter than usual
DAYLIGHT_NIGHTS = 10  # without daylight for so long nobody waits for it any more


def settle_levels(judge: Judge) -> None:
    """Blind, drifting and misaimed sensors, dimming failures and depreciation."""
    memory, rules = judge.memory, judge.rules
    power = judge.night.power_night / first_nights(memory.ref_power)
    verdict = whose_fault(memory, power, judge.street.tunnel & judge.darkness.sensor_side)
    sigma, coarse = own_scatter(judge)
    least = least_loss(judge)
    low = below_own_scatter(verdict.change + coarse, sigma, least)
    early = low & seen_before_and_after(judge, verdict)
    usual = memory.frozen & ~unproved(memory, judge.number)
    low &= usual
    heard = np.isfinite(memory.levels[:, -1]) & ~awaits_daylight(judge, verdict)
    known = heard & ~judge.held
    with np.errstate(invalid="ignore"):
        plain = np.abs(verdict.response) > PLAIN_DAYLIGHT
    of_sensor = heard & (~judge.held | (judge.spared & plain))
    alike = ~additive(memory, judge.night) & all_night(memory, verdict.change)
    onset = np.full(judge.street.n, judge.start_ms - 24 * HOUR_MS, dtype=np.int64)
    evidence = {"level": np.exp(verdict.change), "daylight": np.exp(verdict.response)}
    evidence["rough"] = np.where(is_rough(judge), np.float32(1), np.float32(np.nan))
    with np.errstate(invalid="ignore"):
        mild = np.abs(verdict.change) < rules.level_loss / 2
        deep = verdict.change < -0.5
        # Bare trees let more light through, and more daylight.
        bright = 0.19 + LEAVES_ON_LIGHT * leaves_fallen(judge)
        high = (verdict.change > bright) & (verdict.response > 0.15) & usual
        # Snow on the ground may light up all of its kind more than one that sees more than usual.
        darker = ~(judge.levels.raw > 0)
        blind = (low | early) & darker & verdict.sensor & verdict.step & (verdict.change < -0.42)
        swapped = verdict.step & verdict.sensor & ~blind & (low | high)
        drift = (low | high) & verdict.sensor & ~verdict.step
        neighbour = explained_by_neighbour(verdict.change, judge.street)
    soon = np.where(deep, 2, 3).astype(np.int32)
    for kind, flag, need in (
        (FindingKind.SENSOR_BLIND, blind, soon),
        (FindingKind.SENSOR_DRIFT, drift, soon),
        (FindingKind.MISAIMED, (low | early) & darker & verdict.misaimed, 2),
    ):
        free = flag & alike & ~judge.taken
        judge.settle(kind, free, of_sensor, mild, onset, need=need, evidence=evidence)
    dimmed = low & verdict.lamp & ~neighbour & alike
    free = ~judge.taken & ~judge.darkness.out
    short = short_of_power(judge, power)
    evidence["power"] = power
    told, blind = judge.told(FindingKind.DIMMING_FAILURE, np.isnan(power))
    judge.settle(
        FindingKind.DIMMING_FAILURE,
        ((dimmed & verdict.step & ~(power > FULL_POWER)) | short | told) & free,
        known | np.isfinite(power) | blind,
        np.where(blind, ~told, mild & ~short),
        onset,
        need=np.where(told, 1, 2).astype(np.int32),
        evidence=evidence,
    )
    free = ~judge.taken & ~judge.darkness.out
    lost, loss = slow_loss(
        memory, verdict, judge.street, least * rules.slow_loss / rules.level_loss
    )
    slow = ((dimmed & ~verdict.step) | (lost & ~neighbour & alike)) & free
    evidence["loss"] = np.exp(loss)
    evidence["foliage"] = np.exp(verdict.foliage)
    if judge.class_lx is not None:
        slow |= leaves_cost_class(memory, verdict, judge.class_lx) & free
    judge.settle(FindingKind.DEPRECIATION, slow, known, mild, onset, evidence=evidence)
    accept_swaps(judge, swapped & alike & ~judge.taken & known, verdict)


def seen_before_and_after(judge: Judge, verdict: Verdict) -> Bools:
    """Luminaires still being learned whose night level and daylight fell or rose in one step.

    Such a step is measured against the nights before it: it needs no registry, and no ten nights.
    """
    memory = judge.memory
    nights = np.fmax(
        np.count_nonzero(np.isfinite(memory.ref_lux), axis=1),
        np.count_nonzero(np.isfinite(memory.ref_dim), axis=1),
    )
    with np.errstate(invalid="ignore"):
        least = np.where(is_rough(judge), EARLY_IN_ROUGH, EARLY_LOSS)
        deep = (verdict.change < least) & (np.abs(verdict.response) > PLAIN_DAYLIGHT)
    found: Bools = ~memory.frozen & (nights >= EARLY_NIGHTS) & verdict.step & deep
    return found


def own_scatter(judge: Judge) -> tuple[Floats, Floats]:
    """Scatter of each luminaire's own level, and a quarter of its sensor's step, both log.

    Where the small hours stand for the night (`without_stray_light`) it is theirs that counts.
    """
    memory = judge.memory
    sigma = np.maximum(np.nan_to_num(spread(memory.ref_level), nan=0.03), 0.015)
    late = np.log(np.maximum(memory.ref_late, 0.01))
    stands = memory.levels[:, -1] == memory.late_levels[:, -1]
    sigma = np.where(stands, np.fmax(sigma, spread(late)), sigma)
    level = np.where(stands, np.exp(first_nights(late)), memory.own_lx)
    coarse = 0.25 * judge.street.resolution_lx / np.maximum(np.nan_to_num(level, nan=1), 1)
    return sigma.astype(np.float32), coarse.astype(np.float32)


def least_loss(judge: Judge) -> Floats:
    """Loss that counts as the lamp's tonight; more while weather comes and goes."""
    usual = judge.rules.level_loss
    return np.where(is_rough(judge), ROUGH * usual, usual).astype(np.float32)


def is_rough(judge: Judge) -> Bools:
    """Luminaires under a sky whose weather came and went lately."""
    lately = judge.number - judge.memory.hold_until <= ROUGH_NIGHTS
    return ~judge.street.tunnel & lately


def short_of_power(judge: Judge, power: Floats) -> Bools:
    """Lamps that take less at full light than they did, unless their light shows otherwise.

    Watts at full light are ten times steadier than lux, and ask nobody's weather.
    """
    memory = judge.memory
    with np.errstate(invalid="ignore"):
        usual = spread(memory.ref_power, least=10) / first_nights(memory.ref_power)
        short: Bools = (power < SHORT_OF_POWER) & (power < 1 - 4 * usual)
        short &= ~(judge.night.power_dark > 0.3)
        short &= ~((judge.levels.own > -0.05) & memory.frozen)
    return short


def awaits_daylight(judge: Judge, verdict: Verdict) -> Bools:
    """Luminaires whose daylight will tell lamp from sensor, and has not been seen since."""
    lately = np.isfinite(judge.memory.responses[:, -DAYLIGHT_NIGHTS:]).any(axis=1)
    waiting: Bools = ~judge.street.tunnel & np.isnan(verdict.response) & lately
    return waiting


def leaves_fallen(judge: Judge) -> float:
    """How far the town's leaves have fallen in the weeks looked back over; 0 in spring."""
    course = judge.memory.leaves[np.isfinite(judge.memory.leaves)]
    return float(max(course[-1] - course.min(), 0)) if len(course) else 0.0
