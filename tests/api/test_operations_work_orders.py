"""The life of a work order, step by step."""

import pytest

from api.errors import BadInputError, ConflictError
from api.operations.work_orders import (
    CLOSED,
    LEGAL,
    OPEN,
    STEPS,
    SWEDISH,
    Action,
    Rejection,
    Step,
    Verification,
    WaitingFor,
    WorkOrderState,
    after,
    check_step,
    light_can_tell,
)

S, A = WorkOrderState, Action


def taken(state: WorkOrderState, step: Step, **facts: bool) -> WorkOrderState:
    return check_step(
        state,
        step,
        light_decides=facts.get("light_decides", False),
        has_photo=facts.get("has_photo", False),
    )


def test_an_order_goes_from_new_to_proved() -> None:
    path = [
        Step(A.ASSIGN, assignee="kim"),
        Step(A.START),
        Step(A.WAIT, waiting_for=WaitingFor.MATERIAL),
        Step(A.RESUME),
        Step(A.DONE),
        Step(A.VERIFY, by_light=True, verification=Verification.LIGHT),
    ]
    state, seen = S.NEW, []
    for step in path:
        state = taken(state, step)
        seen.append(state)
    assert seen == [S.ASSIGNED, S.STARTED, S.WAITING, S.STARTED, S.DONE, S.VERIFIED]


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (S.NEW, A.REOPEN),
        (S.NEW, A.RESUME),
        (S.DONE, A.START),
        (S.DONE, A.DONE),
        (S.VERIFIED, A.DONE),
        (S.VERIFIED, A.VERIFY),
        (S.REJECTED, A.START),
        (S.DUPLICATE, A.ASSIGN),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(state: WorkOrderState, action: Action) -> None:
    with pytest.raises(ConflictError, match=f"{state.value} cannot {action.value}"):
        after(state, action)


@pytest.mark.parametrize("action", [A.WAIT, A.REJECT, A.DUPLICATE, A.ASSIGN, A.NOTE])
def test_a_step_without_what_it_needs_is_refused(action: Action) -> None:
    with pytest.raises(BadInputError, match=f"{action.value} needs"):
        taken(S.STARTED if action is not A.ASSIGN else S.NEW, Step(action))


def test_whoever_says_not_ours_says_whose_it_is() -> None:
    with pytest.raises(BadInputError, match="owner"):
        taken(S.NEW, Step(A.REJECT, rejection=Rejection.NOT_OURS))
    step = Step(A.REJECT, rejection=Rejection.NOT_OURS, owner="E.ON")
    assert taken(S.NEW, step) is S.REJECTED


def test_nobody_declares_a_repair_proved_where_the_light_can_tell() -> None:
    step = Step(A.VERIFY, verification=Verification.CREW)
    with pytest.raises(ConflictError, match="light itself"):
        taken(S.DONE, step, light_decides=True)
    assert taken(S.DONE, step, light_decides=False) is S.VERIFIED


def test_a_person_cannot_claim_to_be_the_light() -> None:
    with pytest.raises(ConflictError, match="light itself"):
        taken(S.DONE, Step(A.VERIFY, verification=Verification.LIGHT))


def test_a_proof_by_photo_needs_a_photo() -> None:
    step = Step(A.VERIFY, verification=Verification.PHOTO)
    with pytest.raises(ConflictError, match="no photo"):
        taken(S.DONE, step)
    assert taken(S.DONE, step, has_photo=True) is S.VERIFIED


def test_a_person_proves_only_what_is_marked_done() -> None:
    with pytest.raises(ConflictError, match="marked done first"):
        taken(S.STARTED, Step(A.VERIFY, verification=Verification.CREW))


def test_a_silent_luminaire_cannot_tell() -> None:
    assert not light_can_tell(from_findings=True, member_states=["unknown", "unknown"])
    assert light_can_tell(from_findings=True, member_states=["unknown", "faulty"])
    assert not light_can_tell(from_findings=False, member_states=["ok"])


def test_every_state_has_a_swedish_name_and_a_way_on() -> None:
    assert set(SWEDISH) == set(S) == set(LEGAL) == OPEN | CLOSED
    for state in S:
        assert LEGAL[state] - {state}, state


def test_every_state_is_reached_from_new() -> None:
    seen, stack = {S.NEW}, [S.NEW]
    while stack:
        for following in STEPS[stack.pop()].values():
            if following not in seen:
                seen.add(following)
                stack.append(following)
    assert seen == set(S)
