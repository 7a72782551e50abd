"""Counts of people at places, from what the counters there have sent."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from analytics.count_quality import one_direction_lost
from api.assets import Asset, AssetKind
from api.local_time import LocalTime
from api.planning.counts import Counts, SiteQuality, counts_from_rows, day_totals
from api.planning.holiday_calendar import EPOCH
from api.tables import Times
from ingest.reading import Flag, Quantity
from ingest.stores import SeriesStore

__all__ = ["counters_by_site", "stored_counts"]

Floats = npt.NDArray[np.float64]
USUAL_STEP_S = 600


@dataclass(frozen=True, slots=True)
class Readings:
    """One counter's readings, in order of time."""

    time_s: npt.NDArray[np.int64]
    people: Floats
    one_way: npt.NDArray[np.bool_]


def counters_by_site(assets: Sequence[Asset]) -> dict[str, list[str]]:
    """Counters of every place, by its name; a counter without a place is one by itself."""
    found: dict[str, list[str]] = defaultdict(list)
    for asset in assets:
        if asset.kind is AssetKind.COUNTER:
            found[asset.site or asset.device_id].append(asset.device_id)
    return dict(sorted(found.items()))


def stored_counts(
    store: SeriesStore,
    assets: Sequence[Asset],
    *,
    zone: ZoneInfo,
    start_ms: int,
    stop_ms: int,
) -> Counts | None:
    """Hourly counts of every place with counters; None where none of them sent anything.

    Parameters
    ----------
    store : SeriesStore
    assets : sequence of Asset
        Counters among them are used; others are passed over.
    zone : ZoneInfo
    start_ms, stop_ms : int
        `[start, stop)` [ms, UTC].

    Returns
    -------
    Counts or None
        A reading is what was counted in the interval that ends with its time, so one at 13:00
        belongs to the hour before. An hour of a counter stands with three quarters of its
        intervals, scaled to the whole; an hour of a place stands when all its counters do. A
        counter that lost one of its two directions is missing meanwhile. Silence is missing,
        never nobody.
    """
    sites = counters_by_site(assets)
    given = {a.device_id: a.interval_s for a in assets if a.kind is AssetKind.COUNTER}
    if not given:
        return None
    devices, simulated = device_readings(store, sorted(given), start_ms, stop_ms)
    if not devices:
        return None
    by_step: dict[int, list[str]] = defaultdict(list)
    for device, found in devices.items():
        by_step[int(given[device] or usual_step(found.time_s))].append(device)
    blocks = [
        device_counts({d: devices[d] for d in group}, step, zone)
        for step, group in sorted(by_step.items())
    ]
    return summed_by_site(blocks, sites, zone, simulated=simulated)


def device_readings(
    store: SeriesStore, device_ids: list[str], start_ms: int, stop_ms: int
) -> tuple[dict[str, Readings], bool]:
    """Readings of every counter that sent any, and whether any of them are simulated."""
    total: dict[str, dict[int, float]] = {}
    ways: dict[str, dict[int, list[float]]] = {}
    simulated = False
    for quantity in (Quantity.PEOPLE_COUNT, Quantity.PEOPLE_IN, Quantity.PEOPLE_OUT):
        found = store.columns(quantity, start_ms=start_ms, stop_ms=stop_ms, devices=device_ids)
        simulated = simulated or bool(np.any(found.flags & Flag.SIMULATED))
        seconds = found.time_ms // 1000
        edges = np.searchsorted(found.device, np.arange(len(found.device_ids) + 1))
        for i, device in enumerate(found.device_ids):
            rows = slice(int(edges[i]), int(edges[i + 1]))
            pairs = zip(seconds[rows].tolist(), found.value[rows].tolist(), strict=True)
            if quantity is Quantity.PEOPLE_COUNT:
                total.setdefault(device, {}).update(pairs)
            else:
                both = ways.setdefault(device, {})
                side = 0 if quantity is Quantity.PEOPLE_IN else 1
                for at, people in pairs:
                    both.setdefault(at, [np.nan, np.nan])[side] = people
    return {d: joined(total.get(d, {}), ways.get(d, {})) for d in {**total, **ways}}, simulated


