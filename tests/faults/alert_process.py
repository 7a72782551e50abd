"""One turn of a sender, which dies where it is told to: `URL RECEIVER NOW_MS before|while|...`."""

import os
import signal
import sys

from api.ledger import open_ledger
from api.notify import Dispatcher, Outgoing, WebhookNotifier
from api.operations.alerts import Channel, Message


class Mortal:
    """Sends, and is killed before it or after it."""

    def __init__(self, notifier: WebhookNotifier, die: str) -> None:
        self.notifier = notifier
        self.die = die

    def send(self, message: Message) -> None:
        """As the notifier does."""
        if self.die == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        self.notifier.send(message)
        if self.die == "after":
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Wait until whoever started us is ready, then send."""
    url, where, now_ms, die = sys.argv[1:]
    sys.stdin.readline()
    webhook = WebhookNotifier(Outgoing(allow=frozenset({where})), source="https://l.example")
    with open_ledger(url) as ledger:
        dispatcher = Dispatcher(
            ledger, {Channel.WEBHOOK: Mortal(webhook, die)}, name=f"sender {os.getpid()}"
        )
        dispatcher.run_once(now_ms=int(now_ms))


main()
