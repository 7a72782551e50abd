"""Low hours and heat maps of places, from counts; for commands and pages."""

from collections.abc import Sequence
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
from analytics.darkness import dark_at_midpoint
from analytics.errors import AnalyticsError
from api.errors import BadInputError
from api.planning.counts import Counts, SiteQuality
from api.planning.holiday_calendar import classes_of
from api.planning.plain_values import number, numbers, quality_json

__all__ = [
    "WEEKDAYS_EN",
    "WEEKDAYS_SV",
    "ActivityAnswer",
    "activity_answer",
    "activity_json",
    "heat_map",
    "low_activity_for_site",
    "low_spans",
]

Floats = npt.NDArray[np.float64]

WEEKDAYS_EN = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEEKDAYS_SV = ("mån", "tis", "ons", "tor", "fre", "lör", "sön")
ACTIVITY_VERSION = "2026-11: window 56 days, drift 0.25, prior 8 weeks, cut at 4 MAD"


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
