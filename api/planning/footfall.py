"""Planners' answers from counts: low hours, heat maps, evaluations; for commands and pages."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.activity import (
    ABSOLUTE_THRESHOLD,
    RELATIVE_THRESHOLD,
    LowActivity,
    State,
    dark_and_empty,
    fold_into_weeks,
    low_activity,
)
from analytics.before_after import (
    BANDS,
    CONSTANTS_VERSION,
    Effect,
    EffectOptions,
    band_series,
    contrast_series,
    effect,
    effects_by_band,
    masked_band_series,
    on_off_on,
    spill_over,
)
from analytics.darkness import dark_at_midpoint
from analytics.errors import AnalyticsError
from api.errors import BadInputError
from api.planning.counts import Counts, SiteQuality
from api.planning.holiday_calendar import classes_of

__all__ = [
    "ActivityAnswer",
    "BandAnswer",
    "Evaluation",
    "EvaluationPlan",
    "activity_answer",
    "activity_json",
    "band_hours",
    "band_matrix",
    "effect_json",
    "effect_options",
    "evaluate",
    "evaluation_json",
    "heat_map",
    "low_activity_for_site",
    "low_spans",
    "number",
    "numbers",
]

Floats = npt.NDArray[np.float64]

WEEKDAYS_EN = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEEKDAYS_SV = ("mån", "tis", "ons", "tor", "fre", "lör", "sön")
ACTIVITY_VERSION = "2026-11: window 56 days, drift 0.25, prior 8 weeks, cut at 4 MAD"
DEFAULT_BANDS = ("night", "day", "evening")
EVENING_CONTRAST = "evening_minus_day"


@dataclass(frozen=True, slots=True)
class ActivityAnswer:
    """Low activity at every site of a table.

    Attributes
    ----------
    counts : Counts
        With faults left out, as fitted.
    fit : LowActivity
        168 cells an hour wide, or 7 a day wide for daily counts.
    first_day, last_day : date
        Of the window that was fitted.
    country : str
        Whose holidays followed other weekdays.
    dark_hours, dark_and_empty_hours : float64 (n_weeks, n_sites) or None
        By ISO week of the window; None without a position.
    iso_weeks : list of str
        Such as 2026-W07.
    """

    counts: Counts
    fit: LowActivity
    first_day: date
    last_day: date
    country: str
    dark_hours: Floats | None = None
    dark_and_empty_hours: Floats | None = None
    iso_weeks: Sequence[str] = ()

    @property
    def daily(self) -> bool:
        """Whether cells are days."""
        return self.counts.hours is None


def activity_answer(
    counts: Counts,
    *,
    country: str = "none",
    weeks: int = 8,
    until: date | None = None,
    absolute: float = ABSOLUTE_THRESHOLD,
    relative: float = RELATIVE_THRESHOLD,
    position: tuple[float, float] | None = None,
) -> ActivityAnswer:
    """Judge the last weeks of every site.

    Parameters
    ----------
    counts : Counts
    country : str
        Whose holidays and eves follow other weekdays; "none" for no one's.
    weeks : int
        4 or more.
    until : date, optional
        Last day of the window; the last day of the counts without it.
    absolute : float
        People an hour (a day is 24 of them) below which activity is low everywhere.
    relative : float
        Share of the site's busy hours below which it is low.
    position : (float, float), optional
        Latitude and longitude, for dark-and-empty hours.
    """
    last = min(until or counts.last_day, counts.last_day)
    n_days = counts.row(last) + 1
    if n_days < 1:
        raise BadInputError(f"there are no counts by {last}.")
    if weeks < 4:
        raise BadInputError(f"{weeks} weeks are too few.", remedy="Four are the least.")
    if not (absolute >= 0 and relative >= 0):  # a NaN is not either
        raise BadInputError(
            f"nothing is below {absolute:g} people, or {relative:g} of the busy hours.",
            remedy="Give 0 or more.",
        )
    blocks = counts.days[:n_days, None] if counts.hours is None else counts.hours[:n_days]
    classes = classes_of(counts.first_day, n_days, country)
    per_day = blocks.shape[1]
    try:
        fit = low_activity(
            blocks,
            day_class=classes[:, :per_day],
            absolute=absolute * 24 / per_day,
            relative=relative,
            window_days=7 * weeks,
        )
    except AnalyticsError as error:
        raise BadInputError(f"{error}.", remedy="Look at the numbers given.") from error
    first = max(last - timedelta(days=7 * weeks - 1), counts.first_day)
    answer = ActivityAnswer(counts, fit, first, last, country)
    if position is None or counts.hours is None:
        return answer
    return with_darkness(answer, classes, position)


def with_darkness(
    answer: ActivityAnswer, classes: npt.NDArray[np.int8], position: tuple[float, float]
) -> ActivityAnswer:
    """The same answer with dark and dark-and-empty hours by ISO week of the window."""
    counts = answer.counts
    rows = slice(counts.row(answer.first_day), counts.row(answer.last_day) + 1)
    dark = dark_at_midpoint(counts.hour_starts_s()[rows], *position)
    empty = dark_and_empty(answer.fit.p_low, classes[rows], dark)
    days = [answer.first_day + timedelta(days=i) for i in range(len(dark))]
    names = [f"{d.isocalendar().year}-W{d.isocalendar().week:02}" for d in days]
    weeks = list(dict.fromkeys(names))
    of_week = np.array([weeks.index(name) for name in names])
    n_sites = len(counts.sites)
    dark_hours = np.bincount(of_week, weights=dark.sum(axis=1), minlength=len(weeks))
    empty_hours = np.zeros((len(weeks), n_sites))
    np.add.at(empty_hours, of_week, empty.sum(axis=1))
    unknown = ~np.isfinite(answer.fit.p_low).any(axis=0)
    empty_hours[:, unknown] = np.nan
    return replace(
        answer,
        dark_hours=np.repeat(dark_hours[:, None], n_sites, axis=1),
        dark_and_empty_hours=empty_hours,
        iso_weeks=weeks,
    )


def low_activity_for_site(answer: ActivityAnswer, site: str) -> dict[str, Any]:
    """One site's answer as plain values; see `docs/footfall.md` for every key."""
    fit, i = answer.fit, answer.counts.column(site)
    state = fit.state[:, i]
    found: dict[str, Any] = {
        "site": answer.counts.sites[i],
        "threshold": number(fit.threshold[i]),
        "share_present": number(fit.share_present[i]),
        "n_fits": fit.n_fits,
        "states": {s.name.lower(): int((state == s).sum()) for s in State},
        "persistent_cells": int(fit.persistent[:, i].sum()),
        "low_spans": low_spans(state >= State.PROBABLE),
        "expected": numbers(fit.expected[:, i]),
        "p_low": numbers(fit.p_low[:, i]),
        "state": [State(int(s)).name.lower() for s in state],
        "persistent": fit.persistent[:, i].tolist(),
        "weeks": fit.n_weeks[:, i].tolist(),
        "quality": quality_json(answer.counts.quality.get(site, SiteQuality()), answer.counts),
    }
    if answer.dark_and_empty_hours is not None and answer.dark_hours is not None:
        found["dark_and_empty"] = [
            {"week": week, "dark_hours": number(dark), "dark_and_empty_hours": number(empty)}
            for week, dark, empty in zip(
                answer.iso_weeks,
                answer.dark_hours[:, i],
                answer.dark_and_empty_hours[:, i],
                strict=True,
            )
        ]
    return found


