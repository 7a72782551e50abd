"""Devices that say when they sent, and a collector that notes how long each message took.

Each a process of its own. `send PORT PER_SECOND` sends until it is killed. `collect PORT FOLDER`
prints "ready", collects until its input ends, and prints how many messages others had sent, and a
row for each of these devices' messages: when it was sent, how long until it was in the journal, on
disk, and how long until it was acknowledged [ms].
"""

import asyncio
import contextlib
import json
import logging
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import mqtt5
import structlog

from api.running import keep_what_is_here
from ingest.batch import Batch
from ingest.collector import Collector
from ingest.devices import Registry
from ingest.errors import JournalError
from ingest.intake import Intake
from ingest.journal import Journal
from ingest.settings import MqttSettings
from ingest.sources import Message
from ingest.sources.mqtt5 import Mqtt5Source

DEVICES = 40
TOPIC = "ljusvakt/v1/g1/witness-%d/energy_kwh"
PREFIX = TOPIC.partition("%")[0]
TURN_MS = 1e8  # a value is the time within so much, to a thousandth of a millisecond


def send(port: int, per_second: int) -> None:
    """Publish at QoS 1, one device after another."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(mqtt5.ConnectPacket("witnesses", clean_start=True, keep_alive=60).write())
    sock.recv(4096)
    sock.setblocking(False)
    print("ready", flush=True)
    number = 0
    while True:
        at_ms = time.time_ns() / 1e6
        sock.sendall(
            mqtt5.PublishPacket(
                TOPIC % (number % DEVICES),
                b'{"t":%d,"v":%.3f}' % (at_ms, at_ms % TURN_MS),
                qos=mqtt5.QoS.AT_LEAST_ONCE,
                packet_id=number % 0xFFFF + 1,
            ).write()
        )
        number += 1
        time.sleep(1 / per_second)
        with contextlib.suppress(BlockingIOError):
            sock.recv(1 << 16)  # confirmations, which nobody counts


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Timed(Collector):
    """Notes the waits; the value of a message says when it was sent."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.rows: list[tuple[float, float, float]] = []
        self.others = 0
        self._journaled: dict[int, tuple[float, float]] = {}
        self._inner_ack = self.source.ack
        self.source.ack = self._ack  # type: ignore[method-assign]

    def _work(
        self, intake: Intake, messages: Sequence[Message], received_ms: Sequence[int]
    ) -> tuple[Batch, JournalError | None]:
        done = super()._work(intake, messages, received_ms)
        at_ms = time.time_ns() / 1e6
        for topic, payload, _, _, token in messages:
            if topic.startswith(PREFIX):
                self._journaled[token] = (at_ms, (at_ms - json.loads(payload)["v"]) % TURN_MS)
            else:
                self.others += 1
        return done

    def _ack(self, tokens: Sequence[int]) -> None:
        self._inner_ack(tokens)
        now = time.time_ns() / 1e6
        for token in tokens:
            if (one := self._journaled.pop(token, None)) is not None:
                at_ms, took_ms = one
                self.rows.append((at_ms - took_ms, took_ms, now - at_ms + took_ms))


async def collect(port: int, folder: Path) -> None:
    journal = Journal(folder / "journal.db", quota_bytes=1 << 32, now_ms=now_ms)
    registry = Registry(enrol=True)
    source = Mqtt5Source(MqttSettings(port=port, client_id="bench", session_expiry_s=0))
    collector = Timed(source, journal, registry=lambda: registry, now_ms=now_ms)
    running = asyncio.create_task(collector.run())
    await source.subscribed.wait()
    keep_what_is_here()  # as the program does
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await collector.stop()
    await running
    assert journal.counters().balanced
    journal.close()
    print(json.dumps({"others": collector.others, "rows": collector.rows}))


if __name__ == "__main__":
    what, port = sys.argv[1], int(sys.argv[2])
    if what == "send":
        send(port, int(sys.argv[3]))
    else:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        asyncio.run(collect(port, Path(sys.argv[3])))
