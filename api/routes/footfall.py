"""Footfall as data: places, heat maps, low hours, comparisons, evaluations, and what may leave."""

from calendar import monthrange
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field, field_validator

from analytics.activity import compare
from analytics.after_dark import change
from analytics.before_after import INFLUENCE_ZONE_M
from analytics.darkness import light_and_dark
from api.assets import Asset, AssetKind
from api.auth import EVERYONE, Needs, Principal, Role
from api.errors import BadInputError, NotFoundError
from api.ledger.interventions import Interventions
from api.planning.activity import activity_answer, activity_json, heat_map, low_activity_for_site
from api.planning.counts import Counts, without_faults
from api.planning.evaluation import Evaluation, EvaluationPlan, evaluate, evaluation_json
from api.planning.holiday_calendar import classes_of, country_of
from api.planning.lit_places import FailedLight, failed_light
from api.planning.plain_values import number, numbers
from api.planning.public_counts import public_table
from api.planning.stored_counts import counters_by_site, stored_counts
from api.reports.evaluation import evaluation_page
from api.routes.shapes import In, ListOf, Name
from api.services import ServiceDep, Services
from api.street.places import near_sites
from api.tables import csv_text

router = APIRouter(prefix="/api/v1/footfall", tags=["footfall"])

PLANNERS = (Role.PLANNER, Role.OPERATOR, Role.TESTER, Role.ADMIN)
Planner = Annotated[Principal, Depends(Needs(*PLANNERS))]
Anyone = Annotated[Principal, Depends(Needs(*EVERYONE))]
Day = Annotated[date | None, Query(description="Local date, such as 2026-05-01")]
Weeks = Annotated[int, Query(ge=4, le=52, description="Weeks that are fitted")]
DAY_MS = 86_400_000
FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {}, "text/csv": {}}, "description": "A page or a table"}
}
EARLIEST, LATEST = date(2000, 1, 1), date(2200, 1, 1)
MOST_DAYS = 366 * 3


class PlaceOut(BaseModel):
    """A place where people are counted."""

    site: str
    counters: list[str]
    lat: float | None
    lon: float | None


def visible_counters(services: Services, principal: Principal) -> list[Asset]:
    """Counters in the areas of whoever asks."""
    found = services.ledger.assets(areas=principal.area_filter)
    return [asset for asset in found if asset.kind is AssetKind.COUNTER]


def local_today(services: Services) -> date:
    """The city's date now."""
    return datetime.fromtimestamp(services.clock.now_ms() / 1000, services.zone).date()


def counts_between(
    services: Services, assets: list[Asset], first: date, last: date, *, clean: bool = True
) -> Counts:
    """Counts of whole local dates, faulty hours left out.

    Raises
    ------
    BadInputError
        For dates that are none or too far apart.
    NotFoundError
        Where nothing was counted.
    """
    if not (EARLIEST <= first <= last <= LATEST) or (last - first).days > MOST_DAYS:
        raise BadInputError(
            f"{first} to {last} is no period.", remedy="Give at most three years, first day first."
        )
    start = datetime(first.year, first.month, first.day, tzinfo=services.zone)
    after = last + timedelta(days=1)
    stop = datetime(after.year, after.month, after.day, tzinfo=services.zone)
    found = stored_counts(
        services.store,
        assets,
        zone=services.zone,
        # A reading is stamped at the end of its interval: the day's last one says midnight.
        start_ms=int(start.timestamp() * 1000) + 1,
        stop_ms=int(stop.timestamp() * 1000) + 1,
    )
    if found is None:
        raise NotFoundError("nothing was counted in that period.")
    return without_faults(found, country_of(services.zone.key, None)) if clean else found


def assets_of(assets: list[Asset], site: str) -> list[Asset]:
    """The counters of one place.

    Raises
    ------
    NotFoundError
    """
    mine = [a for a in assets if (a.site or a.device_id) == site]
    if not mine:
        raise NotFoundError(f"no place {site!r}.")
    return mine


def positions(assets: list[Asset]) -> dict[str, tuple[float, float]]:
    """Where each place is, by its first counter with a position."""
    found: dict[str, tuple[float, float]] = {}
    for a in assets:
        if a.lat is not None and a.lon is not None:
            found.setdefault(a.site or a.device_id, (a.lat, a.lon))
    return found


