"""The part of the ledger crews work with: orders, their steps, photos, merging and splitting."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session

from analytics.findings import CauseKind, FindingKind
from api.errors import BadInputError, ConflictError, NotFoundError, StaleVersionError
from api.ledger import conversions as to_view
from api.ledger import outbox, steps
from api.ledger.base import Database, row_of
from api.ledger.models import (
    AssetRow,
    AttachmentRow,
    EvidenceRow,
    LinkRow,
    MemberRow,
    PauseRow,
    ServiceRequestRow,
    StatusRow,
    StepRow,
    WorkOrderRow,
)
from api.ledger.new_orders import new_by_hand
from api.ledger.photos import clean_photo
from api.ledger.views import Attachment, OrderFilter, Page, WorkOrder, WorkOrderDetail
from api.operations.sla import Policy
from api.operations.work_orders import (
    CLOSED,
    OPEN,
    Action,
    BudgetAccount,
    Rejection,
    Step,
    Verification,
    WaitingFor,
    WorkOrderState,
    title_of,
)

__all__ = ["Orders"]

MAX_PAGE = 1000


class Orders:
    """Work orders."""

    _db: Database
    policy: Policy

    # -- reading -----------------------------------------------------------------------------

    def work_orders(
        self,
        wanted: OrderFilter | None = None,
        *,
        limit: int = 100,
        after: Sequence[int] | None = None,
    ) -> Page[WorkOrder]:
        """Work orders, the most urgent first: by rank, then deadline, then number.

        Parameters
        ----------
        wanted : OrderFilter, optional
        limit : int
            1 to 1000.
        after : sequence of int, optional
            `next` of the page before: the list goes on behind it.

        Raises
        ------
        BadInputError
            For a limit or a cursor that cannot be used.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise BadInputError(f"limit must be 1 to {MAX_PAGE}, not {limit}.")
        wanted = wanted or OrderFilter()
        # Columns rather than entities: a page is asked for far more often than anything else.
        columns: Any = select(*to_view.ORDER_COLUMNS)
        query = narrowed(columns, wanted)
        if after is not None:
            query = query.where(behind(after))
        query = query.order_by(WorkOrderRow.rank, WorkOrderRow.due_ms, WorkOrderRow.id)
        with self._db.read() as session:
            rows = session.execute(query.limit(limit + 1)).all()
            last = rows[limit - 1] if len(rows) > limit else None
            return Page(
                tuple(to_view.order_of_columns(row) for row in rows[:limit]),
                (last.rank, last.due_ms, last.id) if last else None,
            )

    def count_work_orders(self, wanted: OrderFilter | None = None) -> dict[WorkOrderState, int]:
        """How many work orders stand in each state."""
        counted: Any = select(WorkOrderRow.state, func.count())
        query = narrowed(counted.group_by(WorkOrderRow.state), by_state(wanted or OrderFilter()))
        with self._db.read() as session:
            rows: list[tuple[str, int]] = [tuple(row) for row in session.execute(query)]
            return {WorkOrderState(state): n for state, n in rows}

    def work_order(self, order_id: int, *, areas: Collection[str] | None = None) -> WorkOrderDetail:
        """One work order with members, history, pauses, photos and evidence.

        Raises
        ------
        NotFoundError
            If there is none, or none in these areas: the two look the same.
        """
        with self._db.read() as session:
            row = row_of(session, WorkOrderRow, order_id)
            if row is None or (areas is not None and row.area not in areas):
                raise NotFoundError(f"no work order {order_id}.")
            return detail(session, row)

    # -- writing -----------------------------------------------------------------------------

    def transition(
        self,
        order_id: int,
        action: Action,
        *,
        version: int | None,
        actor: str,
        now_ms: int,
        areas: Collection[str] | None = None,
        note: str = "",
        assignee: str = "",
        waiting_for: WaitingFor | None = None,
        rejection: Rejection | None = None,
        owner: str = "",
        duplicate_of: int | None = None,
        verification: Verification | None = None,
    ) -> WorkOrder:
        """Take a step as a person.

        Parameters
        ----------
        version : int or None
            The version the person saw; None = whatever it is (for programs that just read it).

        Raises
        ------
        NotFoundError
            If there is no such order in these areas.
        StaleVersionError
            If somebody changed the order meanwhile.
        ConflictError
            If the step is not allowed from its state.
        BadInputError
            If the step lacks what it needs.
        """
        step = Step(
            action,
            waiting_for=waiting_for,
            rejection=rejection,
            owner=owner,
            duplicate_of=duplicate_of,
            verification=verification,
            assignee=assignee,
            note=note,
        )
        if action in {Action.CREATE, Action.REPRIORITISE}:
            raise BadInputError(f"{action} is no step a person takes.")
        with self._db.write() as session:
            row = locked(session, order_id, areas)
            check_version(row, version)
            if duplicate_of is not None:
                check_target(session, order_id, duplicate_of, areas)
            steps.apply(
                session,
                row,
                step,
                actor=actor,
                at_ms=now_ms,
                policy=self.policy,
            )
            return to_view.order(row)

    def create_work_order(
        self,
        *,
        device_ids: Sequence[str],
        kind: FindingKind,
        actor: str,
        now_ms: int,
        note: str = "",
        hazard: bool = False,
        area: str = "",
        site: str = "",
        lat: float | None = None,
        lon: float | None = None,
        simulated: bool = False,
    ) -> WorkOrder:
        """An order a person makes, or a citizen's report: without a finding behind it."""
        with self._db.write() as session:
            row = new_by_hand(
                session,
                device_ids,
                kind=kind,
                actor=actor,
                now_ms=now_ms,
                note=note,
                place=(area, site, lat, lon),
                simulated=simulated,
                policy=self.policy,
                hazard=hazard,
            )
            return to_view.order(row)

    def set_budget(
        self,
        order_id: int,
        account: BudgetAccount,
        *,
        cost: float | None,
        version: int,
        actor: str,
        now_ms: int,
    ) -> WorkOrder:
        """Who pays, and how much."""
        with self._db.write() as session:
            row = locked(session, order_id, None)
            check_version(row, version)
            row.budget_account, row.cost = account.value, cost
            words = f"budget account {account}" + (f", {cost:.2f} SEK" if cost is not None else "")
            step = Step(Action.NOTE, note=words)
            steps.apply(session, row, step, actor=actor, at_ms=now_ms, policy=self.policy)
            return to_view.order(row)

    def merge(
        self, into: int, others: Sequence[int], *, actor: str, now_ms: int, note: str = ""
    ) -> WorkOrder:
        """Make other orders part of one by hand: they become duplicates, it gets their members."""
        if into in others or not others:
            raise BadInputError("an order merges with at least one other, not with itself.")
        with self._db.write() as session:
            # Always in the order of their numbers, so that two merges cannot wait for each other.
            rows = {number: locked(session, number, None) for number in sorted({into, *others})}
            stays = rows[into]
            if not stays.is_open:
                raise ConflictError(f"work order {into} is {stays.state}.")
            for number in others:
                take_members(session, stays, rows[number])
                stays.detected_ms = min(stays.detected_ms, rows[number].detected_ms)
                step = Step(Action.DUPLICATE, duplicate_of=into, note=note or f"merged into {into}")
                steps.apply(
                    session, rows[number], step, actor=actor, at_ms=now_ms, policy=self.policy
                )
            merged = ", ".join(str(number) for number in others)
            step = Step(Action.NOTE, note=f"merged with {merged}. {note}".strip())
            steps.apply(session, stays, step, actor=actor, at_ms=now_ms, policy=self.policy)
            recount(session, stays)
            return to_view.order(stays)

    def split(
        self, order_id: int, device_ids: Sequence[str], *, actor: str, now_ms: int, note: str = ""
    ) -> WorkOrder:
        """Take luminaires out of an order into one of their own, by hand; gives the new order.

        The light still proves the first one; the new one is proved by whoever repairs it, or when
        a round clears its luminaires.
        """
        with self._db.write() as session:
            row = locked(session, order_id, None)
            members = {
                m.device_id: m
                for m in session.scalars(select(MemberRow).where(MemberRow.order_id == order_id))
            }
            leaving = [members[d] for d in device_ids if d in members]
            if len(leaving) != len(set(device_ids)) or not leaving:
                raise BadInputError("only members of the order can be taken out of it.")
            if len(leaving) == len(members):
                raise ConflictError("an order keeps at least one of its luminaires.")
            if not row.is_open:
                raise ConflictError(f"work order {order_id} is {row.state}.")
            fresh = new_by_hand(
                session,
                [m.device_id for m in leaving],
                kind=FindingKind(row.kind),
                actor=actor,
                now_ms=now_ms,
                note=note or f"taken out of work order {order_id}",
                place=(row.area, row.site, None, None),
                simulated=row.simulated,
                policy=self.policy,
            )
            for m in leaving:
                m.by_hand, m.end_ms = True, m.end_ms or now_ms
            step = Step(
                Action.NOTE, note=f"{len(leaving)} luminaires moved to {fresh.id}. {note}".strip()
            )
            steps.apply(session, row, step, actor=actor, at_ms=now_ms, policy=self.policy)
            recount(session, row)
            return to_view.order(fresh)

    # -- photos ------------------------------------------------------------------------------

    def attach_photo(
        self,
        order_id: int,
        content: bytes,
        *,
        actor: str,
        now_ms: int,
        areas: Collection[str] | None = None,
    ) -> Attachment:
        """Keep a photo, encoded anew: position, camera and owner are gone. Twice is once.

        Raises
        ------
        NotFoundError
            If there is no such order in these areas.
        BadInputError
            If the bytes are no picture that can be kept.
        """
        photo = clean_photo(content)
        digest = hashlib.sha256(photo.content).hexdigest()
        with self._db.write() as session:
            order = locked(session, order_id, areas)
            row = session.scalar(
                select(AttachmentRow).where(
                    AttachmentRow.order_id == order_id, AttachmentRow.sha256 == digest
                )
            )
            if row is None:
                row = AttachmentRow(
                    order_id=order_id,
                    sha256=digest,
                    media_type=photo.media_type,
                    width=photo.width,
                    height=photo.height,
                    content=photo.content,
                    actor=actor,
                    at_ms=now_ms,
                )
                session.add(row)
                session.flush()
                outbox.stream_order(session, order, at_ms=now_ms)
            return to_view.attachment(row)

    def attachment(
        self, attachment_id: int, *, areas: Collection[str] | None = None
    ) -> tuple[Attachment, bytes]:
        """A photo and its bytes."""
        with self._db.read() as session:
            row = row_of(session, AttachmentRow, attachment_id)
            order = session.get(WorkOrderRow, row.order_id) if row else None
            if row is None or order is None or (areas is not None and order.area not in areas):
                raise NotFoundError(f"no photo {attachment_id}.")
            return to_view.attachment(row), row.content


