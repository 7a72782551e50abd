"""Who is told of what, and when: per-person rules, quiet hours, digests, storms, escalation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Protocol, cast
from zoneinfo import ZoneInfo

from api.errors import BadInputError
from api.operations.sla import Escalation

__all__ = [
    "MAX_ATTEMPTS",
    "Channel",
    "DeliveryState",
    "Matter",
    "Message",
    "Outbox",
    "Recipient",
    "Rules",
    "backoff_ms",
    "bundles",
    "due_steps",
    "parse_rules",
    "tell_at_ms",
    "wants",
]

MAX_ATTEMPTS = 8
MINUTE_MS = 60_000


class Channel(StrEnum):
    """How somebody is told."""

    WEBHOOK = "webhook"
    EMAIL = "email"
    APPRISE = "apprise"


class DeliveryState(StrEnum):
    """Where a message to one recipient stands."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    SENT = "sent"
    LAPSED = "lapsed"  # what it was about was over before it could be told
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Matter:
    """Something that may be told.

    Attributes
    ----------
    key : str
        The same for the same matter, whoever notices it.
    rank : int
        0 is the most urgent.
    """

    id: int
    key: str
    kind: str
    order_id: int | None
    area: str
    crew: str
    rank: int
    at_ms: int
    title: str
    content: Mapping[str, Any] = field(default_factory=dict[str, Any])
    acknowledged_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What a recipient wants to be told, and when. An empty set excludes nothing.

    Attributes
    ----------
    max_rank : int
        Nothing less urgent than this.
    quiet_from, quiet_until : time or None
        Local hours in which only matters up to `quiet_rank` come through; they may pass midnight.
    digest_minutes : int
        Above 0: one message for all that gathered, at multiples of this; rank 0 comes at once.
    storm_max, storm_minutes : int
        More than this many messages in that time become one.
    escalation_role : str
        Told only when a step of the ladder with this role is reached; empty = told at once.
    """

    areas: frozenset[str] = frozenset()
    crews: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    max_rank: int = 99
    quiet_from: time | None = None
    quiet_until: time | None = None
    quiet_rank: int = 0
    digest_minutes: int = 0
    storm_max: int = 20
    storm_minutes: int = 10
    escalation_role: str = ""
    timezone: str = "Europe/Stockholm"


@dataclass(frozen=True, slots=True)
class Recipient:
    """A person or system that is told."""

    id: int
    name: str
    channel: Channel
    address: str
    active: bool
    rules: Rules
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one recipient; `id` is the same at every try.

    Attributes
    ----------
    may_have_arrived : bool
        An earlier try was cut off by a crash: nobody knows whether it arrived.
    """

    id: str
    recipient: Recipient
    matters: tuple[Matter, ...]
    escalation: int = 0
    attempts: int = 0
    may_have_arrived: bool = False


class Outbox(Protocol):
    """The durable place messages wait in; the ledger is one."""

    def plan_alerts(self, *, now_ms: int) -> int:
        """Decide for new matters who is told when; how many deliveries were added."""
        ...

    def claim_messages(self, claimant: str, *, now_ms: int, limit: int = 100) -> list[Message]:
        """Messages due now, which nobody else gets until the claim runs out."""
        ...

    def begin_attempt(self, message: Message, sender: str, *, now_ms: int) -> bool:
        """Write down that a try begins; False where the claim no longer holds."""
        ...

    def message_sent(self, message: Message, *, now_ms: int) -> None:
        """It is out."""
        ...

    def message_failed(
        self, message: Message, error: str, *, now_ms: int, for_good: bool, retry_after_ms: int
    ) -> None:
        """It is not; try again later, or never."""
        ...


def wants(rules: Rules, matter: Matter) -> bool:
    """Whether a recipient is told of a matter at all."""
    return (
        matter.rank <= rules.max_rank
        and (not rules.areas or matter.area in rules.areas)
        and (not rules.crews or not matter.crew or matter.crew in rules.crews)
        and (not rules.kinds or matter.kind in rules.kinds)
    )


