"""What stands in the street, and how it is; the same as data for the map."""

from collections import defaultdict
from statistics import median
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from api.assets import Asset, AssetKind
from api.auth import STAFF, Needs, Principal
from api.errors import BadInputError, NotFoundError
from api.ledger.board import members_of
from api.ledger.views import OrderFilter
from api.operations.states import LuminaireState, LuminaireStatus
from api.pagination import Limit, PageCursor, page_of
from api.routes.shapes import AssetOut, ListOf, asset_out
from api.services import ServiceDep, Services

router = APIRouter(prefix="/api/v1", tags=["assets"])
Staff = Annotated[Principal, Depends(Needs(*STAFF))]
STATES = [state.value for state in LuminaireState]
MOST_ON_MAP = 10_000


def visible(services: Services, principal: Principal) -> list[Asset]:
    """Every asset in the areas of whoever asks."""
    return [asset for asset in services.assets() if principal.sees(asset.area)]


@router.get("/assets")
def assets(
    request: Request,
    response: Response,
    services: ServiceDep,
    principal: Staff,
    kind: AssetKind | None = None,
    state: LuminaireState | None = None,
    site: Annotated[str | None, Query(max_length=200)] = None,
    feeder: Annotated[str | None, Query(max_length=200)] = None,
    segment: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 100,
    cursor: PageCursor = None,
) -> ListOf[AssetOut]:
    """Luminaires, tunnels and counters with their state, by device id."""
    states = services.ledger.luminaire_states()
    rows = [
        asset
        for asset in visible(services, principal)
        if (kind is None or asset.kind is kind)
        and (site is None or asset.site == site)
        and (feeder is None or asset.feeder == feeder)
        and (segment is None or asset.segment == segment)
        and (state is None or state_of(asset, states) is state)
    ]
    page = page_of(
        rows,
        key=lambda asset: (asset.device_id,),
        limit=limit,
        cursor=cursor,
        secret=services.secret,
        request=request,
        response=response,
    )
    shown = [asset_out(asset, states.get(asset.device_id)) for asset in page.items]
    return ListOf(items=shown, next=page.next)


def state_of(asset: Asset, states: dict[str, LuminaireStatus]) -> LuminaireState:
    """How it is; what nobody has judged is unknown."""
    status = states.get(asset.device_id)
    return status.state if status else LuminaireState.UNKNOWN


@router.get("/assets/{device_id}")
def asset(device_id: str, services: ServiceDep, principal: Staff) -> AssetOut:
    """One asset with its state."""
    found = services.ledger.asset(device_id)
    if not principal.sees(found.area):
        raise NotFoundError(f"no asset {device_id!r}.")
    return asset_out(found, services.ledger.luminaire_states().get(device_id))


class MapLuminaires(BaseModel):
    """Columns, equally long: a third of the size of as many objects."""

    id: list[str]
    name: list[str]
    lon: list[float]
    lat: list[float]
    state: list[int] = Field(description="Index into `states`")
    kind: list[str]
    reason: list[str]
    order: list[int | None] = Field(description="Its open work order")


class MapSegment(BaseModel):
    """A line through luminaires in the order they stand."""

    id: str
    line: list[tuple[float, float]]


class MapLabel(BaseModel):
    """The name of a part of the city, in its middle."""

    text: str
    lon: float
    lat: float


class MapOut(BaseModel):
    """Everything the map of the first page draws."""

    states: list[str]
    luminaires: MapLuminaires
    segments: list[MapSegment]
    labels: list[MapLabel]
    left_out: int = Field(description="Luminaires beyond the first 10,000 of this box")


def box_of(text: str | None) -> tuple[float, float, float, float] | None:
    """West, south, east, north.

    Raises
    ------
    BadInputError
        When these are not four numbers.
    """
    if text is None:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise BadInputError(
            "bbox is four numbers: west,south,east,north", remedy="As in 12.6,56.0,12.8,56.1."
        ) from error
    return west, south, east, north


@router.get("/map")
def map_data(
    services: ServiceDep,
    principal: Staff,
    bbox: Annotated[
        str | None, Query(max_length=100, description="west,south,east,north in degrees")
    ] = None,
) -> MapOut:
    """Luminaires by state, segments as lines, names of areas: what the map draws."""
    box = box_of(bbox)
    placed: list[Asset] = []
    for one in visible(services, principal):
        if one.lat is None or one.lon is None:
            continue
        if box and not (box[0] <= one.lon <= box[2] and box[1] <= one.lat <= box[3]):
            continue
        placed.append(one)
    shown = placed[:MOST_ON_MAP]
    states = services.ledger.luminaire_states()
    orders = orders_by_device(services, principal)
    return MapOut(
        states=STATES,
        luminaires=MapLuminaires(
            id=[a.device_id for a in shown],
            name=[a.luminaire_id for a in shown],
            lon=[round(a.lon or 0.0, 6) for a in shown],
            lat=[round(a.lat or 0.0, 6) for a in shown],
            state=[
                STATES.index("ok" if a.kind is AssetKind.COUNTER else state_of(a, states).value)
                for a in shown
            ],
            kind=[a.kind.value for a in shown],
            reason=[
                status.reason if (status := states.get(a.device_id)) is not None else ""
                for a in shown
            ],
            order=[orders.get(a.device_id) for a in shown],
        ),
        segments=lines_of(shown),
        labels=labels_of(shown),
        left_out=len(placed) - len(shown),
    )


def orders_by_device(services: Services, principal: Principal) -> dict[str, int]:
    """The open work order each device is part of, the most urgent where there are several."""
    found: dict[str, int] = {}
    wanted = OrderFilter(open=True, areas=principal.area_filter)
    page = services.ledger.work_orders(wanted, limit=500)
    members = members_of(services.ledger.database, [order.id for order in page.items])
    for order in page.items:
        for device_id in members.get(order.id, ()):
            found.setdefault(device_id, order.id)
    return found


def lines_of(placed: list[Asset]) -> list[MapSegment]:
    """One line a segment; a luminaire whose place in the row is not known is left out of it."""
    along: dict[str, list[Asset]] = defaultdict(list)
    for one in placed:
        if one.segment and one.segment_order is not None:
            along[one.segment].append(one)
    lines: list[MapSegment] = []
    for segment, row in sorted(along.items()):
        row.sort(key=lambda a: a.segment_order or 0)
        if len(row) > 1:
            line = [(round(a.lon or 0.0, 6), round(a.lat or 0.0, 6)) for a in row]
            lines.append(MapSegment(id=segment, line=line))
    return lines


def labels_of(placed: list[Asset]) -> list[MapLabel]:
    """Where the name of each area goes: in the middle of its luminaires."""
    by_area: dict[str, list[Asset]] = defaultdict(list)
    for one in placed:
        # A city that has drawn no areas still knows in which part of it a luminaire stands.
        name = one.area or (one.site if one.kind is AssetKind.LUMINAIRE else "")
        if name:
            by_area[name].append(one)
    if len(by_area) > 40:
        return []
    return [
        MapLabel(
            text=area,
            lon=round(median(a.lon or 0.0 for a in stands), 6),
            lat=round(median(a.lat or 0.0 for a in stands), 6),
        )
        for area, stands in sorted(by_area.items())
    ]
