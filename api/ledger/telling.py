"""The part of the ledger that keeps messages until they are out."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from secrets import token_hex

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.errors import BadInputError, ConflictError, NotFoundError
from api.ledger import outbox
from api.ledger.base import Database, row_of
from api.ledger.models import AttemptRow, DeliveryRow, MatterRow, RecipientRow, WorkOrderRow
from api.operations.alerts import (
    MAX_ATTEMPTS,
    MINUTE_MS,
    Channel,
    DeliveryState,
    Matter,
    Message,
    Recipient,
    Rules,
    backoff_ms,
    bundles,
    due_steps,
    parse_rules,
    stored_rules,
    tell_at_ms,
    wants,
)
from api.operations.sla import Policy
from api.operations.work_orders import WorkOrderState

__all__ = ["Delivery", "Telling"]

PLAN_LOCK, CLAIM_LOCK = 7_203_305, 7_203_306
CLAIM_MS = 5 * MINUTE_MS
# An order in one of these states has been answered by nobody.
UNANSWERED = (WorkOrderState.NEW.value, WorkOrderState.REOPENED.value)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one recipient about one matter, as the outbox knows it.

    Attributes
    ----------
    interrupted : int
        Tries that were begun and never ended: the process died, and nobody knows whether the
        message arrived.
    """

    id: int
    matter_id: int
    recipient: str
    step: int
    state: DeliveryState
    not_before_ms: int
    attempts: int
    sent_ms: int | None
    message_id: str
    error: str
    interrupted: int


