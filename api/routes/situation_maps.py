"""Situation maps: those that were made at their hours of the week, and one made now."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from api.auth import Needs, Principal, Role
from api.interop import geojson
from api.interop.csv_export import SITUATION_TIMES
from api.ledger.situations import SituationMap
from api.pagination import PageAsked
from api.problems import ProblemError
from api.routes.access import noted
from api.routes.exports import FILES, Map, geo, table_file
from api.routes.repeats import Repeatable
from api.routes.shapes import ListOf, moment
from api.services import ServiceDep, Services
from api.situation import situation_now

router = APIRouter(prefix="/api/v1", tags=["exports"], route_class=Repeatable)
Planner = Annotated[Principal, Depends(Needs(Role.PLANNER, Role.OPERATOR, Role.ADMIN))]
Operator = Annotated[Principal, Depends(Needs(Role.OPERATOR, Role.ADMIN))]
KEPT_SHOWN = 1000


class SituationMapOut(BaseModel):
    """One situation map; its files are at `/api/v1/situation-maps/{id}.csv` and so on."""

    id: int
    due: str = Field(description="The slot it was made for")
    made: str = Field(description="When it was made: later than due where nothing ran then")
    made_by: str
    places: int

    @classmethod
    def of(cls, made: SituationMap) -> "SituationMapOut":
        """One map."""
        return cls(
            id=made.slot_ms,
            due=moment(made.slot_ms) or "",
            made=moment(made.made_ms) or "",
            made_by=made.made_by,
            places=made.places,
        )


def map_file(form: Map, made: SituationMap) -> Response:
    """A map in the format asked for."""
    if form is Map.GEOJSON:
        return geo(geojson.situation_map(made.columns))
    return table_file(form.value, made.columns, "situation", times=SITUATION_TIMES)


def made_now(services: Services, by: str) -> SituationMap:
    """The map as things are at this moment; kept nowhere yet."""
    now_ms = services.clock.now_ms()
    columns = situation_now(
        services.ledger, services.store, services.settings, now_ms=now_ms, slot_ms=now_ms
    )
    return SituationMap(now_ms, now_ms, by, columns)


@router.get("/situation-maps")
def situation_maps(
    services: ServiceDep,
    pages: PageAsked,
    _: Planner,
) -> ListOf[SituationMapOut]:
    """Maps that were made, the newest first."""
    page = pages.of(
        services.ledger.situation_maps(limit=KEPT_SHOWN), key=lambda made: (-made.slot_ms,)
    )
    return ListOf(items=[SituationMapOut.of(made) for made in page.items], next=page.next)


@router.post("/situation-maps", status_code=201)
def make(services: ServiceDep, principal: Operator) -> SituationMapOut:
    """Make one now, beside those of the week."""
    made = made_now(services, principal.name)
    services.ledger.keep_situation_map(
        made.slot_ms, made.columns, made_by=made.made_by, now_ms=made.made_ms
    )
    noted(services, principal, "situation_map_made", str(made.slot_ms))
    return SituationMapOut.of(made)


@router.get("/situation-maps/{map_id}.{form}", response_class=Response, responses=FILES)
def one_map(
    map_id: Annotated[int, Path(ge=0, lt=2**62)], form: Map, services: ServiceDep, _: Planner
) -> Response:
    """The file of one map, as it was made."""
    made = services.ledger.situation_map(map_id)
    if made is None:
        raise ProblemError(404)
    return map_file(form, made)


@router.get("/exports/situation.{form}", response_class=Response, responses=FILES)
def newest(form: Map, services: ServiceDep, principal: Planner) -> Response:
    """The newest map that was made; where there is none yet, one as things are now."""
    return map_file(form, services.ledger.situation_map() or made_now(services, principal.name))
