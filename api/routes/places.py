"""Pages for planners: where people pass, when places stand empty."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from api.assets import Asset, AssetKind
from api.auth import Needs, Principal, Role
from api.errors import NotFoundError
from api.i18n import Words
from api.planning.activity import activity_answer, heat_map, low_activity_for_site
from api.planning.counts import Counts
from api.planning.holiday_calendar import country_of
from api.planning.stored_counts import counters_by_site, stored_counts
from api.routes.assets import visible
from api.routes.rendering import json_in_page, page, static, words_of
from api.services import ServiceDep, Services

router = APIRouter()
Planner = Annotated[
    Principal, Depends(Needs(Role.PLANNER, Role.OPERATOR, Role.TESTER, Role.ADMIN, page=True))
]
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
HEAT_WEEKS = 4
# Whole hours are shown, so that minutes later is soon enough to look into the store again.
COUNTED_EVERY_MS = 5 * 60_000


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


def visible_counters(services: Services, principal: Principal) -> list[Asset]:
    """The counters this person may see."""
    return [a for a in visible(services, principal) if a.kind is AssetKind.COUNTER]


def counts_of(services: Services, counters: list[Asset], *, days: int) -> Counts | None:
    """Hourly counts of the last days up to now; None where nothing was counted."""
    now_ms = services.clock.now_ms()
    return stored_counts(
        services.store,
        counters,
        zone=services.zone,
        start_ms=now_ms - days * DAY_MS,
        stop_ms=now_ms // HOUR_MS * HOUR_MS + 1,
    )


def counted_places(services: Services, principal: Principal) -> list[Place]:
    """Every place with what was counted there in the last seven days."""
    found: list[Place] = services.answers.get(
        ("places", principal.areas),
        counted_when(services),
        lambda: places_of(services, visible_counters(services, principal)),
    )
    return found


def counted_when(services: Services) -> tuple[int, int]:
    """For how long counts that were read are shown as they are."""
    return services.ledger.registry_version(), services.clock.now_ms() // COUNTED_EVERY_MS


def places_of(services: Services, counters: list[Asset]) -> list[Place]:
    """The places of these counters."""
    if not counters:
        return []
    counts = counts_of(services, counters, days=7)
    places: list[Place] = []
    for site, devices in sorted(counters_by_site(counters).items()):
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
    counters = [a for a in visible_counters(services, principal) if (a.site or a.device_id) == site]
    if not counters:
        raise NotFoundError(f"no place {site!r}.")
    counts = counts_of(services, counters, days=7 * max(weeks, 32))
    heat: dict[str, Any] | None = None
    low: dict[str, Any] | None = None
    if counts is not None and counts.hours is not None:
        country = country_of(services.zone.key, None)
        low = low_activity_for_site(activity_answer(counts, weeks=8, country=country), site)
        first = counts.last_day.toordinal() - 7 * weeks + 1
        begin = counts.first_day.fromordinal(max(first, counts.first_day.toordinal()))
        heat = heat_map(counts, site, country=country, first=begin)
    return page(
        request,
        "place.html",
        principal=principal,
        here="/places",
        place=site,
        weeks=weeks,
        period=period_text(heat, words),
        heat=heat_rows(heat, low, words),
        scale=colour_scale(),
        low=low_lines(low, words),
        low_head=low_head(low, words),
        low_none=words.text("No hour of the week is below the threshold.")
        if low and any(state != "insufficient" for state in low["state"])
        else words.text("At least four weeks of counts are needed to say."),
        method=method_text(low, words),
        series=series_of(counts, weeks, words),
        uplot=static("vendor/uplot-1.6.32/uPlot.iife.min.js"),
        uplot_css=static("vendor/uplot-1.6.32/uPlot.min.css"),
    )


def heat_of_place(
    services: Services, counters: list[Asset], site: str, words: Words
) -> list[dict[str, Any]]:
    """The heat map of one place over four weeks; empty where nothing was counted."""
    there = [a for a in counters if (a.site or a.device_id) == site]

    def heat() -> dict[str, Any] | None:
        counts = counts_of(services, there, days=7 * HEAT_WEEKS)
        if counts is None or counts.hours is None:
            return None
        return heat_map(counts, site, country=country_of(services.zone.key, None))

    name = ("heat", *(counter.device_id for counter in there))
    found = services.answers.get(name, counted_when(services), heat)
    return heat_rows(found, None, words) if found is not None else []


def colour_scale() -> list[str]:
    """From few to many."""
    return [colour_of(share / 6) for share in range(7)]


def period_text(heat: dict[str, Any] | None, words: Words) -> str:
    """From when to when."""
    if heat is None:
        return words.text("Nothing has been counted yet.")
    text = words.text("%(first)s to %(last)s") % {
        "first": heat["first_day"],
        "last": heat["last_day"],
    }
    if heat["simulated"]:
        text += " · " + words.text("simulated counters")
    return text


LOW = frozenset({"probable", "certain"})
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
    low_now = low["state"] if low and len(low["state"]) == 168 else [""] * 168
    rows: list[dict[str, Any]] = []
    for day, values in enumerate(mean):
        cells = [
            heat_cell(value, most, words, is_low=low_now[24 * day + hour] in LOW)
            for hour, value in enumerate(values)
        ]
        rows.append({"day": words.weekday(day), "cells": cells})
    return rows


def heat_cell(value: float | None, most: float, words: Words, *, is_low: bool) -> dict[str, Any]:
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


def low_head(low: dict[str, Any] | None, words: Words) -> str:
    """How many hours of the week, and how many of them have been so for long."""
    if low is None:
        return ""
    n = sum(state in LOW for state in low["state"])
    if not n:
        return ""
    text = words.plural("%(n)d hour of the week", "%(n)d hours of the week", n) % {"n": n}
    lasting = low["persistent_cells"]
    return f"{text}, " + words.plural(
        "%(n)d of them persistently.", "%(n)d of them persistently.", lasting
    ) % {"n": lasting}


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
