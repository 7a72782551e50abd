"""What leaves the ledger: frozen, complete, free of any database session."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from analytics.findings import CauseKind, FindingKind, Severity
from api.findings import NamedFinding
from api.operations.incidents import IncidentState
from api.operations.states import LuminaireStatus
from api.operations.work_orders import BudgetAccount, Crew, WorkOrderState

__all__ = [
    "ApiKey",
    "Attachment",
    "AuditAction",
    "AuditEntry",
    "CaseLink",
    "Evidence",
    "HistoryStep",
    "Incident",
    "IncidentDetail",
    "Maintenance",
    "Member",
    "OrderFilter",
    "Page",
    "Pause",
    "PlannedWork",
    "ReconcileResult",
    "ServiceRequest",
    "StreamEvent",
    "User",
    "WorkOrder",
    "WorkOrderDetail",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Evidence(NamedFinding):
    """A finding as last judged, with its number in the ledger."""

    id: int = 0


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One thing that happened to an incident."""

    at_ms: int
    what: str
    note: str


@dataclass(frozen=True, slots=True)
class Incident:
    """One matter; `members` counts its luminaires with an open finding (or that had one)."""

    id: int
    key: str
    state: IncidentState
    kind: FindingKind
    cause_kind: CauseKind
    cause_id: str
    severity: Severity
    confidence: float
    start_ms: int
    end_ms: int | None
    raised_ms: int
    updated_ms: int
    members: int
    simulated: bool
    confirmed: bool
    area: str
    site: str
    merged_into: int | None
    note: str


@dataclass(frozen=True, slots=True)
class IncidentDetail:
    """An incident with its timeline, its evidence and its work order."""

    incident: Incident
    timeline: tuple[TimelineEntry, ...]
    evidence: tuple[Evidence, ...]
    order_id: int | None


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """One job. `due_ms` is the next of its two clocks that still runs; None when none does."""

    id: int
    incident_id: int | None
    state: WorkOrderState
    version: int
    crew: Crew
    kind: str
    cause_kind: str
    cause_id: str
    title: str
    note: str
    members: int
    from_findings: bool
    simulated: bool
    area: str
    site: str
    lat: float | None
    lon: float | None
    assignee: str
    budget_account: BudgetAccount
    cost: float | None
    priority: str
    rank: int
    rule_id: str
    why: str
    exposure: float | None
    detected_ms: int
    created_ms: int
    updated_ms: int
    first_action_due_ms: int | None
    repaired_due_ms: int | None
    due_ms: int | None
    first_action_ms: int | None
    done_ms: int | None
    closed_ms: int | None
    verification: str | None
    waiting_for: str | None
    rejection: str | None
    owner: str
    duplicate_of: int | None
    times_reopened: int


@dataclass(frozen=True, slots=True)
class Member:
    """A luminaire in a work order, with where it stands and how it is now."""

    device_id: str
    luminaire_id: str
    kind: str
    start_ms: int
    end_ms: int | None
    by_hand: bool
    lat: float | None
    lon: float | None
    segment: str
    segment_order: int | None
    feeder: str
    state: str


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One version of a work order."""

    version: int
    state: WorkOrderState
    action: str
    actor: str
    at_ms: int
    note: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which the clocks stood still; `until_ms` is None while it lasts."""

    reason: str
    from_ms: int
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A photo of a work order; its bytes come from `Ledger.attachment`."""

    id: int
    order_id: int
    sha256: str
    media_type: str
    width: int
    height: int
    actor: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class CaseLink:
    """A work order in the city's own case system."""

    order_id: int
    system: str
    remote_id: str | None
    remote_status: str
    remote_updated_ms: int | None


