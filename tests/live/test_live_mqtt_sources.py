"""Both MQTT sources keep the promises of every source, against a real Mosquitto."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Generator, Sequence
from pathlib import Path

import aiomqtt
import pytest
from contracts.mosquitto_server import MosquittoServer
from contracts.source import TOPIC, SessionContract, numbers, running
from contracts.waiting import until

from ingest.settings import MqttSettings
from ingest.sources import Source
from ingest.sources.mqtt5 import Mqtt5Source
from ingest.sources.paho import PahoSource
from ingest.sources.session import Backoff, MqttSource

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture
def server(mosquitto: Path, tmp_path: Path, free_port: int) -> Generator[MosquittoServer]:
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port) as running_server:
        yield running_server


class MqttBench:
    def __init__(
        self, server: MosquittoServer, kind: type[MqttSource], protocol: str = "auto"
    ) -> None:
        self.server = server
        self.kind = kind
        self.settings = MqttSettings(
            port=server.port,
            client_id="contract",
            filters=("ljusvakt/v1/+/+/+",),
            protocol=protocol,
            receive_max=400,
        )

    def new_source(self) -> Source:
        return self.kind(self.settings, backoff=Backoff(first_s=0.01, cap_s=0.05))

    async def send(self, topic: str, payloads: Sequence[bytes], *, qos: int = 1) -> None:
        async with aiomqtt.Client("127.0.0.1", self.server.port) as client:
            for payload in payloads:
                await client.publish(topic, payload, qos=qos)

    async def reconnect(self, source: Source) -> None:
        before = source.status.connections
        assert isinstance(source, MqttSource)
        link = source._link
        assert link is not None
        link.cut()
        await until(lambda: source.status.connections > before and source.status.connected)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncGenerator[list[tuple[str, bytes]]]:
        heard: list[tuple[str, bytes]] = []
        async with aiomqtt.Client("127.0.0.1", self.server.port) as client:
            await client.subscribe("ljusvakt/v1/+/+/ack")

            async def listen() -> None:
                async for message in client.messages:
                    heard.append((str(message.topic), bytes(message.payload)))  # type: ignore[arg-type] # noqa: PERF401 - it is looked at meanwhile

            task = asyncio.create_task(listen())
            yield heard
            task.cancel()


class TestPahoOverMqtt5(SessionContract):
    @pytest.fixture
    def bench(self, server: MosquittoServer) -> MqttBench:
        return MqttBench(server, PahoSource)


class TestPahoOver311(SessionContract):
    # MQTT 3.1.1 has no noLocal.
    does_not_hear_itself = False

    @pytest.fixture
    def bench(self, server: MosquittoServer) -> MqttBench:
        return MqttBench(server, PahoSource, "3.1.1")


class TestMqtt5(SessionContract):
    @pytest.fixture
    def bench(self, server: MosquittoServer) -> MqttBench:
        return MqttBench(server, Mqtt5Source)


@pytest.fixture(params=[PahoSource, Mqtt5Source])
def kind(request: pytest.FixtureRequest) -> type[MqttSource]:
    chosen: type[MqttSource] = request.param
    return chosen


@pytest.mark.anyio
async def test_the_broker_sends_no_more_than_the_window_without_acknowledgement(
    server: MosquittoServer, kind: type[MqttSource]
) -> None:
    bench = MqttBench(server, kind)
    source = bench.new_source()
    async with running(source) as inbox:
        await bench.send(TOPIC, numbers(0, 600))
        await asyncio.sleep(0.3)
        assert len(inbox.messages) == 400
        source.ack(inbox.tokens)
        await inbox.until(lambda: len(inbox.messages) == 600)


@pytest.mark.anyio
async def test_a_broker_that_restarts_is_found_again_with_what_it_had_saved(
    server: MosquittoServer, kind: type[MqttSource]
) -> None:
    bench = MqttBench(server, kind)
    source = bench.new_source()
    async with running(source) as inbox:
        await bench.send(TOPIC, numbers(0, 5))
        await inbox.until(lambda: len(inbox.messages) == 5)
        server.stop()
        server.start()
        await inbox.until(lambda: len(inbox.messages) == 10)
        assert inbox.payloads[5:] == numbers(0, 5)
        await until(lambda: source.status.connections == 2)
        assert source.status.session_present
        assert source.status.sessions_lost == 0


@pytest.mark.anyio
async def test_two_with_one_id_throw_each_other_out_only_a_few_times(
    server: MosquittoServer, kind: type[MqttSource]
) -> None:
    # Mosquitto 2.0.11 closes the connection without saying that the session was taken over.
    bench = MqttBench(server, kind)
    sources = [bench.new_source(), bench.new_source()]
    tasks = [asyncio.create_task(source.run(lambda _: None)) for source in sources]
    await until(lambda: any(source.status.taken_over for source in sources))
    await asyncio.sleep(0.5)
    connections = sum(source.status.connections for source in sources)
    await asyncio.sleep(0.5)
    assert sum(source.status.connections for source in sources) == connections < 20
    for source, task in zip(sources, tasks, strict=True):
        await source.stop()
        await asyncio.wait_for(task, 5)


@pytest.mark.anyio
async def test_a_refused_password_is_told_and_not_tried_at_once_again(
    mosquitto: Path, tmp_path: Path, free_port: int, kind: type[MqttSource]
) -> None:
    config = f"listener {free_port} 127.0.0.1\nallow_anonymous false\n"
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    passwords.chmod(0o644)
    config += f"password_file {passwords}\n" + ("user root\n" if os.geteuid() == 0 else "")
    with MosquittoServer(mosquitto, tmp_path / "m", free_port, config) as guarded:
        source = kind(
            MqttSettings(port=free_port, username="a", password="secret-word"),  # noqa: S106 - that it does not show is the test
            backoff=Backoff(first_s=0.01, cap_s=30),
        )
        task = asyncio.create_task(source.run(lambda _: None))
        await until(lambda: source.status.last_error)
        await asyncio.sleep(0.3)  # thirty of the pauses it makes when a connection is lost
        assert guarded.said().count("not authorised") == 1, guarded.said()
        assert source.status.connections == 0
        assert "refused" in source.status.last_error
        assert "secret-word" not in source.status.last_error
        await source.stop()
        await asyncio.wait_for(task, 5)


@pytest.mark.anyio
async def test_a_broker_that_has_forgotten_everything_is_subscribed_to_again_and_it_is_counted(
    mosquitto: Path, tmp_path: Path, free_port: int, kind: type[MqttSource]
) -> None:
    config = f"listener {free_port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
    with MosquittoServer(mosquitto, tmp_path / "m", free_port, config) as forgetful:
        bench = MqttBench(forgetful, kind)
        source = bench.new_source()
        async with running(source) as inbox:
            forgetful.kill()
            forgetful.start()
            await until(lambda: source.status.connections == 2)
            assert source.status.sessions_lost == 1
            await bench.send(TOPIC, [b"after"])
            await inbox.until(lambda: inbox.payloads == [b"after"])
