"""The work order of each incident: made, described, brought to where the incident stands."""

from collections.abc import Sequence

from sqlalchemy import select

from analytics.findings import CauseKind, FindingKind
from api.ledger import steps
from api.ledger.models import (
    EvidenceRow,
    IncidentRow,
    MemberRow,
    WorkOrderRow,
)
from api.ledger.new_orders import blank_order
from api.ledger.rounds.repairs import prove, reopen, take_step, withdraw
from api.ledger.rounds.work import CHUNK, SYSTEM, Work, most_common
from api.operations.incidents import (
    IncidentState,
    Wanted,
    What,
)
from api.operations.work_orders import (
    CLOSED,
    Action,
    Rejection,
    Step,
    WorkOrderState,
    crew_of,
    title_of,
)

__all__ = ["follow", "load_orders"]

STAYS_REJECTED = frozenset({Rejection.INTENTIONAL.value, Rejection.NOT_OURS.value})
PLACE_DECIMALS = 6  # of a degree: a decimetre


def load_orders(work: Work, incidents: Sequence[IncidentRow]) -> None:
    """The orders of these incidents, held against other writers."""
    ids = [row.id for row in incidents]
    for i in range(0, len(ids), CHUNK):
        for order in work.session.scalars(
            select(WorkOrderRow)
            .where(WorkOrderRow.incident_id.in_(ids[i : i + CHUNK]))
            .with_for_update()
        ):
            if order.incident_id is not None:
                work.orders[order.incident_id] = order


def follow(work: Work, wanted: Wanted) -> None:
    """Bring the incident's work order to where the incident stands."""
    incident = work.rows[wanted.key]
    order = work.orders.get(incident.id)
    if order is None:
        if wanted.state is IncidentState.OPEN:
            create_order(work, incident)
        return
    write_members(work, order, incident)
    state = WorkOrderState(order.state)
    match wanted.state:
        case IncidentState.OPEN:
            reopened = any(entry.what is What.REOPENED for entry in wanted.entries)
            if reopened and state in CLOSED and order.rejection not in STAYS_REJECTED:
                reopen(work, order, "the fault came back")
        case IncidentState.CLEARED if state not in CLOSED:
            prove(work, order, incident.end_ms)
        case IncidentState.WITHDRAWN if state not in CLOSED:
            withdraw(work, order, state)
        case IncidentState.MERGED if state not in CLOSED:
            close_as_part(work, order, incident)
        case _:
            pass


def create_order(work: Work, incident: IncidentRow) -> None:
    """The first order of an incident; its members say where it is."""
    order = blank_order(
        FindingKind(incident.kind),
        CauseKind(incident.cause_kind),
        incident.cause_id,
        now_ms=work.now_ms,
        simulated=incident.simulated,
    )
    order.incident_id, order.from_findings = incident.id, True
    order.note, order.detected_ms = incident.note, incident.raised_ms
    order.area, order.site = incident.area, incident.site
    work.session.add(order)
    work.session.flush()
    work.orders[incident.id] = order
    write_members(work, order, incident)
    steps.remember(
        work.session,
        order,
        action=Action.CREATE,
        actor=SYSTEM,
        at_ms=work.now_ms,
        note=incident.note,
        details={"incident": incident.key},
    )
    work.changes.orders_created.append(order.id)


def write_members(work: Work, order: WorkOrderRow, incident: IncidentRow) -> None:
    """Open findings are members; of an order whose findings are all over, those that were."""
    stored = {
        m.device_id: m
        for m in work.session.scalars(select(MemberRow).where(MemberRow.order_id == order.id))
    }
    evidence = list(
        work.session.scalars(
            select(EvidenceRow)
            .where(EvidenceRow.incident_id == incident.id, EvidenceRow.withdrawn.is_(False))
            .order_by(EvidenceRow.start_ms, EvidenceRow.kind)
        )
    )
    open_ones = [e for e in evidence if e.end_ms is None]
    wanted = {e.device_id: e for e in reversed(open_ones or evidence)}
    for device, e in wanted.items():
        member = stored.get(device)
        if member is None:
            member = MemberRow(order_id=order.id, device_id=device, by_hand=False)
            work.session.add(member)
            stored[device] = member
        member.luminaire_id, member.kind = e.luminaire_id, e.kind
        member.start_ms, member.end_ms = e.start_ms, e.end_ms
    ended = {e.device_id: e.end_ms for e in evidence if e.end_ms is not None}
    for device, member in list(stored.items()):
        if device not in wanted and not member.by_hand:
            if evidence and device not in ended:
                work.session.delete(member)  # taken back, or it turned out to belong elsewhere
                del stored[device]
            else:
                member.end_ms = ended.get(device, member.end_ms)
    describe(work, order, incident, [stored[d] for d in sorted(stored)])


def describe(
    work: Work, order: WorkOrderRow, incident: IncidentRow, members: Sequence[MemberRow]
) -> None:
    """Kind, cause, place and title as they are now."""
    kind, cause_kind = FindingKind(incident.kind), CauseKind(incident.cause_kind)
    order.kind, order.cause_kind, order.cause_id = (
        kind.value,
        cause_kind.value,
        incident.cause_id,
    )
    order.crew = crew_of(kind).value
    order.members = sum(m.end_ms is None for m in members) or len(members)
    order.title = title_of(kind, cause_kind, incident.cause_id, order.members)
    stands = [work.assets[m.device_id] for m in members if m.device_id in work.assets]
    places = [(a.lat, a.lon) for a in stands if a.lat is not None and a.lon is not None]
    if places:
        order.lat = round(sum(lat for lat, _ in places) / len(places), PLACE_DECIMALS)
        order.lon = round(sum(lon for _, lon in places) / len(places), PLACE_DECIMALS)
    order.area = most_common(a.area for a in stands) or order.area
    order.site = most_common(a.site for a in stands) or order.site
    known = [work.exposure[m.device_id] for m in members if m.device_id in work.exposure]
    order.exposure = max(known) if known else None


def close_as_part(work: Work, order: WorkOrderRow, incident: IncidentRow) -> None:
    stays = work.orders.get(incident.merged_into or 0) or work.session.scalar(
        select(WorkOrderRow).where(WorkOrderRow.incident_id == incident.merged_into)
    )
    if stays is None:
        return
    # A report or alert that was first keeps its time: the clock of the order that stays.
    stays.detected_ms = min(stays.detected_ms, order.detected_ms)
    steps.set_clocks(work.session, stays, work.policy)
    take_step(
        work,
        order,
        Step(
            Action.DUPLICATE,
            by_light=True,
            duplicate_of=stays.id,
            note=f"part of work order {stays.id}",
        ),
    )
    work.changes.orders_closed.append(order.id)
