"""Messages out: signed webhooks, mail, and addresses no message may go to."""

import base64
import hashlib
import hmac
import json
import socket
import socketserver
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from types import SimpleNamespace
from typing import Any

import pytest
from contracts.receiver import receiver, serving

from api.notify import (
    DeliveryError,
    MailNotifier,
    MailSettings,
    Outgoing,
    RefusedAddressError,
    WebhookNotifier,
)
from api.notify.apprise_channel import AppriseNotifier
from api.notify.outgoing import is_public
from api.operations.alerts import Channel, Matter, Message, Recipient, Rules

SECRET = "s" * 32


def message(address: str, *, titles: tuple[str, ...] = ("lamp failure: luminaire L1",)) -> Message:
    matters = tuple(
        Matter(i, f"work_order:{i}:opened", "work_order.opened", i, "Söder", "lamp", 0, 0, title)
        for i, title in enumerate(titles, 1)
    )
    recipient = Recipient(1, "kim", Channel.WEBHOOK, address, True, Rules(), SECRET)
    return Message("m7", recipient, matters)


def test_a_webhook_carries_a_signed_cloud_event() -> None:
    with receiver(204) as (where, got):
        outgoing = Outgoing(allow=[where])
        notifier = WebhookNotifier(
            outgoing, source="https://l.example", now_s=lambda: 1_795_000_000
        )
        notifier.send(message(f"http://{where}/hook?x=1"))
    ((path, headers, body),) = got
    assert path == "/hook?x=1"
    event = json.loads(body)
    assert event == {
        "specversion": "1.0",
        "id": "work_order:1:opened",
        "source": "https://l.example",
        "type": "se.ljusvakt.work_order.opened.v1",
        "subject": "work-orders/1",
        "time": "1970-01-01T00:00:00.000Z",
        "datacontenttype": "application/json",
        "data": {"title": "lamp failure: luminaire L1", "area": "Söder"},
    }
    assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    signed = b"m7.1795000000." + body
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-id"] == "m7"
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_several_matters_are_one_batch() -> None:
    with receiver(200) as (where, got):
        WebhookNotifier(Outgoing(allow=[where]), source="s").send(
            message(f"http://{where}/", titles=("a", "b"))
        )
    assert got[0][1]["Content-Type"].startswith("application/cloudevents-batch+json")
    assert [event["data"]["title"] for event in json.loads(got[0][2])] == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "for_good", "wait_ms"),
    [(500, False, 0), (503, False, 120_000), (429, False, 120_000), (410, True, 0), (404, True, 0)],
)
def test_c19_answers_say_whether_to_try_again(status: int, for_good: bool, wait_ms: int) -> None:
    headers = {"Retry_After": "120"} if wait_ms else {}
    with receiver(status, **headers) as (where, _), pytest.raises(DeliveryError) as told:
        WebhookNotifier(Outgoing(allow=[where]), source="s").send(message(f"http://{where}/"))
    assert (told.value.for_good, told.value.retry_after_ms) == (for_good, wait_ms)


def test_c12_a_redirect_is_not_followed() -> None:
    with receiver(200) as (inner, got), receiver(302, Location=f"http://{inner}/") as (outer, _):
        notifier = WebhookNotifier(Outgoing(allow=[outer, inner]), source="s")
        with pytest.raises(DeliveryError, match="302"):
            notifier.send(message(f"http://{outer}/"))
    assert got == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "https://",
        "https://user@example.org/",
        "https://user:pw@example.org/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://127.8.9.1:8443/",
        "https://0/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fec0::1]/",
        "https://[::127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://10.0.0.1/",
        "https://192.88.99.1/",
        "https://224.0.0.1/",
        "https://example.org:99999/",
        "https://[::1/",
    ],
)
def test_c12_addresses_no_message_may_go_to(url: str) -> None:
    with pytest.raises(RefusedAddressError):
        Outgoing().check(url)


def resolves(*addresses: str) -> Callable[..., Any]:
    def resolve(_host: str, port: int, **_: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]

    return resolve


def test_c12_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    assert Outgoing(resolve=resolves("93.184.215.14")).check("https://x.example/") == [
        "93.184.215.14"
    ]
    with pytest.raises(RefusedAddressError):
        Outgoing(resolve=resolves("93.184.215.14", "10.0.0.1")).check("https://x.example/")
    with pytest.raises(RefusedAddressError):
        Outgoing(resolve=resolves()).check("https://x.example/")


