"""The connections of a live city: one a gateway, as real gateways hold them.

Devices that live at most sixty times too fast publish through aiomqtt, message by message. A city
in a greater hurry writes through `firmware_sim.fleet`, which keeps the broker busy instead of us.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import aiomqtt

from firmware_sim.backoff import pause_s
from firmware_sim.devices.native import parse_ack
from firmware_sim.devices.node import Message, Node
from firmware_sim.fleet import Outgoing
from firmware_sim.publishing import BrokerAddress, end_if_cancelled

__all__ = ["AIOMQTT_UP_TO", "GatewayLink", "keep_connected"]

AIOMQTT_UP_TO = 60.0
IN_FLIGHT = 50
WAITING_PER_DEVICE = 64


@dataclass
class GatewayLink:
    """One gateway: its devices, and the messages that wait for its connection."""

    name: str
    acknowledged: Callable[[int], None]
    nodes: dict[str, Node] = field(default_factory=dict)
    outbox: deque[Message] = field(default_factory=deque)
    unfinished: list[Outgoing] = field(default_factory=list)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    connected: bool = False
    reconnects: int = 0

    @property
    def receipts(self) -> str:
        """Where its devices hear what the collector has made durable."""
        return f"ljusvakt/v1/{self.name}/+/ack"

    @property
    def behind(self) -> bool:
        """Whether messages wait that were never sent."""
        return bool(self.outbox or self.unfinished)

    def put(self, messages: list[Message]) -> None:
        """Hand messages over to the connection.

        Where the broker is away or cannot follow, the oldest are dropped: devices keep their rows
        in their ring buffers and send them again, gateways of LoRaWAN lose them.
        """
        self.outbox.extend(messages)
        while len(self.outbox) > WAITING_PER_DEVICE * max(len(self.nodes), 1):
            self.outbox.popleft()
        if messages:
            self.wake.set()

    def hear(self, topic: str, payload: bytes) -> None:
        """Let a node forget what the collector has made durable."""
        parts = topic.split("/")
        node = self.nodes.get(parts[3]) if len(parts) == 5 else None
        receipt = parse_ack(payload)
        if node is not None and receipt is not None:
            node.acknowledge(*receipt)
            node.sent_s = time.monotonic()


async def keep_connected(link: GatewayLink, address: BrokerAddress, *, hurry: bool) -> None:
    """Keep one gateway connected; opened again after `firmware_sim.backoff` when it breaks."""
    failures = 0
    while True:
        try:
            await (in_batches(link, address) if hurry else one_by_one(link, address))
        except* (aiomqtt.MqttError, ConnectionError):
            failures = 0 if link.connected else failures + 1
            link.reconnects += 1
        end_if_cancelled()
        link.connected = False
        await asyncio.sleep(pause_s(failures))


async def in_batches(link: GatewayLink, address: BrokerAddress) -> None:
    """Publish what waits, many messages a write; returns when the connection breaks."""
    async with address.fleet(
        f"sim-{link.name}", filters=[link.receipts], unfinished=link.unfinished,
        on_acknowledged=link.acknowledged, on_message=link.hear, on_lost=link.wake.set,
    ) as fleet:  # fmt: skip
        end_if_cancelled()
        link.connected = True
        link.unfinished = []
        try:
            while True:
                while link.outbox:
                    if not fleet.has_room:
                        await fleet.room()
                    message = link.outbox.popleft()
                    fleet.send((message.topic, message.payload, False))
                link.wake.clear()
                if fleet.lost is not None:
                    raise ConnectionError(str(fleet.lost))
                await link.wake.wait()
        finally:
            link.unfinished = fleet.unfinished()


async def one_by_one(link: GatewayLink, address: BrokerAddress) -> None:
    """Publish what waits, each message a call of aiomqtt; returns when the connection breaks."""
    async with address.client(f"sim-{link.name}", in_flight=IN_FLIGHT, keepalive=30) as client:
        await client.subscribe(link.receipts, qos=0)
        end_if_cancelled()
        link.connected = True
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hear_receipts(client, link))
            tasks.create_task(publish_all(client, link))


async def publish_all(client: aiomqtt.Client, link: GatewayLink) -> None:
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
        link.acknowledged(1)

    async with asyncio.TaskGroup() as tasks:
        while True:
            while link.outbox:
                await window.acquire()
                tasks.create_task(publish(link.outbox.popleft()))
            link.wake.clear()
            await link.wake.wait()


async def hear_receipts(client: aiomqtt.Client, link: GatewayLink) -> None:
    """Take in the receipts until the connection breaks."""
    async for message in client.messages:
        link.hear(message.topic.value, message.payload)
