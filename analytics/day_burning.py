"""Luminaires that burn by day: by their watts, or by light that the sky cannot explain."""

import numpy as np

from analytics.findings import FindingKind
from analytics.grid import Bools, Floats
from analytics.judge import Judge
from analytics.levels import first_nights, last_median, spread
from analytics.memory import Memory
from analytics.nights import Night
from analytics.rules import Rules
from analytics.street import Street

EVERY_SLOT = 0.4  # of the own lamp: what a burning one adds even where the sky is misjudged
TELLING_WINDOW = 3.0  # information of a window that is used, and of three windows that is enough:
ENOUGH = 20.0  # its root is the ratio over its standard error

__all__ = ["judge_day_burning", "own_light_by_day", "settle_day_burning"]


def own_light_by_day(memory: Memory) -> tuple[Floats, Floats]:
    """Light by day in units of the own lamp over three windows, and what it weighs.

    A burning lamp gives its own-light share (0.7-0.95), a dark one 0; the standard error is one
    over the root of the weight.

    Returns
    -------
    ratio, information : float32 (n,)
        NaN where the three windows weigh too little.
    """
    usable = memory.information > TELLING_WINDOW
    weight = np.where(usable, memory.information, 0).sum(axis=1)
    light = np.where(usable, memory.surplus, 0).sum(axis=1)
    usual = np.clip(np.nan_to_num(first_nights(memory.ref_surplus)), -0.3, 0.3)
    enough = (usable.sum(axis=1) >= 2) & (weight > ENOUGH)
    with np.errstate(invalid="ignore"):
        ratio = np.where(enough, light / np.maximum(weight, 1) - usual, np.nan)
    return ratio.astype(np.float32), weight.astype(np.float32)


def judge_day_burning(
    night: Night, memory: Memory, street: Street, rules: Rules
) -> tuple[Bools, Bools, Bools, Floats]:
    """Lamps that burn by day.

    With watts, power by day decides alone: clouds and sun do not matter. With light alone the
    surplus must be what this lamp can give, and be there whenever the sky lets it be seen; more
    than that, or now and then, is direct sun.

    Returns
    -------
    burning, dark, known : bool (n,)
    ratio : float32 (n,)
        Of power or of own light, by day.
    """
    ratio, _ = own_light_by_day(memory)
    watts = np.isfinite(night.power_day)
    scatter = np.nan_to_num(spread(memory.ref_surplus))
    with np.errstate(invalid="ignore"):
        by_light = (ratio > rules.surplus_low) & (ratio < rules.surplus_high)
        by_light &= ratio > 3 * scatter
        by_light &= last_median(memory.least_surplus, 3, 1) > EVERY_SLOT
        by_watts = night.power_day > rules.power_by_day
        burning = np.where(watts, by_watts, by_light & memory.frozen)
        dark = np.where(watts, night.power_day < 0.1, ratio < 0.3)
    known = (watts | np.isfinite(ratio)) & ~street.tunnel
    shown = np.where(watts, night.power_day, ratio).astype(np.float32)
    return burning & known, dark & known, known, shown


def settle_day_burning(judge: Judge) -> None:
    """Lamps that burn by day."""
    burning, dark, known, ratio = judge_day_burning(
        judge.night, judge.memory, judge.street, judge.rules
    )
    watts = np.isfinite(judge.night.power_day)
    onset = np.full(judge.street.n, judge.start_ms, dtype=np.int64)
    told, blind = judge.told(FindingKind.LAMP_UNEXPECTED_ON, ~watts)
    judge.settle(
        FindingKind.LAMP_UNEXPECTED_ON,
        (burning | told) & ~judge.taken,
        (known & (watts | ~(judge.held | judge.doubt))) | blind,
        np.where(blind, ~told, dark),
        onset,
        need=np.where(told, 1, np.where(watts, 2, 3)).astype(np.int32),
        takes=False,
        evidence={"by_day": ratio},
    )