class Telling:
    """Recipients, matters, deliveries."""

    _db: Database
    policy: Policy

    # -- recipients --------------------------------------------------------------------------

    def put_recipient(
        self,
        name: str,
        *,
        channel: Channel,
        address: str,
        rules: Rules | None = None,
        secret: str | None = None,
        active: bool = True,
    ) -> Recipient:
        """Add a recipient, or change the one of that name. A webhook gets a secret of its own."""
        if not name or not address:
            raise BadInputError("a recipient has a name and an address.")
        with self._db.write() as session:
            row = session.scalar(select(RecipientRow).where(RecipientRow.name == name))
            if row is None:
                row = RecipientRow(name=name, secret=secret or token_hex(32))
                session.add(row)
            elif secret is not None:
                row.secret = secret
            row.channel, row.address, row.active = channel.value, address, active
            row.rules = stored_rules(rules or Rules())
            session.flush()
            return recipient_view(row)

    def recipients(self) -> list[Recipient]:
        """Everybody who is told, by name."""
        with self._db.read() as session:
            rows = session.scalars(select(RecipientRow).order_by(RecipientRow.name))
            return [recipient_view(row) for row in rows]

    def remove_recipient(self, name: str) -> None:
        """Tell this recipient nothing more; what was sent stays known."""
        with self._db.write() as session:
            row = session.scalar(select(RecipientRow).where(RecipientRow.name == name))
            if row is None:
                raise NotFoundError(f"no recipient {name!r}.")
            row.active = False
            for delivery in session.scalars(
                select(DeliveryRow).where(
                    DeliveryRow.recipient_id == row.id,
                    DeliveryRow.state == DeliveryState.QUEUED.value,
                )
            ):
                delivery.state = DeliveryState.LAPSED.value

    # -- matters -----------------------------------------------------------------------------

    def raise_matter(self, *, key: str, kind: str, title: str, now_ms: int, rank: int = 1) -> None:
        """Something about the platform itself that people may want to be told; once for a key."""
        with self._db.write() as session:
            self._db.lock(session, PLAN_LOCK)
            outbox.matter(
                session, key=key, kind=kind, at_ms=now_ms, title=title, content={}, rank=rank
            )

    def matters(self, *, after: int = 0, limit: int = 500) -> list[Matter]:
        """What could be told, the oldest first."""
        with self._db.read() as session:
            query = (
                select(MatterRow).where(MatterRow.id > after).order_by(MatterRow.id).limit(limit)
            )
            return [matter_view(row) for row in session.scalars(query)]

    def acknowledge(self, matter_id: int, *, actor: str, now_ms: int) -> Matter:
        """Somebody has seen it: the ladder stops. Again changes nothing."""
        with self._db.write() as session:
            row = row_of(session, MatterRow, matter_id)
            if row is None:
                raise NotFoundError(f"no alert {matter_id}.")
            if row.acknowledged_ms is None:
                row.acknowledged_ms, row.acknowledged_by = now_ms, actor
            return matter_view(row)

    # -- the outbox --------------------------------------------------------------------------

    def plan_alerts(self, *, now_ms: int) -> int:
        """Decide for new matters who is told when, and climb the ladder for unanswered ones."""
        with self._db.write() as session:
            self._db.lock(session, PLAN_LOCK)
            told = [
                recipient_view(row)
                for row in session.scalars(select(RecipientRow).where(RecipientRow.active))
            ]
            added = 0
            for row in session.scalars(
                select(MatterRow).where(MatterRow.planned.is_(False)).order_by(MatterRow.id)
            ).all():
                matter = matter_view(row)
                row.planned = True
                first = [r for r in told if not r.rules.escalation_role and wants(r.rules, matter)]
                added += self._queue(session, matter, first, step=0, now_ms=now_ms)
            return added + self._escalate(session, told, now_ms=now_ms)

    def _queue(
        self,
        session: Session,
        matter: Matter,
        recipients: Iterable[Recipient],
        *,
        step: int,
        now_ms: int,
    ) -> int:
        known = set(
            session.scalars(
                select(DeliveryRow.recipient_id).where(
                    DeliveryRow.matter_id == matter.id, DeliveryRow.step == step
                )
            )
        )
        added = 0
        for recipient in recipients:
            if recipient.id in known:
                continue
            session.add(
                DeliveryRow(
                    matter_id=matter.id,
                    recipient_id=recipient.id,
                    step=step,
                    state=DeliveryState.QUEUED.value,
                    not_before_ms=tell_at_ms(recipient.rules, matter.rank, now_ms),
                    attempts=0,
                    claimed_by="",
                    bundle="",
                    error="",
                )
            )
            added += 1
        session.flush()
        return added

    def _escalate(self, session: Session, told: Sequence[Recipient], *, now_ms: int) -> int:
        ladder = self.policy.escalations
        if not ladder:
            return 0
        added = 0
        rows = session.execute(
            select(MatterRow, WorkOrderRow.priority)
            .join(WorkOrderRow, WorkOrderRow.id == MatterRow.order_id)
            .where(MatterRow.acknowledged_ms.is_(None), WorkOrderRow.state.in_(UNANSWERED))
        ).all()
        for row, priority in rows:
            matter = matter_view(row)
            for step in due_steps(ladder, matter, priority, now_ms=now_ms):
                higher = [
                    r
                    for r in told
                    if r.rules.escalation_role == step.role and wants(r.rules, matter)
                ]
                added += self._queue(session, matter, higher, step=step.step, now_ms=now_ms)
        return added

    def claim_messages(self, claimant: str, *, now_ms: int, limit: int = 100) -> list[Message]:
        """Messages due now; nobody else gets them until the claim runs out after five minutes."""
        with self._db.write() as session:
            self._db.lock(session, CLAIM_LOCK)
            self._lapse(session)
            again = session.scalars(
                select(DeliveryRow)
                .where(
                    DeliveryRow.state == DeliveryState.CLAIMED.value,
                    DeliveryRow.claimed_until_ms <= now_ms,
                )
                .order_by(DeliveryRow.id)
                .limit(limit)
            ).all()
            due = session.scalars(
                select(DeliveryRow)
                .where(
                    DeliveryRow.state == DeliveryState.QUEUED.value,
                    DeliveryRow.not_before_ms <= now_ms,
                )
                .order_by(DeliveryRow.not_before_ms, DeliveryRow.id)
                .limit(limit * 10)
            ).all()
            for row in again:
                if row.attempts >= MAX_ATTEMPTS:
                    row.state = DeliveryState.DEAD.value
                    row.error = row.error or "whoever sent it died each time"
            self._bundle(session, [row for row in due if not row.bundle], now_ms=now_ms)
            again = [row for row in again if row.state == DeliveryState.CLAIMED.value]
            chosen = first_bundles([*again, *due], limit)
            for row in chosen:
                row.state, row.claimed_by = DeliveryState.CLAIMED.value, claimant
                row.claimed_until_ms = now_ms + CLAIM_MS
            session.flush()
            return self._messages(session, chosen)

    def _lapse(self, session: Session) -> None:
        """What was over before it could be told is told to nobody."""
        over = (
            WorkOrderState.VERIFIED.value,
            WorkOrderState.DUPLICATE.value,
            WorkOrderState.REJECTED.value,
        )
        for row in session.scalars(
            select(DeliveryRow)
            .join(MatterRow, MatterRow.id == DeliveryRow.matter_id)
            .join(WorkOrderRow, WorkOrderRow.id == MatterRow.order_id)
            .where(
                DeliveryRow.state == DeliveryState.QUEUED.value,
                DeliveryRow.attempts == 0,
                WorkOrderRow.state.in_(over),
            )
        ):
            row.state = DeliveryState.LAPSED.value

    def _bundle(self, session: Session, fresh: Sequence[DeliveryRow], *, now_ms: int) -> None:
        by_recipient: dict[int, list[DeliveryRow]] = defaultdict(list)
        for row in fresh:
            if row.state == DeliveryState.QUEUED.value:
                by_recipient[row.recipient_id].append(row)
        for number, rows in by_recipient.items():
            rules = parse_rules(session.get_one(RecipientRow, number).rules)
            since_ms = now_ms - rules.storm_minutes * MINUTE_MS
            lately = session.scalar(
                select(func.count(func.distinct(DeliveryRow.bundle))).where(
                    DeliveryRow.recipient_id == number,
                    DeliveryRow.bundle != "",
                    DeliveryRow.sent_ms > since_ms,
                )
            )
            ranks = {
                row.id: session.get_one(MatterRow, row.matter_id).rank if row.step == 0 else 0
                for row in rows
            }
            by_id = {row.id: row for row in rows}
            pairs = [(row.id, ranks[row.id]) for row in rows]
            for numbers in bundles(rules, pairs, sent_lately=lately or 0):
                for delivery in numbers:
                    by_id[delivery].bundle = f"m{min(numbers)}"

    def _messages(self, session: Session, rows: Sequence[DeliveryRow]) -> list[Message]:
        grouped: dict[str, list[DeliveryRow]] = defaultdict(list)
        for row in rows:
            grouped[row.bundle].append(row)
        messages: list[Message] = []
        for bundle, parts in grouped.items():
            recipient = session.get_one(RecipientRow, parts[0].recipient_id)
            told = sorted(
                (matter_view(session.get_one(MatterRow, row.matter_id)) for row in parts),
                key=lambda m: (m.rank, m.at_ms, m.id),
            )
            messages.append(
                Message(
                    bundle,
                    recipient_view(recipient),
                    tuple(told),
                    max(row.step for row in parts),
                    max(row.attempts for row in parts),
                    may_have_arrived=bool(interrupted(session, [bundle])),
                )
            )
        return messages

    def begin_attempt(self, message: Message, sender: str, *, now_ms: int) -> bool:
        """Write down that a try begins, before it does; False where it must not be made.

        That is so when the claim has run out meanwhile: another may be sending it by now. A try
        counts when it begins, so a message that kills its sender is given up like any other.
        """
        with self._db.write() as session:
            self._db.lock(session, CLAIM_LOCK)
            rows = of_message(session, message)
            held = [
                row
                for row in rows
                if row.claimed_by == sender and (row.claimed_until_ms or 0) > now_ms
            ]
            if not rows or len(held) != len(rows):
                return False
            for row in rows:
                row.attempts += 1
                row.claimed_until_ms = now_ms + CLAIM_MS
            earlier = session.scalar(
                select(func.max(AttemptRow.number)).where(AttemptRow.bundle == message.id)
            )
            session.add(
                AttemptRow(
                    bundle=message.id,
                    number=(earlier or 0) + 1,
                    sender=sender,
                    begun_ms=now_ms,
                    outcome="",
                )
            )
            return True

    def message_sent(self, message: Message, *, now_ms: int) -> None:
        """It is out."""
        with self._db.write() as session:
            end_attempt(session, message, "sent", now_ms)
            for row in of_message(session, message):
                row.state, row.sent_ms, row.error = DeliveryState.SENT.value, now_ms, ""

    def message_failed(
        self,
        message: Message,
        error: str,
        *,
        now_ms: int,
        for_good: bool = False,
        retry_after_ms: int = 0,
    ) -> None:
        """It is not: again later, or, after eight tries, to the dead letters."""
        with self._db.write() as session:
            end_attempt(session, message, error[:500], now_ms)
            for row in of_message(session, message):
                row.error = error[:500]
                if for_good or row.attempts >= MAX_ATTEMPTS:
                    row.state = DeliveryState.DEAD.value
                else:
                    row.state = DeliveryState.QUEUED.value
                    row.not_before_ms = now_ms + max(backoff_ms(row.attempts), retry_after_ms)

    def deliveries(
        self, *, state: DeliveryState | None = None, matter_id: int | None = None, limit: int = 500
    ) -> list[Delivery]:
        """What was and is to be told, the newest first; `state=DEAD` are the dead letters."""
        query = (
            select(DeliveryRow, RecipientRow.name)
            .join(RecipientRow, RecipientRow.id == DeliveryRow.recipient_id)
            .order_by(DeliveryRow.id.desc())
            .limit(limit)
        )
        if state is not None:
            query = query.where(DeliveryRow.state == state.value)
        if matter_id is not None:
            query = query.where(DeliveryRow.matter_id == matter_id)
        with self._db.read() as session:
            found = [(row, name) for row, name in session.execute(query)]
            cut_off = interrupted(session, {row.bundle for row, _ in found})
            return [delivery_view(row, name, cut_off.get(row.bundle, 0)) for row, name in found]

    def retry_delivery(self, delivery_id: int, *, now_ms: int) -> None:
        """Give a dead letter another round of tries."""
        with self._db.write() as session:
            row = row_of(session, DeliveryRow, delivery_id)
            if row is None:
                raise NotFoundError(f"no delivery {delivery_id}.")
            if row.state != DeliveryState.DEAD.value:
                raise ConflictError(f"delivery {delivery_id} is {row.state}.")
            for part in session.scalars(
                select(DeliveryRow).where(DeliveryRow.bundle == row.bundle)
            ):
                part.state, part.attempts = DeliveryState.QUEUED.value, 0
                part.not_before_ms = now_ms


