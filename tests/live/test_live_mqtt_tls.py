"""TLS: the broker is known, we are known, and nothing stalls."""

import asyncio
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import aiomqtt
import pytest
from conftest import program
from contracts.mosquitto_server import MosquittoServer
from contracts.source import Inbox
from contracts.waiting import until

from ingest.settings import MqttSettings, TlsSettings
from ingest.sources.mqtt5 import Mqtt5Source
from ingest.sources.paho import PahoSource
from ingest.sources.session import Backoff, MqttSource

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.anyio]


def openssl(*args: object) -> None:
    subprocess.run([program("openssl"), *map(str, args)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority, a broker named localhost, a collector, and one of nobody's."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "nobody"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", f"/CN={name}",
                "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")  # fmt: skip
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost\n")
    for name in ("broker", "collector"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-days", 2, "-in", folder / f"{name}.csr", "-CA", folder / "ca.pem",
                "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile", extensions,
                "-out", folder / f"{name}.pem")  # fmt: skip
    return folder


@pytest.fixture
def server(
    mosquitto: Path, tmp_path: Path, free_port: int, certificates: Path
) -> Generator[MosquittoServer]:
    config = f"""
listener {free_port} 127.0.0.1
cafile {certificates}/ca.pem
certfile {certificates}/broker.pem
keyfile {certificates}/broker.key
require_certificate true
use_identity_as_username true
max_inflight_messages 0
max_queued_messages 0
"""
    if os.geteuid() == 0:
        config += "user root\n"
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port, config) as running_server:
        yield running_server


@pytest.fixture(params=[PahoSource, Mqtt5Source])
def kind(request: pytest.FixtureRequest) -> type[MqttSource]:
    chosen: type[MqttSource] = request.param
    return chosen


def tls(certificates: Path, *, ca: str = "ca", own: str = "collector") -> TlsSettings:
    return TlsSettings(
        ca_file=certificates / f"{ca}.pem",
        cert_file=certificates / f"{own}.pem",
        key_file=certificates / f"{own}.key",
    )


async def test_thousands_of_messages_come_through_tls_without_a_stall(
    server: MosquittoServer, certificates: Path, kind: type[MqttSource]
) -> None:
    source = kind(
        MqttSettings(host="localhost", port=server.port, filters=("a/#",), tls=tls(certificates))
    )
    inbox = Inbox()

    def take(messages) -> None:  # type: ignore[no-untyped-def]
        inbox.deliver(messages)
        source.ack([message[4] for message in messages])

    task = asyncio.create_task(source.run(take))
    await until(lambda: source.status.connected)
    params = aiomqtt.TLSParameters(
        ca_certs=str(certificates / "ca.pem"),
        certfile=str(certificates / "collector.pem"),
        keyfile=str(certificates / "collector.key"),
    )
    n = 20_000 if os.environ.get("LJUSVAKT_LONG") == "1" else 4000
    async with (
        aiomqtt.Client(
            "localhost", server.port, tls_params=params, max_inflight_messages=500
        ) as client,
        asyncio.TaskGroup() as group,
    ):
        window = asyncio.Semaphore(500)
        for i in range(n):
            await window.acquire()
            one = group.create_task(client.publish("a/b", b"%d" % i * 40, qos=1, timeout=60))
            one.add_done_callback(lambda _: window.release())
    await inbox.until(lambda: len(set(inbox.payloads)) == n, within_s=60)
    assert source.status.connections == 1
    await source.stop()
    await task


# paho-mqtt leaves a socket to the garbage collector when the handshake fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("host", "ca", "own"),
    [("localhost", "nobody", "collector"), ("127.0.0.1", "ca", "collector"),
     ("localhost", "ca", "nobody")],
    ids=["unknown authority", "another name", "our certificate is nobody's"],
)  # fmt: skip
async def test_a_wrong_certificate_is_refused_and_said(
    server: MosquittoServer,
    certificates: Path,
    kind: type[MqttSource],
    host: str,
    ca: str,
    own: str,
) -> None:
    source = kind(
        MqttSettings(host=host, port=server.port, tls=tls(certificates, ca=ca, own=own)),
        backoff=Backoff(first_s=5.0),
    )
    task = asyncio.create_task(source.run(lambda _: None))
    await until(lambda: bool(source.status.last_error))
    assert source.status.connections == 0
    await source.stop()
    await asyncio.wait_for(task, 10)