def by_state(wanted: OrderFilter) -> OrderFilter:
    """The same orders, open or closed by their state: then an index alone counts them all."""
    if wanted.open is None or wanted.states or wanted.areas is not None:
        return wanted
    return replace(wanted, open=None, states=tuple(sorted(OPEN if wanted.open else CLOSED)))


def narrowed(query: Select[Any], wanted: OrderFilter) -> Select[Any]:
    """Only what the filter lets through."""
    row = WorkOrderRow
    if wanted.states:
        query = query.where(row.state.in_([state.value for state in wanted.states]))
    if wanted.open is not None:
        query = query.where(row.is_open.is_(wanted.open))
    if wanted.areas is not None:
        query = query.where(row.area.in_(sorted(wanted.areas)))
    if wanted.updated_after_ms is not None:
        query = query.where(row.updated_ms > wanted.updated_after_ms)
    equal = {
        row.crew: wanted.crew and wanted.crew.value,
        row.assignee: wanted.assignee,
        row.cause_id: wanted.cause_id,
        row.site: wanted.site,
        row.kind: wanted.kind and wanted.kind.value,
        row.priority: wanted.priority,
        row.rank: wanted.rank,
        row.incident_id: wanted.incident_id,
        row.simulated: wanted.simulated,
    }
    for column, value in equal.items():
        if value is not None:
            query = query.where(column == value)
    return query