def tell_at_ms(rules: Rules, rank: int, now_ms: int) -> int:
    """When: at once, at the next digest, or when the quiet hours end."""
    at_ms = now_ms
    if rules.digest_minutes and rank > 0:
        step_ms = rules.digest_minutes * MINUTE_MS
        at_ms = -(-now_ms // step_ms) * step_ms
    if rules.quiet_from is None or rules.quiet_until is None or rank <= rules.quiet_rank:
        return at_ms
    zone = ZoneInfo(rules.timezone)
    local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone)
    begins, ends, now = rules.quiet_from, rules.quiet_until, local.time()
    quiet = begins <= now < ends if begins <= ends else now >= begins or now < ends
    if not quiet:
        return at_ms
    day = local.date() + timedelta(days=1 if now >= ends else 0)
    return int(datetime.combine(day, ends, zone).timestamp() * 1000)


def bundles(rules: Rules, due: Sequence[tuple[int, int]], *, sent_lately: int) -> list[list[int]]:
    """Deliveries that are due, grouped into messages.

    Parameters
    ----------
    due : sequence of (int, int)
        (delivery id, rank), the oldest first.
    sent_lately : int
        Messages the recipient got within the storm time.

    Returns
    -------
    list of list of int
        Delivery ids of each message. Urgent ones stay alone until the storm limit is reached; then
        all the rest is one message.
    """
    alone = [number for number, rank in due if rank == 0 or not rules.digest_minutes]
    gathered = [number for number, rank in due if rank > 0 and rules.digest_minutes]
    room = max(rules.storm_max - sent_lately - bool(gathered), 0)
    if len(alone) > room:
        # One message is always left for "and these as well".
        gathered = sorted([*gathered, *alone[max(room - 1, 0) :]])
        alone = alone[: max(room - 1, 0)]
    return [[number] for number in alone] + ([gathered] if gathered else [])


def due_steps(
    ladder: Sequence[Escalation], matter: Matter, priority: str, *, now_ms: int
) -> list[Escalation]:
    """Steps of the ladder whose time has come for a matter nobody has answered."""
    if matter.acknowledged_ms is not None:
        return []
    return [
        step
        for step in ladder
        if priority in step.priorities and now_ms >= matter.at_ms + step.after_ms
    ]


def backoff_ms(attempts: int) -> int:
    """How long to wait after so many failures: 30 s, doubling, at most an hour."""
    doublings = min(max(attempts - 1, 0), 7)
    return min(30_000 << doublings, 3_600_000)


def parse_rules(data: Mapping[str, Any]) -> Rules:
    """Rules from their stored form.

    Raises
    ------
    BadInputError
        If a name or value is unknown.
    """
    try:
        values = dict(data)
        for name in ("areas", "crews", "kinds"):
            if name in values:
                values[name] = frozenset(cast("list[str]", values[name]))
        for name in ("quiet_from", "quiet_until"):
            if values.get(name) is not None:
                values[name] = time.fromisoformat(str(values[name]))
        rules = Rules(**values)
        ZoneInfo(rules.timezone)
    except (TypeError, ValueError, OSError, KeyError) as error:
        raise BadInputError(f"alert rules: {error}") from error
    if rules.storm_max < 1 or rules.storm_minutes < 1 or rules.digest_minutes < 0:
        raise BadInputError("alert rules: storm_max and storm_minutes are at least 1.")
    return rules


def stored_rules(rules: Rules) -> dict[str, Any]:
    """Rules in their stored form; `parse_rules` reads it."""
    values: dict[str, Any] = {}
    for name in Rules.__dataclass_fields__:
        value = getattr(rules, name)
        if isinstance(value, frozenset):
            value = sorted(cast("frozenset[str]", value))
        elif isinstance(value, time):
            value = value.isoformat()
        values[name] = value
    return values
