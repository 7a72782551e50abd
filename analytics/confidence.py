"""How likely a finding names the right fault, by its kind and by what bore witness to it.

Shares of orders that named the very fault, counted on simulated feeds of two cities written by
different hands (realistic seeds 521 to 526, hard 531 and 532, and the panel of the other city),
pooled and rounded to what their number can carry; checked on other feeds of both
(docs/quality-lighting.md). Three things decide beside the kind:

- watts that fell with the light: no sensor and no weather does that;
- daylight seen since: without it, or watts, a sensor that fails looks like a lamp that does;
- rough weather lately: snow and rain darken a night more easily than they change a week.
"""

from collections.abc import Mapping

from analytics.findings import CauseKind, FindingKind

__all__ = ["confidence_of"]

RIGHT = {  # with a witness, in steady weather
    FindingKind.LAMP_FAILURE: 0.94,
    FindingKind.DIMMING_FAILURE: 0.88,
    FindingKind.DEPRECIATION: 0.90,
    FindingKind.CYCLING_FAILURE: 0.97,
    FindingKind.LAMP_UNEXPECTED_ON: 0.97,
    FindingKind.SWITCHING_ERROR: 0.90,
    FindingKind.SUPPLY_LOSS: 0.97,
    FindingKind.SENSOR_STUCK: 0.98,
    FindingKind.SENSOR_BLIND: 0.95,
    FindingKind.SENSOR_DRIFT: 0.90,
    FindingKind.MISAIMED: 0.97,
    FindingKind.COMMUNICATION_FAILURE: 0.95,
}
LEVEL_KINDS = frozenset(
    {
        FindingKind.DIMMING_FAILURE,
        FindingKind.DEPRECIATION,
        FindingKind.SENSOR_BLIND,
        FindingKind.SENSOR_DRIFT,
    }
)
BY_WATTS = 0.95
NO_POWER = 0.06  # of the rated power: what a lamp that is out may still take
SHORT_OF_POWER = 0.93  # of its own power: what no sensor and no weather takes
BY_LIGHT_ALONE = 0.55  # lamp, sensor and weather look alike
ROUGH_WEEKS = 0.92  # of a level kind's share: several nights must agree


def confidence_of(kind: FindingKind, cause_kind: CauseKind, evidence: Mapping[str, float]) -> float:
    """Probability that the finding names the right fault.

    Parameters
    ----------
    kind : FindingKind
    cause_kind : CauseKind
    evidence : mapping of str to float
        `daylight` stands in it where daylight was seen since, `power` where watts are measured,
        `rough` where weather came and went lately.
    """
    if kind is FindingKind.LAMP_FAILURE:
        return of_lamp_failure(cause_kind, evidence)
    if kind is FindingKind.DIMMING_FAILURE and evidence.get("power", 1.0) < SHORT_OF_POWER:
        return BY_WATTS
    if kind not in LEVEL_KINDS:
        return RIGHT[kind]
    if "daylight" not in evidence:
        return BY_LIGHT_ALONE
    return RIGHT[kind] * (ROUGH_WEEKS if "rough" in evidence else 1)


def of_lamp_failure(cause_kind: CauseKind, evidence: Mapping[str, float]) -> float:
    """The same for a lamp that is out."""
    if not evidence.get("dark_share", 0.0) > 0:
        return RIGHT[FindingKind.LAMP_FAILURE]  # its device said so
    if evidence.get("power", 1.0) < NO_POWER:
        return BY_WATTS
    if cause_kind is CauseKind.SEGMENT:
        return 0.9
    steady = "daylight" in evidence and "rough" not in evidence
    return RIGHT[FindingKind.LAMP_FAILURE] if steady else BY_LIGHT_ALONE
