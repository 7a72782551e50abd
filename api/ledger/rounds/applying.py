"""A round's findings brought into the ledger, step by step."""

from collections.abc import Mapping, Sequence

from api.findings import NamedFinding
from api.ledger.rounds import incidents, orders, repairs
from api.ledger.rounds.states import write_states
from api.ledger.rounds.urgency import judge_again
from api.ledger.rounds.work import DarkHours, Work
from api.ledger.views import ReconcileResult
from api.operations.incidents import IncidentState, plan_round, unplanned
from api.operations.states import LuminaireState

__all__ = ["apply_round"]


def apply_round(
    work: Work,
    findings: Sequence[NamedFinding],
    *,
    states: Mapping[str, LuminaireState] | None,
    night: DarkHours | None,
    settled: bool,
    complete_since_ms: int | None,
    left_out: int = 0,
) -> ReconcileResult:
    """Apply the findings; see `Ledger.reconcile`."""
    kept, suppressed = unplanned(findings, work.windows, now_ms=work.now_ms)
    known = incidents.known(work, {f.incident for f in kept})
    plan = plan_round(known, kept, settled=settled, complete_since_ms=complete_since_ms)
    for wanted in plan.incidents:
        incidents.write_incident(work, wanted)
    work.session.flush()
    for wanted in plan.incidents:
        incidents.link_merged(work, wanted)
    write_states(work, states, kept)
    touched = [work.rows[wanted.key] for wanted in plan.incidents]
    orders.load_orders(work, touched)
    # Orders that stay come first, so that a merged one finds the order it is part of.
    for wanted in sorted(plan.incidents, key=lambda w: w.state is IncidentState.MERGED):
        orders.follow(work, wanted)
    repairs.follow_by_hand(work, plan.incidents)
    if night is not None:
        repairs.deny_repairs(work, kept, states or {}, night)
    judge_again(work, touched)
    return work.changes.result(suppressed + left_out)
