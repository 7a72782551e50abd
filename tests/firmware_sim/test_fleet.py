"""The sender of many messages, against a broker that answers as slowly as a test says."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from amqtt.adapters import BufferReader
from amqtt.mqtt.publish import PublishPacket

from firmware_sim.errors import PublishError
from firmware_sim.fleet import Outgoing, fleet, publish_packet
from firmware_sim.publishing import BrokerAddress, publish_messages

pytestmark = pytest.mark.anyio
CONNACK, SUBACK = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x00"


@dataclass
class Broker:
    """A broker of a few lines: keeps what it is sent, and acknowledges when it may.

    Attributes
    ----------
    connack : bytes
    mute_after : int
        Acknowledges so many messages of a connection and then hangs up.
    """

    connack: bytes = CONNACK
    mute_after: int = 10**9
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    first: asyncio.Event = field(default_factory=asyncio.Event)
    heard: list[tuple[str, bytes, int]] = field(default_factory=list)
    connections: int = 0
    greeting: bytes = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        acknowledged = 0
        try:
            while True:
                first = (await reader.readexactly(1))[0]
                body = await reader.readexactly(await remaining(reader))
                if first >> 4 == 1:
                    writer.write(self.connack)
                elif first >> 4 == 8:
                    writer.write(SUBACK + self.greeting)
                elif first >> 4 == 3:
                    size = int.from_bytes(body[:2], "big")
                    packet_id = body[2 + size : 4 + size]
                    self.heard.append(
                        (
                            body[2 : 2 + size].decode(),
                            body[4 + size :],
                            int.from_bytes(packet_id, "big"),
                        )
                    )
                    self.first.set()
                    await self.answering.wait()
                    if acknowledged >= self.mute_after:
                        self.mute_after = 10**9
                        return
                    acknowledged += 1
                    writer.write(b"\x40\x02" + packet_id)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


async def remaining(reader: asyncio.StreamReader) -> int:
    size = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return size


@asynccontextmanager
async def listening(broker: Broker) -> AsyncGenerator[BrokerAddress]:
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    try:
        yield BrokerAddress("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def pieces(messages: list[Outgoing], size: int = 7) -> AsyncIterator[list[Outgoing]]:
    for at in range(0, len(messages), size):
        yield messages[at : at + size]


def numbered(count: int) -> list[Outgoing]:
    return [(f"t/{k}", b"x" * (k % 300), False) for k in range(count)]


@pytest.mark.parametrize("size", [0, 1, 100, 128, 16_384, 60_000])
async def test_another_codec_reads_what_is_published(size: int) -> None:
    packet = publish_packet(("ljusvakt/v1/å/L-1/readings", b"\x00" * size, True), 65_535)
    read = await PublishPacket.from_stream(BufferReader(packet))

    assert read.topic_name == "ljusvakt/v1/å/L-1/readings"
    assert read.data == b"\x00" * size
    assert read.packet_id == 65_535
    assert (read.qos, read.retain_flag, read.dup_flag) == (1, True, False)


async def test_no_more_wait_than_the_window_allows() -> None:
    broker = Broker()
    async with listening(broker) as address:
        sending = asyncio.create_task(publish_messages(pieces(numbered(5_000)), address))
        await broker.first.wait()
        held_back = not sending.done()
        broker.answering.set()
        counts = await sending

    assert held_back
    assert counts.acknowledged == counts.sent == 5_000
    assert [topic for topic, _, _ in broker.heard] == [f"t/{k}" for k in range(5_000)]


async def test_the_window_is_never_passed() -> None:
    broker = Broker()
    most = 0
    async with (
        listening(broker) as address,
        fleet(address.host, address.port, "one", window=10) as link,
    ):
        broker.answering.set()
        for message in numbered(300):
            await link.room()
            link.send(message)
            most = max(most, link.in_flight)
        await link.settled()

    assert most == 10
    assert len(broker.heard) == 300


async def test_what_was_not_acknowledged_is_sent_on_the_next_connection() -> None:
    broker = Broker(mute_after=40)
    broker.answering.set()
    async with listening(broker) as address:
        counts = await publish_messages(pieces(numbered(500)), address)
    topics = [topic for topic, _, _ in broker.heard]

    assert (counts.acknowledged, counts.reconnects, broker.connections) == (500, 1, 2)
    assert set(topics) == {f"t/{k}" for k in range(500)}
    assert len(topics) < 1_000


async def test_packet_ids_come_round_and_none_is_used_twice_at_once() -> None:
    broker = Broker()
    broker.answering.set()
    async with listening(broker) as address:
        await publish_messages(pieces([("t", b"", False)] * 66_000, 1000), address)
    ids = [packet_id for _, _, packet_id in broker.heard]

    assert min(ids) == 1
    assert max(ids) == 65_535
    assert ids[65_535] == 1


@pytest.mark.parametrize(
    ("reason", "words"), [(4, "bad user name"), (5, "not authorised"), (77, "77")]
)
async def test_a_refusal_is_said_and_not_tried_again(reason: int, words: str) -> None:
    broker = Broker(connack=bytes((0x20, 2, 0, reason)))
    async with listening(broker) as address:
        with pytest.raises(PublishError, match=words):
            await publish_messages(pieces(numbered(1)), address)

    assert broker.connections == 1


async def test_receipts_come_in_beside_acknowledgements() -> None:
    broker = Broker(greeting=b"\x30\x07\x00\x03ackhi\x40\x02\x00\x01"[:9] + b"\x40\x02\xff\xff")
    broker.answering.set()
    heard: list[tuple[str, bytes]] = []
    async with (
        listening(broker) as address,
        fleet(
            address.host, address.port, "one", filters=["ack"],
            on_message=lambda topic, payload: heard.append((topic, payload)),
        ) as link,
    ):  # fmt: skip
        link.send(("t", b"", False))
        await link.settled()

    assert heard == [("ack", b"hi")]


async def test_a_broker_that_hangs_up_is_told_at_once() -> None:
    broker = Broker(mute_after=0)
    broker.answering.set()
    lost = asyncio.Event()
    async with listening(broker) as address, address.fleet("one", on_lost=lost.set) as link:
        link.send(("t", b"", False))
        with pytest.raises(ConnectionError):
            await link.settled()

    assert lost.is_set()
    assert link.unfinished() == [("t", b"", False)]
