"""The broker configuration in `deploy/mosquitto` does what it says, in a real Mosquitto."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import aiomqtt
import pytest
from conftest import program
from contracts.mosquitto_server import MosquittoServer
from contracts.waiting import until

from ingest.collector import Collector
from ingest.devices import Registry
from ingest.journal import Journal, JournalReader
from ingest.settings import CollectorSettings, MqttSettings
from ingest.sources.mqtt5 import Mqtt5Source
from ingest.topics import FILTERS

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.anyio]
DEPLOYED = Path(__file__).parents[2] / "deploy" / "mosquitto"
USERS = ("collector-0", "d1", "d2", "network-server")
NOW_MS = 1_790_000_000_000


@pytest.fixture
def server(mosquitto: Path, tmp_path: Path, free_port: int) -> Generator[MosquittoServer]:
    folder = tmp_path / "mosquitto"
    (folder / "data").mkdir(parents=True)
    (folder / "acl").write_bytes((DEPLOYED / "acl").read_bytes())
    (folder / "passwords").touch()
    for user in USERS:
        subprocess.run(
            [program("mosquitto_passwd"), "-b", folder / "passwords", user, f"of-{user}"],
            check=True,
        )
    for name in ("acl", "passwords"):
        (folder / name).chmod(0o600)
    config = (DEPLOYED / "mosquitto.conf").read_text(encoding="utf-8")
    config = config.replace("/mosquitto/config/", f"{folder}/")
    config = config.replace("/mosquitto/data/", f"{folder / 'data'}/")
    config = config.replace("\nlistener 1883\n", f"\nlistener {free_port} 127.0.0.1\n")
    if os.geteuid() == 0:
        config += "user root\n"
    with MosquittoServer(mosquitto, folder, free_port, config) as running_server:
        yield running_server


def client(server: MosquittoServer, user: str, **more: object) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1",
        server.port,
        username=user,
        password=f"of-{user}",
        identifier=f"client-of-{user}",
        **more,  # type: ignore[arg-type]
    )


async def test_nobody_comes_in_without_a_name_or_with_a_wrong_password(
    server: MosquittoServer,
) -> None:
    with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori[sz]ed"):
        async with aiomqtt.Client("127.0.0.1", server.port):
            pass
    with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori[sz]ed"):
        async with aiomqtt.Client("127.0.0.1", server.port, username="d1", password="guess"):  # noqa: S106 - a wrong one
            pass


async def intrude(server: MosquittoServer, topic: str, body: bytes) -> None:
    """Publish as d1; Mosquitto may confirm and drop it, or hang up."""
    with contextlib.suppress(aiomqtt.MqttError):
        async with client(server, "d1") as d1:
            await d1.publish(topic, body, qos=1, timeout=5)


async def test_devices_reach_the_journal_on_their_own_topics_only_and_hear_their_receipt(
    server: MosquittoServer, tmp_path: Path
) -> None:
    journal = Journal(
        tmp_path / "journal.db", quota_bytes=10**8, now_ms=lambda: NOW_MS, min_free_bytes=0
    )
    reader = JournalReader(journal.path)
    source = Mqtt5Source(
        MqttSettings(
            port=server.port,
            client_id="collector-0",
            username="collector-0",
            password="of-collector-0",  # noqa: S106 - of a broker that lives for this test
            filters=FILTERS,
        )
    )
    everyone = Registry(enrol=True)
    collector = Collector(
        source,
        journal,
        registry=lambda: everyone,
        now_ms=lambda: NOW_MS,
        settings=CollectorSettings(receipts_s=0.05),
    )
    running = asyncio.create_task(collector.run())
    await until(lambda: source.status.connected)
    body = b'{"boot":1,"seq":0,"t":1790000000000,"v":1}'
    heard: list[tuple[str, bytes]] = []

    async def listen(device: aiomqtt.Client) -> None:
        async for message in device.messages:
            heard.append((str(message.topic), bytes(message.payload)))  # type: ignore[arg-type] # noqa: PERF401 - it is looked at meanwhile

    async with client(server, "d2") as d2:
        listening = [asyncio.create_task(listen(d2))]
        await d2.subscribe("ljusvakt/v1/g/d2/ack", qos=1)
        await d2.subscribe("ljusvakt/v1/+/+/power_w", qos=1)
        await d2.subscribe("application/#", qos=1)
        await intrude(server, "ljusvakt/v1/g/d1/power_w", body)  # its own: no intrusion
        for topic in ("g/d2/power_w", "g/d2/ack"):
            await intrude(server, f"ljusvakt/v1/{topic}", body)
        await intrude(server, "application/1/device/0102030405060708/event/up", b"{}")
        await d2.publish("ljusvakt/v1/g/d2/power_w", body, qos=1)
        await until(lambda: reader.counters().received >= 2)
        await until(lambda: bool(heard))
        await asyncio.sleep(0.3)
        assert heard == [("ljusvakt/v1/g/d2/ack", b'{"boot":1,"seq":0}')]
        assert sorted(reader.tail("power_w", 0, 2**60).device_ids) == ["d1", "d2"]
        assert reader.counters().received == 2
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
    await collector.stop()
    await running
    reader.close()
    journal.close()


async def test_what_is_slightly_too_large_passes_and_what_is_absurd_does_not(
    server: MosquittoServer,
) -> None:
    got: list[int] = []
    async with client(server, "collector-0") as collector, client(server, "d1") as d1:
        await collector.subscribe("ljusvakt/v1/+/+/+", qos=1)
        await d1.publish("ljusvakt/v1/g/d1/power_w", b"x" * 65_537, qos=1)
        async for message in collector.messages:
            got.append(len(message.payload))  # type: ignore[arg-type]
            break
        assert got == [65_537]
        with pytest.raises(aiomqtt.MqttError):  # hung up on, or never confirmed
            await d1.publish("ljusvakt/v1/g/d1/power_w", b"x" * 1_000_000, qos=1, timeout=2)


async def test_thousands_wait_for_a_collector_that_is_away_and_survive_a_restart(
    server: MosquittoServer,
) -> None:
    settings = MqttSettings(
        port=server.port,
        client_id="collector-0",
        username="collector-0",
        password="of-collector-0",  # noqa: S106 - of a broker that lives for this test
    )
    source = Mqtt5Source(settings)
    task = asyncio.create_task(source.run(lambda _: None))
    await until(lambda: source.status.connected)
    await source.stop()
    await task
    async with client(server, "d1", max_inflight_messages=500) as d1, asyncio.TaskGroup() as group:
        for i in range(3000):
            group.create_task(d1.publish("ljusvakt/v1/g/d1/power_w", b"%d" % i, qos=1))
    server.stop()
    server.start()
    got: set[bytes] = set()
    source = Mqtt5Source(settings)

    def take(messages) -> None:  # type: ignore[no-untyped-def]
        got.update(message[1] for message in messages)
        source.ack([message[4] for message in messages])

    task = asyncio.create_task(source.run(take))
    await until(lambda: len(got) >= 3000)
    await source.stop()
    await task
    assert got == {b"%d" % i for i in range(3000)}