def behind(after: Sequence[int]) -> Any:
    """Rows behind a cursor in the board's order."""
    if len(after) != 3 or not all(type(part) is int and abs(part) < 2**62 for part in after):
        raise BadInputError("this cursor cannot be used.")
    rank, due_ms, number = after
    row = WorkOrderRow
    return and_(
        row.rank >= rank,
        or_(
            row.rank > rank,
            and_(row.due_ms >= due_ms, or_(row.due_ms > due_ms, row.id > number)),
        ),
    )


def locked(session: Session, order_id: int, areas: Collection[str] | None) -> WorkOrderRow:
    """The row, held until this transaction ends."""
    if abs(order_id) >= 2**62:
        raise NotFoundError(f"no work order {order_id}.")
    row = session.scalar(select(WorkOrderRow).where(WorkOrderRow.id == order_id).with_for_update())
    if row is None or (areas is not None and row.area not in areas):
        raise NotFoundError(f"no work order {order_id}.")
    return row


def check_version(row: WorkOrderRow, version: int | None) -> None:
    """Whoever acts must have seen the order as it is."""
    if version is not None and version != row.version:
        raise StaleVersionError(row.id, seen=version, now=row.version)


def check_target(
    session: Session, order_id: int, target: int, areas: Collection[str] | None
) -> None:
    """A duplicate is one of an open order, not of itself."""
    other = row_of(session, WorkOrderRow, target)
    if other is None or (areas is not None and other.area not in areas):
        raise NotFoundError(f"no work order {target}.")
    if target == order_id:
        raise BadInputError("an order is no duplicate of itself.")
    if WorkOrderState(other.state) in {WorkOrderState.DUPLICATE, WorkOrderState.REJECTED}:
        raise ConflictError(f"work order {target} is {other.state}.")


