"""Steps of a work order, written down: state, version, clocks, pauses, history."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.ledger import outbox
from api.ledger.models import AttachmentRow, MemberRow, PauseRow, StatusRow, StepRow, WorkOrderRow
from api.operations.sla import NO_DUE_MS, Judgement, Policy, deadline_ms
from api.operations.work_orders import (
    CLOSED,
    Action,
    Step,
    WorkOrderState,
    check_step,
    light_can_tell,
)

__all__ = ["apply", "light_decides", "prioritise", "remember", "set_clocks"]


def apply(
    session: Session,
    order: WorkOrderRow,
    step: Step,
    *,
    actor: str,
    at_ms: int,
    policy: Policy,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Take a step; raises as `check_step` does, and then changes nothing."""
    by_person = step.action is Action.VERIFY and not step.by_light
    following = check_step(
        WorkOrderState(order.state),
        step,
        light_decides=by_person and light_decides(session, order),
        has_photo=by_person and has_photo(session, order.id),
    )
    write_effects(order, step, following, at_ms)
    set_pauses(session, order.id, step, following, at_ms)
    order.state, order.is_open = following.value, following not in CLOSED
    order.version += 1
    order.updated_ms = at_ms
    set_clocks(session, order, policy)
    facts = {
        "waiting_for": step.waiting_for,
        "rejection": step.rejection,
        "owner": step.owner or None,
        "duplicate_of": step.duplicate_of,
        "verification": step.verification,
        "assignee": step.assignee or None,
    }
    remember(
        session,
        order,
        action=step.action,
        actor=actor,
        at_ms=at_ms,
        note=step.note,
        details={k: v for k, v in facts.items() if v is not None} | dict(details or {}),
    )
    outbox.stream_order(session, order, at_ms=at_ms)


def write_effects(order: WorkOrderRow, step: Step, following: WorkOrderState, at_ms: int) -> None:
    """What the step changes on the order besides its state."""
    match step.action:
        case Action.ASSIGN:
            order.assignee = step.assignee
        case Action.RELEASE:
            order.assignee = ""
        case Action.START | Action.RESUME | Action.DONE:
            order.first_action_ms = order.first_action_ms or at_ms
            if step.assignee and not order.assignee:
                order.assignee = step.assignee
        case Action.REOPEN:
            order.times_reopened += 1
            order.done_ms = order.closed_ms = order.verification = None
            order.rejection, order.owner, order.duplicate_of = None, "", None
        case Action.VERIFY:
            order.verification = step.verification.value if step.verification else None
        case Action.DUPLICATE:
            order.duplicate_of = step.duplicate_of
        case Action.REJECT:
            order.rejection = step.rejection.value if step.rejection else None
            order.owner = step.owner
        case _:
            pass
    if step.action is Action.DONE:
        order.done_ms = at_ms
    if following in CLOSED and step.action not in {Action.NOTE, Action.REPRIORITISE}:
        order.closed_ms = at_ms
    order.waiting_for = step.waiting_for.value if step.waiting_for else order.waiting_for
    if following is not WorkOrderState.WAITING:
        order.waiting_for = None


def set_pauses(
    session: Session, order_id: int, step: Step, following: WorkOrderState, at_ms: int
) -> None:
    """The clocks stand still exactly while the order waits."""
    running = session.scalar(
        select(PauseRow).where(PauseRow.order_id == order_id, PauseRow.until_ms.is_(None))
    )
    if following is WorkOrderState.WAITING and running is None and step.waiting_for is not None:
        session.add(PauseRow(order_id=order_id, reason=step.waiting_for.value, from_ms=at_ms))
    elif following is not WorkOrderState.WAITING and running is not None:
        running.until_ms = at_ms
    session.flush()


def set_clocks(session: Session, order: WorkOrderRow, policy: Policy) -> None:
    """Deadlines from the rule the order stands under and its pauses."""
    rule = next((r for r in policy.rules if r.id == order.rule_id), None)
    if rule is None:
        return
    pauses = [
        (p.from_ms, p.until_ms)
        for p in session.scalars(
            select(PauseRow).where(PauseRow.order_id == order.id).order_by(PauseRow.from_ms)
        )
    ]
    order.first_action_due_ms = deadline_ms(
        policy, rule.first_action, rule.clock, start_ms=order.detected_ms, pauses=pauses
    )
    order.repaired_due_ms = deadline_ms(
        policy, rule.repaired, rule.clock, start_ms=order.detected_ms, pauses=pauses
    )
    running = [
        order.first_action_due_ms if order.first_action_ms is None else None,
        order.repaired_due_ms if order.done_ms is None and order.is_open else None,
    ]
    if not order.is_open:
        running = []
    order.due_ms = min((due for due in running if due is not None), default=NO_DUE_MS)


def prioritise(
    session: Session,
    order: WorkOrderRow,
    judgement: Judgement,
    *,
    policy: Policy,
    at_ms: int,
    created: bool = False,
) -> None:
    """Put the order under the rule that holds for it; a change of priority is a step.

    Somebody who has begun keeps the urgency they began with unless it rises.
    """
    begun = order.first_action_ms is not None
    if not created and begun and judgement.rank >= order.rank:
        return
    changed = order.priority != judgement.priority
    if not changed and (order.rule_id, order.why) == (judgement.rule_id, judgement.why):
        return
    was = order.priority
    order.priority, order.rank = judgement.priority, judgement.rank
    order.rule_id, order.why = judgement.rule_id, judgement.why
    if changed and not created:
        step = Step(Action.REPRIORITISE, note=f"{was} -> {judgement.priority}: {judgement.why}")
        apply(session, order, step, actor="ljusvakt", at_ms=at_ms, policy=policy)
        if judgement.rank == 0:
            outbox.matter_of_order(session, order, what="urgent", at_ms=at_ms)
        return
    set_clocks(session, order, policy)
    if created:
        outbox.stream_order(session, order, at_ms=at_ms)


def remember(
    session: Session,
    order: WorkOrderRow,
    *,
    action: Action,
    actor: str,
    at_ms: int,
    note: str = "",
    details: Mapping[str, Any] | None = None,
) -> None:
    """One row of history for the version the order now has."""
    session.add(
        StepRow(
            order_id=order.id,
            version=order.version,
            state=order.state,
            action=action.value,
            actor=actor,
            at_ms=at_ms,
            note=note,
            details=dict(details or {}),
        )
    )
    session.flush()


def light_decides(session: Session, order: WorkOrderRow) -> bool:
    """Whether a sensor can prove the repair; see `light_can_tell`."""
    states = session.execute(
        select(MemberRow.device_id, StatusRow.state)
        .outerjoin(StatusRow, StatusRow.device_id == MemberRow.device_id)
        .where(MemberRow.order_id == order.id)
    ).all()
    return light_can_tell(
        from_findings=order.from_findings,
        member_states=[state or "unknown" for _, state in states],
    )


def has_photo(session: Session, order_id: int) -> bool:
    """Whether a photo is attached."""
    return (
        session.scalar(select(AttachmentRow.id).where(AttachmentRow.order_id == order_id).limit(1))
        is not None
    )
