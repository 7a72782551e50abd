"""A finding with its names: what leaves the round, the row of the interchange format."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from analytics.findings import CauseKind, FindingKind, Severity

__all__ = ["NamedFinding"]


@dataclass(frozen=True, slots=True)
class NamedFinding:
    """One judged fault on one named luminaire; see `analytics.findings.Finding`.

    Attributes
    ----------
    device_id, luminaire_id : str
        Who reported, and which luminaire stands there.
    cause_id : str
        The luminaire, segment, feeder, cabinet or gateway the work order is about.
    simulated : bool
        Whether it rests on readings of simulated devices: it opens no real work order.
    withdrawn : bool
        Whether later data took it back: it was no fault, and its end is no repair. It has an end.
    """

    kind: FindingKind
    device_id: str
    luminaire_id: str
    incident: str
    cause_kind: CauseKind
    cause_id: str
    start_ms: int
    end_ms: int | None
    raised_ms: int
    severity: Severity
    confidence: float
    note: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    simulated: bool = False
    withdrawn: bool = False
