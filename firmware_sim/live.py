"""The simulated city over MQTT: live devices at the pace of a clock, faults set in from outside.

Each device is a `Node` with a ring buffer that listens to its receipts and sends again what was not
acknowledged; `gateways` holds the connections, `ahead` what will be measured.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Protocol

import aiomqtt

from firmware_sim.ahead import COUNTERS, Block, Queue, counter_blocks, feeder_blocks
from firmware_sim.city import Feeder
from firmware_sim.devices.node import Node, Row
from firmware_sim.errors import SimulatorError
from firmware_sim.gateways import AIOMQTT_UP_TO, GatewayLink, keep_connected
from firmware_sim.publishing import BrokerAddress, end_if_cancelled
from firmware_sim.sky import DAY_MS
from firmware_sim.world import City, Injection

__all__ = ["ANSWER_TOPIC", "CONTROL_TOPIC", "LiveCity", "LiveClock"]

CONTROL_TOPIC = "ljusvakt-sim/v1/control"
ANSWER_TOPIC = "ljusvakt-sim/v1/answer"
TICK_S = 0.5
RESEND_AFTER_S = 60.0
LEAD_MS = 2 * 3_600_000
EARLY_DAYS = 2


class LiveClock(Protocol):
    """What the city needs of a clock."""

    speed: float

    def now_ms(self) -> int:
        """Time now [ms, UTC]."""
        ...

    async def sleep_until(self, time_ms: int) -> None:
        """Return once that time has come."""
        ...


class LiveCity:
    """Publishes the readings of a city as they fall due by a clock.

    History and live are one world: what `telling.history` gave until `stop` ends where `run()`
    begins, if `run` is told `since_ms=stop`.

    Parameters
    ----------
    city : City
    clock : LiveClock
        Paces everything; `api.clock.Clock` fits.
    host, port : str, int
        The broker.
    username, password : str, optional
    tls : bool
    boot : int
        Count it up with every start; a device's boot number is 65,536 times it, and its restarts.
    since_ms : int, optional
        Send what was received from then on; the clock's now without it.
    on_message : callable, optional
        Called with the number of messages acknowledged by the broker, after each.
    """

    def __init__(
        self,
        city: City,
        clock: LiveClock,
        host: str,
        port: int,
        *,
        username: str | None = None,
        password: str | None = None,
        tls: bool = False,
        boot: int = 1,
        since_ms: int | None = None,
        on_message: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.city, self.clock = city, clock
        self.address = BrokerAddress(host, port, username, password, tls)
        self.since_ms = clock.now_ms() if since_ms is None else since_ms
        self.published = 0
        self._on_message = on_message
        self._links = {name: GatewayLink(name, self.acknowledged) for name in city.gateways}
        self._boot = boot << 16
        self._queues: dict[str, Queue] = {feeder.name: Queue() for feeder in city.feeders}
        self._queues[COUNTERS] = Queue()
        self._first_day = self.since_ms // DAY_MS
        self._days: dict[str, set[int]] = {name: set() for name in self._queues}
        self._radios = {d: f for f in city.feeders if f.lorawan for d in f.device_ids}
        for feeder in city.feeders:
            for device in feeder.device_ids:
                self.add_node(feeder.gateway, device)
        for counter in city.counters:
            self.add_node(counter.gateway, counter.device_id)

    def add_node(self, gateway: str, device: str) -> None:
        """Put a device behind a gateway."""
        node = Node(gateway, device, boot=self._boot, simulated=self.city.simulated)
        self._links[gateway].nodes[device] = node

    def acknowledged(self, count: int) -> None:
        """The broker has taken so many messages."""
        self.published += count
        self._on_message(self.published)

    def inject(self, injection: Injection) -> list[str]:
        """Set a fault in from now on; returns the feeders it touches."""
        touched = self.city.inject(injection)
        self.recompute(touched)
        return [feeder.name for feeder in touched]

    def repair(self, target: str) -> list[str]:
        """End the faults of a device, feeder, segment or gateway now; returns the feeders."""
        touched = self.city.repair(target, self.clock.now_ms())
        self.recompute(touched)
        return [feeder.name for feeder in touched]

    def recompute(self, feeders: list[Feeder]) -> None:
        """Replace what lies ahead of some feeders."""
        now = self.clock.now_ms()
        for feeder in feeders:
            queue = self._queues[feeder.name]
            queue.version += 1
            fresh: list[Block] = []
            for day in sorted(self._days[feeder.name]):
                if day >= now // DAY_MS:
                    fresh += feeder_blocks(self.city, feeder, day)
            queue.replace(fresh, now, self.since_ms)

    async def load(self, feeder: Feeder, day: int) -> None:
        """Compute one day of a feeder beside the connections."""
        queue = self._queues[feeder.name]
        while True:
            version = queue.version
            blocks = await asyncio.to_thread(feeder_blocks, self.city, feeder, day)
            if queue.version == version:
                break  # else a fault was set in meanwhile: what was computed knows nothing of it
        queue.add(blocks, self.since_ms)
        self._days[feeder.name].add(day)

    async def load_day(self, day: int) -> None:
        """Compute one day of everything, feeder by feeder."""
        if self.city.counters:
            blocks = await asyncio.to_thread(counter_blocks, self.city, day)
            self._queues[COUNTERS].add(blocks, self.since_ms)
        for feeder in self.city.feeders:
            await self.load(feeder, day)

    async def look_ahead(self) -> None:
        """Compute today first, then what is held back from earlier days, then each next day."""
        begun = time.monotonic()
        await self.load_day(self._first_day)
        took_s = time.monotonic() - begun
        for earlier in range(1, EARLY_DAYS + 1):
            await self.load_day(self._first_day - earlier)
        day = self._first_day + 1
        while True:
            # Twice as early as it takes, and never later than some ticks of a fast clock.
            lead_ms = max(LEAD_MS, round(max(2 * took_s, 20 * TICK_S) * 1000 * self.clock.speed))
            await self.clock.sleep_until(day * DAY_MS - lead_ms)
            begun = time.monotonic()
            await self.load_day(day)
            took_s = time.monotonic() - begun
            day += 1

    def send_due(self, now_ms: int) -> None:
        """Hand over everything that has fallen due, one message a device where rows fit."""
        ready: dict[tuple[str, str], list[Row]] = {}
        for queue in self._queues.values():
            for gateway, device, row in queue.due(now_ms):
                ready.setdefault((gateway, device), []).append(row)
        moment = time.monotonic()
        for (gateway, device), rows in ready.items():
            link = self._links[gateway]
            if device in self._radios:
                feeder = self._radios[device]
                for row in rows:
                    link.put(self.city.radios.uplinks(feeder, device, row))
                continue
            node = link.nodes[device]
            if not node.kept:
                node.sent_s = moment
            link.put(node.send(rows))

    def resend_due(self) -> None:
        """Send again what was not acknowledged for a minute of real time."""
        moment = time.monotonic()
        for link in self._links.values():
            if link.behind:
                continue
            for node in link.nodes.values():
                if node.kept and moment - node.sent_s > RESEND_AFTER_S:
                    node.sent_s = moment
                    link.put(node.resend())

    async def run(self) -> None:
        """Live until cancelled; a broker that goes away is waited for."""
        hurry = self.clock.speed > AIOMQTT_UP_TO
        async with asyncio.TaskGroup() as tasks:
            for link in self._links.values():
                tasks.create_task(keep_connected(link, self.address, hurry=hurry))
            tasks.create_task(self.listen_to_control())
            tasks.create_task(self.look_ahead())
            tasks.create_task(self.live())

    async def live(self) -> None:
        """Send what falls due, tick by tick."""
        tick_ms = max(int(TICK_S * 1000 * self.clock.speed), 1)
        while True:
            now = self.clock.now_ms()
            # Before new rows are handed over: a link that is behind is not given old ones as well.
            self.resend_due()
            self.send_due(now)
            await self.clock.sleep_until(now + tick_ms)

    async def listen_to_control(self) -> None:
        """Hear of faults set in from the outside, and answer."""
        while True:
            try:
                async with self.address.client("sim-control", keepalive=30) as client:
                    await client.subscribe(CONTROL_TOPIC, qos=1)
                    end_if_cancelled()
                    async for message in client.messages:
                        answer = self.obey(message.payload)
                        await client.publish(ANSWER_TOPIC, json.dumps(answer), qos=1)
            except aiomqtt.MqttError:
                await asyncio.sleep(1)

    def obey(self, payload: bytes) -> dict[str, object]:
        """Carry out one control message; the answer says what was done, or what is wrong.

        `{"id": ..., "action": "fault", "kind": ..., "target": ...}` or
        `{"id": ..., "action": "repair", "target": ...}`.
        """
        wanted: Any = {}
        try:
            wanted = json.loads(payload)
            answer: dict[str, object] = {"id": wanted.get("id"), "time_ms": self.clock.now_ms()}
            target = str(wanted["target"])
            if wanted["action"] == "fault":
                injection = Injection(str(wanted["kind"]), target, self.clock.now_ms())
                return answer | {"ok": True, "feeders": self.inject(injection)}
            if wanted["action"] == "repair":
                return answer | {"ok": True, "feeders": self.repair(target)}
        except SimulatorError as error:
            return {"id": wanted.get("id"), "ok": False, "problem": str(error)}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return {"ok": False, "problem": f"not a control message: {error!r}"}
        return answer | {"ok": False, "problem": f"no action {wanted['action']!r}"}
