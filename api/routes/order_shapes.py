"""What the API sends of work orders, and how it is made from the ledger's views."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.ledger.views import WorkOrder, WorkOrderDetail
from api.routes.shapes import FindingOut, Stale, finding_out, moment
from api.watch.consequences import passages_source

__all__ = ["WorkOrderDetailOut", "WorkOrderOut", "work_order_detail_out", "work_order_out"]


class WorkOrderOut(BaseModel):
    """One job for one crew; `version` is its ETag."""

    id: int
    version: int
    state: str
    kind: str
    title: str
    cause_kind: str
    cause_id: str
    members: list[str] = Field(description="Device ids")
    member_count: int
    priority: str
    urgency: int = Field(description="Rank of the priority; 0 is the most urgent")
    first_action_due: str | None
    repaired_due: str | None
    due: str | None
    opened_at: str
    updated_at: str
    detected_at: str
    closed_at: str | None
    evidence: str = Field(description="Why we believe so, in a sentence")
    why: str = Field(description="Why it is this urgent")
    rule: str
    place: str
    area: str
    crew: str
    lat: float | None
    lon: float | None
    incident_id: int | None
    assignee: str
    budget_account: str
    waiting_for: str | None
    verification: str | None
    rejection: str | None
    duplicate_of: int | None
    times_reopened: int
    simulated: bool
    passages_per_night: float | None = Field(
        default=None, description="Who passes in light below what it should be; null = not known"
    )


def _work_order(order: WorkOrder, members: list[str]) -> dict[str, Any]:
    return {
        "id": order.id,
        "version": order.version,
        "state": order.state.value,
        "kind": order.kind,
        "title": order.title,
        "cause_kind": order.cause_kind,
        "cause_id": order.cause_id,
        "members": members,
        "member_count": order.members,
        "priority": order.priority,
        "urgency": order.rank,
        "first_action_due": moment(order.first_action_due_ms),
        "repaired_due": moment(order.repaired_due_ms),
        "due": moment(order.due_ms),
        "opened_at": moment(order.created_ms) or "",
        "updated_at": moment(order.updated_ms) or "",
        "detected_at": moment(order.detected_ms) or "",
        "closed_at": moment(order.closed_ms),
        "evidence": order.note,
        "why": order.why,
        "rule": order.rule_id,
        "place": order.site,
        "area": order.area,
        "crew": order.crew.value,
        "lat": order.lat,
        "lon": order.lon,
        "incident_id": order.incident_id,
        "assignee": order.assignee,
        "budget_account": order.budget_account.value,
        "waiting_for": order.waiting_for,
        "verification": order.verification,
        "rejection": order.rejection,
        "duplicate_of": order.duplicate_of,
        "times_reopened": order.times_reopened,
        "simulated": order.simulated,
        "passages_per_night": order.exposure,
    }


def work_order_out(order: WorkOrder, members: list[str]) -> WorkOrderOut:
    """One order as it stands in a list."""
    return WorkOrderOut(**_work_order(order, members))


class MemberOut(BaseModel):
    """A luminaire in an order."""

    device_id: str
    luminaire_id: str
    kind: str
    start: str
    end: str | None
    lat: float | None
    lon: float | None
    segment: str
    segment_order: int | None
    feeder: str
    state: str


class StepOut(BaseModel):
    """One version of an order."""

    version: int
    state: str
    action: str
    actor: str
    at: str
    note: str


class PauseOut(BaseModel):
    """A time in which the clocks stood still."""

    reason: str
    start: str
    end: str | None


class PhotoOut(BaseModel):
    """A photo; its bytes stand at `href`."""

    id: int
    href: str
    media_type: str
    width: int
    height: int
    actor: str
    at: str


class WorkOrderDetailOut(WorkOrderOut):
    """An order with everything a crew wants to know."""

    luminaires: list[MemberOut]
    history: list[StepOut]
    pauses: list[PauseOut]
    photos: list[PhotoOut]
    findings: list[FindingOut]
    service_requests: list[int]
    light_decides: bool = Field(description="Whether the next dark hours prove the repair")
    passages_source: Literal["own_counter", "nearest_similar_place", "none"] = Field(
        default="none", description="How it is known who passes"
    )
    stale: Stale


def work_order_detail_out(detail: WorkOrderDetail, *, stale: bool) -> WorkOrderDetailOut:
    """One order with its members, history, pauses, photos and findings."""
    order = detail.order
    return WorkOrderDetailOut(
        **_work_order(order, [m.device_id for m in detail.members]),
        luminaires=[
            MemberOut(
                device_id=m.device_id,
                luminaire_id=m.luminaire_id,
                kind=m.kind,
                start=moment(m.start_ms) or "",
                end=moment(m.end_ms),
                lat=m.lat,
                lon=m.lon,
                segment=m.segment,
                segment_order=m.segment_order,
                feeder=m.feeder,
                state=m.state,
            )
            for m in detail.members
        ],
        history=[
            StepOut(
                version=s.version,
                state=s.state.value,
                action=s.action,
                actor=s.actor,
                at=moment(s.at_ms) or "",
                note=s.note,
            )
            for s in detail.history
        ],
        pauses=[
            PauseOut(reason=p.reason, start=moment(p.from_ms) or "", end=moment(p.until_ms))
            for p in detail.pauses
        ],
        photos=[
            PhotoOut(
                id=a.id,
                href=f"/api/v1/work-orders/{order.id}/photos/{a.id}",
                media_type=a.media_type,
                width=a.width,
                height=a.height,
                actor=a.actor,
                at=moment(a.at_ms) or "",
            )
            for a in detail.attachments
        ],
        findings=[finding_out(e) for e in detail.evidence],
        service_requests=list(detail.requests),
        light_decides=detail.light_decides,
        passages_source=passages_source(detail.evidence),
        stale=stale,
    )
