"""Planned work, the maintenance log, and citizens' reports as the city sees them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from api.auth import STAFF, Needs, Principal, Role
from api.errors import NotFoundError
from api.ledger.views import Maintenance
from api.pagination import PageAsked
from api.routes.access import noted
from api.routes.assets import visible
from api.routes.repeats import Repeatable
from api.routes.shapes import (
    In,
    ListOf,
    MaintenanceOut,
    Moment,
    Name,
    PlannedWorkOut,
    RequestOut,
    Text,
    time_ms_of,
)
from api.services import ServiceDep

router = APIRouter(prefix="/api/v1", tags=["planned work and maintenance"], route_class=Repeatable)
Staff = Annotated[Principal, Depends(Needs(*STAFF))]
Worker = Annotated[Principal, Depends(Needs(Role.CREW, Role.OPERATOR, Role.ADMIN))]
Operator = Annotated[Principal, Depends(Needs(Role.OPERATOR, Role.ADMIN))]
City = Annotated[Principal, Depends(Needs(Role.OPERATOR, Role.PLANNER, Role.TESTER, Role.ADMIN))]
DAY_MS = 86_400_000
ACTIONS = "^(sensor_swap|lamp_swap|cleaned|repaired|planned_on|planned_off)$"


class PlannedWorkIn(In):
    """A window in which nothing is raised for what it covers; then everything is looked at."""

    cause_kind: Annotated[str, Field(pattern="^(luminaire|segment|feeder|cabinet|gateway|site)$")]
    cause_id: Name
    start: Moment
    end: Moment
    reason: Annotated[Text, Field(min_length=1, max_length=1000)]


@router.get("/planned-work")
def planned_work(
    services: ServiceDep,
    pages: PageAsked,
    _: Staff,
    ended: Annotated[bool, Query(description="Also those that are over.")] = False,
) -> ListOf[PlannedWorkOut]:
    """Windows of planned work by their beginning; everybody who goes out sees them all."""
    after_ms = 0 if ended else services.clock.now_ms()
    page = pages.of(
        services.ledger.planned_work(until_after_ms=after_ms),
        key=lambda work: (work.from_ms, work.id),
    )
    return ListOf(items=[PlannedWorkOut.of(work) for work in page.items], next=page.next)


@router.post("/planned-work", status_code=201)
def plan_work(body: PlannedWorkIn, services: ServiceDep, principal: Operator) -> PlannedWorkOut:
    """Open a window; whoever opens it answers for it."""
    work = services.ledger.plan_work(
        cause_kind=body.cause_kind,
        cause_id=body.cause_id,
        from_ms=time_ms_of(body.start),
        until_ms=time_ms_of(body.end),
        reason=body.reason,
        owner=principal.name,
    )
    noted(services, principal, "work_planned", f"{body.cause_kind} {body.cause_id}", id=work.id)
    return PlannedWorkOut.of(work)


@router.post("/planned-work/{work_id}/end")
def end_work(
    work_id: Annotated[int, Path(ge=1, lt=2**62)], services: ServiceDep, principal: Operator
) -> PlannedWorkOut:
    """End a window before its time."""
    work = services.ledger.end_work(work_id, now_ms=services.clock.now_ms())
    noted(services, principal, "work_ended", f"{work.cause_kind} {work.cause_id}", id=work.id)
    return PlannedWorkOut.of(work)


class MaintenanceIn(In):
    """What was done to a device; detectors begin anew where it says so."""

    device_id: Name
    action: Annotated[str, Field(pattern=ACTIONS)]
    time: Moment | None = None
    note: Annotated[Text, Field(max_length=1000)] = ""


@router.get("/maintenance")
def maintenance(
    services: ServiceDep,
    pages: PageAsked,
    principal: Staff,
    device_id: Annotated[str, Query(max_length=200)] = "",
    since: Annotated[Moment | None, Query()] = None,
) -> ListOf[MaintenanceOut]:
    """The maintenance log, by time."""
    entries = services.ledger.maintenance(
        device_id=device_id, since_ms=time_ms_of(since) if since else 0
    )
    if principal.areas is not None:
        mine = {asset.device_id for asset in visible(services, principal)}
        entries = [entry for entry in entries if entry.device_id in mine]
    page = pages.of(entries, key=lambda e: (e.time_ms, e.device_id, e.action))
    return ListOf(items=[MaintenanceOut.of(entry) for entry in page.items], next=page.next)


@router.post("/maintenance", status_code=201)
def add_maintenance(body: MaintenanceIn, services: ServiceDep, principal: Worker) -> MaintenanceOut:
    """Write down what was done; the same entry twice is one."""
    asset = services.ledger.asset(body.device_id)
    if not principal.sees(asset.area):
        raise NotFoundError(f"no asset {body.device_id!r}.")
    at_ms = time_ms_of(body.time) if body.time else services.clock.now_ms()
    entry = Maintenance(body.device_id, at_ms, body.action, body.note, principal.name)
    services.ledger.add_maintenance([entry])
    return MaintenanceOut.of(entry)


@router.get("/reports")
def reports(
    services: ServiceDep,
    pages: PageAsked,
    _: City,
    status: Annotated[str | None, Query(pattern="^(open|closed)$")] = None,
) -> ListOf[RequestOut]:
    """Citizens' reports and what the sensors answered; nothing about who sent them."""
    page = pages.of(
        services.ledger.service_requests(
            status=status, start_ms=services.clock.now_ms() - 90 * DAY_MS, limit=1000
        ),
        key=lambda r: (-r.requested_ms, r.id),
    )
    return ListOf(items=[RequestOut.of(one) for one in page.items], next=page.next)
