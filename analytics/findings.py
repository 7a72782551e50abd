"""What a detector judged: one kind of fault, one luminaire (by row), one cause."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["LAMP_CREW", "SENSOR_CREW", "CauseKind", "Finding", "FindingKind", "Severity"]


class FindingKind(StrEnum):
    """The twelve kinds; TALQ 2.7 names in snake case, ours only where TALQ has none."""

    LAMP_FAILURE = "lamp_failure"
    DIMMING_FAILURE = "dimming_failure"
    DEPRECIATION = "depreciation"
    CYCLING_FAILURE = "cycling_failure"
    LAMP_UNEXPECTED_ON = "lamp_unexpected_on"
    SWITCHING_ERROR = "switching_error"
    SUPPLY_LOSS = "supply_loss"
    SENSOR_STUCK = "sensor_stuck"
    SENSOR_BLIND = "sensor_blind"
    SENSOR_DRIFT = "sensor_drift"
    MISAIMED = "misaimed"
    COMMUNICATION_FAILURE = "communication_failure"


SENSOR_CREW = frozenset(
    {
        FindingKind.SENSOR_STUCK,
        FindingKind.SENSOR_BLIND,
        FindingKind.SENSOR_DRIFT,
        FindingKind.COMMUNICATION_FAILURE,
    }
)
LAMP_CREW = frozenset(FindingKind) - SENSOR_CREW


class CauseKind(StrEnum):
    """What one work order can be about."""

    LUMINAIRE = "luminaire"
    SENSOR = "sensor"
    SEGMENT = "segment"
    FEEDER = "feeder"
    CABINET = "cabinet"
    GATEWAY = "gateway"


class Severity(StrEnum):
    """How much it matters by itself; urgency for the crew is the SLA policy's word."""

    URGENT = "urgent"
    MAJOR = "major"
    MINOR = "minor"


@dataclass(frozen=True, slots=True)
class Finding:
    """One judged fault on one luminaire.

    Attributes
    ----------
    kind : FindingKind
    row : int
        The luminaire's row in the matrices that were judged.
    incident : str
        Findings with the same value are one matter and one work order; decided in
        `analytics.cause` alone, and the same again whenever the same matter is judged again.
    cause_kind : CauseKind
    cause : int
        Index of the cause among the things of its kind (row, segment, feeder, ... number).
    start_ms : int
        When it began [ms, UTC].
    end_ms : int or None
        When light showed that it was over; None while open.
    raised_ms : int
        The round that first reported it.
    severity : Severity
    confidence : float
        Calibrated probability that it is right, 0..1.
    note : str
        One English sentence with the numbers it rests on.
    evidence : mapping of str to float
        The numbers by name, for the picture and the page.
    """

    kind: FindingKind
    row: int
    incident: str
    cause_kind: CauseKind
    cause: int
    start_ms: int
    end_ms: int | None
    raised_ms: int
    severity: Severity
    confidence: float
    note: str
    evidence: Mapping[str, float] = field(default_factory=dict)
