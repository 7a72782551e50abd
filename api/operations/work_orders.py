"""The life of a work order: which step may follow which, and who proves the repair."""

from dataclasses import dataclass
from enum import StrEnum

from analytics.findings import SENSOR_CREW, CauseKind, FindingKind
from api.errors import BadInputError, ConflictError

__all__ = [
    "CLOSED",
    "LEGAL",
    "OPEN",
    "STEPS",
    "SWEDISH",
    "Action",
    "BudgetAccount",
    "Crew",
    "Rejection",
    "Verification",
    "WaitingFor",
    "WorkOrderState",
    "after",
    "check_step",
    "crew_of",
    "light_can_tell",
    "title_of",
]


class WorkOrderState(StrEnum):
    """Where a work order stands."""

    NEW = "new"
    ASSIGNED = "assigned"
    STARTED = "started"
    WAITING = "waiting"
    DONE = "done"
    VERIFIED = "verified"
    REOPENED = "reopened"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


SWEDISH = {
    WorkOrderState.NEW: "ny",
    WorkOrderState.ASSIGNED: "tilldelad",
    WorkOrderState.STARTED: "åtgärd påbörjad",
    WorkOrderState.WAITING: "väntar extern",
    WorkOrderState.DONE: "klarmarkerad",
    WorkOrderState.VERIFIED: "verifierad",
    WorkOrderState.REOPENED: "återöppnad",
    WorkOrderState.DUPLICATE: "dubblett",
    WorkOrderState.REJECTED: "avvisad",
}
CLOSED = frozenset({WorkOrderState.VERIFIED, WorkOrderState.DUPLICATE, WorkOrderState.REJECTED})
OPEN = frozenset(WorkOrderState) - CLOSED


class Action(StrEnum):
    """What somebody, or the light, does to a work order."""

    CREATE = "create"
    ASSIGN = "assign"
    RELEASE = "release"
    START = "start"
    WAIT = "wait"
    RESUME = "resume"
    DONE = "done"
    VERIFY = "verify"
    REOPEN = "reopen"
    DUPLICATE = "duplicate"
    REJECT = "reject"
    NOTE = "note"
    REPRIORITISE = "reprioritise"


class WaitingFor(StrEnum):
    """Why the clocks stand still."""

    THIRD_PARTY = "third_party"
    MATERIAL = "material"


class Rejection(StrEnum):
    """Why it was no work for us; counted in the quality figures."""

    NOT_A_FAULT = "not_a_fault"
    NOT_OURS = "not_ours"
    INTENTIONAL = "intentional"
    OTHER = "other"


class Verification(StrEnum):
    """What proved the repair."""

    LIGHT = "light"
    CREW = "crew"
    PHOTO = "photo"


class BudgetAccount(StrEnum):
    """Who pays: broken lighting is ordinary operation."""

    ORDINARY_OPERATION = "drift_ordinarie"
    SAFETY_OPERATION = "trygghet_drift"
    INVESTMENT = "investering"


class Crew(StrEnum):
    """Who goes out."""

    LAMP = "lamp"
    SENSOR = "sensor"


_S, _A = WorkOrderState, Action
_OPEN_STEPS = {
    _A.START: _S.STARTED,
    _A.WAIT: _S.WAITING,
    _A.DONE: _S.DONE,
    _A.DUPLICATE: _S.DUPLICATE,
    _A.REJECT: _S.REJECTED,
}
STEPS: dict[WorkOrderState, dict[Action, WorkOrderState]] = {
    _S.NEW: {_A.ASSIGN: _S.ASSIGNED, **_OPEN_STEPS},
    _S.ASSIGNED: {_A.ASSIGN: _S.ASSIGNED, _A.RELEASE: _S.NEW, **_OPEN_STEPS},
    _S.STARTED: {
        _A.ASSIGN: _S.STARTED,
        _A.RELEASE: _S.NEW,
        _A.WAIT: _S.WAITING,
        _A.DONE: _S.DONE,
        _A.DUPLICATE: _S.DUPLICATE,
        _A.REJECT: _S.REJECTED,
    },
    _S.WAITING: {
        _A.ASSIGN: _S.WAITING,
        _A.RESUME: _S.STARTED,
        _A.START: _S.STARTED,
        _A.DONE: _S.DONE,
        _A.DUPLICATE: _S.DUPLICATE,
        _A.REJECT: _S.REJECTED,
    },
    _S.DONE: {
        _A.VERIFY: _S.VERIFIED,
        _A.REOPEN: _S.REOPENED,
        # The whole feeder turned out to be the cause after the crew had left.
        _A.DUPLICATE: _S.DUPLICATE,
    },
    _S.REOPENED: {_A.ASSIGN: _S.ASSIGNED, **_OPEN_STEPS},
    _S.VERIFIED: {_A.REOPEN: _S.REOPENED},
    _S.DUPLICATE: {_A.REOPEN: _S.REOPENED},
    _S.REJECTED: {_A.REOPEN: _S.REOPENED},
}
# Light that comes back by itself proves an order nobody has touched.
_PROVED = frozenset({_S.NEW, _S.ASSIGNED, _S.STARTED, _S.WAITING, _S.REOPENED})
for _state in _PROVED:
    STEPS[_state][_A.VERIFY] = _S.VERIFIED
