"""The sender of an alert is killed before, while and after it sends: what the receiver sees."""

import json
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from contracts.lamp_street import NOW_MS, finding, street

from api.ledger import open_ledger
from api.notify import Dispatcher, Outgoing, WebhookNotifier
from api.operations.alerts import Channel

pytestmark = [pytest.mark.faults, pytest.mark.slow]
SENDER = Path(__file__).with_name("alert_process.py")
CLAIM_OVER_MS = NOW_MS + 6 * 60_000


class Receiver:
    """A receiver on loopback that keeps what comes, and may kill who sends before it answers."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.kill: int | None = None
        own = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                own.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                if own.kill is not None:
                    os.kill(own.kill, signal.SIGKILL)
                    own.kill = None
                    return
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.where = f"127.0.0.1:{self.server.server_port}"
        self.thread = Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def killed(url: str, where: str, die: str, *, at_ms: int, by: Receiver | None = None) -> int:
    """One turn of a sender in a process of its own, which is not to outlive it; its exit code."""
    process = subprocess.Popen(
        [sys.executable, str(SENDER), url, where, str(at_ms), die],
        stdin=subprocess.PIPE,
        text=True,
    )
    if by is not None:
        by.kill = process.pid
    process.communicate("go\n", timeout=100)
    return process.returncode


@pytest.mark.parametrize("die", ["before", "while", "after"])
def test_a_killed_sender_s_message_comes_again_with_the_same_ids(die: str, ledger_url: str) -> None:
    receiver = Receiver()
    try:
        with open_ledger(ledger_url) as ledger:
            ledger.put_assets(street(10), now_ms=NOW_MS)
            hook = f"http://{receiver.where}/hook"
            ledger.put_recipient("jour", channel=Channel.WEBHOOK, address=hook)
            ledger.reconcile([finding(1, "lamp/1")], now_ms=NOW_MS)
            victim = receiver if die == "while" else None
            url = ledger.database.url
            code = killed(url, receiver.where, die, at_ms=NOW_MS, by=victim)
            assert code == -signal.SIGKILL
            (cut_off,) = ledger.deliveries()
            assert (cut_off.state.value, cut_off.attempts, cut_off.interrupted) == ("claimed", 1, 1)
            webhook = WebhookNotifier(
                Outgoing(allow=frozenset({receiver.where})), source="https://l.example"
            )
            other = Dispatcher(ledger, {Channel.WEBHOOK: webhook}, name="another")
            # While the claim holds nobody else sends it.
            assert other.run_once(now_ms=NOW_MS + 60_000).sent == 0
            assert len(receiver.got) == (0 if die == "before" else 1)
            assert other.run_once(now_ms=CLAIM_OVER_MS).sent == 1
            assert other.run_once(now_ms=CLAIM_OVER_MS + 3_600_000).sent == 0
            (told,) = ledger.deliveries()
            assert (told.state.value, told.attempts, told.interrupted) == ("sent", 2, 1)
    finally:
        receiver.close()
    assert len(receiver.got) == (1 if die == "before" else 2)
    same = {
        (headers["webhook-id"], headers["idempotency-key"], json.loads(body)["id"], body)
        for headers, body in receiver.got
    }
    assert len(same) == 1, "a receiver that drops what it knows has it once"
