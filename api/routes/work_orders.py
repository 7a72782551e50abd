"""Work orders: read, take, start, set waiting, mark done, reject, merge, split."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response, UploadFile
from pydantic import Field

from analytics.findings import FindingKind
from api.auth import STAFF, Needs, Principal, Role
from api.ledger.board import members_of
from api.ledger.views import OrderFilter, WorkOrder
from api.operations.work_orders import (
    Action,
    BudgetAccount,
    Crew,
    Rejection,
    Verification,
    WaitingFor,
    WorkOrderState,
)
from api.pagination import PageAsked
from api.problems import ProblemError
from api.routes.order_shapes import (
    PhotoOut,
    WorkOrderDetailOut,
    WorkOrderOut,
    work_order_detail_out,
    work_order_out,
)
from api.routes.repeats import Repeatable
from api.routes.shapes import In, JudgedListOf, Name, Text, moment
from api.services import ServiceDep, Services

router = APIRouter(prefix="/api/v1", tags=["work orders"], route_class=Repeatable)
Staff = Annotated[Principal, Depends(Needs(*STAFF))]
Worker = Annotated[Principal, Depends(Needs(Role.CREW, Role.OPERATOR, Role.ADMIN))]
Operator = Annotated[Principal, Depends(Needs(Role.OPERATOR, Role.ADMIN))]
OrderId = Annotated[int, Path(ge=1, lt=2**62, description="Number of the work order")]
IfMatch = Annotated[
    str | None,
    Header(max_length=100, description='The version you have seen, as in `"3"`; `*` takes any.'),
]


def etag(version: int) -> str:
    """The version as it stands in `ETag` and `If-Match`."""
    return f'"{version}"'


def version_of(if_match: str | None) -> int | None:
    """The version a client says it has seen; None for any.

    Raises
    ------
    ProblemError
        428 when it says nothing, 412 when it says something that no version of ours can be.
    """
    if if_match is None:
        raise ProblemError(428)
    if if_match.strip() == "*":
        return None
    number = if_match.strip().removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise ProblemError(412)
    return int(number)


def shown(services: Services, order: WorkOrder) -> WorkOrderOut:
    """One order as it stands in lists."""
    members = members_of(services.ledger.database, [order.id])
    return work_order_out(order, members[order.id])


@router.get("/work-orders")
def work_orders(
    services: ServiceDep,
    pages: PageAsked,
    principal: Staff,
    open: Annotated[  # noqa: A002 - the word stands in the address
        bool | None, Query(description="Only open ones, or only closed ones.")
    ] = None,
    state: Annotated[list[WorkOrderState] | None, Query(max_length=9)] = None,
    kind: FindingKind | None = None,
    crew: Crew | None = None,
    assignee: Annotated[str | None, Query(max_length=200)] = None,
    cause_id: Annotated[str | None, Query(max_length=200)] = None,
    site: Annotated[str | None, Query(max_length=200)] = None,
    priority: Annotated[str | None, Query(max_length=40)] = None,
) -> JudgedListOf[WorkOrderOut]:
    """Work orders, the most urgent first: by priority, then by deadline."""
    wanted = OrderFilter(
        states=tuple(state or ()),
        open=open,
        areas=principal.area_filter,
        crew=crew,
        assignee=assignee,
        cause_id=cause_id,
        site=site,
        kind=kind,
        priority=priority,
    )
    page = pages.turn(
        lambda behind: services.ledger.work_orders(wanted, limit=pages.limit, after=behind)
    )
    members = members_of(services.ledger.database, [order.id for order in page.items])
    return JudgedListOf(
        items=[work_order_out(order, members[order.id]) for order in page.items],
        next=page.next,
        stale=services.stale(),
    )


@router.get("/work-orders/{order_id}")
def work_order(
    order_id: OrderId, response: Response, services: ServiceDep, principal: Staff
) -> WorkOrderDetailOut:
    """One order with members, history, photos and findings; its ETag is its version."""
    detail = services.ledger.work_order(order_id, areas=principal.area_filter)
    response.headers["ETag"] = etag(detail.order.version)
    return work_order_detail_out(detail, stale=services.stale())


class NewOrderIn(In):
    """An order a person opens."""

    device_ids: Annotated[list[Name], Field(min_length=1, max_length=500)]
    kind: Annotated[FindingKind, Field(strict=False)]
    note: Annotated[Text, Field(max_length=2000)] = ""
    hazard: bool = Field(default=False, description="Electrical or mechanical danger")


@router.post("/work-orders", status_code=201)
def open_order(
    body: NewOrderIn,
    response: Response,
    services: ServiceDep,
    principal: Operator,
) -> WorkOrderOut:
    """Open an order by hand."""
    order = services.ledger.create_work_order(
        device_ids=body.device_ids,
        kind=body.kind,
        actor=principal.name,
        now_ms=services.clock.now_ms(),
        note=body.note,
        hazard=body.hazard,
    )
    response.headers["ETag"] = etag(order.version)
    response.headers["Location"] = f"/api/v1/work-orders/{order.id}"
    return shown(services, order)


class TransitionIn(In):
    """A step. What it needs depends on the action: see the names of the fields."""

    action: Annotated[Action, Field(strict=False)]
    note: Annotated[Text, Field(max_length=2000)] = ""
    assignee: Annotated[Text, Field(max_length=200)] = Field(
        default="", description="For `assign`; yourself where it is empty."
    )
    waiting_for: Annotated[WaitingFor, Field(strict=False)] | None = None
    rejection: Annotated[Rejection, Field(strict=False)] | None = None
    owner: Annotated[Text, Field(max_length=200)] = Field(
        default="", description="Whose it is, when it is rejected as not_ours."
    )
    duplicate_of: Annotated[int, Field(ge=1, lt=2**62)] | None = None
    verification: Annotated[Verification, Field(strict=False)] | None = None


def take_step(
    services: Services,
    principal: Principal,
    order_id: int,
    body: TransitionIn,
    *,
    version: int | None,
) -> WorkOrder:
    """One step by a person; used by the API and by the pages alike."""
    assignee = body.assignee
    if body.action is Action.ASSIGN and (not assignee or not principal.has(*CAN_ASSIGN_OTHERS)):
        assignee = principal.name
    return services.ledger.transition(
        order_id,
        body.action,
        version=version,
        actor=principal.name,
        now_ms=services.clock.now_ms(),
        areas=principal.area_filter,
        note=body.note,
        assignee=assignee,
        waiting_for=body.waiting_for,
        rejection=body.rejection,
        owner=body.owner,
        duplicate_of=body.duplicate_of,
        verification=body.verification,
    )


CAN_ASSIGN_OTHERS = (Role.OPERATOR, Role.ADMIN)


@router.post("/work-orders/{order_id}/transitions")
def transition(
    order_id: OrderId,
    body: TransitionIn,
    response: Response,
    services: ServiceDep,
    principal: Worker,
    if_match: IfMatch = None,
) -> WorkOrderOut:
    """Take a step: assign, release, start, wait, resume, done, verify, reopen, reject, note."""
    order = take_step(services, principal, order_id, body, version=version_of(if_match))
    response.headers["ETag"] = etag(order.version)
    return shown(services, order)


class PatchIn(In):
    """What may be changed directly; states change by transitions only."""

    budget_account: Annotated[BudgetAccount, Field(strict=False)]
    cost: Annotated[float, Field(ge=0, le=1e9)] | None = None


@router.patch("/work-orders/{order_id}")
def patch(
    order_id: OrderId,
    body: PatchIn,
    response: Response,
    services: ServiceDep,
    principal: Operator,
    if_match: IfMatch = None,
) -> WorkOrderOut:
    """Say who pays, and how much."""
    version = version_of(if_match)
    if version is None:
        version = services.ledger.work_order(order_id).order.version
    order = services.ledger.set_budget(
        order_id,
        body.budget_account,
        cost=body.cost,
        version=version,
        actor=principal.name,
        now_ms=services.clock.now_ms(),
    )
    response.headers["ETag"] = etag(order.version)
    return shown(services, order)


class MergeIn(In):
    """Orders that turned out to be one."""

    others: Annotated[
        list[Annotated[int, Field(ge=1, lt=2**62)]], Field(min_length=1, max_length=100)
    ]
    note: Annotated[Text, Field(max_length=2000)] = ""


@router.post("/work-orders/{order_id}/merge")
def merge(
    order_id: OrderId, body: MergeIn, services: ServiceDep, principal: Operator
) -> WorkOrderOut:
    """Make other orders part of this one; they become duplicates of it."""
    order = services.ledger.merge(
        order_id,
        body.others,
        actor=principal.name,
        now_ms=services.clock.now_ms(),
        note=body.note,
    )
    return shown(services, order)


class SplitIn(In):
    """Luminaires that turned out to be another matter."""

    device_ids: Annotated[list[Name], Field(min_length=1, max_length=500)]
    note: Annotated[Text, Field(max_length=2000)] = ""


@router.post("/work-orders/{order_id}/split", status_code=201)
def split(
    order_id: OrderId, body: SplitIn, response: Response, services: ServiceDep, principal: Operator
) -> WorkOrderOut:
    """Take luminaires out into an order of their own."""
    order = services.ledger.split(
        order_id,
        body.device_ids,
        actor=principal.name,
        now_ms=services.clock.now_ms(),
        note=body.note,
    )
    response.headers["Location"] = f"/api/v1/work-orders/{order.id}"
    return shown(services, order)


@router.post("/work-orders/{order_id}/photos", status_code=201)
def attach(
    order_id: OrderId, photo: UploadFile, services: ServiceDep, principal: Worker
) -> PhotoOut:
    """Add a photo; it is encoded anew, so that where and by whom it was taken is gone."""
    kept = services.ledger.attach_photo(
        order_id,
        photo.file.read(),
        actor=principal.name,
        now_ms=services.clock.now_ms(),
        areas=principal.area_filter,
    )
    return PhotoOut(
        id=kept.id,
        href=f"/api/v1/work-orders/{order_id}/photos/{kept.id}",
        media_type=kept.media_type,
        width=kept.width,
        height=kept.height,
        actor=kept.actor,
        at=moment(kept.at_ms) or "",
    )


@router.get(
    "/work-orders/{order_id}/photos/{photo_id}",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def photo(
    order_id: OrderId,
    photo_id: Annotated[int, Path(ge=1, lt=2**62)],
    services: ServiceDep,
    principal: Staff,
) -> Response:
    """The bytes of a photo."""
    found, content = services.ledger.attachment(photo_id, areas=principal.area_filter)
    if found.order_id != order_id:
        raise ProblemError(404)
    return Response(content, media_type=found.media_type)


@router.get(
    "/work-orders/{order_id}/picture",
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {}}}},
)
def picture(
    order_id: OrderId, services: ServiceDep, principal: Staff, request: Request
) -> Response:
    """Why we believe so, as a drawing that can be read in five seconds."""
    from api.routes.rendering import words_of

    services.ledger.work_order(order_id, areas=principal.area_filter)
    drawn = services.picture(order_id, words_of(request).language) if services.picture else None
    if drawn is None:
        raise ProblemError(404, detail="There is nothing to draw for this order.")
    return Response(drawn, media_type="image/svg+xml")
