"""What looks like a fault and is none: swaps, planned work, stray light, outages, odd clocks.

What a device suffers is drawn from the device's own stream, what a gateway does from the gateway's.
Things that come at a rate are drawn month by month (30 days since 1970), so a city that goes on
living meets new ones.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from firmware_sim.city import Feeder
from firmware_sim.scenario import Scenario
from firmware_sim.sky import DAY_MS
from firmware_sim.streams import generator

__all__ = ["DeviceQuirks", "Span", "StrayLight", "Swap", "monthly_spans", "quirks_of", "work_on"]

HOUR_MS = 3_600_000
MONTH_MS = 30 * DAY_MS


@dataclass(frozen=True)
class Span:
    """A stretch of time `[start, stop)` [ms, UTC]."""

    start_ms: int
    stop_ms: int


@dataclass(frozen=True)
class Swap:
    """A sensor exchanged: from then on its gain is another."""

    time_ms: int
    gain: float
    logged: bool


@dataclass(frozen=True)
class StrayLight:
    """Light that is not ours: from one date to another, between two minutes of the local day."""

    start_ms: int
    stop_ms: int
    lux: float
    on_minute: int
    off_minute: int


@dataclass(frozen=True)
class DeviceQuirks:
    """What one device brings along.

    Attributes
    ----------
    skew_ms : float
        Added to its clock.
    local_clock : bool
        Whether its clock shows local time and calls it UTC.
    """

    swaps: tuple[Swap, ...]
    stray: tuple[StrayLight, ...]
    skew_ms: float
    local_clock: bool


@lru_cache(maxsize=200_000)
def monthly_spans(
    seed: int, what: str, name: str, month: int, rate: float, least_h: float, most_h: float
) -> tuple[Span, ...]:
    """Stretches that begin in one month (30 days since 1970), at so many a month."""
    if rate <= 0:
        return ()
    rng = generator(seed, what, name, month)
    # Uniform draws rather than a Poisson sampler: numpy may change how it samples, not Philox.
    spans: list[Span] = []
    left = rate
    while left > 0:
        u = rng.random(3)
        if u[0] < min(left, 1.0):
            start = month * MONTH_MS + int(u[1] * MONTH_MS)
            spans.append(Span(start, start + int((least_h + u[2] * (most_h - least_h)) * HOUR_MS)))
        left -= 1.0
    return tuple(spans)


def spans_between(
    seed: int,
    what: str,
    name: str,
    rate: float,
    hours: tuple[float, float],
    start_ms: int,
    stop_ms: int,
) -> list[Span]:
    """Every such stretch that touches a window; none lasts longer than a month."""
    if rate <= 0:
        return []
    months = range(start_ms // MONTH_MS - 1, stop_ms // MONTH_MS + 1)
    return [
        span
        for month in months
        for span in monthly_spans(seed, what, name, month, rate, *hours)
        if span.start_ms < stop_ms and span.stop_ms > start_ms
    ]


def quirks_of(scenario: Scenario, feeder: Feeder, lamp: int) -> DeviceQuirks:
    """Draw what one device brings along."""
    plan = scenario.nuisances
    rng = generator(scenario.seed, "quirks", feeder.device_ids[lamp])
    u = rng.random(16)
    length = scenario.stop_ms - scenario.start_ms
    swaps: list[Swap] = []
    if u[0] < plan.swaps_logged + plan.swaps_unlogged:
        at = scenario.start_ms + int((0.25 + 0.7 * u[1]) * length)
        # Crews come by day.
        at = at // DAY_MS * DAY_MS + 9 * HOUR_MS + int(u[2] * 4 * HOUR_MS)
        swaps.append(Swap(at, float(np.exp(0.5 * (u[3] - 0.5))), bool(u[0] < plan.swaps_logged)))
    stray: list[StrayLight] = []
    if u[4] < plan.stray_light and not feeder.tunnel:
        lux = float(feeder.level_lx[lamp] * (0.1 + 0.5 * u[5]))
        begin = scenario.start_ms + int((u[6] * 1.4 - 0.7) * length)
        end = begin + int((0.2 + 0.8 * u[7]) * length)
        stray.append(StrayLight(begin, end, lux, 960, 1380 if u[8] < 0.6 else 1439))
    if u[9] < plan.festive and not feeder.tunnel:
        stray += [
            StrayLight(begin, begin + 47 * DAY_MS, float(1 + 4 * u[10]), 900, 1439)
            for begin in advent_starts(scenario)
        ]
    skew = 0.0
    if u[11] < plan.clock_skew:
        skew = float(np.exp(np.log(20e3) + u[12] * np.log(60.0)) * (1 if u[13] < 0.5 else -1))
    return DeviceQuirks(tuple(swaps), tuple(stray), round(skew), bool(u[14] < plan.local_clock))


def advent_starts(scenario: Scenario) -> list[int]:
    """When festive lighting goes up in the years of the run: 27 November [ms, UTC]."""
    first = 1970 + int(scenario.start_ms / DAY_MS / 365.2425)
    days = np.array([f"{year}-11-27" for year in range(first - 1, first + 3)], "datetime64[D]")
    return [int(day) * DAY_MS for day in days.astype(np.int64)]


def work_on(scenario: Scenario, feeder: Feeder) -> tuple[Span, ...]:
    """Planned work on a feeder: lamps burn by day for some hours while the crew walks the line."""
    rng = generator(scenario.seed, "work", feeder.name)
    u = rng.random(4)
    if u[0] >= scenario.nuisances.planned_work:
        return ()
    day = scenario.start_ms // DAY_MS + int((0.1 + 0.85 * u[1]) * scenario.scenario.days)
    spans = []
    for k in range(1 + int(u[2] * 3)):
        start = (day + k) * DAY_MS + 7 * HOUR_MS
        spans.append(Span(start, start + int((3 + 3 * u[3]) * HOUR_MS)))
    return tuple(spans)