def first_bundles(rows: Sequence[DeliveryRow], limit: int) -> list[DeliveryRow]:
    """The rows of the first messages, whole messages only."""
    kept: dict[str, list[DeliveryRow]] = {}
    for row in rows:
        if row.bundle in kept or len(kept) < limit:
            kept.setdefault(row.bundle, []).append(row)
    return [row for bundle in kept.values() for row in bundle]


def of_message(session: Session, message: Message) -> Sequence[DeliveryRow]:
    """The deliveries of a message that were not yet out."""
    return session.scalars(
        select(DeliveryRow)
        .where(
            DeliveryRow.bundle == message.id,
            DeliveryRow.recipient_id == message.recipient.id,
            DeliveryRow.state == DeliveryState.CLAIMED.value,
        )
        .with_for_update()
    ).all()


def end_attempt(session: Session, message: Message, outcome: str, now_ms: int) -> None:
    """What became of the latest try."""
    row = session.scalar(
        select(AttemptRow)
        .where(AttemptRow.bundle == message.id)
        .order_by(AttemptRow.number.desc())
        .limit(1)
    )
    if row is not None:
        row.ended_ms, row.outcome = now_ms, outcome


def interrupted(session: Session, bundles: Collection[str]) -> dict[str, int]:
    """How many tries of each message were begun and never ended."""
    rows = session.scalars(
        select(AttemptRow.bundle).where(
            AttemptRow.bundle.in_(bundles), AttemptRow.ended_ms.is_(None)
        )
    )
    return Counter(rows)


def recipient_view(row: RecipientRow) -> Recipient:
    """A recipient."""
    return Recipient(
        row.id,
        row.name,
        Channel(row.channel),
        row.address,
        row.active,
        parse_rules(row.rules),
        row.secret,
    )


def matter_view(row: MatterRow) -> Matter:
    """A matter."""
    return Matter(
        row.id,
        row.key,
        row.kind,
        row.order_id,
        row.area,
        row.crew,
        row.rank,
        row.at_ms,
        row.title,
        dict(row.content),
        row.acknowledged_ms,
    )


def delivery_view(row: DeliveryRow, recipient: str, cut_off: int) -> Delivery:
    """A delivery."""
    return Delivery(
        row.id,
        row.matter_id,
        recipient,
        row.step,
        DeliveryState(row.state),
        row.not_before_ms,
        row.attempts,
        row.sent_ms,
        row.bundle,
        row.error,
        cut_off,
    )
