"""Readings as they are stored."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from api.auth import CITY, STAFF, Needs, Principal
from api.errors import BadInputError, NotFoundError
from api.pagination import PageAsked, Paging, paging
from api.problems import ProblemError
from api.routes.assets import visible
from api.routes.shapes import ListOf, Moment, moment, time_ms_of
from api.services import ServiceDep
from ingest.reading import QUANTITIES, Quantity

router = APIRouter(prefix="/api/v1", tags=["readings"])
Staff = Annotated[Principal, Depends(Needs(*STAFF))]
DAY_MS = 86_400_000
LONGEST_MS = 35 * DAY_MS


class ReadingOut(BaseModel):
    """One observation. `flags`: 1 late, 2 clock, 4 suspect, 8 time replaced, 16 simulated."""

    device_id: str
    time: str
    value: float
    received: str
    flags: int


class ReadingsOut(ListOf[ReadingOut]):
    """Readings of one quantity."""

    quantity: str
    unit: str


def window(start: str | None, stop: str | None, now_ms: int) -> tuple[int, int]:
    """`[start, stop)`, by default the last day.

    Raises
    ------
    BadInputError
        When it is empty or longer than 35 days: ask piece by piece, or take an export.
    """
    stop_ms = time_ms_of(stop) if stop else now_ms
    start_ms = time_ms_of(start) if start else stop_ms - DAY_MS
    if not 0 < stop_ms - start_ms <= LONGEST_MS:
        raise BadInputError(
            "stop must lie behind start, at most 35 days.", remedy="Ask in several pieces."
        )
    return start_ms, stop_ms


def check_may_see(principal: Principal, quantity: Quantity) -> None:
    """Counts of people, unsuppressed, are for those who plan and run; crews need light.

    Raises
    ------
    ProblemError
        403.
    """
    if quantity.value.startswith("people_") and not principal.has(*CITY):
        raise ProblemError(403, detail="Counts of people are for planners and operators.")


@router.get("/readings")
def readings(
    services: ServiceDep,
    pages: Annotated[Paging, Depends(paging(1000))],
    principal: Staff,
    quantity: Quantity = Quantity.ILLUMINANCE,
    device_id: Annotated[
        list[str] | None,
        Query(max_length=200, description="Only these devices; may be repeated."),
    ] = None,
    start: Annotated[Moment | None, Query()] = None,
    stop: Annotated[Moment | None, Query()] = None,
) -> ReadingsOut:
    """Readings of one quantity in `[start, stop)`, by device and time; missing stays missing."""
    check_may_see(principal, quantity)
    start_ms, stop_ms = window(start, stop, services.clock.now_ms())
    devices = device_id
    if principal.areas is not None:
        mine = {asset.device_id for asset in visible(services, principal)}
        if device_id and not mine.issuperset(device_id):
            raise NotFoundError("no such device.")
        devices = sorted(mine.intersection(device_id or mine))
    found = services.store.columns(quantity, start_ms=start_ms, stop_ms=stop_ms, devices=devices)
    ids = found.device_ids

    def place(n: int) -> tuple[str, int]:
        return ids[int(found.device[n])], int(found.time_ms[n])

    page = pages.of(range(len(found)), key=place)
    items = [
        ReadingOut(
            device_id=ids[found.device[n]],
            time=moment(int(found.time_ms[n])) or "",
            value=float(found.value[n]),
            received=moment(int(found.received_ms[n])) or "",
            flags=int(found.flags[n]),
        )
        for n in page.items
    ]
    return ReadingsOut(
        items=items, next=page.next, quantity=quantity.value, unit=QUANTITIES[quantity].unit
    )


class EventOut(BaseModel):
    """A fault report by a device."""

    device_id: str
    time: str
    event: str
    active: bool | None
    info: str
    received: str


@router.get("/device-events")
def device_events(
    services: ServiceDep,
    pages: PageAsked,
    principal: Staff,
    start: Annotated[Moment | None, Query()] = None,
    stop: Annotated[Moment | None, Query()] = None,
) -> ListOf[EventOut]:
    """Fault reports by the devices themselves, with TALQ 2.7 names."""
    start_ms, stop_ms = window(start, stop, services.clock.now_ms())
    found = services.store.events(start_ms=start_ms, stop_ms=stop_ms)
    if principal.areas is not None:
        mine = {asset.device_id for asset in visible(services, principal)}
        found = [event for event in found if event.device_id in mine]
    page = pages.of(found, key=lambda e: (e.time_ms, e.device_id, e.event))
    items = [
        EventOut(
            device_id=e.device_id,
            time=moment(e.time_ms) or "",
            event=e.event,
            active=e.active,
            info=e.info,
            received=moment(e.received_ms) or "",
        )
        for e in page.items
    ]
    return ListOf(items=items, next=page.next)