def joined(total: Mapping[int, float], ways: Mapping[int, list[float]]) -> Readings:
    """Totals as they are, and both directions together; one without the other is not known."""
    pairs = np.array([*ways.values()], dtype=np.float64).reshape(-1, 2)
    at = np.array([*ways, *(t for t in total if t not in ways)], dtype=np.int64)
    alone = np.array([total[t] for t in total if t not in ways], dtype=np.float64)
    people = np.concatenate([pairs.sum(axis=1), alone])
    order = np.argsort(at[: len(pairs)])
    lost = np.zeros(len(at), dtype=np.bool_)
    ordered = pairs[order]
    lost[order] = one_direction_lost(ordered[:, :1], ordered[:, 1:])[:, 0]
    in_time = np.argsort(at)
    return Readings(at[in_time], people[in_time], lost[in_time])


def usual_step(time_s: npt.NDArray[np.int64]) -> int:
    """The commonest distance between readings [s]."""
    apart = np.diff(time_s)
    apart = apart[apart > 0]
    if not len(apart):
        return USUAL_STEP_S
    steps, often = np.unique(apart, return_counts=True)
    return min(int(steps[np.argmax(often)]), 3600)


def device_counts(devices: Mapping[str, Readings], step: int, zone: ZoneInfo) -> Counts:
    """Hourly counts of counters that send as often as each other."""
    names = [device for device, found in devices.items() for _ in range(len(found.time_s))]
    begin = np.concatenate([found.time_s - step for found in devices.values()])
    people = np.concatenate([np.where(f.one_way, np.nan, f.people) for f in devices.values()])
    clock = LocalTime(zone, int(begin.min()), int(begin.max()))
    no = np.zeros(len(begin), dtype=np.bool_)
    times = Times(begin, clock.to_wall(begin), ~no, no, no, zoned=True)
    if not np.isfinite(people).any():
        people = np.where(no, people, 0.0) * np.nan
        return nothing_counted([*devices], times, zone, step)
    return counts_from_rows(names, times, people, zone=zone, step_s=step)


def nothing_counted(devices: list[str], times: Times, zone: ZoneInfo, step: int) -> Counts:
    """Counters of which no reading can be used: all missing over the days they were heard."""
    first = int(times.wall_s.min() // 86_400)
    n_days = int(times.wall_s.max() // 86_400) - first + 1
    hours = np.full((n_days, 24, len(devices)), np.nan)
    return Counts(
        sites=sorted(devices),
        first_day=EPOCH + timedelta(days=first),
        hours=hours,
        days=day_totals(hours),
        zone=zone,
        step_s=step,
    )


def summed_by_site(
    blocks: Sequence[Counts], sites: Mapping[str, Sequence[str]], zone: ZoneInfo, *, simulated: bool
) -> Counts:
    """Places from their counters, on one calendar."""
    first = min(block.first_day for block in blocks)
    last = max(block.last_day for block in blocks)
    n_days = (last - first).days + 1
    heard = {d: (b, i) for b in blocks for i, d in enumerate(b.sites)}
    names = [s for s, devices in sites.items() if any(d in heard for d in devices)]
    hours = np.zeros((n_days, 24, len(names)))
    quality: dict[str, SiteQuality] = {}
    for column, site in enumerate(names):
        present = expected = rows = 0
        for device in sites[site]:
            own = np.full((n_days, 24), np.nan)
            if device in heard:
                block, i = heard[device]
                at = (block.first_day - first).days
                own[at : at + block.n_days] = block.hourly[:, :, i]
                found = block.quality.get(device, SiteQuality())
                rows += found.rows
                expected = max(expected, found.steps_expected)
            hours[:, :, column] += own
        present = int(np.isfinite(hours[:, :, column]).sum())
        quality[site] = SiteQuality(
            rows=rows,
            steps_expected=max(expected, present),
            steps_present=present,
            steps_missing=max(expected - present, 0),
        )
    return Counts(
        sites=names,
        first_day=first,
        hours=hours,
        days=day_totals(hours),
        zone=zone,
        step_s=3600,
        quality=quality,
        simulated=simulated,
    )