def test_c12_a_name_that_changes_its_mind_is_not_asked_again() -> None:
    """DNS rebinding: the connection goes to the very address that was checked."""
    with receiver(204) as (where, got):
        port = int(where.partition(":")[2])
        answers = iter([resolves("127.0.0.1"), resolves("203.0.113.9")])

        def resolve(host: str, port: int, **more: object) -> list[Any]:
            return next(answers)(host, port, **more)

        outgoing = Outgoing(allow=[f"hook.example:{port}"], resolve=resolve)
        outgoing.request("POST", f"http://hook.example:{port}/", body=b"x")
    assert got[0][1]["Host"] == f"hook.example:{port}"
    assert next(answers, None) is not None, "the name was looked up twice"


def test_an_answer_that_never_ends_is_cut_off() -> None:
    with receiver(200, X="y" * 60_000) as (where, _), pytest.raises(DeliveryError):
        Outgoing(allow=[where]).request("POST", f"http://{where}/", body=b"", max_answer=-1)


def test_public_addresses_are_public() -> None:
    assert is_public("93.184.215.14")
    assert is_public("2606:2800:21f:cb07:6820:80da:af6b:8b2c")
    assert not is_public("no address")


@contextmanager
def mail_server(refuse: str = "") -> Iterator[tuple[int, list[Any]]]:
    """An SMTP server of the few words our client uses."""
    got: list[Any] = []

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

        def handle(self) -> None:
            self.say("220 test")
            while line := self.rfile.readline():
                word = line[:4].upper()
                if word == b"RCPT" and refuse:
                    self.say(refuse)
                elif word == b"DATA":
                    self.say("354 go on")
                    lines = []
                    while (part := self.rfile.readline()) != b".\r\n":
                        lines.append(part)
                    got.append(message_from_bytes(b"".join(lines), policy=policy.default))
                    self.say("250 kept")
                elif word == b"QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        yield port, got


def mailer(port: int) -> MailNotifier:
    return MailNotifier(
        MailSettings("127.0.0.1", port, "ljusvakt@helsingborg.example", security="none"),
        base_url="https://l.example/",
    )


def test_mail_is_plain_and_the_same_at_every_try() -> None:
    evil = "lamp failure\r\nBcc: all@example.org"
    with mail_server() as (port, got):
        for _ in range(2):
            mailer(port).send(message("kim@example.org", titles=(evil,)))
    first, second = got
    assert first["Message-ID"] == second["Message-ID"] == "<m7.1@helsingborg.example>"
    assert first["To"] == "kim@example.org"
    assert first["Bcc"] is None
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Subject"].startswith("BRÅDSKANDE: lamp failure")
    assert "https://l.example/work-orders/1" in first.get_content()


@pytest.mark.parametrize(("answer", "for_good"), [("550 no such", True), ("451 later", False)])
def test_a_refused_mailbox_may_be_final_or_not(answer: str, for_good: bool) -> None:
    with mail_server(answer) as (port, _), pytest.raises(DeliveryError) as told:
        mailer(port).send(message("kim@example.org"))
    assert told.value.for_good is for_good


@pytest.mark.parametrize(
    "address", ["kim", "Kim <kim@example.org>", "a@b\nBcc: c@d", "a@b, c@d", ""]
)
def test_what_is_no_single_mail_address_is_refused(address: str) -> None:
    with pytest.raises(DeliveryError, match="no mail address"):
        mailer(1).send(message(address))


def test_apprise_reaches_only_targets_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, str]] = []

    class Apprise:
        def add(self, url: str) -> bool:
            return url.startswith("ntfy://")

        def notify(self, **said: str) -> bool:
            sent.append(said)
            return True

    monkeypatch.setitem(sys.modules, "apprise", SimpleNamespace(Apprise=Apprise))
    notifier = AppriseNotifier({"duty": "ntfy://topic"})
    notifier.send(message("duty"))
    assert sent[0]["title"].startswith("BRÅDSKANDE")
    with pytest.raises(DeliveryError, match="no apprise target"):
        notifier.send(message("json://10.0.0.1"))
