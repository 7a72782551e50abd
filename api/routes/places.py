"""Pages for planners: where people pass, when places stand empty."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from api.assets import AssetKind
from api.auth import Needs, Principal, Role
from api.counts import Counts, counts_from_rows
from api.errors import NotFoundError
from api.footfall import activity_answer, heat_map, low_activity_for_site
from api.i18n import Words
from api.local_time import LocalTime
from api.routes.assets import visible
from api.routes.rendering import json_in_page, page, static, words_of
from api.services import ServiceDep, Services
from api.tables import Times
from ingest.reading import Flag, Quantity

router = APIRouter()
Planner = Annotated[
    Principal, Depends(Needs(Role.PLANNER, Role.OPERATOR, Role.TESTER, Role.ADMIN, page=True))
]
DAY_MS = 86_400_000
FOOTFALL = (Quantity.PEOPLE_COUNT, Quantity.PEOPLE_IN, Quantity.PEOPLE_OUT, Quantity.MOTION)


@dataclass(frozen=True, slots=True)
class Place:
    """A place where people are counted.

    Attributes
    ----------
    total : int or None
        Passages in the last seven days; None where nothing was counted.
    hours : int
        Hours of these seven days that were counted.
    """

    name: str
    slug: str
    devices: str
    total: int | None
    hours: int


def counters_by_site(services: Services, principal: Principal) -> dict[str, list[str]]:
    """The counters of each place this person may see."""
    found: dict[str, list[str]] = defaultdict(list)
    for asset in visible(services, principal):
        if asset.kind is AssetKind.COUNTER:
            found[asset.site or asset.device_id].append(asset.device_id)
    return dict(sorted(found.items()))


def counts_of(
    services: Services, sites: dict[str, list[str]], *, days: int
) -> Counts | None:
    """Hourly counts of the last days, ending with the last whole hour; None where there are none.

    A place's count is the sum over its counters of whatever they count: passages, or in and out.
    """
    stop_ms = services.clock.now_ms() // 3_600_000 * 3_600_000
    start_ms = stop_ms - days * DAY_MS
    site_of = {device: site for site, devices in sites.items() for device in devices}
    names: list[str] = []
    times, values, simulated = [], [], False
    for quantity in FOOTFALL[:3]:
        found = services.store.columns(
            quantity, start_ms=start_ms, stop_ms=stop_ms, devices=sorted(site_of)
        )
        names += [site_of[found.device_ids[d]] for d in found.device]
        times.append(found.time_ms // 1000)
        values.append(found.value)
        simulated = simulated or bool(np.any(found.flags & Flag.SIMULATED))
    seconds = np.concatenate(times)
    if not len(seconds):
        return None
    # One row an hour: what came within it, of all the place's counters, is one count.
    hour = seconds // 3600
    order = sorted(sites)
    site = np.array([order.index(name) for name in names], dtype=np.int64)
    cell, inverse = np.unique(np.column_stack([site, hour]), axis=0, return_inverse=True)
    total = np.bincount(inverse.ravel(), weights=np.concatenate(values))
    at = cell[:, 1] * 3600
    clock = LocalTime(services.zone, int(at.min()), int(at.max()))
    nothing = np.zeros(len(at), dtype=np.bool_)
    moments = Times(at, clock.to_wall(at), ~nothing, nothing, nothing, zoned=True)
    return counts_from_rows(
        [order[n] for n in cell[:, 0]], moments, total, zone=services.zone, step_s=3600
    )


def counted_places(services: Services, principal: Principal) -> list[Place]:
    """Every place with what was counted there in the last seven days."""
    sites = counters_by_site(services, principal)
    if not sites:
        return []
    counts = counts_of(services, sites, days=7)
    places: list[Place] = []
    for site, devices in sites.items():
        seen = (
            counts.hours[:, :, counts.column(site)]
            if counts is not None and counts.hours is not None and site in counts.sites
            else np.full((1, 24), np.nan)
        )
        hours = int(np.isfinite(seen).sum())
        total = round(float(np.nansum(seen))) if hours else None
        places.append(Place(site, quote(site, safe=""), ", ".join(devices), total, hours))
    return places


@router.get("/places")
def places(request: Request, services: ServiceDep, principal: Planner) -> Response:
    """Where people are counted, with last week's passages."""
    return page(
        request,
        "places.html",
        principal=principal,
        here="/places",
        places=counted_places(services, principal),
    )


