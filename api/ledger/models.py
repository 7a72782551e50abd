"""Tables of the ledger. Rows never leave `api.ledger`; `views` holds what does.

Times are whole milliseconds, UTC, in columns that end in `_ms`.
"""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.ledger.base import Base, BigId, CleanJson, CleanName, CleanText

__all__ = [
    "ApiKeyRow",
    "AssetRow",
    "AttachmentRow",
    "AttemptRow",
    "AuditRow",
    "DeliveryRow",
    "DeviceHistoryRow",
    "EvidenceRow",
    "FactRow",
    "IdempotencyRow",
    "IncidentRow",
    "LinkRow",
    "MaintenanceRow",
    "MatterRow",
    "MemberRow",
    "PauseRow",
    "PlannedWorkRow",
    "RecipientRow",
    "ServiceRequestRow",
    "SessionRow",
    "SituationRow",
    "StatusRow",
    "StepRow",
    "StreamRow",
    "TimelineRow",
    "UserRow",
    "WorkOrderRow",
]

Name = CleanName(200)
Word = CleanName(40)


class FactRow(Base):
    """Single facts about the ledger itself: registry version, last settled night."""

    __tablename__ = "facts"
    name: Mapped[str] = mapped_column(Word, primary_key=True)
    value: Mapped[str] = mapped_column(CleanText)


class AssetRow(Base):
    """What stands in the street; see `api.assets.Asset`."""

    __tablename__ = "assets"
    device_id: Mapped[str] = mapped_column(Name, primary_key=True)
    luminaire_id: Mapped[str] = mapped_column(Name, index=True)
    kind: Mapped[str] = mapped_column(Word)
    site: Mapped[str] = mapped_column(Name, index=True)
    segment: Mapped[str] = mapped_column(Name, index=True)
    segment_order: Mapped[int | None]
    feeder: Mapped[str] = mapped_column(Name, index=True)
    cabinet: Mapped[str] = mapped_column(Name, index=True)
    gateway: Mapped[str] = mapped_column(Name)
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    nominal_illuminance_lx: Mapped[float | None]
    switching: Mapped[str | None] = mapped_column(Word)
    dimming: Mapped[str] = mapped_column(CleanText)
    supply: Mapped[str | None] = mapped_column(Word)
    rated_power_w: Mapped[float | None]
    max_illuminance_lx: Mapped[float | None]
    resolution_lx: Mapped[float | None]
    interval_s: Mapped[float | None]
    location_category: Mapped[str] = mapped_column(Word)
    lighting_class: Mapped[str] = mapped_column(Word)
    place_kind: Mapped[str] = mapped_column(Word)
    area: Mapped[str] = mapped_column(Name, index=True)
    owner: Mapped[str] = mapped_column(Name)


class DeviceHistoryRow(Base):
    """Which device sat on which luminaire, and when."""

    __tablename__ = "device_history"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    device_id: Mapped[str] = mapped_column(Name, index=True)
    luminaire_id: Mapped[str] = mapped_column(Name, index=True)
    from_ms: Mapped[int] = mapped_column(BigInteger)
    until_ms: Mapped[int | None] = mapped_column(BigInteger)


class StatusRow(Base):
    """The state of each luminaire as the last round knew it."""

    __tablename__ = "luminaire_states"
    device_id: Mapped[str] = mapped_column(Name, primary_key=True)
    state: Mapped[str] = mapped_column(Word, index=True)
    since_ms: Mapped[int] = mapped_column(BigInteger)
    observed_ms: Mapped[int | None] = mapped_column(BigInteger)
    last_known: Mapped[str | None] = mapped_column(Word)
    reason: Mapped[str] = mapped_column(Name)


