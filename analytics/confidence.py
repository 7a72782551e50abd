"""How often a finding of a kind was right on simulated feeds (docs/quality-lighting.md)."""

from collections.abc import Mapping

from analytics.findings import CauseKind, FindingKind

__all__ = ["confidence_of"]

# Share of orders of each kind that named the very fault, pooled over the seeds of the quality page
# (four realistic, two hard), rounded to what their number can carry.
RIGHT = {
    FindingKind.LAMP_FAILURE: 0.85,
    FindingKind.DIMMING_FAILURE: 0.75,
    FindingKind.DEPRECIATION: 0.85,
    FindingKind.CYCLING_FAILURE: 0.95,
    FindingKind.LAMP_UNEXPECTED_ON: 0.85,
    FindingKind.SWITCHING_ERROR: 0.85,
    FindingKind.SUPPLY_LOSS: 0.97,
    FindingKind.SENSOR_STUCK: 0.97,
    FindingKind.SENSOR_BLIND: 0.85,
    FindingKind.SENSOR_DRIFT: 0.90,
    FindingKind.MISAIMED: 0.90,
    FindingKind.COMMUNICATION_FAILURE: 0.95,
}
WITHOUT_DAYLIGHT = 0.6  # lamp and sensor cannot be told apart there without watts
LEVEL_KINDS = frozenset(
    {
        FindingKind.DIMMING_FAILURE,
        FindingKind.DEPRECIATION,
        FindingKind.SENSOR_BLIND,
        FindingKind.SENSOR_DRIFT,
    }
)


def confidence_of(kind: FindingKind, cause_kind: CauseKind, evidence: Mapping[str, float]) -> float:
    """Probability that the finding names the right fault.

    Parameters
    ----------
    kind : FindingKind
    cause_kind : CauseKind
    evidence : mapping of str to float
        A level without `daylight` beside it was judged without the second sensor.
    """
    if kind in LEVEL_KINDS and "daylight" not in evidence:
        return min(RIGHT[kind], WITHOUT_DAYLIGHT)
    if kind is FindingKind.LAMP_FAILURE and cause_kind is CauseKind.SEGMENT:
        return 0.9
    return RIGHT[kind]
