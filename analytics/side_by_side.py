"""Several before/after evaluations side by side: bands, neighbours, on and off, all sites at once.

References
----------
Holm (1979), Scandinavian Journal of Statistics 6:65.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from analytics.before_after import (
    MAX_DF,
    MAX_PRE_DAYS,
    MIN_POST_DAYS,
    Effect,
    EffectOptions,
    check_level,
    checked_counts,
    effect,
    verdict_of,
    whole_weeks,
)
from analytics.controls import MIN_CONTROLS, fit_controls, without_copies
from analytics.errors import BadArgumentError
from analytics.ridge_gaps import REFERENCE_DAYS, gaps, mean_present, shifts, without_weekdays

__all__ = [
    "Screening",
    "effects_by_band",
    "holm",
    "on_off_on",
    "planned_effect",
    "screen",
    "spill_over",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Screening:
    """Every usable site judged against all the others, in one pass.

    Attributes
    ----------
    sites : int64 (n,)
        Columns that could be judged.
    log_ratio, half_width, p_value : float64 (n,)
        As in `Effect`. p-values are not adjusted.
    """

    sites: npt.NDArray[np.int64]
    log_ratio: Floats
    half_width: Floats
    p_value: Floats


def screen(
    counts: npt.ArrayLike,
    start: int,
    *,
    alpha: float = 0.05,
    max_pre_days: int = MAX_PRE_DAYS,
) -> Screening:
    """Where anything changed at `start`: all sites at once, each the others' control.

    A change at one site is a part 1/(n - 1) of every other site's control, so this finds
    candidates; `effect` gives the answer for one of them.

    Parameters
    ----------
    counts, start, alpha, max_pre_days
        As in `effect`.

    Returns
    -------
    Screening
        Empty where fewer than six sites, too short a history or too short a follow-up leave
        nothing to judge.
    """
    table = checked_counts(counts)
    check_level(alpha)
    window = whole_weeks(len(table), start, max_pre_days)
    usable: tuple[int, ...] = ()
    if window.n_pre >= REFERENCE_DAYS and window.n_post >= MIN_POST_DAYS:
        apart, _ = without_copies(table, (), list(range(table.shape[1])), window)
        usable, _ = fit_controls(table, apart, window)
    if len(usable) <= MIN_CONTROLS:
        none = np.empty(0)
        return Screening(np.empty(0, dtype=np.int64), none, none, none)
    logs = without_weekdays(table[window.first : window.stop, list(usable)], window.n_pre)
    # The first column is a stand-in that is nobody: only the placebos are wanted.
    fit = gaps(np.column_stack([mean_present(logs, axis=1), logs]), 1, window.n_pre)
    delta, scale = shifts(fit, window.n_pre)
    z2 = (delta[1:] / scale[1:]) ** 2
    n_others = len(usable) - 1
    df = min(n_others, MAX_DF)
    others = (z2.sum() - z2) / n_others
    spread = scale[1:] * np.sqrt(others * (1 + 1 / n_others))
    p = 2 * stdtr(df, -np.abs(delta[1:]) / np.maximum(spread, 1e-300))
    half = float(stdtrit(df, 1 - alpha / 2)) * spread
    return Screening(np.array(usable, dtype=np.int64), delta[1:], half, np.asarray(p))


def holm(p_values: npt.ArrayLike) -> Floats:
    """Holm's adjusted p-values; NaN stays NaN and is not counted.

    References
    ----------
    Holm (1979), Scandinavian Journal of Statistics 6:65.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return adjusted


def effects_by_band(
    series: Mapping[str, Floats],
    treated: int | Sequence[int],
    start: int,
    *,
    alpha: float = 0.05,
    **options: Unpack[EffectOptions],
) -> dict[str, tuple[Effect, float]]:
    """Several bands side by side, the multiplicity said out loud.

    Parameters
    ----------
    series : mapping of band name to float64 (n_days, n_sites)
        From `band_series`, `masked_band_series` or `contrast_series`.
    treated, start, alpha, options
        As in `effect`.

    Returns
    -------
    dict of band name to (Effect, float)
        The interval is that of the band alone; the float is Holm's p over the bands, and the
        verdict is taken from it.
    """
    found = {
        name: effect(counts, treated, start, alpha=alpha, **options)
        for name, counts in series.items()
    }
    adjusted = holm([e.p_value for e in found.values()])
    return {
        name: (
            one
            if one.refused
            else replace(one, verdict=verdict_of(one.log_ratio, one.half_width, float(p), alpha)),
            float(p),
        )
        for (name, one), p in zip(found.items(), adjusted, strict=True)
    }


def spill_over(
    counts: npt.ArrayLike,
    treated: int | Sequence[int],
    start: int,
    zone: Sequence[int],
    *,
    alpha: float = 0.05,
    **options: Unpack[EffectOptions],
) -> dict[int, Effect]:
    """The sites near the treated one, each judged as if treated.

    Neither they nor the treated sites are anybody's controls, so people who merely took another
    street show as a fall here and not as a rise there.
    """
    around = {*zone, *np.atleast_1d(np.asarray(treated)).tolist()}
    found: dict[int, Effect] = {}
    for site in zone:
        here = EffectOptions(**options)
        here["nearby"] = sorted(around - {site})
        found[site] = effect(counts, site, start, alpha=alpha, **here)
    return found


def on_off_on(
    counts: npt.ArrayLike,
    treated: int | Sequence[int],
    start: int,
    stop: int,
    *,
    alpha: float = 0.05,
    **options: Unpack[EffectOptions],
) -> tuple[Effect, Effect, bool]:
    """A test that was switched on and off again: A to B, B to A, and whether they oppose.

    Parameters
    ----------
    start, stop : int
        First row with the test on, first row with it off again.

    Returns
    -------
    (Effect, Effect, bool)
        On; off; whether both are answered and of opposite signs. The history of the second is
        the test itself, so it is refused where the test ran for less than eight weeks.
    """
    table = checked_counts(counts)
    if not start < stop <= len(table):
        raise BadArgumentError(f"stop must be in {start + 1}..{len(table)}, not {stop}")
    on = effect(table[:stop], treated, start, alpha=alpha, **options)
    off = effect(table[start:], treated, stop - start, alpha=alpha, **options)
    oppose = on.refused is None and off.refused is None and on.log_ratio * off.log_ratio < 0
    return on, off, oppose


def planned_effect(
    counts: npt.ArrayLike,
    treated: int | Sequence[int],
    *,
    n_post: int = REFERENCE_DAYS,
    alpha: float = 0.05,
    **options: Unpack[EffectOptions],
) -> Effect:
    """What could be found, before anything is done: the last `n_post` days play the aftermath.

    Nothing has happened yet, so its `minimum_detectable` is what an evaluation of the same length
    will be able to see, and its refusal is the one to expect.
    """
    table = checked_counts(counts)
    n_post = min(n_post // 7 * 7, len(table))
    return effect(table, treated, len(table) - n_post, alpha=alpha, **options)