class IncidentRow(Base):
    """One open matter: what findings with the same incident key are about."""

    __tablename__ = "incidents"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(Name, unique=True)
    state: Mapped[str] = mapped_column(Word, index=True)
    kind: Mapped[str] = mapped_column(Word)
    cause_kind: Mapped[str] = mapped_column(Word)
    cause_id: Mapped[str] = mapped_column(Name, index=True)
    severity: Mapped[str] = mapped_column(Word)
    confidence: Mapped[float]
    start_ms: Mapped[int] = mapped_column(BigInteger)
    end_ms: Mapped[int | None] = mapped_column(BigInteger)
    raised_ms: Mapped[int] = mapped_column(BigInteger)
    updated_ms: Mapped[int] = mapped_column(BigInteger)
    members: Mapped[int]
    simulated: Mapped[bool]
    confirmed: Mapped[bool]
    area: Mapped[str] = mapped_column(Name)
    site: Mapped[str] = mapped_column(Name)
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))
    note: Mapped[str] = mapped_column(CleanText)


class EvidenceRow(Base):
    """A finding as last judged; its identity is (incident key, device, kind)."""

    __tablename__ = "findings"
    __table_args__ = (
        UniqueConstraint("incident_id", "device_id", "kind"),
        Index("ix_findings_open_device", "device_id", "end_ms"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), index=True)
    incident_key: Mapped[str] = mapped_column(Name)
    kind: Mapped[str] = mapped_column(Word)
    device_id: Mapped[str] = mapped_column(Name)
    luminaire_id: Mapped[str] = mapped_column(Name)
    cause_kind: Mapped[str] = mapped_column(Word)
    cause_id: Mapped[str] = mapped_column(Name)
    start_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    end_ms: Mapped[int | None] = mapped_column(BigInteger)
    raised_ms: Mapped[int] = mapped_column(BigInteger)
    severity: Mapped[str] = mapped_column(Word)
    confidence: Mapped[float]
    simulated: Mapped[bool]
    # Later data showed that it never was so; kept, because somebody may have been sent out for it.
    withdrawn: Mapped[bool]
    note: Mapped[str] = mapped_column(CleanText)
    evidence: Mapped[dict[str, Any]] = mapped_column(CleanJson)


class TimelineRow(Base):
    """What happened to an incident."""

    __tablename__ = "incident_timeline"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"), index=True)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    what: Mapped[str] = mapped_column(Word)
    note: Mapped[str] = mapped_column(CleanText)


