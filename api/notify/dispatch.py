"""Takes messages from the outbox and sends them; what fails waits there for its next try."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from api.notify.errors import DeliveryError
from api.operations.alerts import Channel, Message, Outbox

__all__ = ["Dispatched", "Dispatcher", "Notifier"]


class Notifier(Protocol):
    """One way of telling somebody."""

    def send(self, message: Message) -> None:
        """Send it, or raise DeliveryError."""
        ...


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What one turn did."""

    planned: int = 0
    sent: int = 0
    failed: int = 0


class Dispatcher:
    """Sends what is due.

    A message is claimed, its try is written down, it is sent, and its outcome is written down. No
    two replicas hold one claim, and nobody sends whose claim has run out. Should the process die
    between sending and knowing it, the claim runs out after five minutes and the message goes out
    again *with the same id*; receivers know it by that (a webhook's `webhook-id` and
    `Idempotency-Key`, a mail's Message-ID). No sender can do better: the network does not say
    whether what was cut off had arrived.

    Parameters
    ----------
    outbox : Outbox
        The ledger.
    notifiers : mapping of Channel to Notifier
    name : str
        Of this replica.
    now_ms : callable, optional
        Time while sending; the turn's own without it.
    """

    def __init__(
        self,
        outbox: Outbox,
        notifiers: Mapping[Channel, Notifier],
        *,
        name: str,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._outbox = outbox
        self._notifiers = dict(notifiers)
        self._name = name
        self._now_ms = now_ms

    def run_once(self, *, now_ms: int) -> Dispatched:
        """Plan, claim and send what is due now."""
        planned = self._outbox.plan_alerts(now_ms=now_ms)
        sent = failed = 0
        for message in self._outbox.claim_messages(self._name, now_ms=now_ms):
            at_ms = self._now_ms() if self._now_ms else now_ms
            if not self._outbox.begin_attempt(message, self._name, now_ms=at_ms):
                continue
            if self._deliver(message, at_ms):
                sent += 1
            else:
                failed += 1
        return Dispatched(planned, sent, failed)

    def _deliver(self, message: Message, now_ms: int) -> bool:
        try:
            self._notifiers.get(message.recipient.channel, Absent()).send(message)
        except DeliveryError as error:
            self._outbox.message_failed(
                message,
                error.message,
                now_ms=now_ms,
                for_good=error.for_good,
                retry_after_ms=error.retry_after_ms,
            )
            return False
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            self._outbox.message_failed(
                message, what, now_ms=now_ms, for_good=False, retry_after_ms=0
            )
            return False
        self._outbox.message_sent(message, now_ms=now_ms)
        return True


class Absent:
    """Stands for a channel that is not set up."""

    def send(self, message: Message) -> None:
        """Say so; the message waits, since somebody may set the channel up."""
        raise DeliveryError(f"{message.recipient.channel} is not set up.")
