"""From rows of counts to days, hours and sites, with a record of what was left out and why."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from analytics.count_quality import counts_from_totals, faults, level_shift
from api.errors import BadInputError
from api.local_time import LocalTime
from api.planning.holiday_calendar import EPOCH, classes_of
from api.tables import Table, Times, refuse_identifiers

__all__ = ["Counts", "SiteQuality", "counts_from_rows", "counts_from_table", "without_faults"]

HOUR_S, DAY_S = 3600, 86_400
MAX_CELLS = 400_000_000
MIN_VALID_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class SiteQuality:
    """What was found in one site's rows.

    Attributes
    ----------
    rows : int
        In the file.
    repeated_rows : int
        Equal to another row; counted once.
    conflicting_rows : int
        For a time that another row gives another count for; the last one stands.
    empty_rows, impossible_rows : int
        Without a count; with a negative one. Missing, not 0.
    skipped_hour_rows : int
        In the hour that the clocks skipped in spring; left out.
    lone_repeated_rows : int
        In the hour that came twice in autumn, given once: nobody knows which; left out.
    repeated_hours : int
        Hours that came twice and were given twice.
    steps_expected, steps_present, steps_missing : int
        Hours (or days) between the site's first and last row; missing includes all left out.
    dead, stuck, peak : int
        Hours left out because the counter was dead, stuck or impossible.
    fell : int
        Falls of a running total that nothing explains.
    shift_day : date or None
        Where the site's level moved to twice or half against all others: moved, perhaps. Not left
        out.
    shift_percent : float or None
    """

    rows: int = 0
    repeated_rows: int = 0
    conflicting_rows: int = 0
    empty_rows: int = 0
    impossible_rows: int = 0
    skipped_hour_rows: int = 0
    lone_repeated_rows: int = 0
    repeated_hours: int = 0
    steps_expected: int = 0
    steps_present: int = 0
    steps_missing: int = 0
    dead: int = 0
    stuck: int = 0
    peak: int = 0
    fell: int = 0
    shift_day: date | None = None
    shift_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of several sites on consecutive local dates.

    Attributes
    ----------
    sites : list of str
    first_day : date
    hours : float64 (n_days, 24, n_sites) or None
        By local clock hour, NaN missing; None for daily counts. An hour that came twice is the
        mean of both.
    days : float64 (n_days, n_sites)
        Daily counts; from hours where at least three quarters are present, scaled to the day.
    zone : ZoneInfo
    step_s : int
        Of the rows [s].
    quality : dict of str to SiteQuality
    rows_without_site : int
    simulated : bool
        Whether any of it comes from simulated devices; taints everything computed from it.
    """

    sites: list[str]
    first_day: date
    hours: npt.NDArray[np.float64] | None
    days: npt.NDArray[np.float64]
    zone: ZoneInfo
    step_s: int
    quality: dict[str, SiteQuality] = field(default_factory=dict)
    rows_without_site: int = 0
    simulated: bool = False

    @property
    def n_days(self) -> int:
        """Dates covered."""
        return len(self.days)

    @property
    def hourly(self) -> npt.NDArray[np.float64]:
        """The hours, or an error where only days were counted."""
        if self.hours is None:
            raise BadInputError("daily counts have no hours.", remedy="Give hourly counts.")
        return self.hours

    @property
    def last_day(self) -> date:
        """The last date."""
        return self.first_day + timedelta(days=self.n_days - 1)

    def row(self, day: date) -> int:
        """Row of a date; may lie outside."""
        return (day - self.first_day).days

    def column(self, site: str) -> int:
        """Column of a site, or an error that names the nearest."""
        if site in self.sites:
            return self.sites.index(site)
        alike = [own for own in self.sites if own.casefold() == site.casefold()]
        if len(alike) == 1:
            return self.sites.index(alike[0])
        shown = ", ".join(self.sites[:20]) + (" ..." if len(self.sites) > 20 else "")
        raise BadInputError(f"there is no site {site!r}.", remedy=f"There are: {shown}.")

    def hour_starts_s(self) -> npt.NDArray[np.int64]:
        """Start of every local clock hour [s, UTC], int64 (n_days, 24)."""
        first = (self.first_day - EPOCH).days * DAY_S
        wall = first + HOUR_S * np.arange(self.n_days * 24, dtype=np.int64)
        clock = LocalTime(self.zone, int(wall[0]), int(wall[-1]))
        return clock.to_utc(wall).reshape(-1, 24)