@dataclass(frozen=True, slots=True)
class WorkOrderDetail:
    """A work order with everything a crew wants to see."""

    order: WorkOrder
    members: tuple[Member, ...]
    history: tuple[HistoryStep, ...]
    pauses: tuple[Pause, ...]
    attachments: tuple[Attachment, ...]
    evidence: tuple[Evidence, ...]
    requests: tuple[int, ...]
    links: tuple[CaseLink, ...]
    light_decides: bool


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which work orders; every condition given must hold, an empty one excludes nothing.

    Attributes
    ----------
    areas : tuple of str or None
        Only these areas; None = all (an empty tuple shows nothing: a crew without areas).
    """

    states: tuple[WorkOrderState, ...] = ()
    open: bool | None = None
    areas: tuple[str, ...] | None = None
    crew: Crew | None = None
    assignee: str | None = None
    cause_id: str | None = None
    site: str | None = None
    kind: FindingKind | None = None
    priority: str | None = None
    rank: int | None = None
    incident_id: int | None = None
    simulated: bool | None = None
    updated_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items, and where to go on; `next` is None at the end.

    Attributes
    ----------
    next : tuple of int or None
        Sort key of the last item: give it back as `after`.
    """

    items: tuple[T, ...]
    next: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """What a round changed; all empty when everything was known already.

    Attributes
    ----------
    opened, changed, merged, cleared, reopened, withdrawn : tuple of str
        Incident keys.
    orders_created, orders_verified, orders_reopened, orders_closed : tuple of int
        Work order ids; closed = as duplicate of another.
    """

    opened: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    reopened: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    orders_created: tuple[int, ...] = ()
    orders_verified: tuple[int, ...] = ()
    orders_reopened: tuple[int, ...] = ()
    orders_closed: tuple[int, ...] = ()
    suppressed: int = 0

    @property
    def quiet(self) -> bool:
        """Whether nothing changed."""
        return not any(getattr(self, name) for name in self.__slots__ if name != "suppressed")


@dataclass(frozen=True, slots=True)
class PlannedWork:
    """A window in which nothing is raised for a luminaire, segment, feeder, cabinet or site."""

    id: int
    cause_kind: str
    cause_id: str
    from_ms: int
    until_ms: int
    reason: str
    owner: str
    checked_ms: int | None


@dataclass(frozen=True, slots=True)
class Maintenance:
    """What was done to a device."""

    device_id: str
    time_ms: int
    action: str
    note: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """A citizen's report and what became of it."""

    id: int
    service_code: str
    status: str
    status_notes: str
    description: str
    lat: float | None
    lon: float | None
    address: str
    requested_ms: int
    updated_ms: int
    reference: str | None
    luminaire_id: str | None
    order_id: int | None
    duplicate_of: int | None
    answer: str
    match_distance_m: float | None
    extended_status: str = "OPEN"
    expected_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Something live pages are told; `id` rises in commit order."""

    id: int
    at_ms: int
    kind: str
    subject: str
    area: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    """A person who signs in; no secret is part of it."""

    id: int
    name: str
    roles: frozenset[str]
    areas: frozenset[str]
    language: str
    active: bool
    created_ms: int
    has_password: bool
    locked_until_ms: int | None
    oidc_subject: str | None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key for programs; its secret is shown once, when it is made."""

    public_id: str
    name: str
    roles: frozenset[str]
    areas: frozenset[str]
    user_id: int | None
    created_ms: int
    expires_ms: int | None
    last_used_ms: int | None
    revoked_ms: int | None


AuditAction = Literal[
    "assets_imported",
    "calendar_made",
    "first_admin_created",
    "intervention_file_removed",
    "key_created",
    "key_revoked",
    "link_made",
    "password_set",
    "recipient_removed",
    "recipient_set",
    "sign_in",
    "sign_in_refused",
    "sign_out",
    "signed_out_by_admin",
    "situation_map_made",
    "user_changed",
    "user_created",
    "work_ended",
    "work_planned",
]
"""What the log of who did what can say: one name for one action, whichever way it was done."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what."""

    id: int
    at_ms: int
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any] = field(default_factory=dict)


StatusBoard = Mapping[str, LuminaireStatus]
