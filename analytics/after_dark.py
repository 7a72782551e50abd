"""How much darkness keeps people away, given hour and season, and whether that changed.

The same clock hour is dark in winter and light in summer. What it loses in the dark, relative to
hours that are always light (or always dark), is an odds ratio; above one, darkness deters.

References
----------
Fotios, Uttley & Fox (2019), Lighting Research & Technology, doi:10.1177/1477153517738306.
Uttley & Fotios (2017), Journal of Environmental Psychology 53:1.
Uttley, Fotios & Lovelace (2020), PLoS ONE, doi:10.1371/journal.pone.0233105.
Mantel & Haenszel (1959), Journal of the National Cancer Institute 22:719.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from analytics.arrays import floats, is_whole
from analytics.errors import BadArgumentError, ShapeMismatchError

__all__ = [
    "DarkRefusal",
    "OddsChange",
    "case_hours",
    "change",
    "control_hours",
    "odds_ratio",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Hours = npt.NDArray[np.int64]

YEAR_DAYS = 364
MIN_CASE_SHARE = 0.10
MAX_CONTROL_HOURS = 5
MIN_CONTROLS = 5
MAX_DF = 6
MIN_PRESENT = 0.60
NOON, MIDNIGHT = 12.0, 1.0  # middle of the light and of the dark control hours


class DarkRefusal(StrEnum):
    """Why there is no interval for a change."""

    HISTORY_TOO_SHORT = "history_too_short"
    FOLLOWUP_TOO_SHORT = "followup_too_short"
    NO_CASE_HOURS = "no_case_hours"
    NO_CONTROL_HOURS = "no_control_hours"
    DATA_GAP = "data_gap"
    TOO_FEW_CONTROLS = "too_few_controls"


@dataclass(frozen=True, slots=True)
class OddsChange:
    """How the deterrence of darkness changed at one site, relative to all others.

    Attributes
    ----------
    log_ratio : float
        `ln OR after - ln OR before` less the controls' mean of the same; below 0, darkness deters
        less than it did.
    low, high : float
        Ends of the interval, from the spread among the controls. The textbook interval of an odds
        ratio is not given: on real counters it covers one time in sixteen what it says it covers.
    p_value : float
    before, after : float
        Odds ratios of the treated site: a description, without an interval.
    n_controls : int
    refused : DarkRefusal or None
    cases, controls : tuple of int
        Local clock hours used.
    """

    log_ratio: float
    low: float
    high: float
    p_value: float
    before: float
    after: float
    n_controls: int
    refused: DarkRefusal | None
    cases: tuple[int, ...]
    controls: tuple[int, ...]


def case_hours(light: npt.ArrayLike, dark: npt.ArrayLike) -> Hours:
    """Clock hours that are dark on a tenth of the dates at least and light on a tenth.

    Parameters
    ----------
    light, dark : bool (n_days, 24)
        Sun up all through the hour; sun below -6 degrees all through it
        (`analytics.darkness.light_and_dark`).
    """
    up, down = np.asarray(light, np.bool_), np.asarray(dark, np.bool_)
    if up.shape != down.shape or up.ndim != 2 or up.shape[1] != 24:
        raise ShapeMismatchError(f"light is {up.shape}, dark is {down.shape}")
    if not len(up):
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(
        (up.mean(axis=0) >= MIN_CASE_SHARE) & (down.mean(axis=0) >= MIN_CASE_SHARE)
    )


def control_hours(always: npt.ArrayLike, *, around: float) -> Hours:
    """At most five clock hours that are light (or dark) on every date, nearest to one hour.

    Parameters
    ----------
    always : bool (n_days, 24)
        `light` with `around=12`, or `dark` with `around=1`.
    """
    flags = np.asarray(always, np.bool_)
    steady = np.flatnonzero(flags.all(axis=0)) if len(flags) else np.empty(0, dtype=np.int64)
    away = np.abs((steady - around + 12) % 24 - 12)
    return np.sort(steady[np.argsort(away, kind="stable")[:MAX_CONTROL_HOURS]])


def odds_ratio(
    hours: npt.ArrayLike,
    light: npt.ArrayLike,
    dark: npt.ArrayLike,
    cases: Sequence[int] | Hours,
    controls: Sequence[int] | Hours,
) -> Floats:
    """Mantel-Haenszel odds ratio of being there in the light, over the case hours.

    Parameters
    ----------
    hours : float (n_days, 24, n_sites)
        Counts by local clock hour; NaN is missing. Only days with the case hour and all control
        hours present are used, hour by hour.
    light, dark : bool (n_days, 24)
    cases, controls : sequence of int
        Clock hours; see `case_hours`, `control_hours`.

    Returns
    -------
    float64 (n_sites,)
        Above 1: darkness deters. NaN where no case hour has both light and dark days.
    """
    H = floats("hours", hours)
    up, down = np.asarray(light, np.bool_), np.asarray(dark, np.bool_)
    if H.ndim != 3 or H.shape[:2] != up.shape or up.shape != down.shape:
        raise ShapeMismatchError(f"hours is {H.shape}, light {up.shape}, dark {down.shape}")
    reference = H[:, np.asarray(controls, dtype=np.int64)].sum(axis=1)
    above = np.zeros(H.shape[2])
    below = np.zeros(H.shape[2])
    for hour in np.asarray(cases, dtype=np.int64):
        both = np.isfinite(H[:, hour]) & np.isfinite(reference)
        on, off = both & up[:, hour, None], both & down[:, hour, None]
        a, c = summed(H[:, hour], on), summed(reference, on)
        b, d = summed(H[:, hour], off), summed(reference, off)
        n = a + b + c + d
        usable = on.any(axis=0) & off.any(axis=0)
        above += np.where(usable, a * d / n, 0.0)
        below += np.where(usable, b * c / n, 0.0)
    known = (above > 0) & (below > 0)
    return np.where(known, above / np.where(known, below, 1.0), np.nan)


def summed(values: Floats, mask: Bools) -> Floats:
    """Sum over marked days, half a person added so that no ratio is of nothing."""
    return np.asarray(np.where(mask, values, 0.0).sum(axis=0) + 0.5)


def change(
    hours: npt.ArrayLike,
    light: npt.ArrayLike,
    dark: npt.ArrayLike,
    treated: int,
    start: int,
    *,
    alpha: float = 0.05,
    against: str = "light",
    exclude: Sequence[int] = (),
) -> OddsChange:
    """Whether darkness deters less, or more, since an intervention; whole years on either side.

    Parameters
    ----------
    hours : float (n_days, 24, n_sites)
    light, dark : bool (n_days, 24)
    treated : int
    start : int
        First day after. The 364 days before it and the 364 from it on are used.
    alpha : float
    against : {"light", "dark"}
        Control hours that are always light (sharper), or always dark.
    exclude : sequence of int
        Sites that are no controls.

    Returns
    -------
    OddsChange
        A blunt tool: about +-22 % at best. The verdict on lighting is the evening-minus-day
        contrast of `analytics.before_after`; this describes.
    """
    H = floats("hours", hours)
    up, down = np.asarray(light, np.bool_), np.asarray(dark, np.bool_)
    if H.ndim != 3 or H.shape[:2] != up.shape or up.shape != down.shape:
        raise ShapeMismatchError(f"hours is {H.shape}, light {up.shape}, dark {down.shape}")
    if not (is_whole(treated) and is_whole(start)):
        raise BadArgumentError(f"treated {treated!r} and start {start!r} must be whole numbers")
    if np.isinf(H).any() or (H < 0).any():
        raise BadArgumentError("hours must be 0 or more, or NaN where missing")
    if not 0 <= treated < H.shape[2] or not 0 <= start <= len(H) or not 0 < alpha < 1:
        raise BadArgumentError(f"treated {treated}, start {start} or alpha {alpha} is outside")
    if against not in {"light", "dark"}:
        raise BadArgumentError(f'against must be "light" or "dark", not {against!r}')
    if start < YEAR_DAYS:
        return refused_change(DarkRefusal.HISTORY_TOO_SHORT)
    if len(H) - start < YEAR_DAYS:
        return refused_change(DarkRefusal.FOLLOWUP_TOO_SHORT)
    pre, post = slice(start - YEAR_DAYS, start), slice(start, start + YEAR_DAYS)
    whole = slice(pre.start, post.stop)
    cases = case_hours(up[whole], down[whole])
    controls = (
        control_hours(up[whole], around=NOON)
        if against == "light"
        else control_hours(down[whole], around=MIDNIGHT)
    )
    if not len(cases):
        return refused_change(DarkRefusal.NO_CASE_HOURS, controls=controls)
    if not len(controls):
        return refused_change(DarkRefusal.NO_CONTROL_HOURS, cases=cases)
    used = [*cases, *controls]
    present = np.minimum(*(np.isfinite(H[w][:, used]).mean(axis=(0, 1)) for w in (pre, post)))
    before, after = (odds_ratio(H[w], up[w], down[w], cases, controls) for w in (pre, post))
    theta = np.where(present >= MIN_PRESENT, np.log(after) - np.log(before), np.nan)
    if not np.isfinite(theta[treated]):
        return refused_change(DarkRefusal.DATA_GAP, cases=cases, controls=controls)
    others = [j for j in range(H.shape[2]) if j != treated and j not in exclude]
    placebo = theta[others][np.isfinite(theta[others])]
    if len(placebo) < MIN_CONTROLS:
        return refused_change(
            DarkRefusal.TOO_FEW_CONTROLS, cases=cases, controls=controls, n_controls=len(placebo)
        )
    shift, spread, df = against_placebos(float(theta[treated]), placebo)
    half = float(stdtrit(df, 1 - alpha / 2)) * spread
    return OddsChange(
        log_ratio=shift,
        low=shift - half,
        high=shift + half,
        p_value=float(2 * stdtr(df, -abs(shift) / max(spread, 1e-300))),
        before=float(before[treated]),
        after=float(after[treated]),
        n_controls=len(placebo),
        refused=None,
        cases=tuple(int(h) for h in cases),
        controls=tuple(int(h) for h in controls),
    )


def against_placebos(theta: float, placebo: Floats) -> tuple[float, float, int]:
    """Shift relative to the controls, its scale by leaving each of them out, degrees of freedom."""
    J = len(placebo)
    left_out = (placebo - placebo.mean()) * J / (J - 1)
    spread = float(np.sqrt(np.mean(left_out**2) * (1 + 1 / J)))
    return float(theta - placebo.mean()), spread, min(J, MAX_DF)


def refused_change(
    reason: DarkRefusal,
    *,
    cases: Hours | tuple[()] = (),
    controls: Hours | tuple[()] = (),
    n_controls: int = 0,
) -> OddsChange:
    """No answer, and why."""
    nan = float("nan")
    return OddsChange(
        log_ratio=nan,
        low=nan,
        high=nan,
        p_value=nan,
        before=nan,
        after=nan,
        n_controls=n_controls,
        refused=reason,
        cases=tuple(int(h) for h in cases),
        controls=tuple(int(h) for h in controls),
    )
