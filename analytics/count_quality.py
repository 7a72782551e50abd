"""What is wrong with counts before any statistics: dead, stuck and one-eyed counters, resets.

Every function only reports, as masks; leaving hours out is the caller's deed, and it is told to
the user what was left out and why.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analytics.activity import CellFit, fit_cells, fold_into_weeks
from analytics.arrays import floats
from analytics.errors import BadArgumentError, ShapeMismatchError

__all__ = [
    "CountFaults",
    "counts_from_totals",
    "dead_hours",
    "faults",
    "level_shift",
    "one_direction_lost",
    "run_sums",
    "stuck_hours",
    "suspicious_peaks",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DEAD_P = 1e-4  # of a run of zeros under the site's own negative binomial
MIN_DEAD_HOURS = 6  # hours are correlated, so the product alone is too sure of itself
STUCK_P = 1e-6
MIN_STUCK_HOURS = 4
ONE_DIRECTION_P = 1e-6
MIN_ONE_DIRECTION_HOURS = 3
PEAK_FACTOR = 20.0  # times the site's 99.5th percentile: no crowd, a counter
SHIFT_WEEKS = 8
SHIFT_LOG = float(np.log(2.0))


@dataclass(frozen=True, slots=True)
class CountFaults:
    """Hours that no statistics may use.

    Attributes
    ----------
    dead, stuck, peak : bool (n_days, 24, n_sites)
        In a run of zeros too long for the site; in a run of the same number; far above anything
        the site counts.
    """

    dead: Bools
    stuck: Bools
    peak: Bools

    @property
    def any(self) -> Bools:
        """Hours to leave out."""
        return self.dead | self.stuck | self.peak

    def hours_by_kind(self) -> Mapping[str, npt.NDArray[np.int64]]:
        """How many hours of each site each fault takes, int64 (n_sites,)."""
        return {
            name: mask.sum(axis=(0, 1)).astype(np.int64)
            for name, mask in (("dead", self.dead), ("stuck", self.stuck), ("peak", self.peak))
        }


def faults(hours: Floats, classes: npt.NDArray[np.integer]) -> CountFaults:
    """Dead and stuck runs and impossible peaks of every site.

    Parameters
    ----------
    hours : float64 (n_days, 24, n_sites)
        NaN where missing; a gap neither starts nor ends a run, it is passed over.
    classes : int (n_days, 24)
        Whose habits each hour follows; see `analytics.calendar.day_classes`.
    """
    if hours.ndim != 3 or hours.shape[1] != 24:
        raise ShapeMismatchError(f"hours must be (n_days, 24, n_sites), not {hours.shape}")
    if not hours.size:
        nothing = np.zeros(hours.shape, dtype=np.bool_)
        return CountFaults(nothing, nothing, nothing)
    cells = np.asarray(classes, dtype=np.int64)
    peak = suspicious_peaks(hours)
    usable = np.where(peak, np.nan, hours)
    fit = fit_cells(fold_into_weeks(usable, cells))
    at = (cells * 24 + np.arange(24)).reshape(-1)
    flat = usable.reshape(-1, hours.shape[2])
    dead = dead_hours(flat, fit, at).reshape(hours.shape)
    stuck = stuck_hours(flat, fit, at).reshape(hours.shape)
    return CountFaults(dead, stuck, peak)


def run_sums(member: Bools, weight: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Sum of weights and number of members of the run each row belongs to.

    Parameters
    ----------
    member : bool (n, n_sites)
        Rows that belong to a run; a false row ends it.
    weight : float64 (n, n_sites)

    Returns
    -------
    (float64, int64), both (n, n_sites)
        0 for rows outside a run.
    """
    n, n_sites = member.shape
    starts = member & ~np.vstack([np.zeros((1, n_sites), np.bool_), member[:-1]])
    # One label per run over all sites, so that one bincount sums them all.
    label = np.cumsum(starts.T.reshape(-1)).reshape(n_sites, n).T
    inside = label[member]
    total = np.bincount(inside, weights=weight[member], minlength=int(label.max(initial=0)) + 1)
    length = np.bincount(inside, minlength=len(total))
    return (
        np.where(member, total[label], 0.0),
        np.where(member, length[label], 0).astype(np.int64),
    )


