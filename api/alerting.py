"""Sends what the outbox holds, for as long as this process leads."""

import asyncio
import socket
from collections.abc import Callable
from os import getpid
from urllib.parse import unquote, urlsplit

import structlog

from api.clock import Clock
from api.errors import BadInputError
from api.ledger import Ledger
from api.notify import (
    Dispatcher,
    MailNotifier,
    MailSettings,
    Outgoing,
    WebhookNotifier,
)
from api.notify.apprise_channel import AppriseNotifier
from api.notify.dispatch import Notifier
from api.operations.alerts import Channel
from api.settings import Settings

__all__ = ["Alerting", "again_and_again", "mail_settings"]

LOOK_EVERY_S = 2.0


async def again_and_again(turn: Callable[[], None], *, every_s: float, trouble: str) -> None:
    """Run a turn in a thread, for ever; one that fails is logged, and the next is run."""
    log = structlog.get_logger("alerts")
    while True:
        try:
            await asyncio.to_thread(turn)
        except Exception:
            # The outbox is durable: what was not sent now is found again at the next turn.
            log.exception(trouble)
        await asyncio.sleep(every_s)


class Alerting:
    """The loop that empties the outbox.

    The outbox is a table that replicas and the clock fill as well as this process, so it is looked
    at again and again instead of being waited for.

    Parameters
    ----------
    ledger : Ledger
    settings : Settings
    clock : Clock
    may_send : callable
        Whether this process is the one that sends; asked before each turn.
    base_url : str
        Where the pages are, for the links in messages.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        clock: Clock,
        *,
        may_send: Callable[[], bool],
        base_url: str,
    ) -> None:
        self._clock = clock
        self._may_send = may_send
        self._dispatcher = Dispatcher(
            ledger,
            _notifiers(settings, base_url),
            name=f"{socket.gethostname()}:{getpid()}",
            now_ms=clock.now_ms,
        )
        self._log = structlog.get_logger("alerts")

    async def run(self) -> None:
        """Send what is due, for ever."""
        await again_and_again(self.turn, every_s=LOOK_EVERY_S, trouble="alerts could not be sent")

    def turn(self) -> None:
        """Send once what is due now."""
        if not self._may_send():
            return
        done = self._dispatcher.run_once(now_ms=self._clock.now_ms())
        if done.sent or done.failed:
            self._log.info("alerts", sent=done.sent, failed=done.failed)


def _notifiers(settings: Settings, base_url: str) -> dict[Channel, Notifier]:
    notify = settings.notify
    ways: dict[Channel, Notifier] = {
        Channel.WEBHOOK: WebhookNotifier(
            Outgoing(allow=frozenset(notify.webhook_allow)), source=base_url
        )
    }
    if url := notify.smtp_url.get_secret_value():
        ways[Channel.EMAIL] = MailNotifier(
            mail_settings(url, notify.smtp_from), base_url=base_url, timezone=settings.timezone
        )
    if notify.apprise:
        targets = {name: url.get_secret_value() for name, url in notify.apprise.items()}
        ways[Channel.APPRISE] = AppriseNotifier(
            targets, base_url=base_url, timezone=settings.timezone
        )
    return ways


def mail_settings(url: str, sender: str) -> MailSettings:
    """From `smtp://user:password@host:port` (STARTTLS), `smtps://` (TLS) or `smtp+plain://`.

    Raises
    ------
    BadInputError
        If it is none of these.
    """
    parts = urlsplit(url)
    ways = {"smtp": ("starttls", 587), "smtps": ("tls", 465), "smtp+plain": ("none", 25)}
    if parts.scheme not in ways or not parts.hostname or not sender:
        raise BadInputError(
            "notify.smtp_url and notify.smtp_from do not name a mail server and a sender",
            remedy="smtp://user:password@host:port, and an address to send from.",
        )
    security, port = ways[parts.scheme]
    return MailSettings(
        host=parts.hostname,
        port=parts.port or port,
        sender=sender,
        security=security,  # type: ignore[arg-type]  # one of the three above
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
