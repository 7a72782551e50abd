"""How true the low-activity probabilities are: fitted on eight weeks, judged on the next eight.

A part of `tools/quality_footfall.py`; the models that lost stand beside the one that is used.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, gammainc

from analytics.activity import (
    MIN_WEEKS,
    CellFit,
    fit_cells,
    fold_into_weeks,
    low_activity,
    probability_below,
    probability_of_no_burst,
)
from api.planning.counts import Counts
from api.planning.holiday_calendar import classes_of

RULES = (("20 an hour", 20.0, np.inf), ("10 % of p90", np.inf, 0.1))
DRAWS = 60
SEEN = ["F1 at P ≥ .5", "precision at P ≥ .975", "recall there", "ECE"]
HEADER = ["data", "low is below", "cells", "share low", *SEEN, "cover, next 8-week mean",
          "cover, single hour", "Poisson: mean", "Poisson: hour"]  # fmt: skip
TRIED_HEADER = ["data", "low is below", "model", *SEEN, "log loss"]
USED = "used: drift of a quarter, bursts"


@dataclass
class Draws:
    """Cells of random eight weeks with the mean of the eight weeks after."""

    p: np.ndarray
    truth: np.ndarray
    mean_cover: float
    hour_cover: float
    poisson_mean_cover: float
    poisson_hour_cover: float
    tried: dict[str, np.ndarray]


def activity_draws(
    counts: Counts, country: str, absolute: float, relative: float, n: int, seed: int
) -> Draws:
    """Fit on eight weeks, look at the next eight, at every site with enough hours in both."""
    rng = np.random.default_rng(seed)
    hours = counts.hourly
    classes = classes_of(counts.first_day, counts.n_days, country).astype(np.int64)
    p, truth = [], []
    tried: dict[str, list[np.ndarray]] = {}
    covered = {key: [0, 0] for key in ("mean", "hour", "poisson mean", "poisson hour")}

    def count(key: str, inside: np.ndarray) -> None:
        covered[key][0] += int(inside.sum())
        covered[key][1] += int(inside.size)

    for _ in range(n):
        start = int(rng.integers(0, len(hours) - 112))
        train, later = hours[start : start + 56], hours[start + 56 : start + 112]
        days, days_after = classes[start : start + 56], classes[start + 56 : start + 112]
        share = np.minimum(*(np.isfinite(b).mean(axis=(0, 1)) for b in (train, later)))
        sites = np.flatnonzero(share >= 0.6)
        if not len(sites):
            continue
        train, later = train[:, :, sites], later[:, :, sites]
        fit = low_activity(train, day_class=days, absolute=absolute, relative=relative)
        weeks = fold_into_weeks(train, days)
        cell = fit_cells(weeks)
        after = fold_into_weeks(later, days_after)
        n_after = np.isfinite(after).sum(axis=0)
        total = np.where(np.isfinite(after), after, 0).sum(axis=0)
        future = total / np.maximum(n_after, 1)
        ok = np.isfinite(fit.p_low) & (n_after >= MIN_WEEKS)
        p.append(fit.p_low[ok])
        truth.append((future < fit.threshold)[ok])
        for name, other in other_models(weeks, cell, fit.threshold).items():
            tried.setdefault(name, []).append(other[ok])
        shape = cell.mean**2 / cell.mean_variance
        at = gammainc(shape, future * cell.mean / cell.mean_variance)
        count("mean", ((at >= 0.025) & (at <= 0.975))[ok])
        size = cell.mean**2 / np.maximum(cell.hour_variance - cell.mean, 1e-9)
        prob = size / (size + cell.mean)
        for week in after:
            seen = ok & np.isfinite(week)
            k = np.where(seen, week, 0)
            upper = betainc(size, k + 1, prob)
            lower = np.where(k > 0, betainc(size, np.maximum(k, 1), prob), 0.0)
            count("hour", ((upper >= 0.025) & (lower <= 0.975))[seen])
            # Gamma-Poisson: the mean known from the sum of the weeks, nothing else varies.
            a = np.where(np.isfinite(weeks), weeks, 0).sum(axis=0) + 0.5
            q = cell.n / (cell.n + 1)
            upper = betainc(a, k + 1, q)
            lower = np.where(k > 0, betainc(a, np.maximum(k, 1), q), 0.0)
            count("poisson hour", ((upper >= 0.025) & (lower <= 0.975))[seen])
        a = np.where(np.isfinite(weeks), weeks, 0).sum(axis=0) + 0.5
        q = cell.n / (cell.n + np.maximum(n_after, 1))
        upper = betainc(a, total + 1, q)
        lower = np.where(total > 0, betainc(a, np.maximum(total, 1), q), 0.0)
        count("poisson mean", ((upper >= 0.025) & (lower <= 0.975))[ok])
    share_of = {key: inside / max(all_, 1) for key, (inside, all_) in covered.items()}
    return Draws(
        np.concatenate(p),
        np.concatenate(truth),
        share_of["mean"],
        share_of["hour"],
        share_of["poisson mean"],
        share_of["poisson hour"],
        {name: np.concatenate(parts) for name, parts in tried.items()},
    )


def other_models(weeks: np.ndarray, fit: CellFit, threshold: np.ndarray) -> dict[str, np.ndarray]:
    """P_low by the models that were tried and are not used."""
    calm = probability_of_no_burst(weeks, fit, threshold)
    with np.errstate(invalid="ignore"):
        share = np.clip(0.7 * fit.mean**-0.2, 0.05, 0.7)
    variance = fit.mean_variance + (share**2 - 0.25**2) * fit.mean**2
    restless = CellFit(fit.mean, fit.n, variance, fit.hour_variance, fit.dispersion)
    return {
        "drift of a quarter alone": probability_below(fit, threshold),
        "drift that grows as a cell empties": probability_below(restless, threshold),
        "the same, and bursts": probability_below(restless, threshold) * calm,
    }


def seen(p: np.ndarray, low: np.ndarray) -> list[str]:
    """F1, precision and recall where sure, and the gap between stated and observed probability."""
    said, sure = p >= 0.5, p >= 0.975
    bins = np.minimum((p * 10).astype(int), 9)
    ece = sum(
        (bins == b).mean() * abs(p[bins == b].mean() - low[bins == b].mean())
        for b in range(10)
        if (bins == b).any()
    )
    return [
        f"{2 * (said & low).sum() / (said.sum() + low.sum()):.3f}",
        f"{low[sure].mean():.3f}" if sure.any() else "–",
        f"{(sure & low).sum() / low.sum():.3f}",
        f"{ece:.3f}",
    ]


def activity_row(name: str, rule: str, draws: Draws) -> list[str]:
    """Precision, recall and calibration of one threshold rule."""
    covers = (draws.mean_cover, draws.hour_cover, draws.poisson_mean_cover)
    return [
        name,
        rule,
        f"{len(draws.p):,}",
        f"{draws.truth.mean():.3f}",
        *seen(draws.p, draws.truth),
        *(f"{cover:.3f}" for cover in (*covers, draws.poisson_hour_cover)),
    ]


def tried_rows(name: str, rule: str, draws: Draws) -> list[list[str]]:
    """The model that is used and the ones that lost, on the same draws."""
    rows = []
    for model, p in {USED: draws.p, **draws.tried}.items():
        held = np.clip(p, 1e-6, 1 - 1e-6)
        loss = -np.where(draws.truth, np.log(held), np.log(1 - held)).mean()
        rows.append([name, rule, model, *seen(p, draws.truth), f"{loss:.4f}"])
    return rows


def measured(melbourne: Counts, leeds: Counts, seed: int) -> tuple[list[list[str]], ...]:
    """Rows of the model that is used, and of all that were tried."""
    used, tried = [], []
    for name, counts, country in (
        ("Melbourne", melbourne, "none"),
        ("Leeds, British holidays as Sundays (the default there)", leeds, "GB"),
        ("Leeds, no holidays", leeds, "none"),
    ):
        for rule, absolute, relative in RULES:
            draws = activity_draws(counts, country, absolute, relative, DRAWS, seed)
            used.append(activity_row(name, rule, draws))
            if country != "none" or counts is melbourne:
                tried += tried_rows(name.split(",")[0], rule, draws)
    return used, tried
