"""Gaps between each site and what the other sites say of it, all leave-one-out fits at once.

The arithmetic under `analytics.before_after`; references stand there.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

__all__ = [
    "MIN_VALID_SHARE",
    "REFERENCE_DAYS",
    "Gaps",
    "gaps",
    "mean_present",
    "median_present",
    "middle",
    "prefit_rmse",
    "shifts",
    "without_weekdays",
    "zeroed",
]

Floats = npt.NDArray[np.float64]

MIN_VALID_SHARE = 0.75
RIDGE = 0.1  # share of the mean diagonal; flat between 0.03 and 0.3
SHRINK = 0.5  # of the own variance towards the controls' median
REFERENCE_DAYS = 56
MAX_PLACEBO_SETS = 200
SCALE_FLOOR = 1e-6  # of a series without any noise: keeps 0/0 out, far below any real count


def zeroed(block: Floats) -> Floats:
    """`block` with 0 in place of NaN, for sums."""
    return np.where(np.isfinite(block), block, 0.0)


def mean_present(block: Floats, axis: int = 0) -> Floats:
    """Mean of what is present along `axis`; NaN where nothing is (silence is not zero)."""
    total = np.asarray(np.add.reduce(block, axis=axis))
    if block.shape[axis] and np.isfinite(total).all():  # nothing is missing
        return np.asarray(total / block.shape[axis])
    known = np.isfinite(block)
    n = np.add.reduce(known, axis=axis, dtype=np.float64)
    total = np.add.reduce(np.where(known, block, 0.0), axis=axis)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / n)


def median_present(block: Floats) -> Floats:
    """Median of what is present along the first axis, NaN where nothing is.

    One sort with NaN last: an order faster than `np.nanmedian` on such blocks.
    """
    if not len(block):
        return np.full(block.shape[1:], np.nan)
    ordered = np.sort(block, axis=0)
    rows = len(block)
    if np.isfinite(ordered[-1]).all():  # NaN would have been sorted to the end
        return np.asarray((ordered[(rows - 1) // 2] + ordered[rows // 2]) / 2)
    n = np.isfinite(ordered).sum(axis=0)
    low = np.maximum((n - 1) // 2, 0)[None]
    high = np.maximum(n // 2, 0)[None]
    ends = np.take_along_axis(ordered, low, 0) + np.take_along_axis(
        ordered, np.minimum(high, len(block) - 1), 0
    )
    return np.where(n > 0, ends[0] / 2, np.nan)


def without_weekdays(block: Floats, n_pre: int) -> Floats:
    """`log(block + 1)` less each site's own median of that weekday before the start."""
    logs = np.log1p(block).reshape(-1, 7, block.shape[1])
    return np.asarray((logs - median_present(logs[: n_pre // 7])).reshape(block.shape))


@dataclass(frozen=True, slots=True)
class Gaps:
    """Gap of the treated (column 0) and of each placebo [log units], NaN where missing."""

    gap: Floats  # (n_days, 1 + n_placebos)
    n_controls: int
    n_treated: int


def gaps(logs: Floats, n_treated: int, n_pre: int) -> Gaps:
    """Every series less what a ridge on the other controls says of it.

    The first `n_treated` columns are treated and enter no fit and no mean. All leave-one-out fits
    come from one inverse: with M = Z'Z + l and P its inverse, the weights that fix site j at one,
    sum to zero and are as even as the ridge wants are the j-th column of P over
    `P_jj - 1 / (J l)`; the last term takes back the site's own share in the row mean (Z 1 = 0, so
    P 1 = 1 / l). For a set of placebos the scalar becomes the set's block of P.
    """
    own, others = logs[:, :n_treated], logs[:, n_treated:]
    n_controls = others.shape[1]
    row = mean_present(others, axis=1)
    apart = others - row[:, None]
    Z = zeroed(apart - mean_present(apart[:n_pre]))
    own_apart = own - row[:, None]
    y = mean_present(own_apart - mean_present(own_apart[:n_pre]), axis=1)
    M = Z[:n_pre].T @ Z[:n_pre]
    ridge = max(RIDGE * float(np.trace(M)) / n_controls, 1e-12)
    P = np.linalg.inv(M + ridge * np.eye(n_controls))
    treated_gap = y - Z @ (P @ (Z[:n_pre].T @ zeroed(y[:n_pre])))
    sets = placebo_sets(n_controls, n_treated)
    silent = ~np.isfinite(others)
    if n_treated == 1:
        placebo_gap = (Z @ P) / (np.diag(P) - 1 / (n_controls * ridge))
        placebo_gap[silent] = np.nan
    else:
        block = P[sets[:, :, None], sets[:, None, :]] - 1 / (n_controls * ridge)
        weights = np.linalg.solve(block, np.full((*sets.shape, 1), 1 / n_treated))[:, :, 0]
        spread = np.zeros((n_controls, len(sets)))
        spread[sets, np.arange(len(sets))[:, None]] = weights
        placebo_gap = (Z @ P) @ spread
        placebo_gap[silent[:, sets].any(axis=2)] = np.nan
    return Gaps(np.column_stack([treated_gap, placebo_gap]), n_controls, n_treated)


def placebo_sets(n_controls: int, size: int) -> npt.NDArray[np.intp]:
    """Control sets as large as the treated one: all of them, or 200 drawn with a fixed seed."""
    if size == 1:
        return np.arange(n_controls, dtype=np.intp)[:, None]
    if comb(n_controls, size) <= MAX_PLACEBO_SETS:
        return np.array(list(combinations(range(n_controls), size)), dtype=np.intp)
    rng = np.random.default_rng(0)
    drawn = [rng.choice(n_controls, size, replace=False) for _ in range(MAX_PLACEBO_SETS)]
    return np.sort(np.array(drawn, dtype=np.intp), axis=1)


def shifts(fit: Gaps, n_pre: int) -> tuple[Floats, Floats]:
    """Shift of every gap at the start, and the scale it is measured by [log units]."""
    reference = fit.gap[n_pre - REFERENCE_DAYS : n_pre]
    delta = mean_present(fit.gap[n_pre:]) - mean_present(reference)
    weekly = mean_present(reference.reshape(-1, 7, fit.gap.shape[1]), axis=1)
    present = np.isfinite(weekly).sum(axis=0)
    centred = zeroed(weekly - mean_present(weekly))
    variance = np.where(present > 1, (centred**2).sum(0) / np.maximum(present - 1, 1), 0.0)
    typical = middle(np.sqrt(variance[1:])) ** 2
    scale = np.sqrt(SHRINK * variance + (1 - SHRINK) * typical)
    return delta, np.maximum(scale, SCALE_FLOOR)


def prefit_rmse(fit: Gaps, n_pre: int) -> Floats:
    """Root mean square of every gap before the start [log units]."""
    return np.asarray(np.sqrt(mean_present(fit.gap[:n_pre] ** 2)))


def middle(values: Floats) -> float:
    """Median of a few numbers, many times faster than numpy's."""
    ordered = np.sort(values)
    n = len(ordered)
    return float((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)