def skip_gaps(flat: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """Rows of each site with its missing hours moved to the end, and the order that does it."""
    order = np.argsort(~np.isfinite(flat), axis=0, kind="stable")
    return order, np.take_along_axis(flat, order, axis=0)


def shape_of(mean: Floats, variance: Floats) -> Floats:
    """Shape of the negative binomial with these moments."""
    return mean**2 / np.maximum(variance - mean, 1e-9)


def dead_hours(flat: Floats, fit: CellFit, cell: npt.NDArray[np.int64]) -> Bools:
    """Hours in a run of zeros that this site would hardly ever have: silence, not emptiness.

    Parameters
    ----------
    flat : float64 (n_hours, n_sites)
    fit : CellFit
        Of the same sites.
    cell : int64 (n_hours,)
        Hour of the week of each row.

    Returns
    -------
    bool (n_hours, n_sites)
    """
    mean = np.where(np.isfinite(fit.mean), fit.mean, 0.05)[cell]
    variance = np.where(np.isfinite(fit.hour_variance), fit.hour_variance, 1.0)[cell]
    shape = shape_of(mean, variance)
    log_zero = shape * np.log(shape / (shape + mean))
    order, ordered = skip_gaps(flat)
    log_p, length = run_sums(ordered == 0, np.take_along_axis(log_zero, order, axis=0))
    dead = (log_p < np.log(DEAD_P)) & (length >= MIN_DEAD_HOURS)
    return put_back(dead, order)


def stuck_hours(flat: Floats, fit: CellFit, cell: npt.NDArray[np.int64]) -> Bools:
    """Hours in a run of one and the same number above 0 that chance would hardly ever repeat."""
    mean = np.where(np.isfinite(fit.mean), fit.mean, 0.05)[cell]
    phi = np.where(np.isfinite(fit.dispersion), fit.dispersion, 0.0)[cell]
    # Two draws agree with about this probability, and no more often than always.
    log_same = np.minimum(-np.log(2 * np.sqrt(np.pi * (mean + phi * mean**2))), 0.0)
    order, ordered = skip_gaps(flat)
    repeats = np.zeros(flat.shape, dtype=np.bool_)
    repeats[1:] = (ordered[1:] == ordered[:-1]) & (ordered[1:] > 0)
    log_p, length = run_sums(repeats, np.take_along_axis(log_same, order, axis=0))
    stuck = (log_p < np.log(STUCK_P)) & (length >= MIN_STUCK_HOURS - 1)
    stuck[:-1] |= stuck[1:] & repeats[1:]  # the hour the others repeat
    return put_back(stuck, order)


def put_back(mask: Bools, order: npt.NDArray[np.intp]) -> Bools:
    """Undo `skip_gaps`."""
    out = np.empty_like(mask)
    np.put_along_axis(out, order, mask, axis=0)
    return out


def suspicious_peaks(hours: Floats) -> Bools:
    """Hours with twenty times what the site's busiest hours count: a counter, not a crowd."""
    flat = np.sort(hours.reshape(-1, hours.shape[2]), axis=0)
    n = np.isfinite(flat).sum(axis=0)
    high = flat[np.maximum((0.995 * (n - 1)).astype(np.int64), 0), np.arange(flat.shape[1])]
    limit = np.where(n >= 168, PEAK_FACTOR * np.maximum(high, 20.0), np.inf)
    return np.asarray(hours > limit)


def one_direction_lost(people_in: Floats, people_out: Floats) -> Bools:
    """Hours in which a two-way counter saw only one way, for too many people to be chance.

    Parameters
    ----------
    people_in, people_out : float64 (n_hours, n_sites)
        NaN where missing.

    Returns
    -------
    bool (n_hours, n_sites)
        Sums over both ways are false there.
    """
    if people_in.shape != people_out.shape:
        raise ShapeMismatchError(f"{people_in.shape} in, but {people_out.shape} out")
    lost = np.zeros(people_in.shape, dtype=np.bool_)
    for mute, other in ((people_in, people_out), (people_out, people_in)):
        both = np.isfinite(mute) & np.isfinite(other)
        total = np.where(both, mute + other, 0.0)
        # Over the hours in which both ways work, so that a long loss does not hide itself.
        working = both & (mute > 0)
        share = np.where(working, mute, 0.0).sum(axis=0) / np.maximum(
            np.where(working, total, 0.0).sum(axis=0), 1.0
        )
        # Ten people who walk together are one: a tenth of them decide by themselves.
        log_none = total / 10 * np.log1p(-np.minimum(share, 1 - 1e-9))
        order, ordered = skip_gaps(np.where(both, mute, np.nan))
        log_p, length = run_sums(ordered == 0, np.take_along_axis(log_none, order, axis=0))
        gone = (log_p < np.log(ONE_DIRECTION_P)) & (length >= MIN_ONE_DIRECTION_HOURS)
        lost |= put_back(gone, order)
    return lost


def counts_from_totals(
    totals: npt.ArrayLike,
    *,
    modulus: float | None = None,
    reset: npt.ArrayLike | None = None,
    most_per_step: float = np.inf,
) -> tuple[Floats, Bools]:
    """Counts per step from a counter that only rises.

    Parameters
    ----------
    totals : float (n_steps, n_sites) or (n_steps,)
        Cumulated counts; NaN where missing. A step after a gap spans the gap and is not known.
    modulus : float, optional
        Where the counter rolls over (65536, say). A fall is then taken for a roll-over if the
        count it gives is at most `most_per_step`.
    reset : bool, same shape, optional
        Where the device itself says that it began anew at 0; only then is the new value a count.
    most_per_step : float
        More than this in a step is no count.

    Returns
    -------
    counts : float64, same shape
        NaN in the first step, over gaps and at falls that nothing explains.
    fell : bool, same shape
        Falls that nothing explains.
    """
    values = floats("totals", totals)
    if values.ndim not in {1, 2}:
        raise ShapeMismatchError(f"totals must be (n_steps, n_sites), not {values.shape}")
    if modulus is not None and modulus <= 0:
        raise BadArgumentError(f"modulus must be above 0, not {modulus}")
    steps = np.full(values.shape, np.nan)
    steps[1:] = values[1:] - values[:-1]
    fell = steps < 0
    if reset is not None:
        declared = np.asarray(reset, dtype=np.bool_)
        if declared.shape != values.shape:
            raise ShapeMismatchError(f"reset is {declared.shape}, but totals is {values.shape}")
        steps = np.where(declared, values, steps)
        fell &= ~declared
    if modulus is not None:
        rolled = steps + modulus
        over = fell & (rolled >= 0) & (rolled <= most_per_step)
        steps = np.where(over, rolled, steps)
        fell &= ~over
    steps = np.where(fell | (steps > most_per_step), np.nan, steps)
    return steps, np.asarray(fell)


def level_shift(daily: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], Floats]:
    """The week at which each site moved away from all others the most: a relocation, perhaps.

    Nothing is left out for it: a site that really changed looks the same, and removing what
    strays would make every interval too short. It is for the planner to confirm.

    Parameters
    ----------
    daily : float (n_days, n_sites)
        Counts; NaN where missing.

    Returns
    -------
    row : int64 (n_sites,)
        First day of the new level; -1 where the mean of the eight weeks after no week is twice or
        half that of the eight before, relative to the others.
    shift : float64 (n_sites,)
        Size of that step [log units]; NaN where -1.
    """
    counts = floats("daily", daily)
    if counts.ndim != 2:
        raise ShapeMismatchError(f"daily must be (n_days, n_sites), not {counts.shape}")
    if (counts < 0).any():
        raise BadArgumentError("daily must be 0 or more")
    n_weeks, n_sites = len(counts) // 7, counts.shape[1]
    row = np.full(n_sites, -1, dtype=np.int64)
    shift = np.full(n_sites, np.nan)
    if n_weeks < 2 * SHIFT_WEEKS or n_sites < 3:
        return row, shift
    logs = np.log1p(counts[: n_weeks * 7]).reshape(n_weeks, 7, n_sites)
    known = np.isfinite(logs)
    n = known.sum(axis=1)
    weekly = np.where(n >= 3, np.where(known, logs, 0).sum(1) / np.maximum(n, 1), np.nan)
    present = np.isfinite(weekly)
    centred = np.where(present, weekly, 0.0)
    # The middle of the others: a mean would move with the very step that is looked for.
    ordered = np.sort(weekly - first_level(weekly), axis=1)
    count = present.sum(axis=1)
    middle = np.where(count > 0, ordered[np.arange(n_weeks), np.maximum(count - 1, 0) // 2], 0.0)
    gap = np.where(present, centred - middle[:, None], 0.0)
    sums = np.vstack([np.zeros((1, n_sites)), np.cumsum(gap, axis=0)])
    counted = np.vstack([np.zeros((1, n_sites)), np.cumsum(present, axis=0)])
    at = np.arange(SHIFT_WEEKS, n_weeks - SHIFT_WEEKS + 1)
    n_before = counted[at] - counted[at - SHIFT_WEEKS]
    n_after = counted[at + SHIFT_WEEKS] - counted[at]
    step = (sums[at + SHIFT_WEEKS] - sums[at]) / np.maximum(n_after, 1) - (
        sums[at] - sums[at - SHIFT_WEEKS]
    ) / np.maximum(n_before, 1)
    step = np.where((n_before >= SHIFT_WEEKS / 2) & (n_after >= SHIFT_WEEKS / 2), step, 0.0)
    best = np.argmax(np.abs(step), axis=0)
    size = step[best, np.arange(n_sites)]
    found = np.abs(size) > SHIFT_LOG
    row[found] = at[best[found]] * 7
    shift[found] = size[found]
    return row, shift


def first_level(weekly: Floats) -> Floats:
    """Median of each site's weeks; NaN without any."""
    ordered = np.sort(weekly, axis=0)
    n = np.isfinite(ordered).sum(axis=0)
    middle = ordered[np.maximum(n - 1, 0) // 2, np.arange(weekly.shape[1])]
    return np.asarray(np.where(n > 0, middle, np.nan))
