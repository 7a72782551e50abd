"""The four truths about a luminaire: ok, faulty, unknown, planned."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["LuminaireState", "LuminaireStatus"]


class LuminaireState(StrEnum):
    """Silence is `unknown`: neither ok nor faulty."""

    OK = "ok"
    FAULTY = "faulty"
    UNKNOWN = "unknown"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True)
class LuminaireStatus:
    """What is known of one luminaire.

    Attributes
    ----------
    device_id : str
    state : LuminaireState
    since_ms : int
        Since when it has been so [ms, UTC].
    observed_ms : int or None
        When its light was last known (ok or faulty) [ms, UTC]; None if never.
    last_known : LuminaireState or None
        What it was then.
    reason : str
        The finding's kind, the planned work, or empty.
    """

    device_id: str
    state: LuminaireState
    since_ms: int
    observed_ms: int | None = None
    last_known: LuminaireState | None = None
    reason: str = ""
