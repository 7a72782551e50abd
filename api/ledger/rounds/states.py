"""The state of each luminaire after a round."""

from collections.abc import Mapping, Sequence

from sqlalchemy import insert, select, update

from analytics.findings import FindingKind
from api.findings import NamedFinding
from api.ledger.models import (
    StatusRow,
)
from api.ledger.rounds.work import Work
from api.ledger.street import STATES, next_version
from api.operations.states import LuminaireState

__all__ = ["write_states"]

OBSERVED_EVERY_MS = 6 * 3_600_000


def write_states(
    work: Work, states: Mapping[str, LuminaireState] | None, findings: Sequence[NamedFinding]
) -> None:
    """The state of each luminaire: as judged, but planned while a window covers it."""
    given = dict(states) if states is not None else states_of(findings)
    reasons = {f.device_id: f.kind.value for f in findings if f.end_ms is None}
    for window in work.windows:
        if window.from_ms <= work.now_ms < window.until_ms:
            given[window.device_id] = LuminaireState.PLANNED
            reasons[window.device_id] = "planned_work"
    stored = {
        device: (state, observed_ms)
        for device, state, observed_ms in work.session.execute(
            select(StatusRow.device_id, StatusRow.state, StatusRow.observed_ms)
        )
    }
    new: list[dict[str, object]] = []
    changed: list[dict[str, object]] = []
    for device, state in given.items():
        known = state in {LuminaireState.OK, LuminaireState.FAULTY}
        was, observed_ms = stored.get(device, (None, None))
        # Hours are close enough to say when it was last seen; else each round writes each row.
        stale = known and (observed_ms is None or work.now_ms - observed_ms >= OBSERVED_EVERY_MS)
        if was == state.value and not stale:
            continue
        values: dict[str, object] = {"device_id": device, "state": state.value}
        values["reason"] = reasons.get(device, "")
        if was != state.value:
            values["since_ms"] = work.now_ms
        if known:
            values |= {"observed_ms": work.now_ms, "last_known": state.value}
        (new if was is None else changed).append(values)
    blank = {"observed_ms": None, "last_known": None}
    if new:
        work.session.execute(insert(StatusRow), [blank | values for values in new])
    for names in {tuple(sorted(values)) for values in changed}:
        same = [values for values in changed if tuple(sorted(values)) == names]
        work.session.execute(update(StatusRow), same)
    if new or changed:
        next_version(work.session, STATES)


def states_of(findings: Sequence[NamedFinding]) -> dict[str, LuminaireState]:
    """States as far as findings alone tell them; silence makes a luminaire unknown."""
    states: dict[str, LuminaireState] = {}
    for finding in findings:
        if finding.end_ms is not None:
            states.setdefault(finding.device_id, LuminaireState.OK)
    for finding in findings:
        if finding.end_ms is None and finding.kind not in {
            FindingKind.COMMUNICATION_FAILURE,
            FindingKind.SENSOR_STUCK,
            FindingKind.SENSOR_BLIND,
        }:
            states[finding.device_id] = LuminaireState.FAULTY
    for finding in findings:
        if finding.end_ms is None and finding.kind in {
            FindingKind.COMMUNICATION_FAILURE,
            FindingKind.SENSOR_STUCK,
            FindingKind.SENSOR_BLIND,
        }:
            states[finding.device_id] = LuminaireState.UNKNOWN
    return states