@router.get("")
def places(services: ServiceDep, principal: Planner) -> ListOf[PlaceOut]:
    """Places where people are counted, by name."""
    assets = visible_counters(services, principal)
    where = positions(assets)
    return ListOf(
        items=[
            PlaceOut(
                site=site,
                counters=devices,
                lat=where[site][0] if site in where else None,
                lon=where[site][1] if site in where else None,
            )
            for site, devices in counters_by_site(assets).items()
        ]
    )


@router.get("/low-activity")
def low_activity_everywhere(
    services: ServiceDep, principal: Planner, weeks: Weeks = 8, until: Day = None
) -> dict[str, Any]:
    """Low and dark-and-empty hours of every place; for planners, never for the public."""
    assets = visible_counters(services, principal)
    last = until or local_today(services)
    # Four windows back: persistence needs them.
    counts = counts_between(services, assets, last - timedelta(days=28 * weeks), last)
    country = country_of(services.zone.key, None)
    city = (services.settings.lat, services.settings.lon)
    return activity_json(
        activity_answer(counts, country=country, weeks=weeks, until=last, position=city)
    )


@router.get("/heat-map")
def heat_map_of(
    services: ServiceDep,
    principal: Planner,
    site: Annotated[str, Query(max_length=200)],
    first: Day = None,
    last: Day = None,
) -> dict[str, Any]:
    """Mean people an hour by hour of the week at one place; the last four weeks without dates."""
    assets = assets_of(visible_counters(services, principal), site)
    end = last or local_today(services)
    counts = counts_between(services, assets, first or end - timedelta(days=27), end)
    return heat_map(counts, site, country=country_of(services.zone.key, None))


@router.get("/low-activity/site")
def low_activity_of(
    services: ServiceDep,
    principal: Planner,
    site: Annotated[str, Query(max_length=200)],
    weeks: Weeks = 8,
    until: Day = None,
) -> dict[str, Any]:
    """Low and dark-and-empty hours of one place."""
    assets = assets_of(visible_counters(services, principal), site)
    last = until or local_today(services)
    counts = counts_between(services, assets, last - timedelta(days=28 * weeks), last)
    answer = activity_answer(
        counts,
        country=country_of(services.zone.key, None),
        weeks=weeks,
        until=last,
        position=positions(assets).get(site, (services.settings.lat, services.settings.lon)),
    )
    return low_activity_for_site(answer, site)


@router.get("/hours", response_class=Response, responses=FILES)
def hours_of(
    services: ServiceDep,
    principal: Planner,
    site: Annotated[str, Query(max_length=200)],
    first: date,
    last: date,
) -> Response:
    """Hourly counts of one place as CSV (`site, time, count`), for planners."""
    assets = assets_of(visible_counters(services, principal), site)
    counts = counts_between(services, assets, first, last)
    starts = counts.hour_starts_s().reshape(-1)
    values = counts.hourly[:, :, 0].reshape(-1)
    known = np.isfinite(values)
    text = csv_text(
        {
            "site": [site] * int(known.sum()),
            "time": (starts[known] * 1000).tolist(),
            "count": values[known].tolist(),
        },
        times=("time",),
    )
    return Response(text, media_type="text/csv; charset=utf-8")


@router.get("/comparison")
def comparison(
    services: ServiceDep,
    principal: Planner,
    site: Annotated[str, Query(max_length=200)],
    first_a: date,
    last_a: date,
    first_b: date,
    last_b: date,
) -> dict[str, Any]:
    """Two periods of one place, hour of the week by hour of the week."""
    assets = assets_of(visible_counters(services, principal), site)
    country = country_of(services.zone.key, None)
    one = counts_between(services, assets, first_a, last_a)
    two = counts_between(services, assets, first_b, last_b)
    found = compare(
        one.hourly,
        two.hourly,
        before_class=classes_of(one.first_day, one.n_days, country),
        after_class=classes_of(two.first_day, two.n_days, country),
    )
    return {
        "site": site,
        "first_cell": "Monday 00-01",
        "ratio": numbers(found.ratio[:, 0]),
        "low": numbers(found.low[:, 0]),
        "high": numbers(found.high[:, 0]),
        "changed": found.changed[:, 0].tolist(),
        "became_low": found.became_low[:, 0].tolist(),
        "ceased_low": found.ceased_low[:, 0].tolist(),
        "n_changed": int(found.changed[:, 0].sum()),
        "expected_by_chance": number(found.expected_by_chance[0]),
        "simulated": one.simulated or two.simulated,
    }