def activity_json(answer: ActivityAnswer) -> dict[str, Any]:
    """The whole answer as plain values."""
    counts = answer.counts
    return {
        "kind": "activity",
        "method": ACTIVITY_VERSION,
        "time_zone": counts.zone.key,
        "holidays": answer.country,
        "cells": "days" if answer.daily else "hours",
        "first_cell": "Monday" if answer.daily else "Monday 00-01",
        "window": {"first_day": str(answer.first_day), "last_day": str(answer.last_day)},
        "counts": {
            "first_day": str(counts.first_day),
            "last_day": str(counts.last_day),
            "step_s": counts.step_s,
            "rows_without_site": counts.rows_without_site,
            "simulated": counts.simulated,
        },
        "sites": [low_activity_for_site(answer, site) for site in counts.sites],
    }


def heat_map(
    counts: Counts,
    site: str,
    *,
    country: str = "none",
    first: date | None = None,
    last: date | None = None,
) -> dict[str, Any]:
    """Mean count of every hour of the week at one site, for a picture.

    Returns
    -------
    dict
        `mean` and `weeks`: 7 rows (Monday first) of 24 hours; None where nothing was counted.
        Right on days of 23 and 25 hours, because hours are those of the wall clock.
    """
    if counts.hours is None:
        raise BadInputError("daily counts have no hours to show.", remedy="Give hourly counts.")
    i = counts.column(site)
    start = max(counts.row(first) if first else 0, 0)
    stop = min(counts.row(last) + 1 if last else counts.n_days, counts.n_days)
    if stop <= start:
        raise BadInputError("there are no counts in that period.")
    classes = classes_of(counts.first_day, counts.n_days, country)[start:stop]
    weeks = fold_into_weeks(counts.hours[start:stop, :, i : i + 1], classes.astype(np.int64))
    n = np.isfinite(weeks).sum(axis=0)[:, 0]
    total = np.where(np.isfinite(weeks), weeks, 0.0).sum(axis=0)[:, 0]
    mean = np.where(n > 0, total / np.maximum(n, 1), np.nan).reshape(7, 24)
    return {
        "site": counts.sites[i],
        "first_day": str(counts.first_day + timedelta(days=start)),
        "last_day": str(counts.first_day + timedelta(days=stop - 1)),
        "time_zone": counts.zone.key,
        "simulated": counts.simulated,
        "mean": [numbers(row) for row in mean],
        "weeks": n.reshape(7, 24).tolist(),
    }


