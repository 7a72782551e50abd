"""How long others wait while one device floods, through a real Mosquitto.

Forty devices send five messages a second; what is measured is the time from their publishing to the
acknowledgement after the commit. First alone, then beside a device that sends 1,000 a second, then
beside one that sends as fast as the broker confirms. Percentiles of one run stand beside each
other; only their ratios mean much.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import aiomqtt
import numpy as np
import pytest
from contracts.mosquitto_server import MosquittoServer

from ingest.collector import Collector
from ingest.devices import Registry
from ingest.journal import Journal
from ingest.settings import MqttSettings
from ingest.sources import Message
from ingest.sources.mqtt5 import Mqtt5Source

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.anyio, pytest.mark.timeout(300)]

DEVICES = 40
PER_SECOND = 5
SECONDS = 8
TURN_MS = 1e8  # a value is the time within so much, to a thousandth of a millisecond
FLOODS = {"alone": None, "1,000 a second": 1000, "as fast as it goes": 0}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Timed(Collector):
    """Notes how long each message of the others took until it was acknowledged."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.waits_ms: list[float] = []
        self.flooded = 0

    def _acknowledge(self, messages: Sequence[Message]) -> None:
        super()._acknowledge(messages)
        at_ms = time.time_ns() / 1e6 % TURN_MS
        for topic, payload, *_ in messages:
            if topic.endswith("/flood/illuminance_lx"):
                self.flooded += 1
            else:
                self.waits_ms.append((at_ms - json.loads(payload)["v"]) % TURN_MS)


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


async def test_others_while_one_device_floods(
    mosquitto: Path, tmp_path: Path, free_port: int
) -> None:
    print(f"\n{DEVICES} devices, {PER_SECOND} messages a second each, {SECONDS} s a row")
    usual_ms = 0.0
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port):
        for name, per_second in FLOODS.items():
            journal = Journal(tmp_path / f"{per_second}.db", quota_bytes=1 << 32, now_ms=now_ms)
            settings = MqttSettings(port=free_port, client_id="bench")
            registry = Registry(enrol=True)
            collector = Timed(
                Mqtt5Source(settings), journal, registry=lambda r=registry: r, now_ms=now_ms
            )
            running = asyncio.create_task(collector.run())
            while not collector.source.status.connected:  # noqa: ASYNC110 - sets no event
                await asyncio.sleep(0.01)
            flood = None
            if per_second is not None:
                flood = subprocess.Popen(  # noqa: ASYNC220 - a moment
                    [sys.executable, str(Path(__file__).with_name("ingest_load.py")), "flood",
                     str(free_port), str(per_second), str(SECONDS + 4)],
                    stdout=subprocess.PIPE, text=True,
                )  # fmt: skip
                assert flood.stdout is not None
                await asyncio.to_thread(flood.stdout.readline)
                await asyncio.sleep(1)
            await others(free_port, SECONDS)
            if flood is not None:
                flood.kill()
                flood.communicate()
            await collector.stop()
            await running
            counters = journal.counters()
            assert counters.balanced
            journal.close()
            half, most = np.percentile(collector.waits_ms, [50, 99])
            usual_ms = usual_ms or float(most)
            print(
                f"  {name:20} p50 {half:6.1f} ms  p99 {most:6.1f} ms ({most / usual_ms:4.1f} times)"
                f"  n={len(collector.waits_ms)}, {collector.flooded / SECONDS:,.0f} flooding/s"
            )
            assert len(collector.waits_ms) > DEVICES
