"""Interventions: recorded, planned, evaluated, frozen, followed up, and published if so decided."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, File, Form, Query, Response, UploadFile, status
from pydantic import BaseModel, Field, field_validator

from analytics.before_after import INFLUENCE_ZONE_M
from analytics.side_by_side import planned_effect
from api.assets import Asset
from api.auth import EVERYONE, Needs, Principal
from api.errors import BadInputError, ConflictError, NotFoundError
from api.interventions import (
    FACTORS,
    Intervention,
    InterventionKind,
    Note,
    qualitative,
)
from api.ledger.interventions import Interventions
from api.ledger.note_files import NoteFiles
from api.ledger.views import WorkOrder
from api.planning.evaluation import (
    Evaluation,
    EvaluationPlan,
    band_hours,
    band_matrix,
    effect_json,
    effect_options,
    evaluate,
    evaluation_json,
)
from api.planning.lit_places import lighting_words, repair_words
from api.planning.plain_values import number
from api.planning.safety_walks import walk_points_of
from api.reports.evaluation import band_name, sentence
from api.reports.intervention import public_page, result_sentence
from api.reports.page import percent
from api.reports.yearly import yearly_csv, yearly_page, yearly_report
from api.routes.footfall import (
    EARLIEST,
    FILES,
    LATEST,
    PLANNERS,
    about,
    counter_changes,
    counts_between,
    counts_for,
    end_of,
    light_of,
    local_today,
    positions,
    treated_meanwhile,
    visible_counters,
)
from api.routes.repeats import Repeatable
from api.routes.shapes import In, ListOf, Name, Text, moment
from api.services import ServiceDep, Services
from api.street.places import near_sites

router = APIRouter(prefix="/api/v1/interventions", tags=["interventions"], route_class=Repeatable)
Planner = Annotated[Principal, Depends(Needs(*PLANNERS))]
Anyone = Annotated[Principal, Depends(Needs(*EVERYONE))]
Language = Annotated[str, Query(pattern="^(sv|en)$")]
Number = Annotated[int, Field(ge=1, le=2**53)]
Money = Annotated[float, Field(ge=0, le=1e12)]
AFTER_DAYS = 56
WALK_BYTES = 2_000_000


def records(services: Services) -> Interventions:
    """The interventions in the ledger."""
    return Interventions(services.ledger.database)


def notes_of(services: Services, intervention_id: int) -> list[Note]:
    """What people noted of one intervention, with the files of each note."""
    files = NoteFiles(services.ledger.database).of(intervention_id)
    return [
        replace(note, files=tuple(files.get(note.id, ())))
        for note in records(services).notes(intervention_id)
    ]


def as_day(text: str) -> date:
    """A local date written as 2026-05-01."""
    day = date.fromisoformat(text)
    if not EARLIEST <= day <= LATEST:
        raise ValueError("the day lies outside 2000 to 2200")
    return day


class InterventionIn(In):
    """An intervention as a person records it."""

    title: Name
    kind: str = Field(description="lighting, tunnel, placemaking, social, upkeep or other")
    sites: list[Name] = Field(min_length=1, max_length=20)
    area: Annotated[Text, Field(max_length=200)] = ""
    start: str = Field(max_length=10, description="First day")
    end: str | None = Field(default=None, max_length=10, description="End of a temporary test")
    band: str = Field(default="", max_length=20)
    hypothesis: Annotated[Text, Field(max_length=4000)] = ""
    factors: list[int] = Field(default=[], max_length=8, description="1 to 8")
    budget_sek: Money | None = None
    budget_account: str = Field(
        default="investering", description="drift_ordinarie, trygghet_drift or investering"
    )
    maintenance_plan: Annotated[Text, Field(max_length=20_000)] = ""
    yearly_operating_cost_sek: Money | None = None
    labels: list[Name] = Field(default=[], max_length=20)
    exclude: list[Name] = Field(default=[], max_length=500)
    near: list[Name] = Field(default=[], max_length=100)

    @field_validator("kind")
    @classmethod
    def _kind(cls, text: str) -> str:
        return InterventionKind(text).value

    @field_validator("start", "end")
    @classmethod
    def _day(cls, text: str | None) -> str | None:
        if text is not None:
            as_day(text)
        return text

    @field_validator("factors")
    @classmethod
    def _factors(cls, numbers: list[int]) -> list[int]:
        if not {*numbers} <= {f.number for f in FACTORS}:
            raise ValueError("factors are numbered 1 to 8")
        return sorted({*numbers})

    @field_validator("budget_account")
    @classmethod
    def _account(cls, text: str) -> str:
        if text not in {"drift_ordinarie", "trygghet_drift", "investering"}:
            raise ValueError("drift_ordinarie, trygghet_drift or investering")
        return text

    def values(self) -> dict[str, Any]:
        """As the ledger takes them."""
        found = self.model_dump(exclude_unset=False)
        found["start"] = as_day(self.start)
        found["end"] = None if self.end is None else as_day(self.end)
        if found["end"] is not None and found["end"] <= found["start"]:
            raise BadInputError("the end is not after the start.")
        if self.band not in {"", "dark"}:
            band_hours(self.band)  # says what is wrong with it
        return {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}


class ChangeIn(InterventionIn):
    """The whole record again, with the version it was read at."""

    version: Number
    cancelled: bool = False


class PublishIn(In):
    """Whether all may see the result page."""

    published: bool


class InterventionOut(BaseModel):
    """An intervention with where it stands."""

    id: int
    version: int
    title: str
    kind: str
    status: str
    sites: list[str]
    area: str
    start: str
    end: str | None
    band: str
    hypothesis: str
    factors: list[int]
    budget_sek: float | None
    budget_account: str
    maintenance_plan: str
    yearly_operating_cost_sek: float | None
    labels: list[str]
    exclude: list[str]
    near: list[str]
    needs_pack: bool
    plan: dict[str, Any] | None
    planned_at: str | None
    result: dict[str, Any] | None
    frozen_at: str | None
    result_sha256: str
    published_at: str | None
    created_by: str
    created_at: str | None


def out(one: Intervention, today: date) -> InterventionOut:
    """As it is sent."""
    return InterventionOut(
        id=one.id,
        version=one.version,
        title=one.title,
        kind=one.kind.value,
        status=one.status(today).value,
        sites=list(one.sites),
        area=one.area,
        start=str(one.start),
        end=None if one.end is None else str(one.end),
        band=one.band,
        hypothesis=one.hypothesis,
        factors=list(one.factors),
        budget_sek=one.budget_sek,
        budget_account=one.budget_account,
        maintenance_plan=one.maintenance_plan,
        yearly_operating_cost_sek=one.yearly_operating_cost_sek,
        labels=list(one.labels),
        exclude=list(one.exclude),
        near=list(one.near),
        needs_pack=one.needs_pack,
        plan=None if one.plan is None else dict(one.plan),
        planned_at=moment(one.plan_ms),
        result=None if one.result is None else dict(one.result),
        frozen_at=moment(one.result_ms),
        result_sha256=one.result_sha256,
        published_at=moment(one.published_ms),
        created_by=one.created_by,
        created_at=moment(one.created_ms),
    )


@router.get("")
def interventions(services: ServiceDep, principal: Planner) -> ListOf[InterventionOut]:
    """All interventions, newest start first."""
    del principal
    today = local_today(services)
    return ListOf(items=[out(one, today) for one in records(services).all()])


@router.post("", status_code=status.HTTP_201_CREATED)
def create(wanted: InterventionIn, services: ServiceDep, principal: Planner) -> InterventionOut:
    """Record an intervention."""
    now_ms = services.clock.now_ms()
    made = records(services).create(wanted.values(), actor=principal.name, now_ms=now_ms)
    return out(made, local_today(services))


@router.get("/published")
def published(services: ServiceDep, principal: Anyone) -> ListOf[dict[str, Any]]:
    """Results that are open to all: in percent, without counts of people."""
    del principal
    found = records(services).all(published=True)
    return ListOf(items=[public_values(one) for one in found])


def public_values(one: Intervention) -> dict[str, Any]:
    """What all may see of a published intervention."""
    result = (one.result or {}).get("result", {})
    return {
        "id": one.id,
        "title": one.title,
        "kind": one.kind.value,
        "start": str(one.start),
        "end": None if one.end is None else str(one.end),
        "verdict": result.get("verdict"),
        "refused": result.get("refused"),
        **{
            key: None if result.get(key) is None else round(result[key])
            for key in ("percent", "low_percent", "high_percent")
        },
        "sentence": {lang: result_sentence(one.result or {}, lang) for lang in ("sv", "en")},
        "simulated": bool((one.result or {}).get("simulated")),
    }


@router.get("/published/{intervention_id:int}/page", response_class=Response, responses=FILES)
def published_page(
    intervention_id: int, services: ServiceDep, principal: Anyone, lang: Language = "sv"
) -> Response:
    """The result page of a published intervention."""
    del principal
    one = next((o for o in records(services).all(published=True) if o.id == intervention_id), None)
    if one is None:
        raise NotFoundError(f"no published intervention {intervention_id}.")
    return Response(public_page(one, lang), media_type="text/html; charset=utf-8")


@router.get("/yearly-report", response_class=Response, responses=FILES)
def yearly(
    services: ServiceDep,
    principal: Planner,
    year: Annotated[int, Query(ge=2000, le=2200)],
    lang: Language = "sv",
    as_csv: bool = False,
) -> Response:
    """The year's follow-up as a printable page, or as CSV."""
    del principal
    report = yearly_report(
        year,
        records(services).all(),
        all_orders(services),
        services.ledger.policy,
        zone=services.zone,
    )
    if as_csv:
        return Response(yearly_csv(report), media_type="text/csv; charset=utf-8")
    return Response(yearly_page(report, lang), media_type="text/html; charset=utf-8")


