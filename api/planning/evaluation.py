"""Before/after evaluations of counts: a plan, its answer, and both as plain values."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.bands import BANDS, band_series, contrast_series, masked_band_series
from analytics.before_after import CONSTANTS_VERSION, Effect, EffectOptions, effect
from analytics.darkness import dark_at_midpoint
from analytics.side_by_side import effects_by_band, on_off_on, spill_over
from api.errors import BadInputError
from api.planning.counts import Counts, SiteQuality
from api.planning.plain_values import number, quality_json

__all__ = [
    "ASSUMPTIONS",
    "BandAnswer",
    "Evaluation",
    "EvaluationPlan",
    "band_hours",
    "band_matrix",
    "effect_json",
    "effect_options",
    "evaluate",
    "evaluation_json",
]

Floats = npt.NDArray[np.float64]

DEFAULT_BANDS = ("night", "day", "evening")
EVENING_CONTRAST = "evening_minus_day"


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
