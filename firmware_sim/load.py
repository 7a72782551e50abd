"""Load and trouble on purpose: many devices at a rate, damaged messages, reconnect storms."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from firmware_sim.backoff import pause_s
from firmware_sim.devices.native import NumberedBatch, encode_json, topic
from firmware_sim.errors import PublishError
from firmware_sim.fleet import Fleet, Outgoing
from firmware_sim.publishing import BrokerAddress
from firmware_sim.streams import generator

__all__ = ["LoadCounts", "LoadPlan", "damaged", "run_load"]

BLOCK = 500
TICK_S = 0.05
LOAD_GROUPS = 64


@dataclass(frozen=True)
class LoadPlan:
    """What is sent.

    Attributes
    ----------
    devices : int
    rate : float
        Messages a second over all devices.
    seconds : float
    rows : int
        Readings in each message.
    connections : int
        MQTT connections; each stands for gateways.
    corrupt : float
        Share of messages that are damaged on the way.
    storm_every_s : float
        All connections are dropped at once that often; 0 = never.
    seed : int
    """

    devices: int
    rate: float
    seconds: float
    rows: int = 1
    connections: int = 8
    corrupt: float = 0.0
    storm_every_s: float = 0.0
    seed: int = 1


@dataclass
class LoadCounts:
    """What came of it."""

    messages: int = 0
    readings: int = 0
    corrupted: int = 0
    reconnects: int = 0
    unsent: int = 0
    seconds: float = 0.0


def damaged(payload: bytes, rng: np.random.Generator) -> bytes:
    """A message as bad radio, bad firmware or a bad cable makes it."""
    kind = int(rng.integers(5))
    if kind == 0:
        return payload[: int(rng.integers(len(payload)))]
    if kind == 1:
        at = int(rng.integers(len(payload)))
        return payload[:at] + bytes([payload[at] ^ (1 << int(rng.integers(8)))]) + payload[at + 1 :]
    if kind == 2:
        return payload.replace(b"[", b"[1e999,", 1)
    if kind == 3:
        return b"\xff\xfe" + payload
    return payload[: len(payload) // 2] + bytes(rng.integers(0, 256, 16, dtype=np.uint8))


class Sender:
    """One connection and the devices behind it."""

    def __init__(
        self, plan: LoadPlan, address: BrokerAddress, number: int, counts: LoadCounts
    ) -> None:
        self.plan, self.address, self.number, self.counts = plan, address, number, counts
        self.rng = generator(plan.seed, "load", number)
        self.boot = time.time_ns() // 1_000_000_000 % 2**31
        devices = range(number, plan.devices, plan.connections)
        self.share = len(devices) / plan.devices
        self.topics = [
            topic(f"load-{d % LOAD_GROUPS:02d}", f"load-{d:06d}", "readings") for d in devices
        ]
        self.next = 0
        self.unfinished: list[Outgoing] = []
        self.storm = asyncio.Event()

    def messages(self, count: int) -> Iterator[Outgoing]:
        """The next devices' next messages."""
        rows, devices = self.plan.rows, len(self.topics)
        values = np.round(self.rng.random((count, rows)) * 40, 1).tolist()
        hurt = (self.rng.random(count) < self.plan.corrupt).tolist()
        deltas = list(range(0, 1000 * rows, 1000))
        t0 = time.time_ns() // 1_000_000 - deltas[-1]
        for lux, broken in zip(values, hurt, strict=True):
            again, device = divmod(self.next, devices)
            self.next += 1
            payload = encode_json(
                NumberedBatch(self.boot, again * rows, t0, deltas, {"illuminance_lx": lux}, True)
            )
            if broken:
                self.counts.corrupted += 1
                payload = damaged(payload, self.rng)
            yield self.topics[device], payload, False

    def acknowledged(self, count: int) -> None:
        """The broker has taken so many messages."""
        self.counts.messages += count
        self.counts.readings += count * self.plan.rows

    async def run(self, started: float) -> None:
        """Send until the time is over; a broken connection is opened again with jitter."""
        failed_in_a_row = 0
        while time.monotonic() - started < self.plan.seconds:
            broken: Exception | None = None
            self.storm.clear()
            try:
                async with self.address.fleet(
                    f"sim-load-{self.boot}-{self.number}", unfinished=self.unfinished,
                    on_acknowledged=self.acknowledged,
                ) as link:  # fmt: skip
                    failed_in_a_row = 0
                    try:
                        await self.pump(link, started)
                    finally:
                        self.unfinished = link.unfinished()
            except ConnectionError as error:
                broken = error
            if broken is not None:
                failed_in_a_row += 1
                if failed_in_a_row > 20:
                    raise PublishError(f"broker cannot be reached: {broken}.")
            if (left_s := started + self.plan.seconds - time.monotonic()) > 0:
                self.counts.reconnects += 1
                await asyncio.sleep(min(pause_s(failed_in_a_row), left_s))
        if failed_in_a_row and not self.counts.messages:
            raise PublishError(
                "broker could not be reached in all the time.",
                remedy="Is it running, and is the address right?",
            )

    async def pump(self, link: Fleet, started: float) -> None:
        """Messages at the rate, with a bounded number waiting for their PUBACK."""
        rate = self.plan.rate * self.share
        begun, sent = time.monotonic(), 0
        while (now := time.monotonic()) - started < self.plan.seconds and not self.storm.is_set():
            due = int((now - begun) * rate) - sent
            if due <= 0:
                await asyncio.sleep(min(TICK_S, 1 / rate))
                continue
            sent += link.send_many(self.messages(min(due, BLOCK)))
            # Either way the loop may read receipts meanwhile.
            await (asyncio.sleep(0) if link.has_room else link.room())
        self.counts.unsent += max(int((time.monotonic() - begun) * rate) - sent, 0)
        if self.storm.is_set():
            link.end(ConnectionError("a storm"))
        else:
            await link.settled()


async def run_load(
    plan: LoadPlan,
    address: BrokerAddress,
    *,
    on_progress: Callable[[LoadCounts], None] = lambda counts: None,
) -> LoadCounts:
    """Send a load; counts hold what was acknowledged by the broker.

    Raises
    ------
    PublishError
        If the broker cannot be reached.
    """
    counts, started = LoadCounts(), time.monotonic()
    connections = max(1, min(plan.connections, plan.devices))
    senders = [Sender(plan, address, k, counts) for k in range(connections)]

    async def weather() -> None:
        last_storm = started
        while time.monotonic() - started < plan.seconds:
            await asyncio.sleep(0.5)
            on_progress(counts)
            if plan.storm_every_s and time.monotonic() - last_storm >= plan.storm_every_s:
                last_storm = time.monotonic()
                for sender in senders:
                    sender.storm.set()

    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            for sender in senders:
                tasks.create_task(sender.run(started))
            tasks.create_task(weather())
    except* PublishError as group:
        failure = group.exceptions[0]
    if failure is not None:
        raise failure
    counts.seconds = time.monotonic() - started
    return counts
