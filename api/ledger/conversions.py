"""Rows into views and back; nothing else knows both."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from analytics.findings import CauseKind, FindingKind, Severity
from api.assets import Asset, AssetKind, Supply, Switching
from api.findings import NamedFinding
from api.ledger.models import (
    AssetRow,
    AttachmentRow,
    EvidenceRow,
    IncidentRow,
    LinkRow,
    MemberRow,
    PauseRow,
    PlannedWorkRow,
    ServiceRequestRow,
    StatusRow,
    StepRow,
    StreamRow,
    TimelineRow,
    WorkOrderRow,
)
from api.ledger.views import (
    Attachment,
    CaseLink,
    Evidence,
    HistoryStep,
    Incident,
    Member,
    Pause,
    PlannedWork,
    ServiceRequest,
    StreamEvent,
    TimelineEntry,
    WorkOrder,
)
from api.operations.incidents import IncidentState
from api.operations.sla import NO_DUE_MS
from api.operations.states import LuminaireState, LuminaireStatus
from api.operations.work_orders import BudgetAccount, Crew, WorkOrderState

ASSET_FIELDS = tuple(f.name for f in fields(Asset))
ORDER_FIELDS = tuple(f.name for f in fields(WorkOrder))
REQUEST_FIELDS = tuple(
    f.name for f in fields(ServiceRequest) if f.name not in {"extended_status", "expected_ms"}
)
INCIDENT_FIELDS = tuple(f.name for f in fields(Incident))


def named(row: object, names: tuple[str, ...]) -> dict[str, Any]:
    """Those attributes of a row."""
    return {name: getattr(row, name) for name in names}


def asset(row: AssetRow) -> Asset:
    """A row of the registry."""
    values = named(row, ASSET_FIELDS)
    values["kind"] = AssetKind(row.kind)
    values["switching"] = Switching(row.switching) if row.switching else None
    values["supply"] = Supply(row.supply) if row.supply else None
    return Asset(**values)


ASSET_COLUMNS = tuple(getattr(AssetRow, name) for name in ASSET_FIELDS)
# Where among them the closed lists stand, and what their stored words mean.
MEANINGS: tuple[tuple[int, dict[str | None, Any]], ...] = (
    (ASSET_FIELDS.index("kind"), {kind.value: kind for kind in AssetKind}),
    (ASSET_FIELDS.index("switching"), {None: None} | {s.value: s for s in Switching}),
    (ASSET_FIELDS.index("supply"), {None: None} | {s.value: s for s in Supply}),
)


def asset_of_columns(row: Sequence[Any]) -> Asset:
    """A row of the registry, from `ASSET_COLUMNS`."""
    values = list(row)
    for place, meaning in MEANINGS:
        values[place] = meaning[values[place]]
    return Asset(*values)


def asset_values(given: Asset) -> dict[str, Any]:
    """Columns of an asset."""
    values = named(given, ASSET_FIELDS)
    for name in ("kind", "switching", "supply"):
        values[name] = values[name].value if values[name] is not None else None
    return values


def evidence_values(finding: NamedFinding) -> dict[str, Any]:
    """Columns of a finding."""
    return {
        "incident_key": finding.incident,
        "kind": finding.kind.value,
        "device_id": finding.device_id,
        "luminaire_id": finding.luminaire_id,
        "cause_kind": finding.cause_kind.value,
        "cause_id": finding.cause_id,
        "start_ms": finding.start_ms,
        "end_ms": finding.end_ms,
        "raised_ms": finding.raised_ms,
        "severity": finding.severity.value,
        "confidence": finding.confidence,
        "simulated": finding.simulated,
        "note": finding.note,
        "evidence": {name: float(value) for name, value in finding.evidence.items()},
    }


def evidence(row: EvidenceRow) -> Evidence:
    """A finding as last judged."""
    return Evidence(
        kind=FindingKind(row.kind),
        device_id=row.device_id,
        luminaire_id=row.luminaire_id,
        incident=row.incident_key,
        cause_kind=CauseKind(row.cause_kind),
        cause_id=row.cause_id,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        raised_ms=row.raised_ms,
        severity=Severity(row.severity),
        confidence=row.confidence,
        note=row.note,
        evidence=dict(row.evidence),
        simulated=row.simulated,
        withdrawn=row.withdrawn,
        id=row.id,
    )


def incident(row: IncidentRow) -> Incident:
    """An incident."""
    values = named(row, INCIDENT_FIELDS)
    values["state"] = IncidentState(row.state)
    values["kind"] = FindingKind(row.kind)
    values["cause_kind"] = CauseKind(row.cause_kind)
    values["severity"] = Severity(row.severity)
    return Incident(**values)


def timeline(row: TimelineRow) -> TimelineEntry:
    """A line of a timeline."""
    return TimelineEntry(row.at_ms, row.what, row.note)


def order(row: WorkOrderRow) -> WorkOrder:
    """A work order."""
    values = named(row, ORDER_FIELDS)
    values["state"] = WorkOrderState(row.state)
    values["crew"] = Crew(row.crew)
    values["budget_account"] = BudgetAccount(row.budget_account)
    values["due_ms"] = None if row.due_ms == NO_DUE_MS else row.due_ms
    return WorkOrder(**values)


ORDER_COLUMNS = tuple(getattr(WorkOrderRow, name) for name in ORDER_FIELDS)


def order_of_columns(row: Sequence[Any]) -> WorkOrder:
    """A work order from its columns in the order of `ORDER_COLUMNS`."""
    values = dict(zip(ORDER_FIELDS, row, strict=True))
    values["state"] = WorkOrderState(values["state"])
    values["crew"] = Crew(values["crew"])
    values["budget_account"] = BudgetAccount(values["budget_account"])
    if values["due_ms"] == NO_DUE_MS:
        values["due_ms"] = None
    return WorkOrder(**values)


def member(row: MemberRow, stands: AssetRow | None, state: str | None) -> Member:
    """A member with where it stands and how it is."""
    return Member(
        device_id=row.device_id,
        luminaire_id=row.luminaire_id,
        kind=row.kind,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        by_hand=row.by_hand,
        lat=stands.lat if stands else None,
        lon=stands.lon if stands else None,
        segment=stands.segment if stands else "",
        segment_order=stands.segment_order if stands else None,
        feeder=stands.feeder if stands else "",
        state=state or LuminaireState.UNKNOWN.value,
    )


def history(row: StepRow) -> HistoryStep:
    """A version of a work order."""
    return HistoryStep(
        row.version,
        WorkOrderState(row.state),
        row.action,
        row.actor,
        row.at_ms,
        row.note,
        dict(row.details),
    )


def pause(row: PauseRow) -> Pause:
    """A time in which the clocks stood still."""
    return Pause(row.reason, row.from_ms, row.until_ms)


def attachment(row: AttachmentRow) -> Attachment:
    """A photo without its bytes."""
    return Attachment(
        row.id,
        row.order_id,
        row.sha256,
        row.media_type,
        row.width,
        row.height,
        row.actor,
        row.at_ms,
    )


def link(row: LinkRow) -> CaseLink:
    """An order in another system."""
    return CaseLink(
        row.order_id, row.system, row.remote_id, row.remote_status, row.remote_updated_ms
    )


STATUS_COLUMNS = tuple(getattr(StatusRow, f.name) for f in fields(LuminaireStatus))
STATES = {state.value: state for state in LuminaireState}


def status_of_columns(row: Sequence[Any]) -> LuminaireStatus:
    """What is known of one luminaire, from `STATUS_COLUMNS`."""
    device_id, state, since_ms, observed_ms, last_known, reason = row
    last = STATES[last_known] if last_known else None
    return LuminaireStatus(device_id, STATES[state], since_ms, observed_ms, last, reason)


def status(row: StatusRow) -> LuminaireStatus:
    """What is known of one luminaire."""
    return LuminaireStatus(
        device_id=row.device_id,
        state=LuminaireState(row.state),
        since_ms=row.since_ms,
        observed_ms=row.observed_ms,
        last_known=LuminaireState(row.last_known) if row.last_known else None,
        reason=row.reason,
    )


def planned(row: PlannedWorkRow) -> PlannedWork:
    """A window."""
    return PlannedWork(**named(row, tuple(f.name for f in fields(PlannedWork))))


def request(row: ServiceRequestRow) -> ServiceRequest:
    """A citizen's report."""
    return ServiceRequest(**named(row, REQUEST_FIELDS))


def stream_event(row: StreamRow) -> StreamEvent:
    """An event of the stream."""
    return StreamEvent(row.id, row.at_ms, row.kind, row.subject, row.area, dict(row.content))
