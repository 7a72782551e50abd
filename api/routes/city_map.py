"""The city as data for the map: luminaires by state, streets as lines, names of areas."""

import gzip
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from api.assets import Asset, AssetKind
from api.auth import STAFF, Needs, Principal
from api.errors import BadInputError
from api.ledger.board import orders_by_device
from api.operations.states import LuminaireState
from api.routes.assets import state_of, visible
from api.routes.shapes import Stale
from api.services import ServiceDep, Services

router = APIRouter(prefix="/api/v1", tags=["assets"])
Staff = Annotated[Principal, Depends(Needs(*STAFF))]
Box = tuple[float, float, float, float]
STATES = [state.value for state in LuminaireState]
MOST_ON_MAP = 10_000
FEW_AREAS = 4
PACKED = 4  # a third of the time of the usual 6, for a sixteenth more bytes


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
    left_out: int = Field(
        description="Luminaires of this box beyond 10,000; all of these are in order."
    )
    stale: Stale


def box_of(text: str | None) -> Box | None:
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


@router.get("/map", response_model=MapOut)
def map_data(
    request: Request,
    services: ServiceDep,
    principal: Staff,
    bbox: Annotated[
        str | None, Query(max_length=100, description="west,south,east,north in degrees")
    ] = None,
) -> Response:
    """Luminaires by state, segments as lines, names of areas: what the map draws.

    Where a box holds more than 10,000, those that are not in order come first, and of the others
    every so many-eth.
    """
    box = box_of(bbox)
    stale = services.stale()
    packed: bytes = services.answers.get(
        ("map", principal.areas, box),
        (services.ledger.street_version(), services.ledger.stream_position(), stale),
        # Made and packed once, in this thread: each costs more than all the rest of an answer.
        lambda: gzip.compress(
            msgspec.json.encode(drawn(services, principal, box, stale=stale)), PACKED
        ),
    )
    headers = {"Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(gzip.decompress(packed), media_type="application/json", headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(packed, media_type="application/json", headers=headers)


def drawn(
    services: Services, principal: Principal, box: Box | None, *, stale: bool
) -> dict[str, object]:
    """What `MapOut` says, as plain columns."""
    placed = [
        one
        for one in visible(services, principal)
        if one.lat is not None
        and one.lon is not None
        and (not box or (box[0] <= one.lon <= box[2] and box[1] <= one.lat <= box[3]))
    ]
    states = services.states()
    is_now = {
        one.device_id: "ok" if one.kind is AssetKind.COUNTER else state_of(one, states).value
        for one in placed
    }
    shown = thinned(placed, [one for one in placed if is_now[one.device_id] != "ok"])
    orders = orders_by_device(services.ledger.database, areas=principal.area_filter)
    reasons = (states.get(one.device_id) for one in shown)
    return {
        "states": STATES,
        "luminaires": {
            "id": [one.device_id for one in shown],
            "name": [one.luminaire_id for one in shown],
            "lon": [round(one.lon or 0.0, 6) for one in shown],
            "lat": [round(one.lat or 0.0, 6) for one in shown],
            "state": [STATES.index(is_now[one.device_id]) for one in shown],
            "kind": [one.kind.value for one in shown],
            "reason": [status.reason if status is not None else "" for status in reasons],
            "order": [orders.get(one.device_id) for one in shown],
        },
        "segments": lines_of(shown),
        "labels": labels_of(placed),
        "left_out": len(placed) - len(shown),
        "stale": stale,
    }


def thinned(placed: Sequence[Asset], wanted: Sequence[Asset]) -> Sequence[Asset]:
    """At most 10,000: the wanted ones, and evenly many of the others, in the order they came."""
    if len(placed) <= MOST_ON_MAP:
        return placed
    first = {one.device_id for one in wanted[:MOST_ON_MAP]}
    others = [one.device_id for one in placed if one.device_id not in first]
    room = MOST_ON_MAP - len(first)
    first.update(others[i * len(others) // room] for i in range(room))
    return [one for one in placed if one.device_id in first]


def lines_of(placed: Sequence[Asset]) -> list[dict[str, object]]:
    """One line a segment; a luminaire whose place in the row is not known is left out of it."""
    along: dict[str, list[Asset]] = defaultdict(list)
    for one in placed:
        if one.segment and one.segment_order is not None:
            along[one.segment].append(one)
    lines: list[dict[str, object]] = []
    for segment, row in sorted(along.items()):
        row.sort(key=lambda a: a.segment_order or 0)
        if len(row) > 1:
            line = [(round(a.lon or 0.0, 6), round(a.lat or 0.0, 6)) for a in row]
            lines.append({"id": segment, "line": line})
    return lines


def labels_of(placed: Sequence[Asset]) -> list[dict[str, object]]:
    """Where the name of each part of the city goes: in the middle of its luminaires."""
    by_area: dict[str, list[Asset]] = defaultdict(list)
    # Areas are contractors' as often as people's: a handful of them says less than the places do.
    few = len({one.area for one in placed}) < FEW_AREAS
    for one in placed:
        name = ("" if few else one.area) or (one.site if one.kind is AssetKind.LUMINAIRE else "")
        if name:
            by_area[name].append(one)
    if len(by_area) > 40:
        return []
    return [
        {
            "text": area,
            "lon": round(median(a.lon or 0.0 for a in stands), 6),
            "lat": round(median(a.lat or 0.0 for a in stands), 6),
        }
        for area, stands in sorted(by_area.items())
    ]
