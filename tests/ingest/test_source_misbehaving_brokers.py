"""Brokers that refuse, hang, throw out or send nonsense."""

import asyncio
import ssl
from pathlib import Path

import mqtt5
import pytest
from contracts.source import Inbox
from contracts.streaming_server import StreamingServer, serving
from contracts.waiting import until

from ingest.errors import SettingsError
from ingest.settings import MqttSettings, TlsSettings, parse_broker
from ingest.sources.mqtt5 import Mqtt5Source
from ingest.sources.paho import PahoSource
from ingest.sources.session import Backoff, MqttSource
from ingest.sources.tls import tls_context


@pytest.fixture(params=[PahoSource, Mqtt5Source])
def kind(request: pytest.FixtureRequest) -> type[MqttSource]:
    chosen: type[MqttSource] = request.param
    return chosen


def settings(port: int, **changes: object) -> MqttSettings:
    return MqttSettings(port=port, client_id="misbehaving", **changes)  # type: ignore[arg-type]


async def welcome_in_311(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """CONNACK to the rest of a CONNECT, SUBACK to the SUBSCRIBE that follows."""
    await reader.read(100)
    writer.write(b"\x20\x02\x00\x00")
    subscribe = await reader.read(200)
    writer.write(b"\x90\x07" + subscribe[2:4] + b"\x01" * 5)


@pytest.mark.anyio
async def test_a_session_taken_over_is_an_alarm_and_a_long_wait(kind: type[MqttSource]) -> None:
    goodbye = mqtt5.DisconnectPacket(
        reason_code=mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER
    ).write()
    async with StreamingServer(ending=goodbye) as server:
        source = kind(settings(server.port), backoff=Backoff(first_s=0.01))
        task = asyncio.create_task(source.run(lambda _: None))
        await until(lambda: source.status.taken_over == 1)
        await asyncio.sleep(0.3)
        assert server.connections == 1
        assert "taken over" in source.status.last_error.lower()
        await source.stop()
        await asyncio.wait_for(task, 5)


@pytest.mark.anyio
@pytest.mark.slow
async def test_a_broker_that_hangs_on_mqtt_5_is_asked_in_311(kind: type[MqttSource]) -> None:
    versions: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(9)
        versions.append(head[8])
        if versions[-1] == 4:
            await welcome_in_311(reader, writer)
        await reader.read()

    async with serving(serve) as port:
        source = kind(settings(port, connack_timeout_s=0.5))
        task = asyncio.create_task(source.run(lambda _: None))
        await until(lambda: source.status.connected, within_s=1.5)
        assert versions == [5, 4]
        assert source.status.protocol == "3.1.1"
        await source.stop()
        await asyncio.wait_for(task, 5)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b""],
    ids=["refused as 3.1.1 does", "refused as 5 does", "hangs up"],
)
async def test_a_broker_that_refuses_mqtt_5_is_asked_in_311(
    kind: type[MqttSource], answer: bytes
) -> None:
    versions: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(9)
        versions.append(head[8])
        if head[8] == 5:
            writer.write(answer)
            await writer.drain()
            writer.close()
        else:
            await welcome_in_311(reader, writer)
            await reader.read()

    async with serving(serve) as port:
        source = kind(settings(port), backoff=Backoff(first_s=0.01))
        task = asyncio.create_task(source.run(lambda _: None))
        await until(lambda: source.status.connected, within_s=3)
        assert versions == [5, 4]
        await source.stop()
        await asyncio.wait_for(task, 5)


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_topic_that_is_no_text_arrives_as_such_and_can_be_acknowledged(
    kind: type[MqttSource],
) -> None:
    good = mqtt5.PublishPacket("a/b", b"good", qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=2).write()
    poison = b"\x32\x0b\x00\x03a\xff\xfe\x00\x01\x00bad"
    async with StreamingServer([poison, good]) as server:
        source = kind(settings(server.port))
        inbox = Inbox()
        task = asyncio.create_task(source.run(inbox.deliver))
        await inbox.until(lambda: len(inbox.messages) == 2)
        assert [message[:4] for message in inbox.messages] == [
            ("\N{REPLACEMENT CHARACTER}", b"bad", 1, False),
            ("a/b", b"good", 1, False),
        ]
        source.ack(inbox.tokens)
        await asyncio.wait_for(server.done.wait(), 5)
        await source.stop()
        await asyncio.wait_for(task, 5)


@pytest.mark.anyio
async def test_nonsense_ends_the_connection_and_nothing_else() -> None:
    async with StreamingServer(ending=b"\xff\xff\xff\xff\xff\xff\xff") as server:
        source = Mqtt5Source(settings(server.port), backoff=Backoff(first_s=0.1, cap_s=0.1))
        task = asyncio.create_task(source.run(lambda _: None))
        # A connection that stands again clears it, until it breaks for the same reason.
        await until(lambda: "no MQTT 5" in source.status.last_error)
        await until(lambda: server.connections >= 3)
        assert not task.done()
        await source.stop()
        await asyncio.wait_for(task, 5)


@pytest.mark.anyio
async def test_packets_may_be_cut_anywhere() -> None:
    packets = b"".join(
        mqtt5.PublishPacket(
            "ljusvakt/v1/g/d/power_w", b"%d" % i * 70, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=i
        ).write()
        for i in range(1, 20)
    )
    for size in (1, 2, 3, 7, 64, 129, len(packets)):
        source = Mqtt5Source(settings(1))
        inbox = Inbox()
        link = source._make_link("5", inbox.deliver)
        for at in range(0, len(packets), size):
            link.data_received(packets[at : at + size])  # type: ignore[attr-defined]
        assert inbox.payloads == [b"%d" % i * 70 for i in range(1, 20)]


def test_waits_grow_to_the_cap_and_are_drawn_from_all_of_it() -> None:
    longest: list[float] = []

    def draw(low: float, high: float) -> float:
        assert low == 0.0
        longest.append(high)
        return high / 2

    backoff = Backoff(first_s=1.0, cap_s=60.0, draw=draw)
    assert [backoff.next_s() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert longest == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_a_broker_address_is_read_or_refused_with_the_reason() -> None:
    assert parse_broker("mqtt://broker.example") == ("broker.example", 1883, False)
    assert parse_broker("mqtts://broker.example:8884") == ("broker.example", 8884, True)
    assert parse_broker("mqtt://[::1]:1884/") == ("::1", 1884, False)
    for wrong in ("http://a", "mqtt://", "mqtt://a:port", "mqtt://user:secret@a", "broker"):
        with pytest.raises(SettingsError) as told:
            parse_broker(wrong)
        assert "secret" not in str(told.value)


def test_tls_checks_names_and_refuses_old_versions(tmp_path: Path) -> None:
    context = tls_context(TlsSettings())
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    with pytest.raises(SettingsError, match="ca_file"):
        tls_context(TlsSettings(ca_file=tmp_path / "none.pem"))
