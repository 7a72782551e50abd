"""People who walk past the counters: hour of the week, season, weather, holidays, events.

Counts are negative binomial around an expected rate; both directions of one passage of people.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from firmware_sim.city import Counter
from firmware_sim.nuisances import spans_between
from firmware_sim.scenario import Scenario
from firmware_sim.sky import DAY_MS, sky_table
from firmware_sim.streams import generator, smooth_noise
from firmware_sim.swedish_calendar import day_class

__all__ = ["CountRows", "CounterFault", "count_rows", "counter_fault", "expected_per_hour"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


@dataclass
class CountRows:
    """Readings of footfall counters; equally long columns.

    Attributes
    ----------
    counter : int32
        Number of the counter.
    time_ms : int64
        End of the interval that was counted, by the device's clock; `true_ms` likewise.
    received_ms : int64
    inwards, outwards : float64
        People in the interval that ends at `time_ms`.
    """

    counter: NDArray[np.int32]
    time_ms: Ints
    true_ms: Ints
    received_ms: Ints
    inwards: Floats
    outwards: Floats

    def taken(self, chosen: Ints | NDArray[np.bool_]) -> "CountRows":
        """Some of the rows."""
        return CountRows(
            self.counter[chosen], self.time_ms[chosen], self.true_ms[chosen],
            self.received_ms[chosen], self.inwards[chosen], self.outwards[chosen],
        )  # fmt: skip


def bump(hour: Floats, at: float, width: float) -> Floats:
    """A busy time of the day, 1 at its height."""
    away = np.abs(np.mod(hour - at + 12, 24) - 12)
    height: Floats = np.exp(-0.5 * (away / width) ** 2)
    return height


def week_profile(profile: str, hour: Floats, kind_of_day: Ints) -> Floats:
    """Share of the busiest rate at each local hour; `kind_of_day` as in `day_class`."""
    work, free = kind_of_day <= 1, kind_of_day >= 2
    commuting = bump(hour, 7.8, 0.9) + 0.9 * bump(hour, 16.4, 1.3) + 0.25 * bump(hour, 12.5, 2.5)
    shopping = bump(hour, 13.5, 2.6) + 0.55 * bump(hour, 17.0, 1.6)
    leisure = bump(hour, 15.0, 3.0) + 0.4 * bump(hour, 18.5, 1.8)
    evening = np.where(
        (kind_of_day == 1) | (kind_of_day == 2), bump(hour, 22.5, 2.0), 0.3 * bump(hour, 20.0, 1.8)
    )
    by_name: dict[str, Floats] = {
        "commuting": np.where(work, commuting, 0.3 * leisure) + 0.08 * evening,
        "shopping": np.where(kind_of_day == 3, 0.55, 1.0) * shopping + 0.45 * evening,
        "leisure": np.where(free, 1.3, 0.7) * leisure + 0.05 * evening,
        "street": np.where(work, 0.6 * commuting, 0.0) + 0.5 * leisure + 0.2 * evening,
    }
    return by_name[profile] + 0.004


def expected_per_hour(scenario: Scenario, counter: Counter, time_ms: Ints) -> Floats:
    """People an hour that are to be expected past one counter [1/h].

    Parameters
    ----------
    time_ms : int64 (s,)
        Within whole days, in order.
    """
    first, last = int(time_ms.min()) // DAY_MS, int(time_ms.max()) // DAY_MS
    table = sky_table(scenario, first, last - first + 1)
    return rate_at(
        scenario,
        counter,
        time_ms,
        week_context(scenario, table.time_ms, table.offset_ms, table.rain),
    )


def week_context(
    scenario: Scenario, minute_ms: Floats, offset_ms: Ints, rain: Floats
) -> tuple[Ints, Ints, Ints, Floats]:
    """Lookups by minute: first minute, offset, kind of local day, rain of the last half hour."""
    local_day = (minute_ms.astype(np.int64) + offset_ms) // DAY_MS
    days = np.unique(local_day)
    kinds = np.array([day_class(datetime.fromtimestamp(int(d) * 86_400, UTC).date()) for d in days])
    del scenario
    return minute_ms.astype(np.int64), offset_ms, kinds[local_day - days[0]], rain


def rate_at(
    scenario: Scenario,
    counter: Counter,
    time_ms: Ints,
    context: tuple[Ints, Ints, Ints, Floats],
) -> Floats:
    """The rate at some times, given the lookups of `week_context`."""
    minutes, offset_ms, kinds, rain = context
    at = (time_ms - minutes[0]) // MINUTE_MS
    hour = ((time_ms + offset_ms[at]) % DAY_MS) / HOUR_MS
    base = week_profile(counter.profile, hour, kinds[at])
    of_year = 2 * np.pi * (time_ms / DAY_MS / 365.2425)
    depth = 0.35 if counter.profile == "leisure" else 0.15
    season = np.exp(-depth * np.cos(of_year - 0.3))
    outdoors = 0.9 if counter.profile == "commuting" else 0.7
    weather = np.where(rain[at] > 0, outdoors, 1.0)
    years = (time_ms - scenario.start_ms) / DAY_MS / 365.2425
    trend = (1 + scenario.footfall.trend_per_year) ** years
    drawn = smooth_noise(
        scenario.seed, ("mood", counter.device_id), time_ms.astype(np.float64), 7.0 * DAY_MS
    )
    rate: Floats = counter.per_hour * base * season * weather * trend * np.exp(0.08 * drawn[0])
    crowd = np.zeros(time_ms.shape, np.bool_)
    for span in spans_between(
        scenario.seed, "crowd", counter.district, scenario.footfall.events_per_month, (2.0, 5.0),
        int(time_ms.min()), int(time_ms.max()) + 1,
    ):  # fmt: skip
        crowd |= (time_ms >= span.start_ms) & (time_ms < span.stop_ms)
    rate[crowd] *= 2.5
    return rate


def negative_binomial(u: Floats, normal: Floats, mean: Floats, dispersion: float) -> Floats:
    """Counts with variance mean + mean²/dispersion, from given draws.

    A gamma rate by the Wilson-Hilferty cube, then a Poisson count by inversion (small rates) or
    its normal approximation (large ones): no sampler whose order of draws numpy might change.
    """
    c = 1 / (9 * dispersion)
    rate = mean * np.maximum(1 - c + normal * np.sqrt(c), 0) ** 3
    count: Floats = np.zeros(rate.shape)
    term = np.exp(-np.minimum(rate, 30))
    total = term.copy()
    for k in range(1, 80):
        more = u > total
        if not more.any():
            break
        count += more
        term = term * rate / k
        total += term
    large = rate > 30
    if large.any():
        # A uniform spread of the right variance: the gamma rate gives the tails.
        spread = np.sqrt(rate) * (np.sqrt(12) * (u - 0.5))
        count[large] = np.floor(np.maximum(rate + spread, 0) + 0.5)[large]
    return count


def count_rows(
    scenario: Scenario, counters: tuple[Counter, ...], first_day: int, days: int
) -> CountRows:
    """Readings of all counters in some days (since 1970), by the time they were received."""
    table = sky_table(scenario, first_day, days)
    context = week_context(scenario, table.time_ms, table.offset_ms, table.rain)
    pieces = [one_counter(scenario, c, table.start_ms, days, context) for c in counters]
    if not pieces:
        nothing = np.zeros(0, np.int64)
        return CountRows(
            nothing.astype(np.int32), nothing, nothing, nothing, np.zeros(0), np.zeros(0)
        )
    number = np.repeat(
        np.array([c.number for c in counters], np.int32), [len(p.time_ms) for p in pieces]
    )
    rows = CountRows(
        number,
        np.concatenate([p.time_ms for p in pieces]),
        np.concatenate([p.true_ms for p in pieces]),
        np.concatenate([p.received_ms for p in pieces]),
        np.concatenate([p.inwards for p in pieces]),
        np.concatenate([p.outwards for p in pieces]),
    )
    order = np.lexsort((rows.counter, rows.received_ms))
    return rows.taken(order)


@dataclass(frozen=True)
class CounterFault:
    """What is wrong with a counter, and since when [ms, UTC]; none is repaired in the run.

    Attributes
    ----------
    kind : str
        The kind of finding it deserves: `communication_failure` (silent), `sensor_stuck` (repeats
        itself), `sensor_blind` (loses one direction).
    """

    kind: str
    start_ms: int


def counter_fault(scenario: Scenario, counter: Counter) -> CounterFault | None:
    """The fault of one counter, if it has one."""
    walk = scenario.footfall
    u = generator(scenario.seed, "counter fault", counter.device_id).random(4)
    since = scenario.start_ms + int((0.2 + 0.6 * u[0]) * (scenario.stop_ms - scenario.start_ms))
    limit = 0.0
    for share, kind in (
        (walk.dead, "communication_failure"),
        (walk.stuck, "sensor_stuck"),
        (walk.one_direction, "sensor_blind"),
    ):
        limit += share
        if u[1] < limit:
            return CounterFault(kind, since)
    return None


def one_counter(
    scenario: Scenario,
    counter: Counter,
    start_ms: int,
    days: int,
    context: tuple[Ints, Ints, Ints, Floats],
) -> CountRows:
    """Readings of one counter, its own faults included."""
    plan, walk = scenario.nuisances, scenario.footfall
    interval_ms = walk.interval_s * 1000
    per_day = DAY_MS // interval_ms
    first = start_ms // DAY_MS
    u = np.concatenate(
        [
            generator(scenario.seed, "day", counter.device_id, first + k).random((5, per_day))
            for k in range(days)
        ],
        axis=1,
    )
    # Box-Muller: one normal of two uniforms.
    normal = np.sqrt(-2 * np.log(1 - u[0])) * np.cos(2 * np.pi * u[1])
    begin_ms = start_ms + np.arange(days * per_day, dtype=np.int64) * interval_ms
    mean = rate_at(scenario, counter, begin_ms + interval_ms // 2, context) * interval_ms / HOUR_MS
    people = negative_binomial(u[2], normal, mean, walk.dispersion)
    morning = 0.5 + (counter.inwards - 0.5) * np.cos(2 * np.pi * (begin_ms % DAY_MS) / DAY_MS)
    inwards = np.floor(people * morning + u[3])
    inwards = np.minimum(inwards, people)
    outwards = people - inwards
    kept = u[4] >= plan.loss
    fault = counter_fault(scenario, counter)
    if fault is not None:
        broken = begin_ms >= fault.start_ms
        if fault.kind == "communication_failure":
            kept &= ~broken
        elif fault.kind == "sensor_stuck":
            inwards = np.where(broken, 3.0, inwards)
            outwards = np.where(broken, 2.0, outwards)
        else:
            outwards = np.where(broken, 0.0, outwards)
    end_ms = begin_ms + interval_ms
    received = end_ms + counter.phase_ms + 700
    return CountRows(
        np.zeros(int(kept.sum()), np.int32), end_ms[kept], end_ms[kept], received[kept],
        inwards[kept], outwards[kept],
    )  # fmt: skip