def all_orders(services: Services) -> list[WorkOrder]:
    """Every work order, page by page."""
    found: list[WorkOrder] = []
    after = None
    while True:
        page = services.ledger.work_orders(limit=1000, after=after)
        found += page.items
        if page.next is None:
            return found
        after = page.next


class WalkPointOut(BaseModel):
    """One observation of a safety walk."""

    id: int
    walk: str
    day: str
    lat: float | None
    lon: float | None
    text: str
    device_id: str
    distance_m: float | None


@router.get("/safety-walks")
def safety_walks(
    services: ServiceDep,
    principal: Planner,
    walk: Annotated[str | None, Query(max_length=200)] = None,
) -> ListOf[WalkPointOut]:
    """Points of safety walks with the luminaire each is about."""
    del principal
    return ListOf(
        items=[
            WalkPointOut(
                id=p.id,
                walk=p.walk,
                day=str(p.day),
                lat=p.lat,
                lon=p.lon,
                text=p.text,
                device_id=p.device_id,
                distance_m=p.distance_m,
            )
            for p in records(services).walk_points(walk=walk)
        ]
    )


@router.post("/safety-walks", status_code=status.HTTP_201_CREATED)
def import_safety_walk(
    services: ServiceDep,
    principal: Planner,
    walk: Annotated[str, Form(min_length=1, max_length=200)],
    day: Annotated[date, Form()],
    file: Annotated[UploadFile, File(description="CSV with lat, lon and a text")],
) -> dict[str, Any]:
    """Import the points of a safety walk; each is matched with the nearest luminaire."""
    raw = file.file.read(WALK_BYTES + 1)
    if len(raw) > WALK_BYTES:
        raise BadInputError("the file is larger than 2 MB.")
    assets = services.ledger.assets(areas=principal.area_filter)
    points = walk_points_of(raw, walk=walk, day=day, assets=assets)
    kept = records(services).put_walk(walk, points)
    return {"walk": walk, "points": kept, "matched": sum(bool(p.device_id) for p in points)}