def counts_from_table(
    table: Table,
    *,
    zone: ZoneInfo,
    site_column: str = "site",
    time_column: str = "time",
    count_column: str = "count",
    totals: bool = False,
) -> Counts:
    """Counts from any table with a site, a time and a count in each row.

    Parameters
    ----------
    table : Table
    zone : ZoneInfo
        Whose wall clock times without a zone were read off, and whose hours are wanted.
    site_column, time_column, count_column : str
    totals : bool
        Whether the count is a running total of the counter, to be differenced.

    Raises
    ------
    BadInputError
        If a column is missing or unreadable, holds identifiers of people, or the rows are further
        apart than a day.
    """
    refuse_identifiers(table)
    for column in (time_column, count_column):
        table.column(column)
    names = (
        table.texts(site_column)
        if site_column in table.columns or site_column != "site"
        else ["all"] * len(table)
    )
    times = table.times(time_column, zone)
    values = table.numbers(count_column)
    return counts_from_rows(names, times, values, zone=zone, totals=totals)


def counts_from_rows(
    names: Sequence[str],
    times: Times,
    values: npt.NDArray[np.float64],
    *,
    zone: ZoneInfo,
    totals: bool = False,
    step_s: int | None = None,
) -> Counts:
    """Counts from parallel columns; see `counts_from_table`."""
    usable = times.known & np.array([bool(name) for name in names], dtype=np.bool_)
    if not usable.any():
        raise BadInputError("there is no row with both a site and a time.")
    sites = sorted({name for name, ok in zip(names, usable, strict=True) if ok})
    index = {site: i for i, site in enumerate(sites)}
    site = np.array([index.get(name, 0) for name in names], dtype=np.int64)[usable]
    rows = Rows(
        site,
        times.wall_s[usable],
        times.utc_s[usable],
        values[usable],
        times.skipped[usable],
        times.repeated[usable],
        len(sites),
        totals,
    )
    step = step_s or usual_step(rows)
    check_extent(rows, len(sites))
    daily = step >= DAY_S
    kept, quality = resolved(rows, daily=daily)
    if totals:
        kept, quality = differenced(kept, quality, step)
    first = date.fromordinal(EPOCH.toordinal() + int(kept.wall_s.min() // DAY_S))
    n_days = int(kept.wall_s.max() // DAY_S - kept.wall_s.min() // DAY_S) + 1
    build = daily_counts if daily else hourly_counts
    hours, days, present, expected = build(kept, (first - EPOCH).days, n_days, step)
    return Counts(
        sites=sites,
        first_day=first,
        hours=hours,
        days=days,
        zone=zone,
        step_s=step,
        quality={
            name: replace(
                quality[i],
                steps_expected=int(expected[i]),
                steps_present=int(present[i]),
                steps_missing=int(expected[i] - present[i]),
            )
            for name, i in index.items()
        },
        rows_without_site=int((~usable).sum()),
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """Parallel columns of rows that have a site and a time."""

    site: npt.NDArray[np.int64]
    wall_s: npt.NDArray[np.int64]
    utc_s: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    skipped: npt.NDArray[np.bool_]
    repeated: npt.NDArray[np.bool_]
    n_sites: int
    totals: bool

    def take(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Rows":
        """Some rows, in the order given."""
        return replace(
            self,
            site=self.site[keep],
            wall_s=self.wall_s[keep],
            utc_s=self.utc_s[keep],
            value=self.value[keep],
            skipped=self.skipped[keep],
            repeated=self.repeated[keep],
        )

    def per_site(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """How many rows of each site are in a mask."""
        return np.bincount(self.site[mask], minlength=self.n_sites)


def usual_step(rows: Rows) -> int:
    """The commonest distance between rows of one site [s]; an hour where there is none."""
    order = np.lexsort((rows.utc_s, rows.site))
    apart = np.diff(rows.utc_s[order])[np.diff(rows.site[order]) == 0]
    apart = apart[apart > 0]
    if not len(apart):
        midnight = bool((rows.wall_s % DAY_S == 0).all())
        return DAY_S if midnight else HOUR_S
    steps, often = np.unique(apart, return_counts=True)
    step = int(steps[np.argmax(often)])
    # Days of 23 and 25 hours do not make a daily table an hourly one.
    if abs(step - DAY_S) <= 2 * HOUR_S:
        return DAY_S
    if step > DAY_S:
        raise BadInputError(
            f"the rows are {step / DAY_S:.0f} days apart.",
            remedy="Counts per day or hour are needed.",
        )
    return step


def check_extent(rows: Rows, n_sites: int) -> None:
    """Raise where one stray date would make a table of centuries."""
    n_days = int(rows.wall_s.max() - rows.wall_s.min()) // DAY_S + 1
    if n_days * 24 * n_sites > MAX_CELLS or n_days > 366 * 60:
        raise BadInputError(
            f"the rows span {n_days} days at {n_sites} sites, which is too much to hold.",
            remedy="Look for a stray date, or give fewer years.",
        )


def resolved(rows: Rows, *, daily: bool) -> tuple[Rows, list[SiteQuality]]:
    """Each moment once: repeats counted once, clock changes settled, what is impossible missing."""
    total = rows.per_site(np.ones(len(rows.site), np.bool_))
    # Empty and negative counts are rows that were there and say nothing.
    empty, impossible = ~np.isfinite(rows.value), rows.value < 0
    n_empty, n_impossible = rows.per_site(empty), rows.per_site(impossible)
    # No clock showed a skipped hour; in UTC such a row would stand where its neighbour stands.
    skipped = rows.skipped & (not daily)
    known = rows.take(~(empty | impossible | skipped))
    if not len(known.site):
        raise BadInputError("there is no row with a count.")
    # By site and time, equal counts beside each other, else in the order of the file.
    order = np.lexsort((np.arange(len(known.site)), known.utc_s, known.site))
    known = known.take(order)
    same_time = np.zeros(len(known.site), dtype=np.bool_)
    same_time[1:] = (np.diff(known.site) == 0) & (np.diff(known.utc_s) == 0)
    group = np.cumsum(~same_time) - 1
    equal = repeated_in_group(group, known.value)
    n_equal = known.per_site(equal)
    once, group = known.take(~equal), group[~equal]
    size = np.bincount(group)[group]
    last = np.append(group[1:] != group[:-1], True)
    doubled = once.repeated & (size == 2) & (not daily)
    lone = once.repeated & ~doubled & (not daily)
    conflicting = (size > 1) & ~doubled & ~last
    second = doubled & last
    keep = (doubled | last) & ~lone
    settled = replace(once, utc_s=np.where(second, once.utc_s + HOUR_S, once.utc_s)).take(keep)
    if not len(settled.site):
        raise BadInputError("no row is left once clock changes are settled.")
    counted = {
        "skipped_hour_rows": rows.per_site(skipped),
        "lone_repeated_rows": once.per_site(lone),
        "repeated_hours": once.per_site(second),
        "conflicting_rows": once.per_site(conflicting & ~lone),
        "repeated_rows": n_equal,
        "empty_rows": n_empty,
        "impossible_rows": n_impossible,
        "rows": total,
    }
    quality = [
        SiteQuality(**{name: int(n[i]) for name, n in counted.items()})  # type: ignore[arg-type]  # all of these are counts
        for i in range(rows.n_sites)
    ]
    return settled, quality


def repeated_in_group(
    group: npt.NDArray[np.int64], value: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Rows whose group holds the same value at an earlier row."""
    order = np.lexsort((np.arange(len(group)), value, group))
    again = np.zeros(len(group), dtype=np.bool_)
    again[order[1:]] = (np.diff(group[order]) == 0) & (np.diff(value[order]) == 0)
    return again


def differenced(
    rows: Rows, quality: list[SiteQuality], step: int
) -> tuple[Rows, list[SiteQuality]]:
    """Running totals as counts of the step that begins at the row before."""
    order = np.lexsort((rows.utc_s, rows.site))
    rows = rows.take(order)
    first = np.append(True, np.diff(rows.site) != 0)
    spaced = np.append(0, np.diff(rows.utc_s))
    steps, fell = counts_from_totals(rows.value)
    fell &= ~first
    good = ~first & ~fell & (spaced > 0) & (spaced <= 1.5 * step)
    # A difference belongs to the time before it was read.
    shifted = replace(
        rows,
        value=np.where(good, steps, np.nan),
        utc_s=rows.utc_s - step,
        wall_s=rows.wall_s - step,
    ).take(good)
    if not len(shifted.site):
        raise BadInputError("no two running totals follow each other.")
    n_fell = rows.per_site(np.asarray(fell))
    return shifted, [replace(q, fell=int(n_fell[i])) for i, q in enumerate(quality)]


Built = tuple[
    npt.NDArray[np.float64] | None,
    npt.NDArray[np.float64],
    npt.NDArray[np.int64],
    npt.NDArray[np.int64],
]


def daily_counts(rows: Rows, first: int, n_days: int, step: int) -> Built:
    """One row a day as (None, days, present, expected)."""
    del step
    day = rows.wall_s // DAY_S - first
    days = np.full((n_days, rows.n_sites), np.nan)
    days[day, rows.site] = rows.value
    return None, days, np.isfinite(days).sum(axis=0), extent(rows, day)


def extent(rows: Rows, unit: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Days or hours from each site's first row to its last, both included; 0 without rows."""
    low = np.full(rows.n_sites, np.iinfo(np.int64).max)
    high = np.full(rows.n_sites, np.iinfo(np.int64).min)
    np.minimum.at(low, rows.site, unit)
    np.maximum.at(high, rows.site, unit)
    return np.where(high >= low, high - np.minimum(low, high) + 1, 0)


def hourly_counts(rows: Rows, first: int, n_days: int, step: int) -> Built:
    """Rows as (hours, days, present, expected): real hours first, then hours of the wall clock."""
    per_hour = max(1, round(HOUR_S / step)) if step < HOUR_S else 1
    hour_of_row = rows.wall_s // HOUR_S - first * 24
    # A real hour is a wall hour and its offset: the hour that comes twice has two of them.
    offsets, kind = np.unique(rows.wall_s - rows.utc_s, return_inverse=True)
    label = (rows.site * (n_days * 24) + hour_of_row) * len(offsets) + kind.reshape(-1)
    key, at = np.unique(label, return_inverse=True)
    n = np.bincount(at.reshape(-1))
    total = np.bincount(at.reshape(-1), weights=rows.value)
    valid = n >= MIN_VALID_SHARE * per_hour
    hour_total = np.where(n < per_hour, total * per_hour / np.maximum(n, 1), total)
    site, hour = np.divmod(key[valid] // len(offsets), n_days * 24)
    hours_n = np.zeros((n_days * 24, rows.n_sites))
    hours_sum = np.zeros((n_days * 24, rows.n_sites))
    np.add.at(hours_n, (hour, site), 1)
    np.add.at(hours_sum, (hour, site), hour_total[valid])
    flat = np.where(hours_n > 0, hours_sum / np.maximum(hours_n, 1), np.nan)
    hours = flat.reshape(n_days, 24, rows.n_sites)
    present = np.bincount(site, minlength=rows.n_sites)
    expected = extent(rows, rows.utc_s // HOUR_S)
    return hours, day_totals(hours), present, np.maximum(expected, present)


def day_totals(hours: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Days from hours: scaled to the whole where three quarters are present, else missing."""
    known = np.isfinite(hours)
    n = known.sum(axis=1)
    total = np.where(known, hours, 0.0).sum(axis=1)
    return np.where(n >= MIN_VALID_SHARE * 24, total * 24 / np.maximum(n, 1), np.nan)


def without_faults(counts: Counts, country: str) -> Counts:
    """The same counts with dead, stuck and impossible hours missing, and that written down."""
    quality = dict(counts.quality)
    hours, days = counts.hours, counts.days
    if hours is not None:
        found = faults(hours, classes_of(counts.first_day, counts.n_days, country))
        hours = np.where(found.any, np.nan, hours)
        days = day_totals(hours)
        left_out = found.any.sum(axis=(0, 1))
        by_kind = found.hours_by_kind()
        for i, site in enumerate(counts.sites):
            own = quality.get(site, SiteQuality())
            quality[site] = replace(
                own,
                dead=int(by_kind["dead"][i]),
                stuck=int(by_kind["stuck"][i]),
                peak=int(by_kind["peak"][i]),
                steps_present=own.steps_present - int(left_out[i]),
                steps_missing=own.steps_missing + int(left_out[i]),
            )
    rows, shifts = level_shift(days)
    for i, site in enumerate(counts.sites):
        if rows[i] >= 0:
            quality[site] = replace(
                quality.get(site, SiteQuality()),
                shift_day=counts.first_day + timedelta(days=int(rows[i])),
                shift_percent=float(np.expm1(shifts[i]) * 100),
            )
    return replace(counts, hours=hours, days=days, quality=quality)
