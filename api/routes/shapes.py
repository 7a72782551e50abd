"""What the API sends: one model for each resource, and how it is made from the ledger's views."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.assets import Asset
from api.ledger.views import (
    Evidence,
    Incident,
    IncidentDetail,
    Maintenance,
    PlannedWork,
    ServiceRequest,
)
from api.operations.states import LuminaireState, LuminaireStatus

__all__ = [
    "AssetOut",
    "FindingOut",
    "In",
    "IncidentDetailOut",
    "IncidentOut",
    "JudgedListOf",
    "ListOf",
    "MaintenanceOut",
    "PlannedWorkOut",
    "ProblemOut",
    "RequestOut",
    "Stale",
    "asset_out",
    "finding_out",
    "incident_detail_out",
    "incident_out",
    "moment",
    "time_ms_of",
]

T = TypeVar("T")


class In(BaseModel):
    """What comes in: nothing extra, nothing guessed, no infinities."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def _clean(text: str) -> str:
    """Free text without control characters; line ends and tabs stay."""
    if any((ord(c) < 32 and c not in "\n\r\t") or 0xD800 <= ord(c) <= 0xDFFF for c in text):
        raise ValueError("control characters are not allowed")
    return text


Text = Annotated[str, AfterValidator(_clean)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_clean)]


def moment(time_ms: int | None) -> str | None:
    """RFC 3339 with zone; None stays None."""
    if time_ms is None:
        return None
    text = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z").replace(".000Z", "Z")