@router.get("/after-dark")
def after_dark(
    services: ServiceDep,
    principal: Planner,
    site: Annotated[str, Query(max_length=200)],
    start: date,
) -> dict[str, Any]:
    """Whether darkness deters less since a date: odds ratios, a year on either side."""
    assets = visible_counters(services, principal)
    assets_of(assets, site)
    counts = counts_between(
        services, assets, start - timedelta(days=364), start + timedelta(days=363)
    )
    where = positions(assets).get(site, (services.settings.lat, services.settings.lon))
    light, dark = light_and_dark(counts.hour_starts_s(), *where)
    row = min(max(counts.row(start), 0), counts.n_days)
    found = change(counts.hourly, light, dark, counts.column(site), row)
    return {
        "site": site,
        "start": str(start),
        "refused": found.refused,
        "log_ratio": number(found.log_ratio),
        "low": number(found.low),
        "high": number(found.high),
        "p_value": number(found.p_value),
        "odds_ratio_before": number(found.before),
        "odds_ratio_after": number(found.after),
        "n_controls": found.n_controls,
        "case_hours": list(found.cases),
        "control_hours": list(found.controls),
        "simulated": counts.simulated,
    }


class EvaluationIn(In):
    """What is to be evaluated."""

    sites: list[Name] = Field(min_length=1, max_length=20)
    start: str = Field(max_length=10, description="First day of the intervention")
    before_days: int = Field(default=364, ge=7, le=728)
    after_days: int = Field(default=56, ge=7, le=728)
    band: str = Field(default="", max_length=20)
    controls: list[Name] | None = Field(default=None, max_length=500)
    exclude: list[Name] = Field(default=[], max_length=500)
    near: list[Name] | None = Field(
        default=None, max_length=100, description="By position where not given"
    )
    also_treated: list[Name] = Field(default=[], max_length=500)
    lighting_failed_before: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of dark hours with failed lighting; from the ledger where not given",
    )
    lighting_failed_after: float | None = Field(default=None, ge=0, le=1)
    stop: str | None = Field(default=None, max_length=10)

    @field_validator("start", "stop")
    @classmethod
    def _is_day(cls, text: str | None) -> str | None:
        if text is not None and not EARLIEST <= date.fromisoformat(text) <= LATEST:
            raise ValueError("the day lies outside 2000 to 2200")
        return text


def counter_changes(services: Services, assets: list[Asset]) -> tuple[tuple[str, date], ...]:
    """When the counter of a place was swapped, by the maintenance log; it then counts anew."""
    site_of = {a.device_id: a.site or a.device_id for a in assets}
    return tuple(
        (
            site_of[entry.device_id],
            datetime.fromtimestamp(entry.time_ms / 1000, services.zone).date(),
        )
        for entry in services.ledger.maintenance()
        if entry.action == "sensor_swap" and entry.device_id in site_of
    )


def plan_of(wanted: EvaluationIn, assets: list[Asset], services: Services) -> EvaluationPlan:
    """The plan with the influence zone found by position, where the planner names none."""
    where = positions(assets)
    zone = near_sites(where, wanted.sites, INFLUENCE_ZONE_M) if wanted.near is None else wanted.near
    return EvaluationPlan(
        sites=tuple(wanted.sites),
        start=date.fromisoformat(wanted.start),
        before_days=wanted.before_days,
        after_days=wanted.after_days,
        band=wanted.band,
        controls=None if wanted.controls is None else tuple(wanted.controls),
        exclude=tuple(wanted.exclude),
        near=tuple(zone),
        also_treated=tuple(wanted.also_treated),
        device_changes=counter_changes(services, assets),
        lighting_failed=(wanted.lighting_failed_before or 0, wanted.lighting_failed_after or 0),
        stop=None if wanted.stop is None else date.fromisoformat(wanted.stop),
        position=where.get(wanted.sites[0]),
    )


