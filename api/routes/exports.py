"""What leaves as files: CSV, GeoJSON, Parquet, NGSI-LD, and a calendar of due work."""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from api.assets import AssetKind
from api.auth import CITY, STAFF, Needs, Principal, Role, areas_of, roles_of
from api.errors import BadInputError
from api.interop import csv_export, geojson, ngsi_ld
from api.interop.ical import calendar_of
from api.ledger.views import OrderFilter, WorkOrder
from api.operations.states import LuminaireState, LuminaireStatus
from api.operations.work_orders import WorkOrderState
from api.planning.stored_counts import counters_by_site, stored_counts
from api.problems import ProblemError
from api.routes.access import noted
from api.routes.assets import visible
from api.routes.readings import check_may_see, window
from api.routes.repeats import Repeatable
from api.routes.shapes import Moment
from api.services import ServiceDep, Services
from api.tables import csv_text
from ingest.reading import Quantity

router = APIRouter(prefix="/api/v1/exports", tags=["exports"], route_class=Repeatable)
Staff = Annotated[Principal, Depends(Needs(*STAFF))]
City = Annotated[Principal, Depends(Needs(*CITY))]
Planner = Annotated[Principal, Depends(Needs(Role.PLANNER, Role.OPERATOR, Role.ADMIN))]
Columns = Mapping[str, Sequence[Any]]
MOST_READINGS = 2_000_000
PAGE = 1000
FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/csv": {},
            "application/geo+json": {},
            "application/vnd.apache.parquet": {},
            "application/ld+json": {},
        }
    }
}


class Table(StrEnum):
    """A table as a file."""

    CSV = "csv"
    PARQUET = "parquet"


class Map(StrEnum):
    """A table with places as a file."""

    CSV = "csv"
    PARQUET = "parquet"
    GEOJSON = "geojson"


class AssetFile(StrEnum):
    """Luminaires as a file."""

    CSV = "csv"
    PARQUET = "parquet"
    GEOJSON = "geojson"
    JSONLD = "jsonld"


def table_file(form: str, columns: Columns, name: str, *, times: Sequence[str] = ()) -> Response:
    """Columns as CSV or Parquet; times are given in milliseconds, UTC."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.{form}"'}
    if form == "csv":
        text = csv_text(columns, times=times)
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
    return Response(
        parquet_of(columns, times), media_type="application/vnd.apache.parquet", headers=headers
    )


def parquet_of(columns: Columns, times: Sequence[str]) -> bytes:
    """Columns as Parquet, times with their zone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {
        name: pa.array(values, pa.timestamp("ms", "UTC")) if name in times else pa.array(values)
        for name, values in columns.items()
    }
    out = io.BytesIO()
    pq.write_table(pa.table(arrays), out, compression="zstd")
    return out.getvalue()


def geo(content: Mapping[str, Any]) -> Response:
    """GeoJSON with its own media type."""
    return JSONResponse(content, media_type="application/geo+json")


def all_orders(services: Services, wanted: OrderFilter) -> list[WorkOrder]:
    """Every order that fits, page by page."""
    found: list[WorkOrder] = []
    after = None
    while True:
        page = services.ledger.work_orders(wanted, limit=PAGE, after=after)
        found += page.items
        if page.next is None:
            return found
        after = page.next


@router.get("/assets.{form}", response_class=Response, responses=FILES)
def assets(
    form: AssetFile,
    services: ServiceDep,
    principal: Staff,
    options: Annotated[
        str | None, Query(pattern="^keyValues$", description="NGSI-LD in its plain form.")
    ] = None,
) -> Response:
    """What stands in the street: the assets format, GeoJSON with states, or NGSI-LD."""
    stands = visible(services, principal)
    if form in {AssetFile.CSV, AssetFile.PARQUET}:
        return table_file(form.value, csv_export.asset_columns(stands), "assets")
    states = services.states()
    if form is AssetFile.GEOJSON:
        return geo(geojson.luminaires(stands, states))
    kinds: dict[str, list[str]] = defaultdict(list)
    for one in services.ledger.findings(open=True, areas=principal.area_filter, limit=100_000):
        kinds[one.device_id].append(one.kind.value)
    never = LuminaireState.UNKNOWN
    entities = [
        ngsi_ld.streetlight(
            asset,
            states.get(asset.device_id) or LuminaireStatus(asset.device_id, never, 0),
            kinds=kinds.get(asset.device_id, ()),
        )
        for asset in stands
        if asset.kind is not AssetKind.COUNTER
    ]
    return linked([e for e in entities if e is not None], options)


def linked(entities: Sequence[Mapping[str, Any]], options: str | None) -> Response:
    """NGSI-LD, normalized or plain."""
    shown = [ngsi_ld.key_values(e) for e in entities] if options else list(entities)
    return JSONResponse(shown, media_type="application/ld+json")


@router.get("/work-orders.{form}", response_class=Response, responses=FILES)
def work_orders(
    form: Map,
    services: ServiceDep,
    principal: Staff,
    open: bool | None = None,  # noqa: A002 - the word stands in the address
) -> Response:
    """Work orders as a table or on a map."""
    found = all_orders(services, OrderFilter(open=open, areas=principal.area_filter))
    if form is Map.GEOJSON:
        return geo(geojson.work_orders(found))
    columns = csv_export.order_columns(found)
    return table_file(form.value, columns, "work-orders", times=csv_export.ORDER_TIMES)


