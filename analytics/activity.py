"""When places stand empty: hour-of-week cells with a calibrated probability of low activity.

Counts of people are not Poisson: weather, terms and fashions move a cell's mean from one eight
weeks to the next. A Poisson model of them covers a quarter of what it says it covers; here the
hours are negative binomial, the mean itself drifts, and now and then a single hour (a procession,
a night of open shops) brings more people than eight usual ones.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc, ndtri

from analytics.arrays import floats, is_whole
from analytics.errors import BadArgumentError, ShapeMismatchError

__all__ = [
    "HOURS_OF_WEEK",
    "Comparison",
    "LowActivity",
    "State",
    "compare",
    "dark_and_empty",
    "fold_into_weeks",
    "low_activity",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

HOURS_OF_WEEK = 168
MOST = 1e12  # nobody counts more people
WINDOW_DAYS = 56
FUTURE_WEEKS = 8
DRIFT = 0.25  # sd of the mean between successive eight weeks, as a share of it
PRIOR_WEEKS = 8.0  # weight of the site's dispersion in each cell's
DEFAULT_DISPERSION = 0.3
MAX_DISPERSION = 4.0
MIN_WEEKS = 4
MIN_PRESENT = 0.60
ABSOLUTE_THRESHOLD = 20.0  # people per hour
EMPTY = 1.0  # fewer people than this an hour is low at every place
RELATIVE_THRESHOLD = 0.10  # of the 90th percentile of the site's hours
BURST_FROM = 4.0  # times the threshold: an hour with so many people is none of the quiet hour's own
BURST_RATE = 0.005  # of the quiet hours of eight coming weeks (Melbourne 2012-15)
BURST_PRIOR_HOURS = 200.0  # what that rate weighs against the place's own hours
PERSISTENT_P = 0.9
PERSISTENT_FITS = 4
PERSISTENT_MIN = 3
DARK_AND_EMPTY_P = 0.9


class State(IntEnum):
    """What is known of a cell; small enough for an int8 array."""

    INSUFFICIENT = 0
    BUSY = 1
    UNCLEAR = 2
    PROBABLE = 3
    CERTAIN = 4


@dataclass(frozen=True, slots=True)
class LowActivity:
    """Hour-of-week cells of every site; row 0 is Monday 00-01.

    Attributes
    ----------
    expected : float64 (168, n_sites)
        People an hour; NaN where nothing was counted.
    p_low : float64 (168, n_sites)
        Probability that the mean of the coming eight weeks is below the threshold; NaN with fewer
        than four weeks.
    state : int8 (168, n_sites)
        `State` values.
    persistent : bool (168, n_sites)
        P >= 0.9 in at least three of the last four fits, each on eight weeks of its own.
    n_fits : int
        How many such fits the history allows, 1..4. With fewer than three nothing is persistent.
    threshold : float64 (n_sites,)
        People an hour below which activity is low.
    n_weeks : int64 (168, n_sites)
        Weeks present in the cell.
    share_present : float64 (n_sites,)
        Of the hours in the window, 0..1.
    mean_variance : float64 (168, n_sites)
        Of the mean of the coming eight weeks.
    """

    expected: Floats
    p_low: Floats
    state: npt.NDArray[np.int8]
    persistent: Bools
    n_fits: int
    threshold: Floats
    n_weeks: npt.NDArray[np.int64]
    share_present: Floats
    mean_variance: Floats


def low_activity(
    counts: npt.ArrayLike,
    *,
    day_class: npt.ArrayLike | None = None,
    first_weekday: int = 0,
    threshold: npt.ArrayLike | None = None,
    absolute: float = ABSOLUTE_THRESHOLD,
    relative: float = RELATIVE_THRESHOLD,
    window_days: int = WINDOW_DAYS,
    sensor_ok: npt.ArrayLike | None = None,
) -> LowActivity:
    """Judge every hour of the week at every site from the last eight weeks.

    Parameters
    ----------
    counts : float (n_days, 24, n_sites), (n_days * 24, n_sites) or (n_weeks, 168, n_sites)
        People per local clock hour; NaN is missing, 0 is nobody. Only the last `window_days` are
        fitted; what lies before serves persistence. With (n_days, 1, n_sites), people per day,
        the cells are the 7 days of the week and thresholds are people a day.
    day_class : int (n_days,) or (n_days, 24), optional
        Whose habits each date or hour follows, Monday 0 to Sunday 6 (see
        `analytics.calendar.day_classes`): a holiday trains and is judged as a Sunday.
    first_weekday : int
        Weekday of the first date, used where `day_class` is not given.
    threshold : float or float (n_sites,), optional
        People an hour; by default the smaller of `absolute` and `relative` times the 90th
        percentile of the site's hours in the window, and not less than one person.
    window_days : int
        28 or more.
    sensor_ok : bool (n_sites,), optional
        Where false every cell is `INSUFFICIENT`: silence and broken counters are not emptiness.

    Returns
    -------
    LowActivity
        All NaN and `INSUFFICIENT` for a site without data.

    Raises
    ------
    ShapeMismatchError, BadArgumentError
    """
    hours = checked_hours(counts)
    classes = checked_classes(day_class, first_weekday, hours.shape[:2])
    for name, value in (("absolute", absolute), ("relative", relative)):
        if not floats(name, value) >= 0:
            raise BadArgumentError(f"{name} must be 0 or more, not {value!r}")
    # Callers without a type checker may say 8.5 weeks.
    whole = isinstance(window_days, int | np.integer)  # pyright: ignore[reportUnnecessaryIsInstance] - as said
    if not whole or window_days < 28:
        raise BadArgumentError(f"window_days must be 28 or more, not {window_days}")
    n_sites = hours.shape[2]
    window = hours[-window_days:]
    limit = (
        default_threshold(window, absolute, relative)
        if threshold is None
        else given_threshold(threshold, n_sites)
    )
    weeks = fold_into_weeks(window, classes[-window_days:])
    fit = fit_cells(weeks)
    p_low = probability_low(weeks, fit, limit)
    present = np.isfinite(window).mean(axis=(0, 1)) if window.size else np.zeros(n_sites)
    ok = np.ones(n_sites, np.bool_) if sensor_ok is None else np.asarray(sensor_ok, np.bool_)
    if ok.shape != (n_sites,):
        raise ShapeMismatchError(f"sensor_ok is {ok.shape}, but there are {n_sites} sites")
    persistent, n_fits = persistence(hours, classes, limit, window_days, p_low)
    judged = (present >= MIN_PRESENT) & ok
    return LowActivity(
        expected=fit.mean,
        p_low=p_low,
        state=states(p_low, judged),
        persistent=persistent & judged,
        n_fits=n_fits,
        threshold=limit,
        n_weeks=fit.n,
        share_present=np.asarray(present, dtype=np.float64),
        mean_variance=fit.mean_variance,
    )


def checked_hours(counts: npt.ArrayLike) -> Floats:
    """`counts` as float64 (n_days, 24, n_sites), or an error."""
    hours = floats("counts", counts)
    if hours.ndim not in {2, 3} or not hours.shape[-1]:
        raise ShapeMismatchError(f"counts must be (n_days, 24, n_sites), not {hours.shape}")
    if hours.ndim == 2 and len(hours) % 24 == 0:
        hours = hours.reshape(len(hours) // 24, 24, hours.shape[1])
    elif hours.ndim == 3 and hours.shape[1] == HOURS_OF_WEEK:
        hours = hours.reshape(7 * len(hours), 24, hours.shape[2])
    if hours.ndim != 3 or hours.shape[1] not in {1, 24}:
        raise ShapeMismatchError(f"counts must be (n_days, 24, n_sites), not {hours.shape}")
    if (hours > MOST).any() or (hours < 0).any():
        raise BadArgumentError("counts must be 0 or more people, or NaN where missing")
    return hours


def checked_classes(
    day_class: npt.ArrayLike | None, first_weekday: int, shape: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """Classes as int64 (n_days, 24), or (n_days, 1) for daily counts."""
    n_days, per_day = shape
    if day_class is None:
        if not is_whole(first_weekday):
            raise BadArgumentError(f"first_weekday must be in 0..6, not {first_weekday!r}")
        day_class = (first_weekday + np.arange(n_days)) % 7
    given = floats("day_class", day_class)
    if not np.isfinite(given).all():
        raise BadArgumentError("day_class must be in 0..6, Monday to Sunday")
    classes = given.astype(np.int64)
    if classes.ndim == 1:
        classes = np.repeat(classes[:, None], per_day, axis=1)
    if classes.shape != (n_days, per_day):
        raise ShapeMismatchError(f"day_class is {classes.shape}, but there are {n_days} days")
    if classes.size and not (classes.min() >= 0 and classes.max() <= 6):
        raise BadArgumentError("day_class must be in 0..6, Monday to Sunday")
    return classes


def given_threshold(threshold: npt.ArrayLike, n_sites: int) -> Floats:
    """One threshold for all sites, or one for each, as float64 (n_sites,)."""
    given = floats("threshold", threshold)
    if given.shape not in {(), (1,), (n_sites,)}:
        raise ShapeMismatchError(f"threshold is {given.shape}, but there are {n_sites} sites")
    return np.broadcast_to(given, (n_sites,)).copy()


def default_threshold(window: Floats, absolute: float, relative: float) -> Floats:
    """The smaller of a fixed number and a share of the site's busy hours; NaN without data.

    Never less than one person.
    """
    flat = np.sort(window.reshape(-1, window.shape[2]), axis=0)
    n = np.isfinite(flat).sum(axis=0)
    place = 0.9 * np.maximum(n - 1, 0)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(n - 1, 0))
    columns = np.arange(flat.shape[1])
    if not len(flat):
        return np.full(flat.shape[1], np.nan)
    busy = flat[low, columns] * (1 - (place - low)) + flat[high, columns] * (place - low)
    # Where hardly anybody ever comes a tenth of the busy hours is nobody, and nothing is below it.
    limit = np.maximum(np.minimum(absolute, relative * busy), min(EMPTY, absolute))
    return np.where(n > 0, limit, np.nan)


def fold_into_weeks(hours: Floats, classes: npt.NDArray[np.int64]) -> Floats:
    """Hours (or days) sorted into cells: (n_weeks, 168 or 7, n_sites), NaN where there are fewer.

    A week with a holiday gives its hours to another weekday, so cells differ in length.
    """
    n_days, per_day, n_sites = hours.shape
    rank = np.zeros((n_days, per_day), dtype=np.int64)
    for weekday in range(7):
        belongs = classes == weekday
        rank[belongs] = (np.cumsum(belongs, axis=0) - 1)[belongs]
    n_weeks = int(rank.max()) + 1 if n_days else 0
    weeks = np.full((n_weeks, 7 * per_day, n_sites), np.nan)
    weeks[rank, classes * per_day + np.arange(per_day)] = hours
    return weeks


@dataclass(frozen=True, slots=True)
class CellFit:
    """Moments of every cell, and what they say of the future."""

    mean: Floats
    n: npt.NDArray[np.int64]
    mean_variance: Floats
    hour_variance: Floats
    dispersion: Floats


def fit_cells(weeks: Floats) -> CellFit:
    """Negative binomial cells with drift, by moments, one pass over (n_weeks, 168, n_sites).

    One concert must not move a cell, so hours are cut at four robust deviations first. A cell's
    dispersion leans on its site's, because eight weeks alone cannot tell it.
    """
    n = np.isfinite(weeks).sum(axis=0)
    if not len(weeks):
        nothing = np.full(weeks.shape[1:], np.nan)
        return CellFit(nothing, n, nothing, nothing, nothing)
    middle = sorted_median(weeks)
    spread = 1.4826 * sorted_median(np.abs(weeks - middle))
    x = np.minimum(weeks, middle + 4 * np.maximum(spread, np.sqrt(middle + 1)))
    known = np.maximum(n, 1)
    filled = np.where(np.isfinite(x), x, 0.0)
    raw_mean = filled.sum(axis=0) / known
    mean = np.where(n > 0, raw_mean + 0.05, np.nan)
    around = np.where(np.isfinite(x), x - raw_mean, 0.0)
    variance = np.where(n > 1, (around**2).sum(axis=0) / np.maximum(n - 1, 1), np.nan)
    with np.errstate(invalid="ignore"):
        cell = np.clip((variance - mean) / mean**2, 0, MAX_DISPERSION)
        counted = np.isfinite(cell) & (mean > 1)
    n_counted = counted.sum(axis=0)
    site = np.where(
        n_counted > 0,
        np.where(counted, cell, 0).sum(axis=0) / np.maximum(n_counted, 1),
        DEFAULT_DISPERSION,
    )
    own = np.where(np.isfinite(cell), cell, 0.0)
    phi = (np.maximum(n - 1, 0) * own + PRIOR_WEEKS * site) / (np.maximum(n, 1) - 1 + PRIOR_WEEKS)
    one_hour = mean + phi * mean**2
    drift = (DRIFT * mean) ** 2
    mean_variance = one_hour * (1 / known + 1 / FUTURE_WEEKS) + drift
    hour_variance = one_hour + np.where(np.isfinite(variance), variance, 0.0) / known + drift
    return CellFit(mean, n, mean_variance, hour_variance, phi)


def sorted_median(block: Floats) -> Floats:
    """Median of what is present along the first axis; NaN where nothing is."""
    ordered = np.sort(block, axis=0)
    n = np.isfinite(ordered).sum(axis=0)
    low = np.maximum((n - 1) // 2, 0)[None]
    high = np.minimum(n // 2, len(block) - 1)[None]
    both = np.take_along_axis(ordered, low, 0) + np.take_along_axis(ordered, high, 0)
    return np.where(n > 0, both[0] / 2, np.nan)


def probability_low(weeks: Floats, fit: CellFit, threshold: Floats) -> Floats:
    """Probability that the mean of the coming eight weeks is below the threshold, bursts and all.

    Parameters
    ----------
    weeks : float64 (n_weeks, 168, n_sites)
    fit : CellFit
        Of these weeks.
    threshold : float64 (n_sites,)

    Returns
    -------
    float64 (168, n_sites)
        NaN with fewer than four weeks.
    """
    return probability_below(fit, threshold) * probability_of_no_burst(weeks, fit, threshold)


def probability_of_no_burst(weeks: Floats, fit: CellFit, threshold: Floats) -> Floats:
    """Probability that no single hour of the coming eight lifts the mean over the threshold.

    How often an hour of the place's quiet cells brought four times the threshold is counted, and
    held together with a rate of one in two hundred; that rate falls as one over the size of the
    burst. An hour lifts the mean if it alone brings what eight usual ones lack.
    """
    limit = np.where(threshold > 0, threshold, np.nan)
    with np.errstate(invalid="ignore"):
        quiet = np.isfinite(weeks) & (fit.mean < limit)
        bursts = (quiet & (weeks >= BURST_FROM * limit)).sum(axis=(0, 1))
        lacking = np.maximum(FUTURE_WEEKS * (1 - fit.mean / limit), BURST_FROM)
    held = quiet.sum(axis=(0, 1)) + BURST_PRIOR_HOURS
    rate = (bursts + BURST_RATE * BURST_PRIOR_HOURS) / held * BURST_FROM / lacking
    return np.where(np.isfinite(rate), (1 - rate) ** FUTURE_WEEKS, 1.0)


def probability_below(fit: CellFit, threshold: Floats) -> Floats:
    """Probability that the mean of the coming eight weeks is below the threshold (Gamma).

    The regularised lower incomplete gamma function itself: the usual cube-root approximation is
    off by up to 0.016 here.
    """
    enough = (fit.n >= MIN_WEEKS) & np.isfinite(threshold)
    mean = np.where(enough, fit.mean, 1.0)
    variance = np.where(enough, fit.mean_variance, 1.0)
    limit = np.where(np.isfinite(threshold), threshold, 0.0)
    p = gammainc(mean**2 / variance, limit * mean / variance)
    return np.where(enough, p, np.nan)


def states(p_low: Floats, judged: Bools) -> npt.NDArray[np.int8]:
    """Words for probabilities."""
    state = np.full(p_low.shape, State.INSUFFICIENT, dtype=np.int8)
    known = np.isfinite(p_low) & judged
    edges = np.array([0.025, 0.5, 0.975])
    words = np.array([State.BUSY, State.UNCLEAR, State.PROBABLE, State.CERTAIN], dtype=np.int8)
    state[known] = words[np.searchsorted(edges, p_low[known], side="right")]
    return state


def persistence(
    hours: Floats,
    classes: npt.NDArray[np.int64],
    threshold: Floats,
    window_days: int,
    latest: Floats,
) -> tuple[Bools, int]:
    """Cells that were low in three of the last four windows, each with its own days."""
    low = [latest >= PERSISTENT_P]
    for back in range(1, PERSISTENT_FITS):
        stop = len(hours) - back * window_days
        if stop < window_days:
            break
        part = slice(stop - window_days, stop)
        weeks = fold_into_weeks(hours[part], classes[part])
        low.append(probability_low(weeks, fit_cells(weeks), threshold) >= PERSISTENT_P)
    return np.sum(low, axis=0) >= PERSISTENT_MIN, len(low)


def dark_and_empty(p_low: Floats, classes: npt.ArrayLike, dark: npt.ArrayLike) -> Bools:
    """Date-hours in which the sun is down and the place is low.

    Parameters
    ----------
    p_low : float64 (168, n_sites)
    classes : int (n_days, 24)
        As `day_class` of `low_activity`.
    dark : bool (n_days, 24) or (n_days, 24, n_sites)
        Sun below -6 degrees at the hour's midpoint.

    Returns
    -------
    bool (n_days, 24, n_sites)
        Where P_low >= 0.9. A cell without enough data is never "empty".
    """
    cells = np.asarray(classes, dtype=np.int64) * 24 + np.arange(24)
    night = np.asarray(dark, dtype=np.bool_)
    if night.ndim == 2:
        night = night[:, :, None]
    if night.shape[:2] != cells.shape:
        raise ShapeMismatchError(f"dark is {night.shape}, but there are {cells.shape[0]} days")
    return np.asarray((p_low[cells] >= DARK_AND_EMPTY_P) & night)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two periods, cell by cell.

    Attributes
    ----------
    ratio, low, high : float64 (168, n_sites)
        Second over first, and its 95 % interval; drift between periods is part of it, so that
        "changed" means more than fashions change by themselves.
    changed : bool (168, n_sites)
        Whether 1 lies outside the interval. One cell in twenty does by chance.
    became_low, ceased_low : bool (168, n_sites)
        P_low crossed 0.5 the one way or the other, both periods known.
    expected_by_chance : float64 (n_sites,)
        How many cells of each site would be `changed` if nothing had.
    """

    ratio: Floats
    low: Floats
    high: Floats
    changed: Bools
    became_low: Bools
    ceased_low: Bools
    expected_by_chance: Floats