@router.get("/{intervention_id:int}")
def intervention(intervention_id: int, services: ServiceDep, principal: Planner) -> InterventionOut:
    """One intervention."""
    del principal
    return out(records(services).get(intervention_id), local_today(services))


@router.put("/{intervention_id:int}")
def change(
    intervention_id: int, wanted: ChangeIn, services: ServiceDep, principal: Planner
) -> InterventionOut:
    """Change the record; place, date and hours of a frozen result stay as they were."""
    del principal
    values = wanted.values()
    values.pop("version")
    made = records(services).change(intervention_id, values, version=wanted.version)
    return out(made, local_today(services))


def plan_from(one: Intervention, assets: list[Asset], services: Services) -> EvaluationPlan:
    """What is to be evaluated; neighbours are found by position where none are named."""
    where = positions(assets)
    near = one.near or tuple(near_sites(where, one.sites, INFLUENCE_ZONE_M))
    asked = EvaluationPlan(
        sites=one.sites,
        start=one.start,
        band=one.band,
        exclude=one.exclude,
        near=near,
        device_changes=counter_changes(services, assets),
        stop=one.end,
        position=next((where[s] for s in one.sites if s in where), None),
    )
    return replace(asked, also_treated=treated_meanwhile(services, asked, but=one.id))


@router.post("/{intervention_id:int}/plan")
def make_plan(intervention_id: int, services: ServiceDep, principal: Planner) -> InterventionOut:
    """Compute, before the start, what the evaluation will be able to find."""
    one = records(services).get(intervention_id)
    today = local_today(services)
    if today >= one.start or one.cancelled:
        raise ConflictError(
            "the plan is made before the start.", remedy="It would know the answer afterwards."
        )
    assets = visible_counters(services, principal)
    counts = counts_between(services, assets, today - timedelta(days=419), today)
    asked = about(plan_from(one, assets, services), counts)
    hours, series = next(iter(band_matrix(counts, asked).values()))
    found = planned_effect(
        series,
        [counts.column(site) for site in one.sites],
        n_post=AFTER_DAYS,
        **effect_options(counts, asked, 0),
    )
    plan = {
        "band": asked.band or "evening",
        "hours": hours,
        "after_days": AFTER_DAYS,
        "refused": found.refused,
        "n_controls": found.n_controls,
        "minimum_detectable_percent": [number(p) for p in found.minimum_detectable_percent],
        "controls": [counts.sites[c] for c in found.controls],
        "expected": effect_json(
            found, counts.sites, counts.first_day + timedelta(days=found.first_row)
        ),
        "sentence": {
            "sv": plan_words(found.minimum_detectable_percent, found.refused, "sv"),
            "en": plan_words(found.minimum_detectable_percent, found.refused, "en"),
        },
        "simulated": counts.simulated,
    }
    kept = records(services).keep_plan(intervention_id, plan, now_ms=services.clock.now_ms())
    return out(kept, today)


