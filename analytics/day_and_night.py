"""Whether daylight follows the night: what a sensor loses it loses by night and by day alike.

Over some weeks the answer to daylight C moves with the level A of the night by a factor b: 0 when
the lamp fades, 1 when the sensor does. Leaves move C as well, by as much as a fault and as slowly,
but in the same weeks all over town, so their common course is fitted beside it:

    C(k) = c0 + a * leaves(k) + b * A(k)

with a pulled towards 0 as far as one lamp's trees are unknown.
"""

import numpy as np

from analytics.grid import Bools, Floats, row_quantiles

__all__ = ["course_of_leaves", "daylight_per_night"]

LEAST_NIGHTS = 8
SCATTER_C = 0.05  # of C from night to night, log
AUTOCORRELATED = 2.0  # nights are not independent: gains wander over a week
LEAVES_PRIOR = SCATTER_C**2 / 1.0**2  # one lamp's trees against the town's: between -1 and 1


def course_of_leaves(response: Floats, outdoor: Bools) -> np.float32:
    """How far trees spread the town's answers to daylight tonight: leafy streets from open ones.

    Parameters
    ----------
    response : float32 (n,)
        C of tonight; NaN where not seen.
    outdoor : bool (n,)
        Healthy luminaires under the sky.

    Returns
    -------
    float32
        Distance between the 15 % and the 85 % quantile; NaN with fewer than twenty values.
    """
    seen = response[outdoor & np.isfinite(response)]
    if len(seen) < 20:
        return np.float32(np.nan)
    low, high = row_quantiles(seen[None, :], 0.15, 0.85)
    return np.float32(high[0] - low[0])


def daylight_per_night(
    levels: Floats, responses: Floats, leaves: Floats
) -> tuple[Floats, Floats, Floats]:
    """Factor b by which daylight followed the night level, its error, and the part leaves had.

    Parameters
    ----------
    levels, responses : float32 (n, nights)
        A and C, newest last; NaN where not known.
    leaves : float32 (nights,)
        Their course; where it is NaN no leaves are assumed to have moved.

    Returns
    -------
    factor, error : float32 (n,)
        NaN with fewer than eight nights that have both.
    foliage : float32 (n,)
        Change of C, from the first of those nights to tonight, that leaves explain; 0 where not
        known.
    """
    both = np.isfinite(levels) & np.isfinite(responses)
    n = np.count_nonzero(both, axis=1)
    known = np.nanmean(leaves) if np.isfinite(leaves).any() else 0.0
    course = np.where(np.isfinite(leaves), leaves, known).astype(np.float32)
    a = centred(levels, both, n)
    c = centred(responses, both, n)
    town = np.broadcast_to(course, levels.shape)
    leaf = centred(town, both, n)
    s_ll = (leaf * leaf).sum(axis=1) + LEAVES_PRIOR
    s_la = (leaf * a).sum(axis=1)
    s_lc = (leaf * c).sum(axis=1)
    s_aa = (a * a).sum(axis=1)
    s_ac = (a * c).sum(axis=1)
    left = np.maximum(s_aa - s_la**2 / s_ll, 1e-6)  # what of A the leaves' course leaves over
    factor = (s_ac - s_la * s_lc / s_ll) / left
    error = AUTOCORRELATED * SCATTER_C / np.sqrt(left)
    enough = n >= LEAST_NIGHTS
    foliage = (s_lc - factor * s_la) / s_ll * (course[-1] - first_of(town, both))
    return (
        np.where(enough, factor, np.nan).astype(np.float32),
        np.where(enough, error, np.nan).astype(np.float32),
        np.where(enough, np.nan_to_num(foliage), 0).astype(np.float32),
    )


def centred(values: Floats, use: Bools, n: Floats | np.ndarray) -> Floats:
    """Values without their row's mean over the nights in use; 0 elsewhere."""
    kept = np.where(use, values, np.float32(0))
    mean = kept.sum(axis=1) / np.maximum(n, 1)
    return np.where(use, kept - mean[:, None], np.float32(0)).astype(np.float32)


def first_of(values: Floats, use: Bools) -> Floats:
    """Each row's first value in use."""
    at = np.argmax(use, axis=1)
    return np.take_along_axis(values, at[:, None], 1)[:, 0]
