"""How long others wait while one device floods, through a real Mosquitto.

Forty devices send five messages a second; what is measured is the time from their publishing until
they are in the journal, on disk, and until they are acknowledged, which is done in the order of
arrival, the flood's included. First alone, then beside a device that sends 1,000 a second, then
beside one that sends as fast as the broker confirms. In rounds, so that each flood stands beside an
"alone" of the same minute; only ratios within a round mean much.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import aiomqtt
import numpy as np
import pytest
from contracts.mosquitto_server import MosquittoServer

from ingest.batch import Batch
from ingest.collector import Collector
from ingest.devices import Registry
from ingest.errors import JournalError
from ingest.intake import Intake
from ingest.journal import Journal
from ingest.settings import MqttSettings
from ingest.sources import Message
from ingest.sources.mqtt5 import Mqtt5Source

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.anyio, pytest.mark.timeout(300)]

DEVICES = 40
PER_SECOND = 5
SECONDS = 8
ROUNDS = int(os.environ.get("LJUSVAKT_BENCH_ROUNDS", "3"))
TURN_MS = 1e8  # a value is the time within so much, to a thousandth of a millisecond
FLOODS = {"alone": None, "1,000 a second": 1000, "as fast as it goes": 0}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Timed(Collector):
    """Notes how long each message of the others took."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.journaled_ms: list[float] = []
        self.acknowledged_ms: list[float] = []
        self.flooded = 0
        self._sent_ms: dict[int, float] = {}
        self._inner_ack = self.source.ack
        self.source.ack = self._ack  # type: ignore[method-assign]

    def _work(
        self, intake: Intake, messages: Sequence[Message], received_ms: Sequence[int]
    ) -> tuple[Batch, JournalError | None]:
        done = super()._work(intake, messages, received_ms)
        at_ms = time.time_ns() / 1e6
        for topic, payload, _, _, token in messages:
            if topic.endswith("/flood/illuminance_lx"):
                self.flooded += 1
            else:
                self._sent_ms[token] = sent_ms = json.loads(payload)["v"]
                self.journaled_ms.append((at_ms - sent_ms) % TURN_MS)
        return done

    def _ack(self, tokens: Sequence[int]) -> None:
        self._inner_ack(tokens)
        at_ms = time.time_ns() / 1e6
        sent = [self._sent_ms.pop(token) for token in tokens if token in self._sent_ms]
        self.acknowledged_ms += [(at_ms - sent_ms) % TURN_MS for sent_ms in sent]


async def others(port: int, seconds: float) -> None:
    """Every device of the others, on one connection."""
    async with aiomqtt.Client("127.0.0.1", port, max_inflight_messages=1000) as client:
        stop_s = time.monotonic() + seconds
        number = 0
        while time.monotonic() < stop_s:
            topic = f"ljusvakt/v1/g1/d{number % DEVICES}/energy_kwh"
            at_ms = time.time_ns() / 1e6
            body = b'{"t":%d,"v":%.3f}' % (at_ms, at_ms % TURN_MS)
            await client.publish(topic, body, qos=1)
            number += 1
            await asyncio.sleep(1 / (DEVICES * PER_SECOND))


async def waits(port: int, journal_file: Path, per_second: int | None) -> Timed:
    """Let the others send for a while, beside a flood or alone."""
    journal = Journal(journal_file, quota_bytes=1 << 32, now_ms=now_ms)
    registry = Registry(enrol=True)
    # No session is kept: what a flood left with the broker must not come in the next row.
    source = Mqtt5Source(MqttSettings(port=port, client_id="bench", session_expiry_s=0))
    collector = Timed(source, journal, registry=lambda: registry, now_ms=now_ms)
    running = asyncio.create_task(collector.run())
    await source.subscribed.wait()
    flood = None
    if per_second is not None:
        flood = subprocess.Popen(  # noqa: ASYNC220 - a moment
            [sys.executable, str(Path(__file__).with_name("ingest_load.py")), "flood",
             str(port), str(per_second), str(SECONDS + 4)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert flood.stdout is not None
        await asyncio.to_thread(flood.stdout.readline)
        await asyncio.sleep(1)
    await others(port, SECONDS)
    if flood is not None:
        flood.kill()
        flood.communicate()
    await collector.stop()
    await running
    assert journal.counters().balanced
    journal.close()
    return collector


async def test_others_while_one_device_floods(
    mosquitto: Path, tmp_path: Path, free_port: int
) -> None:
    print(f"\n{DEVICES} devices, {PER_SECOND} messages a second each, {SECONDS} s x {ROUNDS}")
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in FLOODS}
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port):
        for number in range(ROUNDS):
            for name, per_second in FLOODS.items():
                one = await waits(free_port, tmp_path / f"{number}-{per_second}.db", per_second)
                assert len(one.journaled_ms) > DEVICES
                half, most = np.percentile(one.journaled_ms, [50, 99])
                told = np.percentile(one.acknowledged_ms, 99)
                usual = found["alone"][number][1] if found["alone"][number:] else most
                found[name].append((half, most, told, most / usual, one.flooded / SECONDS))
    for name, rounds in found.items():
        middle, low, high = (f(rounds, axis=0) for f in (np.median, np.min, np.max))
        print(
            f"  {name:20} in the journal p50 {middle[0]:6.1f} ms, p99 {middle[1]:6.1f} ms"
            f" ({low[1]:.1f}-{high[1]:.1f}; {middle[3]:.1f} times alone,"
            f" {low[3]:.1f}-{high[3]:.1f}); acknowledged p99 {middle[2]:6.1f} ms"
            f" ({low[2]:.1f}-{high[2]:.1f}); {middle[4]:,.0f} flooding/s"
        )
