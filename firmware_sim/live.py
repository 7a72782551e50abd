"""The simulated city over MQTT: live devices at the pace of a clock, faults set in from outside.

One connection a gateway, as a real gateway would hold it; each device is a `Node` with a ring
buffer that listens to its receipts and sends again what was not acknowledged.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiomqtt

from firmware_sim.city import Feeder
from firmware_sim.devices.native import parse_ack
from firmware_sim.devices.node import Message, Node, Row
from firmware_sim.errors import SimulatorError
from firmware_sim.sky import DAY_MS
from firmware_sim.world import City, Injection, device_rows, event_row

__all__ = ["ANSWER_TOPIC", "CONTROL_TOPIC", "LiveCity", "LiveClock"]

CONTROL_TOPIC = "ljusvakt-sim/v1/control"
ANSWER_TOPIC = "ljusvakt-sim/v1/answer"
TICK_S = 0.5
IN_FLIGHT = 50
RESEND_AFTER_S = 60.0
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class LiveClock(Protocol):
    """What the city needs of a clock."""

    speed: float

    def now_ms(self) -> int:
        """Time now [ms, UTC]."""
        ...

    async def sleep_until(self, time_ms: int) -> None:
        """Return once that time has come."""
        ...


@dataclass
class GatewayLink:
    """The connection of one gateway and the messages that wait for it."""

    name: str
    nodes: dict[str, Node] = field(default_factory=dict)
    outbox: deque[Message] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    published: int = 0
    reconnects: int = 0

    def put(self, messages: list[Message]) -> None:
        """Hand messages over to the connection."""
        self.outbox.extend(messages)
        if messages:
            self.wake.set()


class LiveCity:
    """Publishes the readings of a city as they fall due by a clock.

    History and live are one world: what `City.history(start, stop)` gave ends where `run()` begins,
    if `run` is told `since_ms=stop`.

    Parameters
    ----------
    city : City
    clock : LiveClock
        Paces everything; `api.clock.Clock` fits.
    host, port : str, int
        The broker.
    username, password : str, optional
    boot : int
        Boot number of every device; count it up with every start.
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
        boot: int = 1,
        since_ms: int | None = None,
        on_message: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.city, self.clock = city, clock
        self.host, self.port = host, port
        self.username, self.password = username, password
        self.since_ms = clock.now_ms() if since_ms is None else since_ms
        self.published = 0
        self._on_message = on_message
        self._links = {name: GatewayLink(name) for name in city.gateways}
        self._boot = boot
        self._due: dict[str, deque[tuple[int, str, str, Row]]] = {}
        self._next_day = self.since_ms // DAY_MS
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
            kept = [item for item in self._due.get(feeder.name, ()) if moment_of(item[3]) <= now]
            fresh: list[tuple[int, str, str, Row]] = []
            for day in range(now // DAY_MS, self._next_day):
                fresh += [i for i in self.feeder_items(feeder, day) if moment_of(i[3]) > now]
            merged = sorted([*kept, *fresh], key=lambda item: (item[0], item[2]))
            self._due[feeder.name] = deque(merged)

    def feeder_items(self, feeder: Feeder, day: int) -> list[tuple[int, str, str, Row]]:
        """What a feeder's devices will send of one day: (received, gateway, device, row)."""
        rows, events = self.city.feeder_day(feeder, day)
        items = [
            (received, feeder.gateway, device, row)
            for device, row, _, received in device_rows(feeder, rows)
        ]
        items += [(e.received_ms, feeder.gateway, e.device_id, event_row(e)) for e in events]
        return items

    def counter_items(self, day: int) -> list[tuple[int, str, str, Row]]:
        """What the footfall counters will send of one day."""
        rows = self.city.counter_day(day)
        counters = self.city.counters
        return [
            (
                received,
                counters[number].gateway,
                counters[number].device_id,
                Row(time_ms, {"people_in": int(inwards), "people_out": int(outwards)}),
            )
            for number, time_ms, received, inwards, outwards in zip(
                rows.counter.tolist(),
                rows.time_ms.tolist(),
                rows.received_ms.tolist(),
                rows.inwards.tolist(),
                rows.outwards.tolist(),
                strict=True,
            )
        ]

    async def load_day(self, day: int, *, early: bool = False) -> None:
        """Compute one day of every feeder, giving way to the connections between feeders."""
        for feeder in self.city.feeders:
            items = await asyncio.to_thread(self.feeder_items, feeder, day)
            self.queue(feeder.name, items)
        if not early or self.city.counters:
            self.queue("counters", self.counter_items(day) if self.city.counters else [])

    def queue(self, name: str, items: list[tuple[int, str, str, Row]]) -> None:
        """Add what falls due from `since_ms` on."""
        fresh = [item for item in items if item[0] >= self.since_ms]
        merged = sorted([*self._due.get(name, ()), *fresh], key=lambda item: (item[0], item[2]))
        self._due[name] = deque(merged)

    def send_due(self, now_ms: int) -> None:
        """Hand over everything that has fallen due, one message a device where rows fit."""
        ready: dict[tuple[str, str], list[Row]] = {}
        for items in self._due.values():
            while items and items[0][0] <= now_ms:
                _, gateway, device, row = items.popleft()
                ready.setdefault((gateway, device), []).append(row)
        moment = time.monotonic()
        for (gateway, device), rows in ready.items():
            link = self._links[gateway]
            if device in self._radios:
                feeder = self._radios[device]
                for row in rows:
                    link.put(self.city.uplinks(feeder, device, row, moment_of(row)))
                continue
            node = link.nodes[device]
            if not node.kept:
                node.sent_s = moment
            link.put(node.send(rows))

    def resend_due(self) -> None:
        """Send again what was not acknowledged for a minute of real time."""
        moment = time.monotonic()
        for link in self._links.values():
            if link.outbox:
                continue
            for node in link.nodes.values():
                if node.kept and moment - node.sent_s > RESEND_AFTER_S:
                    node.sent_s = moment
                    link.put(node.resend())

    async def run(self) -> None:
        """Live until cancelled; a broker that goes away is waited for."""
        async with asyncio.TaskGroup() as tasks:
            for link in self._links.values():
                tasks.create_task(self.keep_connected(link))
            tasks.create_task(self.listen_to_control())
            tasks.create_task(self.live())

    async def live(self) -> None:
        """Compute days ahead and send what falls due."""
        # What was measured before and is held back falls due later: two days earlier suffice.
        for day in range(self._next_day - 2, self._next_day + 1):
            await self.load_day(day)
        self._next_day += 1
        tick_ms = max(int(TICK_S * 1000 * self.clock.speed), 1)
        while True:
            now = self.clock.now_ms()
            # Before new rows are handed over: a link that is behind is not given old ones as well.
            self.resend_due()
            self.send_due(now)
            if now > self._next_day * DAY_MS - max(2 * 3_600_000, 20 * tick_ms):
                day, self._next_day = self._next_day, self._next_day + 1
                await self.load_day(day)
            await self.clock.sleep_until(now + tick_ms)

    def client(self, identifier: str) -> aiomqtt.Client:
        """A connection that was not opened yet."""
        client = aiomqtt.Client(
            self.host,
            self.port,
            identifier=identifier,
            username=self.username,
            password=self.password,
            max_inflight_messages=IN_FLIGHT,
            max_queued_outgoing_messages=0,
            keepalive=30,
        )
        # aiomqtt warns from ten calls on; ours wait for their PUBACK on purpose.
        client.pending_calls_threshold = 2 * IN_FLIGHT
        return client

    async def keep_connected(self, link: GatewayLink) -> None:
        """One gateway's connection, opened again with growing pauses when it breaks."""
        failures = 0
        while True:
            try:
                async with self.client(f"sim-{link.name}") as client:
                    await client.subscribe(f"ljusvakt/v1/{link.name}/+/ack", qos=0)
                    failures = 0
                    async with asyncio.TaskGroup() as tasks:
                        listening = tasks.create_task(hear_receipts(client, link))
                        tasks.create_task(self.publish_all(client, link, listening))
            except* aiomqtt.MqttError:
                link.reconnects += 1
                failures += 1
            # Jitter by name, so that a thousand gateways do not come back in one moment.
            share = (sum(link.name.encode()) % 97) / 97
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)] * (0.5 + share))

    async def publish_all(
        self, client: aiomqtt.Client, link: GatewayLink, listening: "asyncio.Task[None]"
    ) -> None:
        """Publish at QoS 1 with a bounded number in flight."""
        window = asyncio.Semaphore(IN_FLIGHT)

        async def publish(message: Message) -> None:
            try:
                await client.publish(message.topic, message.payload, qos=1, timeout=30)
            except BaseException:
                # Not acknowledged: it goes out on the next connection.
                link.outbox.append(message)
                raise
            finally:
                window.release()
            link.published += 1
            self.published += 1
            self._on_message(self.published)

        async with asyncio.TaskGroup() as tasks:
            while not listening.done():
                while link.outbox:
                    await window.acquire()
                    tasks.create_task(publish(link.outbox.popleft()))
                link.wake.clear()
                await link.wake.wait()

    async def listen_to_control(self) -> None:
        """Hear of faults set in from the outside, and answer."""
        while True:
            try:
                async with self.client("sim-control") as client:
                    await client.subscribe(CONTROL_TOPIC, qos=1)
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


def moment_of(row: Row) -> int:
    """When a row was measured, whatever its device's clock says."""
    return row.measured_ms or row.time_ms


async def hear_receipts(client: aiomqtt.Client, link: GatewayLink) -> None:
    """Let the nodes forget what the collector has made durable."""
    async for message in client.messages:
        parts = message.topic.value.split("/")
        node = link.nodes.get(parts[3]) if len(parts) == 5 else None
        receipt = parse_ack(message.payload)
        if node is not None and receipt is not None:
            node.acknowledge(*receipt)
            node.sent_s = time.monotonic()