def take_members(session: Session, stays: WorkOrderRow, other: WorkOrderRow) -> None:
    """The luminaires of one order join another."""
    have = set(session.scalars(select(MemberRow.device_id).where(MemberRow.order_id == stays.id)))
    for m in session.scalars(select(MemberRow).where(MemberRow.order_id == other.id)):
        if m.device_id not in have:
            session.add(
                MemberRow(
                    order_id=stays.id,
                    device_id=m.device_id,
                    luminaire_id=m.luminaire_id,
                    kind=m.kind,
                    start_ms=m.start_ms,
                    end_ms=m.end_ms,
                    by_hand=True,
                )
            )
    session.flush()


def recount(session: Session, row: WorkOrderRow) -> None:
    """Number of members and title after they changed by hand."""
    row.members = (
        session.scalar(
            select(func.count())
            .select_from(MemberRow)
            .where(MemberRow.order_id == row.id, MemberRow.end_ms.is_(None))
        )
        or 0
    )
    row.title = title_of(
        FindingKind(row.kind), CauseKind(row.cause_kind), row.cause_id, row.members
    )


def detail(session: Session, row: WorkOrderRow) -> WorkOrderDetail:
    """A work order with everything about it."""
    members = session.execute(
        select(MemberRow, AssetRow, StatusRow.state)
        .outerjoin(AssetRow, AssetRow.device_id == MemberRow.device_id)
        .outerjoin(StatusRow, StatusRow.device_id == MemberRow.device_id)
        .where(MemberRow.order_id == row.id)
        .order_by(AssetRow.segment, AssetRow.segment_order, MemberRow.device_id)
    ).all()
    history = session.scalars(
        select(StepRow).where(StepRow.order_id == row.id).order_by(StepRow.version)
    )
    pauses = session.scalars(
        select(PauseRow).where(PauseRow.order_id == row.id).order_by(PauseRow.from_ms)
    )
    photos = session.scalars(
        select(AttachmentRow).where(AttachmentRow.order_id == row.id).order_by(AttachmentRow.id)
    )
    evidence = session.scalars(
        select(EvidenceRow)
        .where(EvidenceRow.incident_id == row.incident_id)
        .order_by(EvidenceRow.start_ms, EvidenceRow.device_id)
    )
    requests = session.scalars(
        select(ServiceRequestRow.id)
        .where(ServiceRequestRow.order_id == row.id)
        .order_by(ServiceRequestRow.id)
    )
    links = session.scalars(select(LinkRow).where(LinkRow.order_id == row.id))
    return WorkOrderDetail(
        order=to_view.order(row),
        members=tuple(to_view.member(m, asset, state) for m, asset, state in members),
        history=tuple(to_view.history(h) for h in history),
        pauses=tuple(to_view.pause(p) for p in pauses),
        attachments=tuple(to_view.attachment(a) for a in photos),
        evidence=tuple(to_view.evidence(e) for e in evidence) if row.incident_id else (),
        requests=tuple(requests),
        links=tuple(to_view.link(item) for item in links),
        light_decides=steps.light_decides(session, row),
    )