def compare(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    *,
    before_class: npt.ArrayLike | None = None,
    after_class: npt.ArrayLike | None = None,
    threshold: npt.ArrayLike | None = None,
    alpha: float = 0.05,
) -> Comparison:
    """Compare two periods of the same sites, all their days used.

    Parameters
    ----------
    before, after : float (n_days, 24, n_sites)
        The numbers of days may differ.
    before_class, after_class : int (n_days,) or (n_days, 24), optional
        As `day_class` of `low_activity`; the first date is a Monday without them.
    threshold : float or float (n_sites,), optional
        People an hour below which activity is low; from the first period without it.
    alpha : float

    Returns
    -------
    Comparison
        NaN and false where either period has fewer than four weeks in the cell.
    """
    one, two = checked_hours(before), checked_hours(after)
    if one.shape[1:] != two.shape[1:]:
        raise ShapeMismatchError(f"{one.shape[1:]} before, {two.shape[1:]} after")
    limit = (
        default_threshold(one, ABSOLUTE_THRESHOLD, RELATIVE_THRESHOLD)
        if threshold is None
        else given_threshold(threshold, one.shape[2])
    )
    weeks_a, weeks_b = (
        fold_into_weeks(block, checked_classes(given, 0, block.shape[:2]))
        for block, given in ((one, before_class), (two, after_class))
    )
    a, b = fit_cells(weeks_a), fit_cells(weeks_b)
    enough = (a.n >= MIN_WEEKS) & (b.n >= MIN_WEEKS)
    log_ratio = np.log(np.where(enough, b.mean, 1.0)) - np.log(np.where(enough, a.mean, 1.0))
    # Relative sampling variances of both means, and the drift between two periods once.
    spread = np.sqrt(np.where(enough, relative_variance(a) + relative_variance(b), 0.0) + DRIFT**2)
    reach = float(ndtri(1 - alpha / 2)) * spread
    p_one, p_two = probability_low(weeks_a, a, limit), probability_low(weeks_b, b, limit)
    return Comparison(
        ratio=np.where(enough, np.exp(log_ratio), np.nan),
        low=np.where(enough, np.exp(log_ratio - reach), np.nan),
        high=np.where(enough, np.exp(log_ratio + reach), np.nan),
        changed=enough & (np.abs(log_ratio) > reach),
        became_low=enough & (p_one < 0.5) & (p_two >= 0.5),
        ceased_low=enough & (p_one >= 0.5) & (p_two < 0.5),
        expected_by_chance=np.asarray(alpha * enough.sum(axis=0), dtype=np.float64),
    )


def relative_variance(fit: CellFit) -> Floats:
    """Sampling variance of each mean over its square."""
    mean = np.where(np.isfinite(fit.mean), fit.mean, 1.0)
    phi = np.where(np.isfinite(fit.dispersion), fit.dispersion, 0.0)
    return np.asarray((1 / mean + phi) / np.maximum(fit.n, 1))
