"""One sentence a finding: the numbers it rests on, and what cannot be told apart."""

from analytics.findings import CauseKind, FindingKind
from analytics.memory import Episode

__all__ = ["explain"]

K = FindingKind


def percent(value: float) -> str:
    """A share as a whole percentage."""
    return f"{100 * value:.0f} %"


def explain(e: Episode, cause_id: str) -> str:
    """Why we believe it, in one English sentence."""
    n = e.evidence
    text = {
        K.LAMP_FAILURE: lamp_failure(n),
        K.SUPPLY_LOSS: (
            f"Went dark or silent together with its neighbours on {e.cause_kind.value} {cause_id}."
        ),
        K.COMMUNICATION_FAILURE: (
            f"No reading for {n.get('silent_h', 24):.0f} hours; says nothing about the light."
        ),
        K.SENSOR_STUCK: (
            f"The same {n.get('value_lx', 0):.4g} lx in {n.get('equal_readings', 0):.0f} readings, "
            "by day and night."
        ),
        K.SENSOR_BLIND: level(n, "The sensor lost daylight and lamp light alike"),
        K.SENSOR_DRIFT: level(n, "The sensor's daylight and lamp light move together"),
        K.MISAIMED: level(n, "Lamp light fell while daylight changed otherwise: turned or shaded"),
        K.DIMMING_FAILURE: level(
            n, "The light fell in one step and stays down, daylight unchanged"
        ),
        K.DEPRECIATION: level(n, "The light fell slowly, daylight unchanged"),
        K.CYCLING_FAILURE: (
            f"Went out and came back {n.get('changes', 0) / 2:.0f} times in one night."
        ),
        K.LAMP_UNEXPECTED_ON: (
            f"Burns by day at {percent(n.get('by_day', 1))} of its own light or power."
        ),
        K.SWITCHING_ERROR: f"On late or off early by about {n.get('minutes', 0):.0f} minutes.",
    }[e.kind]
    if e.cause_kind is CauseKind.GATEWAY:
        text = f"Everything behind gateway {cause_id} fell silent. {text}"
    return f"{text} {e.note}".strip()


def lamp_failure(n: dict[str, float]) -> str:
    """Dark share and level, or what the device said."""
    if "reported" in n or not n.get("dark_share", 0) > 0:
        return "The luminaire's own controller reports the failure."
    text = f"Dark in {percent(n['dark_share'])} of the night's readings"
    if "level" in n:
        text += f", at {percent(n['level'])} of its own level"
    if "daylight" in n:
        text += f"; answers daylight at {percent(n['daylight'])}"
    return text + "."


def level(n: dict[str, float], lead: str) -> str:
    """Level by night and answer to daylight."""
    text = f"{lead}: night at {percent(n.get('level', 1))} of normal"
    if "daylight" in n:
        text += f", daylight at {percent(n['daylight'])}"
    return text + "."