def plan_words(detectable: tuple[float, float], refused: str | None, lang: str) -> str:
    """What can be found, in one sentence."""
    if refused is not None:
        return (
            f"Ingen utvärdering blir möjlig som det ser ut nu ({refused})."
            if lang == "sv"
            else f"As things stand no evaluation will be possible ({refused})."
        )
    fall, rise = (percent(value, lang) for value in detectable)
    return (
        f"Minsta förändring som kan upptäckas efter åtta veckor: {fall} eller {rise}."
        if lang == "sv"
        else f"The least change that can be found after eight weeks: {fall} or {rise}."
    )


def answered(
    one: Intervention, services: Services, principal: Principal
) -> tuple[Evaluation, dict[str, Any]]:
    """The evaluation of an intervention, and as plain values with its sentences."""
    assets = visible_counters(services, principal)
    asked = plan_from(one, assets, services)
    counts = counts_for(services, assets, asked)
    light = light_of(services, asked, simulated=counts.simulated)
    asked = replace(asked, lighting_failed=light.shares)
    found = evaluate(counts, about(asked, counts))
    plain = evaluation_json(found)
    repairs = repair_words(
        services.ledger,
        services.ledger.assets(),
        one.sites,
        start=asked.start,
        stop=end_of(asked),
        zone=services.zone,
        simulated=counts.simulated,
    )
    plain["measured"] = {"lighting": lighting_words(light), "repair_time": repairs}
    plain["sentence"] = {
        lang: sentence(found.main.effect, lang, band_name(found.main, lang))
        for lang in ("sv", "en")
    }
    return found, plain


@router.get("/{intervention_id:int}/result")
def result(intervention_id: int, services: ServiceDep, principal: Planner) -> dict[str, Any]:
    """The frozen result; before that, how it looks by now, marked as not frozen."""
    one = records(services).get(intervention_id)
    if one.result is not None:
        return {**one.result, "frozen": True}
    _, plain = answered(one, services, principal)
    return {**plain, "frozen": False}


@router.post("/{intervention_id:int}/result")
def freeze(intervention_id: int, services: ServiceDep, principal: Planner) -> InterventionOut:
    """Freeze the result with its data and what people noted, once the follow-up is over."""
    one = records(services).get(intervention_id)
    today = local_today(services)
    over = (one.end or one.start) + timedelta(days=AFTER_DAYS)
    if today < over:
        raise ConflictError(
            f"the follow-up runs until {over}.", remedy="Read the result as it is by then."
        )
    if one.result is not None:
        raise ConflictError("the result is frozen already.")
    found, plain = answered(one, services, principal)
    plain["qualitative"] = qualitative(notes_of(services, intervention_id))
    kept = records(services).freeze(
        intervention_id,
        plain,
        frozen_values(found),
        sha256=found.data_sha256,
        now_ms=services.clock.now_ms(),
    )
    return out(kept, today)


def frozen_values(found: Evaluation) -> dict[str, Any]:
    """The daily counts behind the headline, so that anyone can compute it again."""
    counts = found.counts
    series = next(iter(band_matrix(counts, found.plan).values()))[1]
    return {
        "sites": counts.sites,
        "first_day": str(counts.first_day),
        "band": found.headline,
        "counts": [[None if np.isnan(v) else round(float(v), 4) for v in row] for row in series],
    }


@router.get("/{intervention_id:int}/data")
def frozen_data(intervention_id: int, services: ServiceDep, principal: Planner) -> dict[str, Any]:
    """The daily counts of the frozen result."""
    del principal
    return records(services).frozen_data(intervention_id)


@router.post("/{intervention_id:int}/publication")
def publish(
    intervention_id: int, wanted: PublishIn, services: ServiceDep, principal: Planner
) -> InterventionOut:
    """Open the result page to all, or close it."""
    del principal
    kept = records(services).publish(
        intervention_id, published=wanted.published, now_ms=services.clock.now_ms()
    )
    return out(kept, local_today(services))