def about(plan: EvaluationPlan, counts: Counts) -> EvaluationPlan:
    """The plan without neighbours, treated places and swapped counters nobody counted at."""
    return replace(
        plan,
        also_treated=tuple(s for s in plan.also_treated if s in counts.sites),
        near=tuple(s for s in plan.near if s in counts.sites),
        device_changes=tuple(c for c in plan.device_changes if c[0] in counts.sites),
    )


def treated_meanwhile(
    services: Services, plan: EvaluationPlan, *, but: int | None = None
) -> tuple[str, ...]:
    """Other places whose own intervention began or ended inside the window: never controls."""
    first, after = plan.start - timedelta(days=plan.before_days), end_of(plan)
    return tuple(
        dict.fromkeys(
            site
            for one in Interventions(services.ledger.database).all()
            if one.id != but
            and not one.cancelled
            and any(day is not None and first < day < after for day in (one.start, one.end))
            for site in one.sites
            if site not in plan.sites
        )
    )


def end_of(plan: EvaluationPlan) -> date:
    """The first day after the follow-up."""
    return (plan.stop or plan.start) + timedelta(days=plan.after_days)


def light_of(services: Services, plan: EvaluationPlan, *, simulated: bool) -> FailedLight:
    """What the ledger knows of the light at the treated places over both periods."""
    return failed_light(
        services.ledger,
        services.ledger.assets(),
        plan.sites,
        start=plan.start,
        stop=plan.stop or end_of(plan),
        zone=services.zone,
        now_ms=services.clock.now_ms(),
        position=plan.position or (services.settings.lat, services.settings.lon),
        simulated=simulated,
    )


def answer_to(wanted: EvaluationIn, services: Services, principal: Principal) -> Evaluation:
    """The evaluation that was asked for; the light is the ledger's word unless it is given."""
    assets = visible_counters(services, principal)
    plan = plan_of(wanted, assets, services)
    counts = counts_for(services, assets, plan)
    known = light_of(services, plan, simulated=counts.simulated).shares
    treated = (*plan.also_treated, *treated_meanwhile(services, plan))
    plan = replace(plan, also_treated=tuple(dict.fromkeys(treated)))
    given = (wanted.lighting_failed_before, wanted.lighting_failed_after)
    before, after = (k if g is None else g for k, g in zip(known, given, strict=True))
    return evaluate(counts, about(replace(plan, lighting_failed=(before, after)), counts))


def counts_for(services: Services, assets: list[Asset], plan: EvaluationPlan) -> Counts:
    """Counts that a plan needs; at most up to now."""
    last = end_of(plan) - timedelta(days=1)
    last = min(last, local_today(services))
    first = plan.start - timedelta(days=plan.before_days)
    return counts_between(services, assets, first, max(last, plan.start))


@router.post("/evaluations")
def evaluate_now(wanted: EvaluationIn, services: ServiceDep, principal: Planner) -> dict[str, Any]:
    """Did an intervention change footfall? The change with its interval, or why none is honest."""
    return evaluation_json(answer_to(wanted, services, principal))


@router.post("/evaluations/report", response_class=Response, responses=FILES)
def evaluation_report(
    wanted: EvaluationIn,
    services: ServiceDep,
    principal: Planner,
    lang: Annotated[str, Query(pattern="^(sv|en)$")] = "sv",
) -> Response:
    """The same as a printable page."""
    found = answer_to(wanted, services, principal)
    return Response(evaluation_page(found, lang), media_type="text/html; charset=utf-8")


@router.get("/public")
def public_month(
    services: ServiceDep,
    principal: Anyone,
    site: Annotated[str, Query(max_length=200)],
    month: Annotated[str, Query(pattern=r"^20\d\d-(0[1-9]|1[0-2])$")],
) -> dict[str, Any]:
    """A calendar month at one place by weekday and part of the day, small counts withheld.

    Open to all. Windows are fixed, because two that differ by a day would give the day away.
    """
    del principal
    assets = [a for a in services.ledger.assets(areas=None) if a.kind is AssetKind.COUNTER]
    mine = assets_of(assets, site)
    year, number_of_month = (int(part) for part in month.split("-"))
    first = date(year, number_of_month, 1)
    last = date(year, number_of_month, monthrange(year, number_of_month)[1])
    if last >= local_today(services):
        raise BadInputError(f"{month} is not over yet.", remedy="Ask for a month that has ended.")
    return public_table(counts_between(services, mine, first, last), site, month)
