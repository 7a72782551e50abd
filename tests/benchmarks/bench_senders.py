"""Whether the simulator or the broker is the limit: a bare sender, ours, and what we replaced.

All in one run against one Mosquitto without subscribers, one after the other, in rounds; processor
times are of this process while it sends, and of the broker. Only ratios within a run mean much.
"""

import asyncio
import os
import socket
import statistics
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from contracts.mosquitto_server import MosquittoServer

from firmware_sim.devices.native import NumberedBatch, encode_json, topic
from firmware_sim.fleet import Outgoing, connect_packet, publish_packet
from firmware_sim.load import LoadPlan, run_load
from firmware_sim.publishing import BrokerAddress, computed, publish_messages
from firmware_sim.samples import samples
from firmware_sim.scenario import load_scenario
from firmware_sim.world import build_city

ROUNDS = int(os.environ.get("LJUSVAKT_BENCH_ROUNDS", "3"))
MESSAGES = int(os.environ.get("LJUSVAKT_BENCH_MESSAGES", "150000"))
SECONDS = 3.0
TICKS = os.sysconf("SC_CLK_TCK")

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(1800)]
Sending = Callable[[BrokerAddress], Coroutine[Any, Any, int]]


def messages(count: int) -> list[Outgoing]:
    """What devices with one reading send."""
    topics = [topic(f"load-{k % 64:02d}", f"load-{k:06d}", "readings") for k in range(33_000)]
    lux = {"illuminance_lx": [12.3]}
    return [
        (
            topics[k % len(topics)],
            encode_json(NumberedBatch(1, k, 1_790_000_000_000, [0], lux, True)),
            False,
        )
        for k in range(count)
    ]


async def bare(address: BrokerAddress) -> int:
    """A socket, packets made beforehand, receipts counted by their bytes: the least there is."""
    blocks = [PACKETS[at : at + 500] for at in range(0, len(PACKETS), 500)]
    with socket.create_connection((address.host, address.port)) as line:
        line.sendall(connect_packet("bare", None, None))
        line.recv(4)
        sent = received = 0
        for block in blocks:
            line.sendall(b"".join(block))
            sent += len(block)
            while sent - received / 4 > 2_000:
                received += len(line.recv(65_536))
        while received < 4 * sent:
            received += len(line.recv(65_536))
    return sent


async def replay(address: BrokerAddress) -> int:
    """Recorded messages as fast as they are acknowledged."""

    async def pieces() -> AsyncIterator[list[Outgoing]]:
        for at in range(0, len(OUTGOING), 500):
            yield OUTGOING[at : at + 500]

    return (await publish_messages(pieces(), address)).acknowledged


async def load(address: BrokerAddress) -> int:
    """33,000 devices on 8 connections, far above what the broker takes."""
    return (await run_load(LoadPlan(33_000, 1e6, SECONDS), address)).messages


async def city(address: BrokerAddress) -> int:
    """A realistic city at `--speed max`, computed while it is sent."""
    scenario = load_scenario("realistic").changed(luminaires=1_000, days=2)
    return (
        await publish_messages(computed(samples(build_city(scenario), 1)), address)
    ).acknowledged


async def by_aiomqtt(address: BrokerAddress) -> int:
    """A call of aiomqtt for each message, 200 in flight; a twentieth of the messages."""
    window = asyncio.Semaphore(200)
    async with address.client("one-by-one") as client, asyncio.TaskGroup() as tasks:

        async def send(message: Outgoing) -> None:
            await client.publish(message[0], message[1], qos=1, timeout=60)
            window.release()

        for message in OUTGOING[: MESSAGES // 20]:
            await window.acquire()
            tasks.create_task(send(message))
    return MESSAGES // 20


OUTGOING = messages(MESSAGES)
PACKETS = [publish_packet(message, k % 65_535 + 1) for k, message in enumerate(OUTGOING)]
SENDERS: dict[str, Sending] = {
    "bare": bare, "replay": replay, "load": load, "city": city, "aiomqtt": by_aiomqtt,
}  # fmt: skip


def processor_s(pid: int) -> float:
    """Processor time of a process so far [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@pytest.fixture
def broker(mosquitto: Path, tmp_path: Path, free_port: int) -> Any:
    config = f"listener {free_port} 127.0.0.1\nallow_anonymous true\n"
    with MosquittoServer(mosquitto, tmp_path / "broker", free_port, config) as server:
        yield server


def test_sender_against_broker(broker: MosquittoServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert broker.process is not None
    pid, address = broker.process.pid, BrokerAddress("127.0.0.1", broker.port)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in SENDERS}
    for _ in range(ROUNDS):
        for name, sending in SENDERS.items():
            begun, own, its = time.perf_counter(), time.process_time(), processor_s(pid)
            count = asyncio.run(sending(address))
            took, own = time.perf_counter() - begun, time.process_time() - own
            found[name].append(
                (count / took, own / count * 1e6, (processor_s(pid) - its) / count * 1e6)
            )
    bare_rate = statistics.median(rate for rate, _, _ in found["bare"])
    with capsys.disabled():
        print(f"\n{'sender':<10}{'messages/s':>12}{'of bare':>9}{'own us':>9}{'broker us':>11}")
        for name, rows in found.items():
            rate, own, its = (statistics.median(column) for column in zip(*rows, strict=True))
            low, high = min(r for r, _, _ in rows), max(r for r, _, _ in rows)
            print(
                f"{name:<10}{rate:>12,.0f}{rate / bare_rate:>9.2f}{own:>9.1f}{its:>11.1f}"
                f"   [{low:,.0f} to {high:,.0f}]"
            )

    assert all(rate > 0 for rows in found.values() for rate, _, _ in rows)