for _state in _S:  # a note or a new priority changes no state
    STEPS[_state][_A.NOTE] = _state
    STEPS[_state][_A.REPRIORITISE] = _state

LEGAL: dict[WorkOrderState, frozenset[WorkOrderState]] = {
    state: frozenset(steps.values()) for state, steps in STEPS.items()
}


def after(state: WorkOrderState, action: Action) -> WorkOrderState:
    """The state that follows.

    Raises
    ------
    ConflictError
        If the step is not allowed from there.
    """
    following = STEPS[state].get(action)
    if following is None:
        allowed = ", ".join(sorted(a for a in STEPS[state] if a is not Action.REPRIORITISE))
        raise ConflictError(
            f"a work order that is {state} cannot {action}.", remedy=f"Possible: {allowed}."
        )
    return following


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody wants to do, with what the step needs.

    Attributes
    ----------
    action : Action
    by_light : bool
        Whether the light itself says so (a round), rather than a person.
    waiting_for : WaitingFor or None
        Needed by `wait`.
    rejection : Rejection or None
        Needed by `reject`.
    owner : str
        Needed by a rejection as `not_ours`: who is responsible instead.
    duplicate_of : int or None
        Needed by `duplicate`.
    verification : Verification or None
        Needed by `verify`.
    assignee : str
        Needed by `assign`.
    note : str
    """

    action: Action
    by_light: bool = False
    waiting_for: WaitingFor | None = None
    rejection: Rejection | None = None
    owner: str = ""
    duplicate_of: int | None = None
    verification: Verification | None = None
    assignee: str = ""
    note: str = ""


def check_step(
    state: WorkOrderState, step: Step, *, light_decides: bool, has_photo: bool
) -> WorkOrderState:
    """The state after a step, or why it cannot be taken.

    Parameters
    ----------
    state : WorkOrderState
        Where the order stands.
    step : Step
    light_decides : bool
        See `light_can_tell`: then no person can declare the repair proved.
    has_photo : bool
        Whether a photo is attached.

    Raises
    ------
    ConflictError
        If the step is not allowed from here, or not by a person.
    BadInputError
        If the step lacks what it needs.
    """
    following = after(state, step.action)
    missing = {
        Action.WAIT: step.waiting_for is None and "waiting_for (third_party or material)",
        Action.REJECT: step.rejection is None and "rejection (the reason)",
        Action.DUPLICATE: step.duplicate_of is None and "duplicate_of (the order that stays)",
        Action.ASSIGN: not step.assignee and "assignee",
        Action.VERIFY: step.verification is None and "verification (light, crew or photo)",
        Action.NOTE: not step.note and "note",
    }.get(step.action)
    if missing:
        raise BadInputError(f"{step.action} needs {missing}.")
    if step.rejection is Rejection.NOT_OURS and not step.owner:
        raise BadInputError("a rejection as not_ours needs owner: say whose it is.")
    if step.action is Action.VERIFY and not step.by_light:
        check_proof_by_person(state, step, light_decides=light_decides, has_photo=has_photo)
    if step.action is Action.REOPEN and not step.by_light and not step.note:
        raise BadInputError("reopen needs note: what was seen.")
    return following


def check_proof_by_person(
    state: WorkOrderState, step: Step, *, light_decides: bool, has_photo: bool
) -> None:
    """A person proves a repair only where no sensor can, and only after it was marked done."""
    if step.verification is Verification.LIGHT or light_decides:
        raise ConflictError("the light itself decides in the next dark hours.")
    if state is not WorkOrderState.DONE:
        raise ConflictError(f"a work order that is {state} must be marked done first.")
    if step.verification is Verification.PHOTO and not has_photo:
        raise ConflictError("no photo is attached.", remedy="Attach one, or verify as crew.")


def light_can_tell(*, from_findings: bool, member_states: list[str]) -> bool:
    """Whether a sensor can prove the repair.

    Only where a finding stands behind the order and at least one member is heard: of a silent
    luminaire nobody knows anything.
    """
    return from_findings and any(state != "unknown" for state in member_states)


def crew_of(kind: FindingKind) -> Crew:
    """Who repairs this kind."""
    return Crew.SENSOR if kind in SENSOR_CREW else Crew.LAMP


def title_of(kind: FindingKind, cause_kind: CauseKind, cause_id: str, members: int) -> str:
    """One line a crew understands: what, where, how many."""
    what = kind.value.replace("_", " ")
    if members > 1:
        return f"{what}: {members} luminaires, {cause_kind.value} {cause_id}"
    return f"{what}: {cause_kind.value} {cause_id}"
