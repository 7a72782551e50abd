"""What one round works on: a transaction, the city as it is, and what has changed so far."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from api.assets import Asset
from api.ledger.models import EvidenceRow, IncidentRow, WorkOrderRow
from api.ledger.views import ReconcileResult
from api.operations.extent import DARK_KINDS
from api.operations.incidents import PlannedWindow
from api.operations.sla import Policy

__all__ = ["CHUNK", "DARK_WORDS", "SYSTEM", "Changes", "DarkHours", "Work", "most_common"]

SYSTEM = "ljusvakt"
CHUNK = 500  # names in one query
DARK_WORDS = frozenset(kind.value for kind in DARK_KINDS)


@dataclass(frozen=True, slots=True)
class DarkHours:
    """The dark hours a round has settled, `[start_ms, stop_ms)`."""

    start_ms: int
    stop_ms: int


@dataclass(slots=True)
class Changes:
    """Collected while the round is applied."""

    opened: list[str] = field(default_factory=list[str])
    changed: list[str] = field(default_factory=list[str])
    merged: list[str] = field(default_factory=list[str])
    cleared: list[str] = field(default_factory=list[str])
    reopened: list[str] = field(default_factory=list[str])
    withdrawn: list[str] = field(default_factory=list[str])
    orders_created: list[int] = field(default_factory=list[int])
    orders_verified: list[int] = field(default_factory=list[int])
    orders_reopened: list[int] = field(default_factory=list[int])
    orders_closed: list[int] = field(default_factory=list[int])

    def result(self, suppressed: int) -> ReconcileResult:
        """Frozen."""
        names = ("opened", "changed", "merged", "cleared", "reopened", "withdrawn")
        orders = ("orders_created", "orders_verified", "orders_reopened", "orders_closed")
        return ReconcileResult(
            **{name: tuple(getattr(self, name)) for name in (*names, *orders)},
            suppressed=suppressed,
        )


@dataclass(slots=True)
class Work:
    """One reconciliation, inside one transaction.

    Attributes
    ----------
    session : Session
        A transaction that may write and that no other round shares.
    assets : mapping of device id to Asset
    policy : Policy
    now_ms : int
    windows : sequence of PlannedWindow
    exposure : mapping of device id to float
        Passages a night in light below what it should be.
    changes : Changes
    rows : dict of incident key to IncidentRow
    evidence : dict of incident id to rows by device and kind
        What stands behind each incident: read once, kept as written.
    orders : dict of incident id to WorkOrderRow
    """

    session: Session
    assets: Mapping[str, Asset]
    policy: Policy
    now_ms: int
    windows: Sequence[PlannedWindow]
    exposure: Mapping[str, float]
    changes: Changes = field(default_factory=Changes)
    rows: dict[str, IncidentRow] = field(default_factory=dict[str, IncidentRow])
    evidence: dict[int, dict[tuple[str, str], EvidenceRow]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    orders: dict[int, WorkOrderRow] = field(default_factory=dict[int, WorkOrderRow])


def most_common(words: Iterable[str]) -> str:
    """The commonest word that is not empty; the first by alphabet where several are."""
    counted: dict[str, int] = defaultdict(int)
    for word in words:
        if word:
            counted[word] += 1
    return min(counted, key=lambda word: (-counted[word], word), default="")