def low_spans(
    low: npt.NDArray[np.bool_], weekdays: Sequence[str] = WEEKDAYS_EN
) -> list[dict[str, Any]]:
    """Hours of the week as a person says them: the same hours on several days are one span."""
    per_day = len(low) // 7
    if per_day == 1:
        return [{"days": [weekdays[d]], "from": 0, "to": 24} for d in range(7) if low[d]]
    table = low.reshape(7, 24)
    by_hours: dict[tuple[int, int], list[str]] = {}
    for day in range(7):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], table[day].astype(np.int8), [0]])))
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            by_hours.setdefault((begin, end), []).append(weekdays[day])
    return [{"days": days, "from": a, "to": b} for (a, b), days in sorted(by_hours.items())]


def quality_json(quality: SiteQuality, counts: Counts) -> dict[str, Any]:
    """What was found in a site's rows, with what was done about it."""
    unit = "days" if counts.hours is None else "hours"
    return {
        "rows": quality.rows,
        "repeated_rows": quality.repeated_rows,
        "conflicting_rows": quality.conflicting_rows,
        "empty_rows": quality.empty_rows,
        "impossible_rows": quality.impossible_rows,
        "skipped_hour_rows": quality.skipped_hour_rows,
        "lone_repeated_rows": quality.lone_repeated_rows,
        "repeated_hours": quality.repeated_hours,
        f"{unit}_expected": quality.steps_expected,
        f"{unit}_present": quality.steps_present,
        f"{unit}_missing": quality.steps_missing,
        "dead_hours": quality.dead,
        "stuck_hours": quality.stuck,
        "impossible_peaks": quality.peak,
        "unexplained_falls": quality.fell,
        "level_shift_day": None if quality.shift_day is None else str(quality.shift_day),
        "level_shift_percent": number(quality.shift_percent),
    }