@router.get("/findings.{form}", response_class=Response, responses=FILES)
def findings(form: Table, services: ServiceDep, principal: Staff) -> Response:
    """Findings in the interchange format."""
    found = services.ledger.findings(areas=principal.area_filter, limit=1_000_000)
    columns: Columns = {
        "kind": [f.kind.value for f in found],
        "device_id": [f.device_id for f in found],
        "incident": [f.incident for f in found],
        "cause_kind": [f.cause_kind.value for f in found],
        "cause_id": [f.cause_id for f in found],
        "start": [f.start_ms for f in found],
        "end": [f.end_ms for f in found],
        "raised_at": [f.raised_ms for f in found],
        "severity": [f.severity.value for f in found],
        "confidence": [f.confidence for f in found],
        "note": [f.note for f in found],
    }
    return table_file(form.value, columns, "findings", times=("start", "end", "raised_at"))


@router.get("/readings.{form}", response_class=Response, responses=FILES)
def readings(
    form: Table,
    services: ServiceDep,
    principal: Staff,
    quantity: Quantity = Quantity.ILLUMINANCE,
    start: Annotated[Moment | None, Query()] = None,
    stop: Annotated[Moment | None, Query()] = None,
) -> Response:
    """Readings of one quantity in the interchange format, at most two million."""
    check_may_see(principal, quantity)
    start_ms, stop_ms = window(start, stop, services.clock.now_ms())
    devices = None
    if principal.areas is not None:
        devices = [asset.device_id for asset in visible(services, principal)]
    found = services.store.columns(quantity, start_ms=start_ms, stop_ms=stop_ms, devices=devices)
    if len(found) > MOST_READINGS:
        raise BadInputError(
            f"{len(found)} readings are too many for one file.", remedy="Ask for fewer days."
        )
    columns: Columns = {
        "device_id": [found.device_ids[d] for d in found.device.tolist()],
        "time": found.time_ms.tolist(),
        "received_time": found.received_ms.tolist(),
        quantity.value: found.value.tolist(),
    }
    return table_file(form.value, columns, "readings", times=("time", "received_time"))


@router.get("/truth.{form}", response_class=Response, responses=FILES)
def truth(form: Table, services: ServiceDep, _: City) -> Response:
    """Repairs that were proved, as truth: what really was broken, and when."""
    closed = all_orders(services, OrderFilter(states=(WorkOrderState.VERIFIED,)))
    details = [services.ledger.work_order(order.id) for order in closed]
    columns = csv_export.truth_columns(details)
    return table_file(form.value, columns, "truth", times=csv_export.TRUTH_TIMES)


@router.get("/crowd-flow.jsonld", response_class=Response, responses=FILES)
def crowd_flow(
    services: ServiceDep,
    principal: Planner,
    start: Annotated[Moment | None, Query()] = None,
    stop: Annotated[Moment | None, Query()] = None,
    options: Annotated[str | None, Query(pattern="^keyValues$")] = None,
) -> Response:
    """Hourly footfall as NGSI-LD CrowdFlowObserved, for the city itself: small counts are in it."""
    start_ms, stop_ms = window(start, stop, services.clock.now_ms())
    counters = [a for a in visible(services, principal) if a.kind is AssetKind.COUNTER]
    counts = stored_counts(
        services.store, counters, zone=services.zone, start_ms=start_ms + 1, stop_ms=stop_ms + 1
    )
    if counts is None or counts.hours is None:
        return linked([], options)
    where = {a.site or a.device_id: (a.lat, a.lon) for a in counters}
    starts = counts.hour_starts_s()
    entities: list[Mapping[str, Any]] = []
    for site in counters_by_site(counters):
        if site not in counts.sites:
            continue
        hours = counts.hours[:, :, counts.column(site)]
        for start_s, value in zip(starts.ravel().tolist(), hours.ravel().tolist(), strict=True):
            entity = ngsi_ld.crowd_flow_observed(
                site,
                start_ms=start_s * 1000,
                stop_ms=(start_s + 3600) * 1000,
                people_count=None if value != value else round(value),  # noqa: PLR0124 - NaN
                lat=where[site][0],
                lon=where[site][1],
            )
            if entity is not None:
                entities.append(entity)
    return linked(entities, options)


# -- calendar ----------------------------------------------------------------------------------


class CalendarOut(BaseModel):
    """A secret address for a calendar program; asking again makes the old one useless."""

    path: str


@router.post("/calendar", status_code=201)
def calendar_address(services: ServiceDep, principal: Staff) -> CalendarOut:
    """Make your own calendar address; it belongs to a user, not to a key."""
    if principal.user_id is None:
        raise ProblemError(409, "Only a signed-in user has a calendar")
    token = services.ledger.calendar_token(principal.name)
    noted(services, principal, "calendar_made", principal.name)
    return CalendarOut(path=f"/api/v1/exports/calendar/{token}.ics")


@router.get("/calendar/{token}.ics", response_class=Response,
            responses={200: {"content": {"text/calendar": {}}}})  # fmt: skip
def calendar(
    token: Annotated[str, Path(max_length=100)],
    services: ServiceDep,
    _: Annotated[Principal, Depends(Needs(Role.PUBLIC))],
) -> Response:
    """Due work of whoever owns this address, for as long as they may see it."""
    user = services.ledger.user_of_calendar(token)
    if user is None:
        raise ProblemError(404)
    roles = roles_of(user.roles)
    if not STAFF.intersection(roles):
        raise ProblemError(404)
    areas = areas_of(roles, user.areas)
    wanted = OrderFilter(open=True, areas=None if areas is None else tuple(sorted(areas)))
    body = calendar_of(
        all_orders(services, wanted),
        name=f"Ljusvakt {services.settings.city}",
        base_url=services.settings.http.public_url,
        now_ms=services.clock.now_ms(),
    )
    return Response(body, media_type="text/calendar; charset=utf-8")
