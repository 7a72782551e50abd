"""The broker that is found or started here, and ended with us whatever happens."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import aiomqtt
import pytest
from contracts.source import Inbox
from contracts.waiting import until

from ingest import broker as broker_module
from ingest.broker import find_mosquitto, mosquitto_config, open_broker
from ingest.errors import BrokerError, SettingsError
from ingest.settings import MqttSettings
from ingest.sources.mqtt5 import Mqtt5Source

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.anyio]

STARTER = """
import asyncio, sys, threading
from pathlib import Path
from ingest.broker import open_broker

async def main():
    broker = await open_broker("mosquitto", Path(sys.argv[1]), port=0)
    print("listens on", broker.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def start(folder: Path) -> subprocess.Popen[str]:
    """A process that starts a broker and does nothing more."""
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder)], stdout=subprocess.PIPE, text=True
    )


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _silent(port: int) -> bool:
    return not answers(port)


async def test_auto_is_mosquitto_where_there_is_one_and_it_keeps_what_waits(
    mosquitto: Path, tmp_path: Path
) -> None:
    assert find_mosquitto() == mosquitto
    folder = tmp_path / "a broker in åäö"
    payloads: list[list[bytes]] = []
    for acknowledge in (False, True):
        broker = await open_broker("auto", folder, port=0)
        assert (broker.kind, broker.limits) == ("mosquitto", ())
        source = Mqtt5Source(
            MqttSettings(port=broker.port, client_id="c", filters=("a/#",), protocol="5")
        )
        inbox = Inbox()
        task = asyncio.create_task(source.run(inbox.deliver))
        await until(lambda source=source: source.status.connected)  # type: ignore[misc]
        if not acknowledge:
            async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                await client.publish("a/b", b"confirmed", qos=1)
        await inbox.until(lambda inbox=inbox: b"confirmed" in inbox.payloads)  # type: ignore[misc]
        payloads.append(inbox.payloads)
        if acknowledge:
            source.ack(inbox.tokens)
        await source.stop()
        await task
        await broker.stop()
        assert not answers(broker.port)
    assert payloads[1] == [b"confirmed"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
@pytest.mark.usefixtures("mosquitto")
async def test_what_was_started_ends_with_us(tmp_path: Path, how: signal.Signals) -> None:
    starter = start(tmp_path)
    assert starter.stdout is not None
    port = next(int(line.split()[-1]) for line in starter.stdout if line.startswith("listens on"))
    assert answers(port)
    starter.send_signal(how)
    starter.wait(10)
    starter.stdout.close()
    await until(partial(_silent, port))
    # It was ended in order: what it held is saved.
    saved = tmp_path / "mosquitto.db"
    await until(saved.exists, within_s=5)
    assert saved.stat().st_size > 0


@pytest.mark.usefixtures("mosquitto")
async def test_the_broker_ends_also_when_its_guard_is_killed(tmp_path: Path) -> None:
    broker = await open_broker("mosquitto", tmp_path, port=0)
    assert broker.pid is not None
    assert answers(broker.port)
    os.kill(broker.pid, signal.SIGKILL)
    await until(partial(_silent, broker.port))
    await broker.stop()
    assert not answers(broker.port)


async def test_a_port_that_is_taken_is_told_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} .* broker_port"):
            await open_broker("auto", tmp_path, port=port)


@pytest.mark.usefixtures("mosquitto")
async def test_a_broker_that_does_not_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "mosquitto_config", lambda *_: "no_such_setting true\n")
    began_s = time.monotonic()
    with pytest.raises(BrokerError, match=r"no_such_setting|mosquitto\.conf|log"):
        await open_broker("mosquitto", tmp_path, port=0)
    assert time.monotonic() - began_s < 5


async def test_without_mosquitto_it_is_amqtt_and_its_limits_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "find_mosquitto", lambda: None)
    with pytest.raises(BrokerError, match="apt-get install mosquitto"):
        await open_broker("mosquitto", tmp_path, port=0)
    broker = await open_broker("auto", tmp_path, port=0)
    assert (broker.kind, broker.protocol) == ("amqtt", "3.1.1")
    assert any("no-loss" in limit for limit in broker.limits)
    source = Mqtt5Source(MqttSettings(port=broker.port, protocol=broker.protocol))
    task = asyncio.create_task(source.run(lambda _: None))
    await until(lambda: source.status.connected)
    await source.stop()
    await task
    await broker.stop()


async def test_another_broker_is_only_named(tmp_path: Path) -> None:
    broker = await open_broker("mqtts://broker.example", tmp_path)
    assert (broker.kind, broker.host, broker.port, broker.tls) == (
        "external",
        "broker.example",
        8883,
        True,
    )
    await broker.stop()
    with pytest.raises(SettingsError, match="auto, mosquitto, amqtt"):
        await open_broker("rabbit", tmp_path)


def test_the_configuration_names_what_could_lose_messages(tmp_path: Path) -> None:
    config = mosquitto_config(tmp_path, 1884).splitlines()
    for line in (
        "listener 1884 127.0.0.1",
        "persistence true",
        "autosave_interval 1",
        "max_queued_messages 0",
        "max_inflight_messages 0",
    ):
        assert line in config