class WorkOrderRow(Base):
    """One job for one crew: exactly one for each incident, or one begun by a person."""

    __tablename__ = "work_orders"
    # The board reads newest urgency first, page by page; each filter has its own way in.
    __table_args__ = (
        Index("ix_work_orders_board", "is_open", "rank", "due_ms", "id"),
        Index("ix_work_orders_all", "rank", "due_ms", "id"),
        Index("ix_work_orders_area", "area", "is_open", "rank", "due_ms", "id"),
        Index("ix_work_orders_state", "state", "rank", "due_ms", "id"),
        Index("ix_work_orders_assignee", "assignee", "is_open", "rank", "due_ms", "id"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"), unique=True)
    state: Mapped[str] = mapped_column(Word)
    is_open: Mapped[bool]
    version: Mapped[int]
    crew: Mapped[str] = mapped_column(Word)
    kind: Mapped[str] = mapped_column(Word)
    cause_kind: Mapped[str] = mapped_column(Word)
    cause_id: Mapped[str] = mapped_column(Name, index=True)
    title: Mapped[str] = mapped_column(CleanText)
    note: Mapped[str] = mapped_column(CleanText)
    members: Mapped[int]
    from_findings: Mapped[bool]
    simulated: Mapped[bool]
    area: Mapped[str] = mapped_column(Name)
    site: Mapped[str] = mapped_column(Name, index=True)
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    assignee: Mapped[str] = mapped_column(Name)
    budget_account: Mapped[str] = mapped_column(Word)
    cost: Mapped[float | None]
    priority: Mapped[str] = mapped_column(Word)
    rank: Mapped[int]
    rule_id: Mapped[str] = mapped_column(Name)
    why: Mapped[str] = mapped_column(CleanText)
    exposure: Mapped[float | None]
    detected_ms: Mapped[int] = mapped_column(BigInteger)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    updated_ms: Mapped[int] = mapped_column(BigInteger)
    first_action_due_ms: Mapped[int | None] = mapped_column(BigInteger)
    repaired_due_ms: Mapped[int | None] = mapped_column(BigInteger)
    # The next of the two that is still running; a far future where none is, so that it sorts last.
    due_ms: Mapped[int] = mapped_column(BigInteger)
    first_action_ms: Mapped[int | None] = mapped_column(BigInteger)
    done_ms: Mapped[int | None] = mapped_column(BigInteger)
    closed_ms: Mapped[int | None] = mapped_column(BigInteger)
    verification: Mapped[str | None] = mapped_column(Word)
    waiting_for: Mapped[str | None] = mapped_column(Word)
    rejection: Mapped[str | None] = mapped_column(Word)
    owner: Mapped[str] = mapped_column(Name)
    duplicate_of: Mapped[int | None] = mapped_column(ForeignKey("work_orders.id"))
    times_reopened: Mapped[int]


class MemberRow(Base):
    """A luminaire that is part of a work order."""

    __tablename__ = "work_order_members"
    order_id: Mapped[int] = mapped_column(ForeignKey("work_orders.id"), primary_key=True)
    device_id: Mapped[str] = mapped_column(Name, primary_key=True)
    luminaire_id: Mapped[str] = mapped_column(Name)
    kind: Mapped[str] = mapped_column(Word)
    start_ms: Mapped[int] = mapped_column(BigInteger)
    end_ms: Mapped[int | None] = mapped_column(BigInteger)
    # A person took it out of (or put it into) this order; rounds leave that alone.
    by_hand: Mapped[bool]


class StepRow(Base):
    """The history of a work order: one row a version."""

    __tablename__ = "work_order_history"
    __table_args__ = (UniqueConstraint("order_id", "version"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("work_orders.id"))
    version: Mapped[int]
    state: Mapped[str] = mapped_column(Word)
    action: Mapped[str] = mapped_column(Word)
    actor: Mapped[str] = mapped_column(Name)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    note: Mapped[str] = mapped_column(CleanText)
    details: Mapped[dict[str, Any]] = mapped_column(CleanJson)


class PauseRow(Base):
    """A time in which an order's clocks stood still."""

    __tablename__ = "work_order_pauses"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("work_orders.id"), index=True)
    reason: Mapped[str] = mapped_column(Word)
    from_ms: Mapped[int] = mapped_column(BigInteger)
    until_ms: Mapped[int | None] = mapped_column(BigInteger)


class AttachmentRow(Base):
    """A photo, encoded anew so that nothing of its first life is left in it."""

    __tablename__ = "attachments"
    __table_args__ = (UniqueConstraint("order_id", "sha256"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("work_orders.id"))
    sha256: Mapped[str] = mapped_column(String(64))
    media_type: Mapped[str] = mapped_column(Word)
    width: Mapped[int]
    height: Mapped[int]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    actor: Mapped[str] = mapped_column(Name)
    at_ms: Mapped[int] = mapped_column(BigInteger)


class PlannedWorkRow(Base):
    """A window in which nothing is raised for what it covers."""

    __tablename__ = "planned_work"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    cause_kind: Mapped[str] = mapped_column(Word)
    cause_id: Mapped[str] = mapped_column(Name)
    from_ms: Mapped[int] = mapped_column(BigInteger)
    until_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    reason: Mapped[str] = mapped_column(CleanText)
    owner: Mapped[str] = mapped_column(Name)
    checked_ms: Mapped[int | None] = mapped_column(BigInteger)


class MaintenanceRow(Base):
    """What was done to a device; see the maintenance format."""

    __tablename__ = "maintenance"
    __table_args__ = (UniqueConstraint("device_id", "time_ms", "action"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    device_id: Mapped[str] = mapped_column(Name, index=True)
    time_ms: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(Word)
    note: Mapped[str] = mapped_column(CleanText)
    actor: Mapped[str] = mapped_column(Name)


class ServiceRequestRow(Base):
    """A citizen's report. Who sent it stays in the city's case system: only a reference here."""

    __tablename__ = "service_requests"
    __table_args__ = (Index("ix_service_requests_time", "requested_ms", "id"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    service_code: Mapped[str] = mapped_column(Word)
    status: Mapped[str] = mapped_column(Word)
    status_notes: Mapped[str] = mapped_column(CleanText)
    description: Mapped[str] = mapped_column(CleanText)
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    address: Mapped[str] = mapped_column(CleanText)
    requested_ms: Mapped[int] = mapped_column(BigInteger)
    updated_ms: Mapped[int] = mapped_column(BigInteger)
    reference: Mapped[str | None] = mapped_column(Name, unique=True)
    luminaire_id: Mapped[str | None] = mapped_column(Name)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("work_orders.id"), index=True)
    duplicate_of: Mapped[int | None] = mapped_column(ForeignKey("service_requests.id"))
    answer: Mapped[str] = mapped_column(CleanText)
    match_distance_m: Mapped[float | None]


class LinkRow(Base):
    """Our order in the city's own case system; a row whose order is newer waits to be told."""

    __tablename__ = "case_links"
    order_id: Mapped[int] = mapped_column(ForeignKey("work_orders.id"), primary_key=True)
    system: Mapped[str] = mapped_column(Word, primary_key=True)
    remote_id: Mapped[str | None] = mapped_column(Name)
    remote_status: Mapped[str] = mapped_column(Word)
    remote_updated_ms: Mapped[int | None] = mapped_column(BigInteger)
    pushed_version: Mapped[int]
    attempts: Mapped[int]
    not_before_ms: Mapped[int] = mapped_column(BigInteger)
    claimed_by: Mapped[str] = mapped_column(Name)
    claimed_until_ms: Mapped[int | None] = mapped_column(BigInteger)
    error: Mapped[str] = mapped_column(CleanText)


class RecipientRow(Base):
    """A person or system that wants to be told, and how."""

    __tablename__ = "alert_recipients"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    channel: Mapped[str] = mapped_column(Word)
    address: Mapped[str] = mapped_column(CleanText)
    secret: Mapped[str] = mapped_column(CleanText)
    active: Mapped[bool]
    rules: Mapped[dict[str, Any]] = mapped_column(CleanJson)


class MatterRow(Base):
    """Something that may be told: one row a matter, whoever noticed it and however often."""

    __tablename__ = "alert_matters"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(Name, unique=True)
    kind: Mapped[str] = mapped_column(Word)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("work_orders.id"), index=True)
    area: Mapped[str] = mapped_column(Name)
    crew: Mapped[str] = mapped_column(Word)
    rank: Mapped[int]
    at_ms: Mapped[int] = mapped_column(BigInteger)
    title: Mapped[str] = mapped_column(CleanText)
    content: Mapped[dict[str, Any]] = mapped_column(CleanJson)
    planned: Mapped[bool] = mapped_column(index=True)
    acknowledged_ms: Mapped[int | None] = mapped_column(BigInteger)
    acknowledged_by: Mapped[str] = mapped_column(Name)


class DeliveryRow(Base):
    """The outbox: one message to one recipient about one matter (or a digest of several)."""

    __tablename__ = "alert_deliveries"
    __table_args__ = (
        UniqueConstraint("matter_id", "recipient_id", "step"),
        Index("ix_alert_deliveries_due", "state", "not_before_ms", "id"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    matter_id: Mapped[int] = mapped_column(ForeignKey("alert_matters.id"))
    recipient_id: Mapped[int] = mapped_column(ForeignKey("alert_recipients.id"))
    # 0 = the first telling, 1.. = steps of the escalation ladder.
    step: Mapped[int]
    state: Mapped[str] = mapped_column(Word)
    not_before_ms: Mapped[int] = mapped_column(BigInteger)
    attempts: Mapped[int]
    claimed_by: Mapped[str] = mapped_column(Name)
    claimed_until_ms: Mapped[int | None] = mapped_column(BigInteger)
    sent_ms: Mapped[int | None] = mapped_column(BigInteger)
    # Deliveries with the same bundle are one message; set when it is first claimed, then kept, so
    # that a second try after a crash is the same message with the same id.
    bundle: Mapped[str] = mapped_column(Word, index=True)
    error: Mapped[str] = mapped_column(CleanText)


class AttemptRow(Base):
    """One try to send one message, written before it: one without an end was cut off by a crash."""

    __tablename__ = "alert_attempts"
    __table_args__ = (UniqueConstraint("bundle", "number"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    bundle: Mapped[str] = mapped_column(Word)
    number: Mapped[int]
    sender: Mapped[str] = mapped_column(Name)
    begun_ms: Mapped[int] = mapped_column(BigInteger)
    ended_ms: Mapped[int | None] = mapped_column(BigInteger)
    outcome: Mapped[str] = mapped_column(CleanText)


class SituationRow(Base):
    """The situation map of one slot of the week, as it was made; one a slot, whoever makes it."""

    __tablename__ = "situation_maps"
    slot_ms: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    made_ms: Mapped[int] = mapped_column(BigInteger)
    made_by: Mapped[str] = mapped_column(Name)
    content: Mapped[dict[str, Any]] = mapped_column(CleanJson)


class StreamRow(Base):
    """What live pages are told, in commit order."""

    __tablename__ = "stream_events"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at_ms: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(Word)
    subject: Mapped[str] = mapped_column(Name)
    area: Mapped[str] = mapped_column(Name)
    content: Mapped[dict[str, Any]] = mapped_column(CleanJson)


class UserRow(Base):
    """A person who signs in."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    roles: Mapped[list[str]] = mapped_column(CleanJson)
    areas: Mapped[list[str]] = mapped_column(CleanJson)
    password_hash: Mapped[str | None] = mapped_column(CleanText)
    oidc_subject: Mapped[str | None] = mapped_column(Name, unique=True)
    language: Mapped[str] = mapped_column(Word)
    active: Mapped[bool]
    created_ms: Mapped[int] = mapped_column(BigInteger)
    failed_logins: Mapped[int]
    locked_until_ms: Mapped[int | None] = mapped_column(BigInteger)
    # SHA-256 of the secret in the calendar address, and of the one-time sign-in link.
    calendar_digest: Mapped[str | None] = mapped_column(String(64), unique=True)
    link_digest: Mapped[str | None] = mapped_column(String(64), unique=True)
    link_until_ms: Mapped[int | None] = mapped_column(BigInteger)


class ApiKeyRow(Base):
    """A key for programs: `lv_<id>_<secret>`, of which only the SHA-256 of the secret is kept."""

    __tablename__ = "api_keys"
    public_id: Mapped[str] = mapped_column(Word, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Name)
    roles: Mapped[list[str]] = mapped_column(CleanJson)
    areas: Mapped[list[str]] = mapped_column(CleanJson)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int | None] = mapped_column(BigInteger)
    last_used_ms: Mapped[int | None] = mapped_column(BigInteger)
    revoked_ms: Mapped[int | None] = mapped_column(BigInteger)


class SessionRow(Base):
    """A signed-in browser; the cookie's token is kept as SHA-256."""

    __tablename__ = "sessions"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    seen_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)


class AuditRow(Base):
    """Who did what; rows are added, never changed or removed (triggers see to it)."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    actor: Mapped[str] = mapped_column(Name)
    action: Mapped[str] = mapped_column(Name)
    subject: Mapped[str] = mapped_column(Name)
    details: Mapped[dict[str, Any]] = mapped_column(CleanJson)
    # Each row holds the hash of the one before: a removed row shows.
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))


class IdempotencyRow(Base):
    """The answer once given to a request with an Idempotency-Key.

    `key` is a SHA-256, and answers of our API are sealed: a secret that was shown once stands
    nowhere in clear.
    """

    __tablename__ = "idempotency"
    principal: Mapped[str] = mapped_column(Name, primary_key=True)
    key: Mapped[str] = mapped_column(Name, primary_key=True)
    request_digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    body: Mapped[str] = mapped_column(CleanText)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
