"""Nights in which snow or rain may be the reason: what rests on light alone is held."""

import numpy as np

from analytics.findings import FindingKind
from analytics.judge import Judge

__all__ = ["hold_for_weather"]

ANSWERS_WEATHER = 3
DEEP_LOSS = -0.9
LONGEST_WEATHER = 6  # nights
LOW_BEFORE = 2  # nights
FREE_DOME = 0.12  # step of C, log, that snow on the dome would exceed


def hold_for_weather(judge: Judge) -> None:
    """Hold what rests on light alone where the weather may be the reason.

    Many that go low, or end the night dark, at once are snowed on or wet: they are held as
    long as they stay low, six nights at most, and those nights say nothing about their level.
    For three nights the others are in doubt too, unless daylight says that their dome is free.
    Sensors that fell so three times answer the weather (they look down at the road, say): they
    no longer count as a sign of it.
    """
    memory, rules, night = judge.memory, judge.rules, judge.night
    with np.errstate(invalid="ignore"):
        low = (judge.levels.own < -0.22) | (judge.levels.response_step < -0.25)
        # Snow on the ground sends light up to sensors that look down, by night and by day.
        high = (judge.levels.own > 0.30) & ~(judge.levels.response_step < 0.1)
        # Snow and rain do not brighten the day, and do not take most of the light and leave it.
        spared = judge.levels.response_step > 2 * FREE_DOME
        spared |= (judge.levels.response_step > -FREE_DOME) & (judge.levels.own < DEEP_LOSS)
        # Nor do they dim the night and brighten the day.
        against = (judge.levels.response_step > 2 * FREE_DOME) & (judge.levels.own < -0.22)
    # Before a level is learned the registry's word is no measure of a change; a dark end is.
    low &= memory.frozen
    high &= memory.frozen
    low |= (night.tail_h >= rules.sure_tail_h) & (night.n_tail >= 3)
    low = (low & ~spared) | high
    seen = np.isfinite(judge.levels.own) | np.isfinite(judge.levels.response)
    outdoor = ~judge.street.tunnel & ~judge.is_open(FindingKind.SUPPLY_LOSS) & (night.n_lux > 0)
    outdoor &= memory.weather_falls < ANSWERS_WEATHER
    new = low & ~memory.was_low & outdoor & ~judge.taken
    many = new.sum() > max(rules.weather_share * outdoor.sum(), 5)
    if memory.hold_until < judge.number:
        memory.low_before = memory.low_nights >= LOW_BEFORE
    if many:
        memory.hold_until = judge.number + 3
        memory.weather_falls[new] += 1
        memory.weather_nights[new] = 1
    memory.was_low = np.where(seen, low, memory.was_low)
    nights = np.where(low, memory.low_nights + 1, 0)
    memory.low_nights = np.where(seen, nights, memory.low_nights).astype(np.int32)
    memory.low_before &= memory.was_low
    fallen = (memory.weather_nights > 0) & memory.was_low
    fallen &= memory.weather_nights <= LONGEST_WEATHER
    memory.weather_nights = np.where(fallen, memory.weather_nights + 1, 0).astype(np.int32)
    for history in (memory.levels, memory.late_levels, memory.responses):
        history[fallen, -1] = np.nan
    judge.held = fallen.copy()
    if memory.hold_until >= judge.number:
        with np.errstate(invalid="ignore"):
            free = np.abs(judge.levels.response_step) < FREE_DOME
        judge.held |= ~judge.street.tunnel & ~free
        # What was low for some nights before the weather came is not low for it.
        judge.spared = (against | memory.low_before) & ~fallen
        judge.doubt = ~judge.street.tunnel
