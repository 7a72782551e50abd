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
    """An authority, a broker named localhost and a collector, both also expired, and nobody's."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "nobody"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", f"/CN={name}",
                "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")  # fmt: skip
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost\n")
    for name, days in (("broker", 2), ("collector", 2), ("old-broker", -1), ("old-collector", -1)):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-days", days, "-in", folder / f"{name}.csr",
                "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial",
                "-extfile", extensions, "-out", folder / f"{name}.pem")  # fmt: skip
    return folder


@pytest.fixture(params=["broker"])
def server(
    mosquitto: Path,
    tmp_path: Path,
    free_port: int,
    certificates: Path,
    request: pytest.FixtureRequest,
) -> Generator[MosquittoServer]:
    """With the certificate that the parameter names."""
    config = f"""
listener {free_port} 127.0.0.1
cafile {certificates}/ca.pem
certfile {certificates}/{request.param}.pem
keyfile {certificates}/{request.param}.key
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
    if not own:
        return TlsSettings(ca_file=certificates / f"{ca}.pem")
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


WRONG = {
    "theirs has expired": (
        ("old-broker", "localhost", "ca", "collector"),
        "the certificate of the broker localhost:{port} has expired: renew it there",
    ),
    "ours has expired": (
        ("broker", "localhost", "ca", "old-collector"),
        (
            "our certificate {folder}/old-collector.pem or the broker's list of revoked ones has "
            "expired, says the broker: renew it, or set the clocks right"
        ),
    ),
    "unknown authority": (
        ("broker", "localhost", "nobody", "collector"),
        (
            "the certificate of the broker localhost:{port} is signed by nobody in "
            "{folder}/nobody.pem: set broker.ca_file to the certificate of its authority"
        ),
    ),
    "another name": (
        ("broker", "127.0.0.1", "ca", "collector"),
        (
            "the certificate of the broker 127.0.0.1:{port} is made out to another name: "
            "set broker.url to a name that stands in it"
        ),
    ),
    "ours is nobody's": (
        ("broker", "localhost", "ca", "nobody"),
        (
            "our certificate {folder}/nobody.pem is not accepted by the broker: "
            "have it signed by an authority it knows"
        ),
    ),
    "we have none": (
        ("broker", "localhost", "ca", ""),
        (
            "the broker asks for a certificate of ours: set broker.certificate_file and "
            "broker.key_file"
        ),
    ),
}
"""The broker's certificate, by which name, trusting whom, with which of ours; and what is said."""


# paho-mqtt leaves a socket to the garbage collector when the handshake fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("server", "host", "ca", "own", "told"),
    [(*which, told) for which, told in WRONG.values()],
    ids=list(WRONG),
    indirect=["server"],
)
async def test_a_wrong_certificate_is_refused_and_said_in_a_line_with_the_remedy(
    server: MosquittoServer,
    certificates: Path,
    kind: type[MqttSource],
    host: str,
    ca: str,
    own: str,
    told: str,
) -> None:
    source = kind(
        MqttSettings(host=host, port=server.port, tls=tls(certificates, ca=ca, own=own)),
        backoff=Backoff(first_s=5.0),
    )
    task = asyncio.create_task(source.run(lambda _: None))
    await until(lambda: bool(source.status.last_error))
    assert source.status.connections == 0
    _, _, said = source.status.last_error.partition(": ")
    assert said == told.format(port=server.port, folder=certificates)
    await source.stop()
    await asyncio.wait_for(task, 10)