def time_ms_of(text: str) -> int:
    """Milliseconds of an RFC 3339 moment with its zone.

    Raises
    ------
    ValueError
        For anything else, and for years that no clock of ours reaches.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time needs its zone, as in 2026-11-22T16:00:00Z")
    if not 2000 <= at.year <= 2200:
        raise ValueError("the year lies outside 2000 to 2200")
    return round(at.timestamp() * 1000)


def _is_moment(text: str) -> str:
    time_ms_of(text)
    return text


Moment = Annotated[
    str,
    Field(
        max_length=40,
        description="RFC 3339 with zone",
        json_schema_extra={"format": "date-time"},
    ),
    AfterValidator(_is_moment),
]


class ProblemOut(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow", title="Problem")
    type: str
    title: str
    status: int
    detail: str | None = None


class ListOf(BaseModel, Generic[T]):
    """One page of a list; `next` is the cursor of the page behind, null on the last."""

    items: list[T]
    next: str | None = None


Stale = Annotated[
    bool,
    Field(description="No round for an hour: this is the last good result, and may hold no more"),
]


class JudgedListOf(ListOf[T], Generic[T]):
    """One page of a list of what rounds have judged."""

    stale: Stale


class AssetOut(BaseModel):
    """What stands in the street, and how it is."""

    device_id: str
    luminaire_id: str
    kind: str
    site: str
    segment: str
    segment_order: int | None
    feeder: str
    cabinet: str
    gateway: str
    lat: float | None
    lon: float | None
    nominal_illuminance_lx: float | None
    switching: str | None
    dimming: str
    supply: str | None
    rated_power_w: float | None
    max_illuminance_lx: float | None
    resolution_lx: float | None
    interval_s: float | None
    location_category: str
    lighting_class: str
    place_kind: str
    area: str
    owner: str
    state: str = Field(description="ok, faulty, unknown or planned")
    state_since: str | None
    observed_at: str | None
    reason: str


def asset_out(asset: Asset, status: LuminaireStatus | None) -> AssetOut:
    """One asset with its state; nothing heard yet is `unknown`."""
    return AssetOut(
        device_id=asset.device_id,
        luminaire_id=asset.luminaire_id,
        kind=asset.kind.value,
        site=asset.site,
        segment=asset.segment,
        segment_order=asset.segment_order,
        feeder=asset.feeder,
        cabinet=asset.cabinet,
        gateway=asset.gateway,
        lat=asset.lat,
        lon=asset.lon,
        nominal_illuminance_lx=asset.nominal_illuminance_lx,
        switching=asset.switching.value if asset.switching else None,
        dimming=asset.dimming,
        supply=asset.supply.value if asset.supply else None,
        rated_power_w=asset.rated_power_w,
        max_illuminance_lx=asset.max_illuminance_lx,
        resolution_lx=asset.resolution_lx,
        interval_s=asset.interval_s,
        location_category=asset.location_category,
        lighting_class=asset.lighting_class,
        place_kind=asset.place_kind,
        area=asset.area,
        owner=asset.owner,
        state=(status.state if status else LuminaireState.UNKNOWN).value,
        state_since=moment(status.since_ms) if status else None,
        observed_at=moment(status.observed_ms) if status else None,
        reason=status.reason if status else "",
    )


class FindingOut(BaseModel):
    """A judged fault on one luminaire; findings with the same `incident` are one matter."""

    id: int
    kind: str
    device_id: str
    luminaire_id: str
    incident: str
    cause_kind: str
    cause_id: str
    start: str
    end: str | None
    raised_at: str
    severity: str
    confidence: float
    note: str
    evidence: dict[str, float]
    withdrawn: bool
    simulated: bool


def finding_out(evidence: Evidence) -> FindingOut:
    """One finding."""
    return FindingOut(
        id=evidence.id,
        kind=evidence.kind.value,
        device_id=evidence.device_id,
        luminaire_id=evidence.luminaire_id,
        incident=evidence.incident,
        cause_kind=evidence.cause_kind.value,
        cause_id=evidence.cause_id,
        start=moment(evidence.start_ms) or "",
        end=moment(evidence.end_ms),
        raised_at=moment(evidence.raised_ms) or "",
        severity=evidence.severity.value,
        confidence=evidence.confidence,
        note=evidence.note,
        evidence=dict(evidence.evidence),
        withdrawn=evidence.withdrawn,
        simulated=evidence.simulated,
    )


class IncidentOut(BaseModel):
    """One matter, from its first finding until light shows that it is over."""

    id: int
    key: str
    state: str
    kind: str
    cause_kind: str
    cause_id: str
    severity: str
    confidence: float
    start: str
    end: str | None
    raised_at: str
    updated_at: str
    members: int
    confirmed: bool
    simulated: bool
    area: str
    site: str
    merged_into: int | None
    note: str


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "key": incident.key,
        "state": incident.state.value,
        "kind": incident.kind.value,
        "cause_kind": incident.cause_kind.value,
        "cause_id": incident.cause_id,
        "severity": incident.severity.value,
        "confidence": incident.confidence,
        "start": moment(incident.start_ms) or "",
        "end": moment(incident.end_ms),
        "raised_at": moment(incident.raised_ms) or "",
        "updated_at": moment(incident.updated_ms) or "",
        "members": incident.members,
        "confirmed": incident.confirmed,
        "simulated": incident.simulated,
        "area": incident.area,
        "site": incident.site,
        "merged_into": incident.merged_into,
        "note": incident.note,
    }


def incident_out(incident: Incident) -> IncidentOut:
    """One incident."""
    return IncidentOut(**_incident(incident))


class TimelineOut(BaseModel):
    """One thing that happened to an incident."""

    at: str
    what: str
    note: str


class IncidentDetailOut(IncidentOut):
    """An incident with everything known about it."""

    timeline: list[TimelineOut]
    findings: list[FindingOut]
    work_order_id: int | None


def incident_detail_out(detail: IncidentDetail) -> IncidentDetailOut:
    """One incident with its timeline, findings and order."""
    return IncidentDetailOut(
        **_incident(detail.incident),
        timeline=[
            TimelineOut(at=moment(t.at_ms) or "", what=t.what, note=t.note) for t in detail.timeline
        ],
        findings=[finding_out(e) for e in detail.evidence],
        work_order_id=detail.order_id,
    )


class PlannedWorkOut(BaseModel):
    """A window in which nothing is raised, and after which everything is looked at."""

    id: int
    cause_kind: str
    cause_id: str
    start: str
    end: str
    reason: str
    owner: str

    @classmethod
    def of(cls, work: PlannedWork) -> "PlannedWorkOut":
        """One window."""
        return cls(
            id=work.id,
            cause_kind=work.cause_kind,
            cause_id=work.cause_id,
            start=moment(work.from_ms) or "",
            end=moment(work.until_ms) or "",
            reason=work.reason,
            owner=work.owner,
        )


class MaintenanceOut(BaseModel):
    """What was done to a device, and when."""

    device_id: str
    time: str
    action: str
    note: str
    actor: str

    @classmethod
    def of(cls, entry: Maintenance) -> "MaintenanceOut":
        """One entry of the log."""
        return cls(
            device_id=entry.device_id,
            time=moment(entry.time_ms) or "",
            action=entry.action,
            note=entry.note,
            actor=entry.actor,
        )


class RequestOut(BaseModel):
    """A citizen's report and what became of it; nothing about who sent it."""

    id: int
    service_code: str
    status: str
    description: str
    lat: float | None
    lon: float | None
    address: str
    requested_at: str
    luminaire_id: str | None
    work_order_id: int | None
    duplicate_of: int | None
    answer: str

    @classmethod
    def of(cls, request: ServiceRequest) -> "RequestOut":
        """One report."""
        return cls(
            id=request.id,
            service_code=request.service_code,
            status=request.status,
            description=request.description,
            lat=request.lat,
            lon=request.lon,
            address=request.address,
            requested_at=moment(request.requested_ms) or "",
            luminaire_id=request.luminaire_id,
            work_order_id=request.order_id,
            duplicate_of=request.duplicate_of,
            answer=request.answer,
        )