def number(value: object) -> float | None:
    """A number for JSON: None where it is not known."""
    if value is None:
        return None
    plain = float(value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # numpy scalar or float
    return None if math.isnan(plain) else round(plain, 6)


def numbers(values: npt.ArrayLike) -> list[float | None]:
    """Numbers for JSON."""
    return [number(v) for v in np.asarray(values, dtype=np.float64).tolist()]


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What is to be evaluated.

    Attributes
    ----------
    sites : tuple of str
        Treated; several are pooled.
    start : date
        First day of the intervention.
    before_days, after_days : int
        At most this many are used, whole weeks.
    band : str
        Name in `BANDS`, "dark", or hours such as "18-24"; the one the headline is about. Empty:
        evening for hourly counts, the whole day for daily ones.
    controls : tuple of str or None
        Candidates; all other sites without it.
    exclude, near, also_treated : tuple of str
        Never controls: by the planner's word, in the influence zone (tested for spill-over), with
        an intervention of their own.
    device_changes : tuple of (str, date)
    lighting_failed : (float, float)
        Share of dark hours with faulty lighting, before and after.
    stop : date or None
        Day on which a temporary test was switched off again.
    position : (float, float) or None
        For the dark hours.
    alpha : float
    """

    sites: tuple[str, ...]
    start: date
    before_days: int = 364
    after_days: int = 56
    band: str = ""
    controls: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    also_treated: tuple[str, ...] = ()
    device_changes: tuple[tuple[str, date], ...] = ()
    lighting_failed: tuple[float, float] = (0.0, 0.0)
    stop: date | None = None
    position: tuple[float, float] | None = None
    alpha: float = 0.05


@dataclass(frozen=True, slots=True)
class BandAnswer:
    """One band's effect.

    Attributes
    ----------
    band : str
    hours : str
        Such as "18-24"; empty for dark hours and the contrast.
    effect : Effect
        Its verdict is taken from `p_holm`.
    p_holm : float
        Adjusted for all the bands side by side; the contrast is apart and not adjusted.
    """

    band: str
    hours: str
    effect: Effect
    p_holm: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A plan answered.

    Attributes
    ----------
    plan : EvaluationPlan
    counts : Counts
    headline : str
        Band the plan asked about; its answer is the first of `bands`.
    bands : list of BandAnswer
    contrast : BandAnswer or None
        Evening minus day.
    spill_over : dict of str to Effect
        Sites in the influence zone.
    off : Effect or None
        B to A of a temporary test, in the headline band.
    opposed : bool
        Whether on and off moved opposite ways.
    data_sha256 : str
        Of the counts the bands were computed from.
    """

    plan: EvaluationPlan
    counts: Counts
    headline: str
    bands: list[BandAnswer]
    contrast: BandAnswer | None
    spill_over: dict[str, Effect]
    off: Effect | None
    opposed: bool
    data_sha256: str

    @property
    def main(self) -> BandAnswer:
        """The headline band's answer."""
        return self.bands[0]

    def names(self, columns: Sequence[int]) -> list[str]:
        """Sites by their columns."""
        return [self.counts.sites[c] for c in columns]


def evaluate(counts: Counts, plan: EvaluationPlan) -> Evaluation:
    """Answer a plan: every band side by side, the contrast, the spill-over, the way back.

    Raises
    ------
    BadInputError
        For sites, dates or bands that do not exist. Data that cannot carry an answer is no error:
        the effect says `refused` and why.
    """
    treated = [counts.column(site) for site in plan.sites]
    if not treated:
        raise BadInputError("no site is named.", remedy="Give --site NAME.")
    first = counts.row(plan.start)
    if not 0 <= first <= counts.n_days:
        raise BadInputError(
            f"{plan.start} is outside the counts.",
            remedy=f"They run from {counts.first_day} to {counts.last_day}.",
        )
    stop_row = None if plan.stop is None else counts.row(plan.stop)
    if stop_row is not None and not first < stop_row <= counts.n_days:
        raise BadInputError(f"{plan.stop} is not after {plan.start} and inside the counts.")
    end = min(first + plan.after_days, counts.n_days if stop_row is None else stop_row)
    begin = max(first - plan.before_days, 0)
    window = slice(begin, end)
    series = band_matrix(counts, plan)
    options = effect_options(counts, plan, begin)
    cut = {name: block[window] for name, (_, block) in series.items() if name != EVENING_CONTRAST}
    found = effects_by_band(cut, treated, first - begin, alpha=plan.alpha, **options)
    headline = next(iter(cut))
    bands = [BandAnswer(name, series[name][0], one, p) for name, (one, p) in found.items()]
    contrast = None
    if EVENING_CONTRAST in series:
        block = series[EVENING_CONTRAST][1][window]
        one = effect(block, treated, first - begin, alpha=plan.alpha, **options)
        contrast = BandAnswer(EVENING_CONTRAST, "", one, one.p_value)
    around = {
        counts.sites[site]: one
        for site, one in spill_over(
            cut[headline],
            treated,
            first - begin,
            [counts.column(s) for s in plan.near],
            alpha=plan.alpha,
            **options,
        ).items()
    }
    off, opposed = None, False
    if stop_row is not None:
        whole = series[headline][1][begin : min(stop_row + plan.after_days, counts.n_days)]
        on_row, off_row = first - begin, stop_row - begin
        _, off, opposed = on_off_on(whole, treated, on_row, off_row, alpha=plan.alpha, **options)
    return Evaluation(
        plan, counts, headline, bands, contrast, around, off, opposed, fingerprint(cut, counts)
    )


def band_matrix(counts: Counts, plan: EvaluationPlan) -> dict[str, tuple[str, Floats]]:
    """Daily series of every band, the asked one first, as (hours in words, matrix)."""
    if counts.hours is None:
        if plan.band not in {"", "all_day"}:
            raise BadInputError(
                f"daily counts cannot be judged in the band {plan.band!r}.",
                remedy="Leave --band out, or give hourly counts.",
            )
        return {"all_day": ("0-24", counts.days)}
    asked = plan.band or "evening"
    found: dict[str, tuple[str, Floats]] = {}
    for name in dict.fromkeys((asked, *DEFAULT_BANDS)):
        if name != "dark":
            start, stop = band_hours(name)
            if f"{start}-{stop}" in {hours for hours, _ in found.values()}:
                continue  # the asked hours by another name: judged twice, each verdict would pay
            found[name] = (f"{start}-{stop}", band_series(counts.hours, start, stop))
        elif plan.position is None:
            raise BadInputError(
                "the dark hours need a place.", remedy="Give --lat and --lon, or --locations."
            )
    if plan.position is not None:
        dark = dark_at_midpoint(counts.hour_starts_s(), *plan.position)
        found["dark"] = ("", masked_band_series(counts.hours, dark))
        if asked == "dark":
            found = {"dark": found.pop("dark"), **found}
    found[EVENING_CONTRAST] = ("", contrast_series(counts.hours))
    return found


def band_hours(name: str) -> tuple[int, int]:
    """Hours of a band by its name, or written as 18-24."""
    if name in BANDS:
        return BANDS[name]
    try:
        start, stop = (int(part) for part in name.replace(":00", "").split("-"))
    except ValueError as error:
        raise BadInputError(
            f"{name!r} is not a band.",
            remedy=f"Write hours such as 18-24, or one of {', '.join([*BANDS, 'dark'])}.",
        ) from error
    if not (0 <= start < 24 and 0 < stop <= 24 and start != stop):
        raise BadInputError(f"{name!r} is not a band of hours within 0-24.")
    return start, stop


def effect_options(counts: Counts, plan: EvaluationPlan, begin: int) -> EffectOptions:
    """The plan in columns and rows."""
    columns = {
        "exclude": [counts.column(s) for s in plan.exclude],
        "near": [counts.column(s) for s in plan.near],
        "also": [counts.column(s) for s in plan.also_treated],
    }
    return EffectOptions(
        controls=None if plan.controls is None else [counts.column(s) for s in plan.controls],
        exclude=columns["exclude"],
        nearby=columns["near"],
        also_treated=columns["also"],
        device_changes=[(counts.column(s), counts.row(d) - begin) for s, d in plan.device_changes],
        lighting_failed=plan.lighting_failed,
        max_pre_days=max(plan.before_days // 7 * 7, 56),
    )


def fingerprint(series: Mapping[str, Floats], counts: Counts) -> str:
    """SHA-256 of everything the bands were computed from: a frozen result can be proved."""
    digest = hashlib.sha256("\n".join(counts.sites).encode())
    for name, block in series.items():
        digest.update(f"{name}{block.shape}".encode())
        digest.update(np.ascontiguousarray(block, dtype="<f8").tobytes())
    return digest.hexdigest()


def effect_json(one: Effect, names: Sequence[str], first_day: date) -> dict[str, Any]:
    """An effect as plain values; `names` are the sites by column."""
    change, low, high = one.percent
    fall, rise = one.minimum_detectable_percent
    start = first_day + timedelta(days=one.n_pre)
    return {
        "refused": one.refused,
        "verdict": one.verdict,
        "percent": number(change),
        "low_percent": number(low),
        "high_percent": number(high),
        "log_ratio": number(one.log_ratio),
        "low": number(one.low),
        "high": number(one.high),
        "alpha": one.alpha,
        "p_value": number(one.p_value),
        "placebo_p": number(one.placebo_p),
        "degrees_of_freedom": one.degrees_of_freedom,
        "minimum_detectable": number(one.minimum_detectable),
        "minimum_detectable_percent": [number(fall), number(rise)],
        "prefit_rmse": number(one.prefit_rmse),
        "prefit_rmse_controls": number(one.prefit_rmse_controls),
        "share_missing": number(one.share_missing),
        "n_controls": one.n_controls,
        "controls": [names[c] for c in one.controls],
        "excluded": [{"site": names[c], "reason": why} for c, why in one.excluded],
        "warnings": [named_warning(w, names) for w in one.warnings],
        "before": {"first_day": str(first_day), "days": one.n_pre},
        "after": {
            "first_day": str(start),
            "last_day": str(start + timedelta(days=max(one.n_post - 1, 0))),
            "days": one.n_post,
        },
    }


def named_warning(warning: str, names: Sequence[str]) -> str:
    """A warning with the site's name in place of its column."""
    kind, _, column = warning.partition(":")
    return f"{kind}:{names[int(column)]}" if column else kind


def evaluation_json(found: Evaluation) -> dict[str, Any]:
    """A whole evaluation as plain values; see `docs/footfall.md` for every key."""
    counts, plan = found.counts, found.plan
    begin = max(counts.row(plan.start) - plan.before_days, 0)

    def as_json(one: Effect, offset: int = begin) -> dict[str, Any]:
        first = counts.first_day + timedelta(days=offset + one.first_row)
        return effect_json(one, counts.sites, first)

    judged = {*plan.sites, *found.names(found.main.effect.controls), *plan.near}
    return {
        "kind": "evaluation",
        "method": CONSTANTS_VERSION,
        "sites": list(plan.sites),
        "start": str(plan.start),
        "stop": None if plan.stop is None else str(plan.stop),
        "time_zone": counts.zone.key,
        "simulated": counts.simulated,
        "headline": found.headline,
        "lighting_failed": {
            "before": number(plan.lighting_failed[0]),
            "after": number(plan.lighting_failed[1]),
        },
        "result": as_json(found.main.effect),
        "bands": [
            {
                "band": b.band,
                "hours": b.hours,
                "p_holm": number(b.p_holm),
                **as_json(b.effect),
            }
            for b in found.bands
        ],
        "multiplicity": (
            "Verdicts use Holm's p over the bands side by side; intervals are each band's own."
        ),
        "evening_minus_day": None if found.contrast is None else as_json(found.contrast.effect),
        "spill_over": {site: as_json(one) for site, one in found.spill_over.items()},
        "off": None if found.off is None else as_json(found.off, counts.row(plan.start)),
        "on_and_off_opposed": found.opposed if plan.stop is not None else None,
        "quality": {
            site: quality_json(counts.quality.get(site, SiteQuality()), counts)
            for site in counts.sites
            if site in judged
        },
        "assumptions": list(ASSUMPTIONS["en"]),
        "data_sha256": found.data_sha256,
    }


ASSUMPTIONS = {
    "en": (
        "People did not merely move between the treated site and its controls.",
        "Nothing else changed at the site at the same time.",
        "The same counter, in the same position, all through.",
        "The effect is the mean over the period after the start.",
    ),
    "sv": (
        "Människor flyttade inte bara mellan platsen och dess jämförelseplatser.",
        "Inget annat ändrades på platsen samtidigt.",
        "Samma mätare, på samma ställe, hela tiden.",
        "Effekten är medelvärdet över perioden efter starten.",
    ),
}
