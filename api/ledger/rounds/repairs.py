"""Repairs proved, and denied, by the light itself."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select

from api.findings import NamedFinding
from api.ledger import outbox, steps
from api.ledger.models import (
    EvidenceRow,
    IncidentRow,
    MemberRow,
    WorkOrderRow,
)
from api.ledger.rounds.work import SYSTEM, DarkHours, Work
from api.operations.incidents import (
    IncidentState,
    Wanted,
)
from api.operations.states import LuminaireState
from api.operations.work_orders import (
    Action,
    Crew,
    Rejection,
    Step,
    Verification,
    WorkOrderState,
    crew_of,
)

__all__ = ["deny_repairs", "follow_by_hand", "prove", "reopen", "take_step", "withdraw"]

# Dark hours must go on at least this long after a repair was marked done before they can deny it.
DARK_AFTER_DONE_MS = 3_600_000


def prove(work: Work, order: WorkOrderRow, cleared_ms: int | None) -> None:
    """Verified by the light, once every luminaire of the order is lit again."""
    left = work.session.scalar(
        select(MemberRow.device_id)
        .where(MemberRow.order_id == order.id, MemberRow.end_ms.is_(None))
        .limit(1)
    )
    if left is None:
        step = Step(Action.VERIFY, by_light=True, verification=Verification.LIGHT)
        take_step(work, order, step, {"cleared_ms": cleared_ms})
        work.changes.orders_verified.append(order.id)


def follow_by_hand(work: Work, plan: Sequence[Wanted]) -> None:
    """Luminaires people put into an order (merged, split) are proved there as well."""
    ended = {
        f.device_id: f.end_ms
        for wanted in plan
        for f in wanted.findings
        if f.end_ms is not None and crew_of(f.kind) is Crew.LAMP
    }
    if not ended:
        return
    dark = set(
        work.session.scalars(
            select(EvidenceRow.device_id).where(
                EvidenceRow.end_ms.is_(None), EvidenceRow.withdrawn.is_(False)
            )
        )
    )
    rows = work.session.execute(
        select(MemberRow, WorkOrderRow, IncidentRow.state)
        .join(WorkOrderRow, WorkOrderRow.id == MemberRow.order_id)
        .outerjoin(IncidentRow, IncidentRow.id == WorkOrderRow.incident_id)
        .where(
            MemberRow.by_hand.is_(True),
            MemberRow.end_ms.is_(None),
            WorkOrderRow.is_open.is_(True),
        )
    ).all()
    taken_back = {f.device_id for wanted in plan for f in wanted.findings if f.withdrawn}
    orders: dict[int, tuple[WorkOrderRow, str | None]] = {}
    proved: set[int] = set()
    for member, order, incident_state in rows:
        if member.device_id in ended and member.device_id not in dark:
            member.end_ms = ended[member.device_id]
            orders[order.id] = (order, incident_state)
            if member.device_id not in taken_back:
                proved.add(order.id)
    work.session.flush()
    for order, state in orders.values():
        if order.id not in proved and all_taken_back(work, order, taken_back):
            withdraw(work, order, WorkOrderState(order.state))
        elif state in {None, IncidentState.CLEARED.value, IncidentState.WITHDRAWN.value}:
            prove(work, order, work.now_ms)


def all_taken_back(work: Work, order: WorkOrderRow, taken_back: Collection[str]) -> bool:
    """Whether no luminaire of an order was ever at fault."""
    members = work.session.scalars(
        select(MemberRow.device_id).where(MemberRow.order_id == order.id)
    )
    return all(device in taken_back for device in members)


def deny_repairs(
    work: Work,
    findings: Sequence[NamedFinding],
    states: Mapping[str, LuminaireState],
    night: DarkHours,
) -> None:
    """Reopen what was marked done and was still seen faulty in the dark hours after."""
    still: dict[str, list[str]] = defaultdict(list)
    for f in findings:
        if f.end_ms is None and states.get(f.device_id) is not LuminaireState.UNKNOWN:
            still[f.incident].append(f.device_id)
    done = work.session.scalars(
        select(WorkOrderRow)
        .where(WorkOrderRow.state == WorkOrderState.DONE.value)
        .with_for_update()
    ).all()
    keys = {row.id: row.key for row in work.rows.values()}
    for order in done:
        devices = still.get(keys.get(order.incident_id or 0, ""), [])
        if (
            devices
            and order.done_ms is not None
            and order.done_ms + DARK_AFTER_DONE_MS <= night.stop_ms
        ):
            reopen(
                work,
                order,
                f"still faulty in the dark hours after: {', '.join(sorted(devices)[:5])}",
                still_faulty=sorted(devices)[:200],
                dark_start_ms=night.start_ms,
                dark_stop_ms=night.stop_ms,
            )


def reopen(work: Work, order: WorkOrderRow, note: str, **details: object) -> None:
    """Not repaired after all, or broken again: with the reason, and an alert."""
    take_step(work, order, Step(Action.REOPEN, by_light=True, note=note), details)
    outbox.matter_of_order(work.session, order, what="reopened", at_ms=work.now_ms)
    work.changes.orders_reopened.append(order.id)


def withdraw(work: Work, order: WorkOrderRow, state: WorkOrderState) -> None:
    """Close an order whose fault was never there."""
    note = "later data showed that the fault was not there"
    if state is WorkOrderState.DONE:
        # No light proved anything: the crew's word is all there is.
        step = Step(Action.VERIFY, by_light=True, verification=Verification.CREW, note=note)
        work.changes.orders_verified.append(order.id)
    else:
        step = Step(Action.REJECT, by_light=True, rejection=Rejection.NOT_A_FAULT, note=note)
        work.changes.orders_closed.append(order.id)
    take_step(work, order, step, {"withdrawn": True})


def take_step(
    work: Work, order: WorkOrderRow, step: Step, details: Mapping[str, object] | None = None
) -> None:
    """A step the platform takes itself, written into the order's history."""
    steps.apply(
        work.session,
        order,
        step,
        actor=SYSTEM,
        at_ms=work.now_ms,
        details=dict(details or {}),
        policy=work.policy,
    )