@router.get("/places/{site:path}")
def place(
    request: Request,
    site: str,
    services: ServiceDep,
    principal: Planner,
    weeks: Annotated[int, Query(ge=1, le=52)] = 4,
) -> Response:
    """One place: when people pass, and which hours persistently stand empty."""
    words = words_of(request)
    sites = counters_by_site(services, principal)
    if site not in sites:
        raise NotFoundError(f"no place {site!r}.")
    counts = counts_of(services, {site: sites[site]}, days=7 * max(weeks, 8))
    heat: dict[str, Any] | None = None
    low: dict[str, Any] | None = None
    if counts is not None and counts.hours is not None:
        low = low_activity_for_site(activity_answer(counts, weeks=8, country="SE"), site)
        first = counts.last_day.toordinal() - 7 * weeks + 1
        begin = counts.first_day.fromordinal(max(first, counts.first_day.toordinal()))
        heat = heat_map(counts, site, country="SE", first=begin)
    return page(
        request,
        "place.html",
        principal=principal,
        here="/places",
        place=site,
        weeks=weeks,
        period=period_text(heat, words),
        heat=heat_rows(heat, low, words),
        scale=[colour_of(share / 6) for share in range(7)],
        low=low_lines(low, words),
        low_none=words.text("No hour of the week is persistently below the threshold.")
        if low and low["n_fits"]
        else words.text("At least four weeks of counts are needed to say."),
        method=method_text(low, words),
        series=series_of(counts, weeks, words),
        uplot=static("vendor/uplot-1.6.32/uPlot.iife.min.js"),
        uplot_css=static("vendor/uplot-1.6.32/uPlot.min.css"),
    )


def period_text(heat: dict[str, Any] | None, words: Words) -> str:
    """From when to when."""
    if heat is None:
        return words.text("Nothing has been counted yet.")
    text = words.text("%(first)s to %(last)s") % {"first": heat["first_day"], "last": heat["last_day"]}
    if heat["simulated"]:
        text += " · " + words.text("simulated counters")
    return text


# From pale to deep: one hue, so that it also reads in grey and with any colour vision.
PALE, DEEP = (234, 242, 242), (8, 62, 74)


def colour_of(share: float) -> str:
    """The colour of a share of the busiest hour."""
    parts = (round(a + (b - a) * share**0.7) for a, b in zip(PALE, DEEP, strict=True))
    return "#" + "".join(f"{part:02x}" for part in parts)


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2, definition of that name)."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def wants_light_text(colour: str) -> bool:
    """Whether white reads better than black on it; the better one is never below 4.58 : 1."""
    value = luminance(colour)
    return (1.05 / (value + 0.05)) > ((value + 0.05) / 0.05)


def heat_rows(
    heat: dict[str, Any] | None, low: dict[str, Any] | None, words: Words
) -> list[dict[str, Any]]:
    """The table: a row a weekday, a cell an hour, the number in every cell."""
    mean = heat["mean"] if heat else [[None] * 24 for _ in range(7)]
    most = max((v for row in mean for v in row if v is not None), default=0) or 1
    persistent = low["persistent"] if low and len(low["persistent"]) == 168 else [False] * 168
    rows: list[dict[str, Any]] = []
    for day, values in enumerate(mean):
        cells = [
            heat_cell(value, most, words, is_low=persistent[24 * day + hour])
            for hour, value in enumerate(values)
        ]
        rows.append({"day": words.weekday(day), "cells": cells})
    return rows


def heat_cell(
    value: float | None, most: float, words: Words, *, is_low: bool
) -> dict[str, Any]:
    """One hour of the week."""
    if value is None:
        return {"text": "–", "style": "", "classes": "none", "title": "", "low": False}
    colour = colour_of(value / most)
    classes = [name for name, on in (("light", wants_light_text(colour)), ("low", is_low)) if on]
    text = words.number(value, 1 if value < 9.95 else 0)
    return {
        "text": text,
        "style": f"background:{colour}",
        "classes": " ".join(classes),
        "title": "",
        "low": is_low,
    }


def low_lines(low: dict[str, Any] | None, words: Words) -> list[str]:
    """Low hours as a person says them."""
    if low is None:
        return []
    days = dict(zip(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), range(7), strict=True))
    lines: list[str] = []
    for span in low["low_spans"]:
        names = ", ".join(words.weekday(days[name]) for name in span["days"])
        lines.append(f"{names}: {span['from']:02d}–{span['to']:02d}")
    return lines


def method_text(low: dict[str, Any] | None, words: Words) -> str:
    """Below what an hour counts as low here."""
    if low is None or low["threshold"] is None:
        return ""
    text = words.text("Low is an expected count below %s people an hour at this place.")
    return text % words.number(low["threshold"], 1)


def series_of(counts: Counts | None, weeks: int, words: Words) -> object:
    """Hour by hour, for the chart; None leaves it out."""
    if counts is None or counts.hours is None:
        return ""
    hours = counts.hours[-7 * weeks :, :, 0].ravel()
    starts = counts.hour_starts_s()[-7 * weeks :].ravel()
    values = [None if np.isnan(v) else round(float(v), 2) for v in hours]
    return json_in_page(
        {
            "t": starts.tolist(),
            "v": values,
            "label": words.text("passages an hour"),
            "zone": counts.zone.key,
        }
    )
