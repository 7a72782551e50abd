"""Revoked certificates, the broker's and the devices', with a real Mosquitto."""

import asyncio
import os
import re
import signal
import ssl
from collections.abc import Generator
from pathlib import Path

import pytest
from contracts.authority import Authority
from contracts.mosquitto_server import MosquittoServer
from contracts.waiting import until

from firmware_sim.fleet import fleet
from ingest.settings import MqttSettings, TlsSettings
from ingest.sources.mqtt5 import Mqtt5Source
from ingest.sources.paho import PahoSource
from ingest.sources.session import Backoff, MqttSource

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.anyio]
# paho-mqtt leaves a socket to the garbage collector when the handshake fails.
left_behind = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
DEPLOYED = Path(__file__).parents[2] / "deploy" / "mosquitto"
OF_TLS = r"^# (listener 8883|cafile|certfile|keyfile|tls_version|require_|use_identity|crlfile)"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """It has certified a broker, a collector and two devices."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    authority = Authority(folder)
    for name in ("server", "collector-0", "d1", "d2"):
        authority.certify(name)
    return authority


@pytest.fixture
def server(
    mosquitto: Path, tmp_path: Path, free_port: int, authority: Authority
) -> Generator[MosquittoServer]:
    """As deployed, with what stands there, commented, of TLS and certificates for devices."""
    folder = tmp_path / "mosquitto"
    (folder / "data").mkdir(parents=True)
    for name, content in (("acl", (DEPLOYED / "acl").read_bytes()), ("passwords", b"")):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    authority.write_list(authority.folder / "revoked.pem", "d2")
    config = (DEPLOYED / "mosquitto.conf").read_text(encoding="utf-8")
    config = re.sub(OF_TLS, r"\1", config, flags=re.MULTILINE)
    config = config.replace("\nlistener 1883\n", "\n")
    config = config.replace("listener 8883", f"listener {free_port} 127.0.0.1")
    for name in ("acl", "passwords"):
        config = config.replace(f"/mosquitto/config/{name}", f"{folder}/{name}")
    config = config.replace("/mosquitto/config/", f"{authority.folder}/")
    config = config.replace("/mosquitto/data/", f"{folder / 'data'}/")
    if os.geteuid() == 0:
        config += "user root\n"
    with MosquittoServer(mosquitto, folder, free_port, config) as running_server:
        yield running_server


@pytest.fixture(params=[PahoSource, Mqtt5Source])
def source(
    request: pytest.FixtureRequest, server: MosquittoServer, authority: Authority
) -> MqttSource:
    """It holds a list in which nobody stands."""
    crl_file = authority.write_list(authority.folder / "of-the-city.pem")
    tls = TlsSettings(
        ca_file=authority.file,
        crl_file=crl_file,
        cert_file=authority.folder / "collector-0.pem",
        key_file=authority.folder / "collector-0.key",
    )
    kind: type[MqttSource] = request.param
    return kind(
        MqttSettings(host="localhost", port=server.port, client_id="collector-0", tls=tls),
        backoff=Backoff(first_s=0.1, cap_s=0.2),
    )


def its_list(source: MqttSource) -> Path:
    assert source.settings.tls is not None
    assert source.settings.tls.crl_file is not None
    return source.settings.tls.crl_file


async def said(source: MqttSource, text: str) -> None:
    """Wait until the reason it gives for having no connection ends in this."""
    try:
        await until(lambda: source.status.last_error.endswith(text), 10)
    except TimeoutError:
        assert source.status.last_error == text
    assert not source.status.connected


@left_behind
async def test_a_broker_whose_certificate_is_revoked_is_refused_and_trusted_again_with_a_new_one(
    source: MqttSource, server: MosquittoServer, authority: Authority
) -> None:
    whose = f"the certificate of the broker localhost:{server.port}"
    path = its_list(source)
    task = asyncio.create_task(source.run(lambda _: None))
    await until(lambda: source.status.connected, 10)

    # The list is renewed while the collector runs, as is usual every day.
    authority.write_list(path, "server")
    server.stop()
    server.start()
    await said(
        source, f"{whose} was revoked by its authority: trust it no more, give the broker a new one"
    )
    path.write_bytes(b"half a li")
    await said(source, "openssl crl -inform DER -in FILE -out FILE.pem")
    authority.write_list(path, expired=True)
    await said(
        source,
        f"{whose} cannot be checked: "
        f"the list in {path} is out of date: fetch the newest from its authority",
    )
    Authority(authority.folder, "another").write_list(path)
    await said(
        source,
        f"{whose} cannot be checked: {path} holds no list of its authority: "
        "set broker.crl_file to the list of the authority that signed it",
    )
    authority.write_list(path)
    await until(lambda: source.status.connected, 10)
    assert source.status.connections == 2
    await source.stop()
    await asyncio.wait_for(task, 10)


async def comes_in(server: MosquittoServer, authority: Authority, name: str) -> bool:
    """Whether the broker confirms a message of this device."""
    context = ssl.create_default_context(cafile=authority.file)
    context.load_cert_chain(authority.folder / f"{name}.pem", authority.folder / f"{name}.key")
    try:
        async with fleet("localhost", server.port, name, tls=context) as one:
            one.send((f"ljusvakt/v1/g/{name}/power_w", b"{}", False))
            await one.settled()
    except ConnectionError:
        return False
    return True


@left_behind
async def test_a_device_whose_certificate_is_revoked_is_refused_by_the_deployed_broker(
    server: MosquittoServer, authority: Authority
) -> None:
    assert await comes_in(server, authority, "d1")
    assert not await comes_in(server, authority, "d2")
    path = authority.write_list(authority.folder / "revoked.pem", "d1", "d2")
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(10):
        while await comes_in(server, authority, "d1"):
            pass
    # With a list that is out of date nobody comes in.
    for renewed, come in (
        (lambda: authority.write_list(path), {"d1", "d2"}),
        (lambda: authority.write_list(path, "d1"), {"d2"}),
        (lambda: authority.write_list(path, expired=True), set()),
    ):
        renewed()
        server.stop()
        server.start()
        names = ("d1", "d2")
        assert {name for name in names if await comes_in(server, authority, name)} == come


@left_behind
async def test_a_collector_whose_certificate_is_revoked_says_so(
    source: MqttSource, server: MosquittoServer, authority: Authority
) -> None:
    authority.write_list(authority.folder / "revoked.pem", "collector-0")
    server.stop()
    server.start()
    task = asyncio.create_task(source.run(lambda _: None))
    await said(
        source,
        f"our certificate {authority.folder}/collector-0.pem was revoked, says the broker: "
        "get a new one from its authority",
    )
    await source.stop()
    await asyncio.wait_for(task, 10)
