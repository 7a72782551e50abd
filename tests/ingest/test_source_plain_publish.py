"""Plain messages are read as the codec of another hand reads them, and nothing else is taken."""

import asyncio

import mqtt5
import numpy as np
import pytest
from contracts.source import Inbox
from contracts.streaming_server import StreamingServer
from hypothesis import given
from hypothesis import strategies as st

from ingest.settings import MqttSettings
from ingest.sources import Message
from ingest.sources.paho import PahoSource
from ingest.sources.plain_publish import packet_size, plain_publishes, rest_is_due

topics = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1,
                 max_size=200)  # fmt: skip
SIZES, WEIGHTS = [0, 10, 300, 17_000, 200_000], [0.3, 0.3, 0.3, 0.07, 0.03]
payloads = st.one_of(
    st.binary(max_size=300), st.integers(0, 20_000).map(lambda n: bytes(n % 251 for _ in range(n)))
)


def plain(topic: str, payload: bytes, packet_id: int, *, retain: bool = False) -> bytes:
    return mqtt5.PublishPacket(
        topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=packet_id, retain=retain
    ).write()


def of_311(packet: bytes) -> bytes:
    """The same without properties, of which there are none."""
    head = 1 + next(n for n in range(1, 5) if packet[n] < 0x80)
    topic = int.from_bytes(packet[head : head + 2], "big")
    body = packet[head : head + 4 + topic] + packet[head + 5 + topic :]
    size = len(body)
    length = bytearray()
    while True:
        size, low = divmod(size, 128)
        length.append(low | (0x80 if size else 0))
        if not size:
            return packet[:1] + bytes(length) + body


@given(
    st.lists(st.tuples(topics, payloads, st.integers(1, 0xFFFF), st.booleans()), max_size=8),
    st.booleans(),
    st.integers(0, 1 << 32),
    st.sampled_from(
        [
            b"",
            b"\xd0\x00",  # PINGRESP
            mqtt5.PublishPacket("a", b"quality 0").write(),
            plain("a", b"x" * 17_000, 1),
            plain("cut", b"off", 1)[:-1],
            b"\x32\x0b\x00\x03a\xff\xfe\x00\x01\x00bad",  # no text
            b"\x32\x07\x00\x01a\x00\x00\x00b",  # packet id 0
            b"\x32\x06\x00\x00\x00\x01\x00b",  # no topic
            b"\x32\x04\x00\x01a\x00",  # too short for its packet id
            b"\x32\x03\x00\x09a",  # too short for its topic
            b"\x34\x07\x00\x01a\x00\x01\x00b",  # quality 2
        ]
    ),
)
def test_plain_messages_are_taken_as_they_are_up_to_the_first_other_packet(
    sent: list[tuple[str, bytes, int, bool]], v5: bool, base: int, other: bytes
) -> None:
    packets = [
        plain(topic, body, packet_id, retain=retain) for topic, body, packet_id, retain in sent
    ]
    if not v5:
        packets = [of_311(packet) for packet in packets]
    expected: list[Message] = []
    for (topic, body, packet_id, retain), packet in zip(sent, packets, strict=True):
        if len(packet) > 3 + 0x3FFF:
            break  # a length of three bytes: such long ones are paho's
        expected.append((topic, body, 1, retain, base + packet_id))
    data = b"before" + b"".join(packets) + other
    messages: list[Message] = []
    at = plain_publishes(data, 6, properties=v5, base=base, messages=messages)
    assert messages == expected
    assert at == 6 + sum(len(packet) for packet in packets[: len(expected)])


@given(st.binary(max_size=60), st.booleans())
def test_no_bytes_do_worse_than_not_being_taken(data: bytes, v5: bool) -> None:
    messages: list[Message] = []
    at = plain_publishes(data, 0, properties=v5, base=0, messages=messages)
    assert 0 <= at <= len(data)
    assert (at > 0) == bool(messages)
    assert rest_is_due(data, at) >= 0


@given(topics, payloads, st.integers(1, 0xFFFF), st.data())
def test_the_size_of_a_packet_is_known_as_soon_as_its_head_is_there(
    topic: str, payload: bytes, packet_id: int, draw: st.DataObject
) -> None:
    packet = plain(topic, payload, packet_id)
    head = 1 + next(n for n in range(1, 5) if packet[n] < 0x80)
    seen = draw.draw(st.integers(0, len(packet)))
    assert packet_size(b"x" + packet[:seen], 1) == (len(packet) if seen >= head else 0)


def test_a_length_that_is_none_is_left_to_the_client_library_to_refuse() -> None:
    assert packet_size(b"\x30\xff\xff\xff\xff", 0) == 6
    assert packet_size(b"\x30\xff\xff\xff", 0) == 0


@pytest.mark.anyio
async def test_plain_and_other_messages_come_in_the_order_they_were_sent() -> None:
    """Properties, and sizes beyond what is plain and beyond what is read at once."""
    rng = np.random.default_rng(5)
    sent: list[tuple[str, bytes, int, bool]] = []
    stream: list[bytes] = []
    for number in range(1, 600):
        body = b"%d" % number + bytes(int(rng.choice(SIZES, p=WEIGHTS)))
        properties = [("k", "v")] if rng.random() < 0.2 else []
        topic = f"a/{number % 7}"
        sent.append((topic, body, 1, False))
        stream.append(
            mqtt5.PublishPacket(
                topic,
                body,
                qos=mqtt5.QoS.AT_LEAST_ONCE,
                packet_id=number,
                user_properties=properties,
            ).write()
        )
    async with StreamingServer(stream) as server:
        source = PahoSource(MqttSettings(port=server.port, client_id="mixed"))
        inbox = Inbox()
        task = asyncio.create_task(source.run(inbox.deliver))
        await inbox.until(lambda: len(inbox.messages) == len(sent))
        assert [message[:4] for message in inbox.messages] == sent
        source.ack(inbox.tokens)
        await asyncio.wait_for(server.done.wait(), 5)
        await source.stop()
        await asyncio.wait_for(task, 5)
