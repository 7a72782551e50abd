"""Did an intervention change footfall: leave-one-out ridge gaps with a placebo-scaled interval.

Every control site is judged as if it had been treated; how far those placebos stray says how far
the treated site could have strayed by itself. A time-series error bar cannot say that, because
what dominates is the slow drift between sites.

References
----------
Doudchenko & Imbens (2016), NBER 22791 (intercept and ridge).
Ferman & Pinto (2019), Review of Economics and Statistics 101:452 (scaled placebos).
Conley & Taber (2011), Review of Economics and Statistics 93:113 (inference from controls).
Abadie, Diamond & Hainmueller (2010), JASA 105:493 (synthetic control).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypedDict

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtr, stdtrit

from analytics.arrays import floats, is_whole
from analytics.controls import (
    MAX_DONORS,
    MAX_ZERO_SHARE,
    MIN_CONTROLS,
    Exclusion,
    Window,
    candidate_controls,
    checked_columns,
    fit_controls,
    most_alike,
    present_share,
    steps,
    stuck,
    without_copies,
    zero_share,
)
from analytics.errors import BadArgumentError, ShapeMismatchError
from analytics.ridge_gaps import (
    MIN_VALID_SHARE,
    REFERENCE_DAYS,
    Gaps,
    gaps,
    middle,
    prefit_rmse,
    shifts,
    without_weekdays,
)

__all__ = [
    "CONSTANTS_VERSION",
    "INFLUENCE_ZONE_M",
    "MAX_DF",
    "MAX_PRE_DAYS",
    "MIN_POST_DAYS",
    "Effect",
    "EffectOptions",
    "Refusal",
    "Verdict",
    "check_level",
    "checked_counts",
    "effect",
    "verdict_of",
    "whole_weeks",
]

Floats = npt.NDArray[np.float64]

CONSTANTS_VERSION = "2026-11: ridge 0.1, shrink 0.5, df min(J, 6), reference 56 days"
MAX_DF = 6
MAX_PRE_DAYS = 364
MIN_POST_DAYS = 28
MAX_LIGHTING_FAILED = 0.10
NO_CHANGE = 0.10  # an interval inside -10 % .. +10 % means "no measurable change"
POWER = 0.80
INFLUENCE_ZONE_M = 300.0  # sites nearer than this may share the treated site's people
OUTLYING_FLOOR = 0.1  # five times it: a control within a factor of 1.6 is never called outlying


class Refusal(StrEnum):
    """Why there is no interval and no verdict."""

    HISTORY_TOO_SHORT = "history_too_short"
    FOLLOWUP_TOO_SHORT = "followup_too_short"
    DEVICE_CHANGED = "device_changed"
    LIGHTING_FAILED = "lighting_failed"
    DATA_GAP = "data_gap"
    COUNTER_STUCK = "counter_stuck"
    TOO_MANY_ZEROS = "too_many_zeros"
    CONTROL_TREATED = "control_treated"
    TOO_FEW_CONTROLS = "too_few_controls"


class Verdict(StrEnum):
    """What may be said."""

    INCREASE = "increase"
    DECREASE = "decrease"
    SMALL_INCREASE = "small_increase"
    SMALL_DECREASE = "small_decrease"
    NO_MEASURABLE_CHANGE = "no_measurable_change"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Effect:
    """What an intervention did to daily counts; all NaN and no verdict where `refused`.

    Attributes
    ----------
    log_ratio : float
        Mean of the treated gap after the start minus that of the last 56 days before [log units];
        the change in percent is `expm1(log_ratio) * 100`.
    low, high : float
        Ends of the `1 - alpha` interval [log units].
    half_width : float
        Half the width of that interval [log units].
    p_value : float
        Two-sided, from the same t rule as the interval; not adjusted for several bands.
    placebo_p : float
        Rank of the treated site among its placebos; cannot be below 1 / (n_placebos + 1).
    n_controls : int
        Usable controls, also where refused.
    degrees_of_freedom : int
    minimum_detectable : float
        Effect that would be found four times out of five [log units].
    refused : Refusal or None
        The reason there is no answer.
    verdict : Verdict or None
        At level `alpha` for this series alone; `effects_by_band` gives Holm's over the bands.
    prefit_rmse : float
        Root mean square of the treated gap before the start [log units].
    prefit_rmse_controls : float
        The controls' median of the same.
    share_missing : float
        Of the treated site's days in the window, 0..1.
    n_pre, n_post : int
        Days used, whole weeks.
    first_row : int
        Row of `counts` on which the window begins.
    controls : tuple of int
        Columns used.
    excluded : tuple of (int, Exclusion)
        Columns left out, and why.
    warnings : tuple of str
        `few_controls`, `poor_fit`, `outlying_control:<column>`.
    gap : float64 (n_pre + n_post,)
        Treated minus what its controls say, day by day [log units]; empty where refused.
    """

    log_ratio: float
    low: float
    high: float
    p_value: float
    n_controls: int
    minimum_detectable: float
    refused: Refusal | None
    alpha: float
    half_width: float
    placebo_p: float
    degrees_of_freedom: int
    verdict: Verdict | None
    prefit_rmse: float
    prefit_rmse_controls: float
    share_missing: float
    n_pre: int
    n_post: int
    first_row: int
    controls: tuple[int, ...] = ()
    excluded: tuple[tuple[int, Exclusion], ...] = ()
    warnings: tuple[str, ...] = ()
    gap: Floats = field(default_factory=lambda: np.empty(0))

    @property
    def percent(self) -> tuple[float, float, float]:
        """Change, and the ends of its interval [%]."""
        change, low, high = (np.expm1([self.log_ratio, self.low, self.high]) * 100).tolist()
        return change, low, high

    @property
    def minimum_detectable_percent(self) -> tuple[float, float]:
        """The fall and the rise that would be found four times out of five [%]."""
        fall, rise = (np.expm1([-self.minimum_detectable, self.minimum_detectable]) * 100).tolist()
        return fall, rise


class EffectOptions(TypedDict, total=False):
    """The keywords of `effect` besides the level, for the functions that call it."""

    controls: Sequence[int] | None
    exclude: Sequence[int]
    nearby: Sequence[int]
    also_treated: Sequence[int]
    device_changes: Sequence[tuple[int, int]]
    lighting_failed: tuple[float, float]
    max_pre_days: int


def effect(
    counts: npt.ArrayLike,
    treated: int | Sequence[int],
    start: int,
    *,
    alpha: float = 0.05,
    controls: Sequence[int] | None = None,
    exclude: Sequence[int] = (),
    nearby: Sequence[int] = (),
    also_treated: Sequence[int] = (),
    device_changes: Sequence[tuple[int, int]] = (),
    lighting_failed: tuple[float, float] = (0.0, 0.0),
    max_pre_days: int = MAX_PRE_DAYS,
) -> Effect:
    """Change of footfall at one site, or pooled over several, with an interval that is true.

    Parameters
    ----------
    counts : float (n_days, n_sites)
        Daily counts inside one hour band; NaN is missing, 0 means counted and nobody came.
        Consecutive days. Of the days before `start` the last whole weeks are used, at most
        `max_pre_days`; of those after it all whole weeks.
    treated : int or sequence of int
        Column of the treated site, or columns of several that are pooled (mean of their log
        ratios, judged against means over control sets of the same size).
    start : int
        First row after the intervention began.
    alpha : float
        One minus the coverage of the interval.
    controls : sequence of int, optional
        Candidates; every other column without it. Unfit candidates are still left out.
    exclude, nearby : sequence of int
        Left out as controls: named by the planner; inside the influence zone.
    also_treated : sequence of int
        Sites with an intervention of their own inside the window. Never controls; a refusal if
        `controls` names one.
    device_changes : sequence of (column, row)
        When a site's counter was moved, replaced or re-programmed.
    lighting_failed : (float, float)
        Share of the dark hours before and after in which the luminaires of the treated place did
        not do what they should.
    max_pre_days : int
        At least 56.

    Returns
    -------
    Effect
        With `refused` set and no numbers where no honest interval exists.

    Raises
    ------
    ShapeMismatchError
        If `counts` is not a table of days and sites.
    BadArgumentError
        If a column, row, level or count cannot be what it is said to be.
    """
    table = checked_counts(counts)
    sites = checked_columns("treated", np.atleast_1d(np.asarray(treated)).tolist(), table)
    check_level(alpha)
    check_shares(lighting_failed)
    window = since_first_count(table, sites, whole_weeks(len(table), start, max_pre_days))
    candidates, excluded = candidate_controls(
        table,
        sites,
        controls=controls,
        exclude=exclude,
        nearby=nearby,
        also_treated=also_treated,
        changed=changed_inside(device_changes, window, table),
    )
    reason = refusal_of_treated(table, sites, window, device_changes, lighting_failed)
    if reason is None and controls is not None and {*also_treated, *sites} & {*controls}:
        reason = Refusal.CONTROL_TREATED
    if reason in {Refusal.HISTORY_TOO_SHORT, Refusal.FOLLOWUP_TOO_SHORT}:
        # Without whole weeks on both sides nobody can be fit to be a control.
        usable: tuple[int, ...] = ()
        unfit: tuple[tuple[int, Exclusion], ...] = ()
    else:
        candidates, copies = without_copies(table, sites, candidates, window)
        excluded += copies
        usable, unfit = fit_controls(table, candidates, window)
    excluded = excluded + unfit
    if reason is None and len(usable) < max(MIN_CONTROLS, 2 * len(sites)):
        reason = Refusal.TOO_FEW_CONTROLS
    missing = share_missing(table, sites, window)
    if reason is not None:
        refused = refused_effect(reason, alpha, window, excluded, n_controls=len(usable))
        return replace(refused, share_missing=missing, controls=usable)
    logs = without_weekdays(table[window.first : window.stop, [*sites, *usable]], window.n_pre)
    if len(usable) > MAX_DONORS:
        logs, usable, less_alike = most_alike(logs, len(sites), usable, window.n_pre)
        excluded = excluded + less_alike
    judged = judge(gaps(logs, len(sites), window.n_pre), window, alpha)
    return replace(
        judged,
        share_missing=missing,
        controls=usable,
        excluded=excluded,
        warnings=warnings_of(judged, window.n_pre, usable, logs[:, len(sites) :]),
    )


def checked_counts(counts: npt.ArrayLike) -> Floats:
    """`counts` as float64 (n_days, n_sites), or an error that says what is wrong with it."""
    table = floats("counts", counts)
    if table.ndim != 2:
        raise ShapeMismatchError(f"counts must be (n_days, n_sites), not {table.shape}")
    if not table.shape[1]:
        raise ShapeMismatchError("counts has no sites")
    if np.isinf(table).any():
        raise BadArgumentError("counts must be finite or NaN (missing), not infinite")
    if (table < 0).any():
        raise BadArgumentError("counts must be 0 or more")
    return table


def check_level(alpha: float) -> None:
    """Raise unless `alpha` is a level."""
    if not (np.isreal(alpha) and not isinstance(alpha, str) and 0 < alpha < 1):
        raise BadArgumentError(f"alpha must be between 0 and 1, not {alpha!r}")


def check_shares(lighting_failed: tuple[float, float]) -> None:
    """Raise unless these are two shares; a NaN is none, and would pass for light that works."""
    shares = np.asarray(lighting_failed)
    if shares.shape != (2,) or shares.dtype.kind not in "biuf":
        raise BadArgumentError(
            f"lighting_failed must be two shares, before and after, not {lighting_failed!r}"
        )
    if not ((shares >= 0) & (shares <= 1)).all():
        raise BadArgumentError(f"lighting_failed must be within 0..1, not {lighting_failed!r}")


def whole_weeks(n_days: int, start: int, max_pre_days: int) -> Window:
    """The last whole weeks before `start` and all whole weeks from it on."""
    if not is_whole(start) or not 0 <= start <= n_days:
        raise BadArgumentError(f"start must be a row in 0..{n_days}, not {start!r}")
    if max_pre_days < REFERENCE_DAYS:
        raise BadArgumentError(f"max_pre_days must be {REFERENCE_DAYS} or more, not {max_pre_days}")
    start = int(start)
    n_pre = min(start, max_pre_days) // 7 * 7
    return Window(start - n_pre, start, start + (n_days - start) // 7 * 7)


def since_first_count(table: Floats, sites: tuple[int, ...], window: Window) -> Window:
    """The window without the whole weeks before anything was counted at the treated sites.

    Days from before the counter was put up are no history: they would only cost the controls that
    were put up with it.
    """
    counted = np.isfinite(table[window.first : window.start, list(sites)]).any(axis=1)
    if not counted.any():
        return window
    return replace(window, first=window.first + int(counted.argmax()) // 7 * 7)


def changed_inside(
    device_changes: Sequence[tuple[int, int]], window: Window, table: Floats
) -> frozenset[int]:
    """Columns whose counter changed after the first row of the window and before its end."""
    for column, _ in device_changes:
        checked_columns("device_changes", [column], table)
    return frozenset(c for c, row in device_changes if window.first < row < window.stop)


def refusal_of_treated(
    table: Floats,
    sites: tuple[int, ...],
    window: Window,
    device_changes: Sequence[tuple[int, int]],
    lighting_failed: tuple[float, float],
) -> Refusal | None:
    """Why the treated sites cannot be judged, if so."""
    if window.n_pre < REFERENCE_DAYS:
        return Refusal.HISTORY_TOO_SHORT
    if window.n_post < MIN_POST_DAYS:
        return Refusal.FOLLOWUP_TOO_SHORT
    if changed_inside(device_changes, window, table) & {*sites}:
        return Refusal.DEVICE_CHANGED
    if max(lighting_failed) > MAX_LIGHTING_FAILED:
        return Refusal.LIGHTING_FAILED
    own = table[:, list(sites)]
    reference = own[window.start - REFERENCE_DAYS : window.start]
    after = own[window.start : window.stop]
    if min(present_share(reference).min(), present_share(after).min()) < MIN_VALID_SHARE:
        return Refusal.DATA_GAP
    if (stuck(reference) | stuck(after)).any():
        return Refusal.COUNTER_STUCK
    if zero_share(own[window.first : window.start]).max() > MAX_ZERO_SHARE:
        return Refusal.TOO_MANY_ZEROS
    return None


def share_missing(table: Floats, sites: tuple[int, ...], window: Window) -> float:
    """Share of the treated days in the window that are missing, 0..1."""
    block = table[window.first : window.stop, list(sites)]
    return float(1 - np.isfinite(block).mean()) if block.size else float("nan")


def judge(fit: Gaps, window: Window, alpha: float) -> Effect:
    """The effect with its interval, from the placebos' spread."""
    delta, scale = shifts(fit, window.n_pre)
    z = np.abs(delta / scale)
    placebo = z[1:][np.isfinite(z[1:])]
    df = min(fit.n_controls, MAX_DF)
    spread = scale[0] * np.sqrt(np.mean(placebo**2) * (1 + 1 / fit.n_controls))
    t = float(stdtrit(df, 1 - alpha / 2))
    half = float(t * spread)
    shift = float(delta[0])
    tau = abs(shift) / max(float(spread), 1e-300)
    p_value = float(2 * stdtr(df, -tau)) if shift else 1.0
    rmse = prefit_rmse(fit, window.n_pre)
    return Effect(
        log_ratio=shift,
        low=shift - half,
        high=shift + half,
        p_value=p_value,
        n_controls=fit.n_controls,
        minimum_detectable=half * (1 + float(ndtri(POWER)) / t),
        refused=None,
        alpha=alpha,
        half_width=half,
        placebo_p=float((1 + (placebo >= z[0]).sum()) / (len(placebo) + 1)),
        degrees_of_freedom=df,
        verdict=verdict_of(shift, half, p_value, alpha),
        prefit_rmse=float(rmse[0]),
        prefit_rmse_controls=middle(rmse[1:]),
        share_missing=float("nan"),
        n_pre=window.n_pre,
        n_post=window.n_post,
        first_row=window.first,
        gap=fit.gap[:, 0],
    )


def verdict_of(shift: float, half: float, p_value: float, alpha: float) -> Verdict:
    """What may be said of a shift with this half-width and (adjusted) p-value."""
    inside = np.log1p(-NO_CHANGE) < shift - half and shift + half < np.log1p(NO_CHANGE)
    if p_value <= alpha:
        if inside:
            return Verdict.SMALL_INCREASE if shift > 0 else Verdict.SMALL_DECREASE
        return Verdict.INCREASE if shift > 0 else Verdict.DECREASE
    return Verdict.NO_MEASURABLE_CHANGE if inside else Verdict.INCONCLUSIVE


def warnings_of(
    judged: Effect, n_pre: int, usable: tuple[int, ...], logs: Floats
) -> tuple[str, ...]:
    """What a careful reader wants to know although there is an answer."""
    found: list[str] = []
    if judged.n_controls < 2 * MIN_CONTROLS:
        found.append("few_controls")
    if judged.prefit_rmse > 2 * judged.prefit_rmse_controls:
        found.append("poor_fit")
    # A control that moved far from the others widens the interval for all: a hacked or moved
    # counter looks like this. It is named, not removed: removing what strays most would make
    # every interval too short.
    moved = steps(logs, n_pre)
    usual = max(1.4826 * middle(np.abs(moved)), OUTLYING_FLOOR)
    found += [f"outlying_control:{usable[i]}" for i in np.flatnonzero(np.abs(moved) > 5 * usual)]
    return tuple(found)


def refused_effect(
    reason: Refusal,
    alpha: float,
    window: Window,
    excluded: tuple[tuple[int, Exclusion], ...],
    *,
    n_controls: int,
) -> Effect:
    """No answer, and why."""
    nan = float("nan")
    return Effect(
        log_ratio=nan,
        low=nan,
        high=nan,
        p_value=nan,
        n_controls=n_controls,
        minimum_detectable=nan,
        refused=reason,
        alpha=alpha,
        half_width=nan,
        placebo_p=nan,
        degrees_of_freedom=0,
        verdict=None,
        prefit_rmse=nan,
        prefit_rmse_controls=nan,
        share_missing=nan,
        n_pre=window.n_pre,
        n_post=window.n_post,
        first_row=window.first,
        excluded=excluded,
    )
