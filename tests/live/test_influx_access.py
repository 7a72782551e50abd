"""Who we are to InfluxDB, and how its settings in deploy/ hold up."""

import base64
import contextlib
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts.influx_server import InfluxServer, RewritingProxy
from contracts.series_store import columns_of, rows_of

from ingest.errors import SettingsError, StoreAwayError, StoreDeniedError
from ingest.reading import Quantity
from ingest.stores.influx import InfluxStore, InfluxTarget

pytestmark = pytest.mark.live

DEPLOY = Path(__file__).parents[2] / "deploy" / "influxdb"
NOW_MS = 1_770_000_000_000
ROWS = [("L-1", NOW_MS, 31.0, NOW_MS, 0)]


def deployed(program: Path, folder: Path) -> InfluxServer:
    """A server with the settings of deploy/influxdb, in a folder of its own."""
    text = (DEPLOY / "influxdb.conf").read_text()
    text = text.replace("{", "{{").replace("}", "}}")
    for given, ours in [
        ("/var/lib/influxdb", "{folder}"),
        ("127.0.0.1:8088", "127.0.0.1:{rpc}"),
        ("127.0.0.1:8086", "127.0.0.1:{port}"),
    ]:
        assert given in text
        text = text.replace(given, ours)
    server = InfluxServer(program, folder, config=text)
    server.start()
    return server


def ask(server: InfluxServer, text: str, credentials: str = "") -> str:
    request = urllib.request.Request(
        f"{server.url}/query", urllib.parse.urlencode({"q": text}).encode()
    )
    if credentials:
        known = base64.b64encode(credentials.encode()).decode()
        request.add_header("Authorization", f"Basic {known}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def server(influxd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    server = deployed(influxd, tmp_path_factory.mktemp("influx"))
    ask(server, "CREATE USER admin WITH PASSWORD 'secret' WITH ALL PRIVILEGES")
    for statement in (DEPLOY / "setup.influxql").read_text().splitlines():
        said = ask(server, statement.replace("CHANGE-ME", "p:w"), "admin:secret")
        assert "error" not in said, said
    yield server
    server.stop()


@pytest.fixture
def proxy(server: InfluxServer) -> Iterator[RewritingProxy]:
    with RewritingProxy(server.port) as proxy:
        yield proxy


@contextlib.contextmanager
def opened(target: InfluxTarget) -> Iterator[InfluxStore]:
    store = InfluxStore(target, now_ms=lambda: NOW_MS)
    try:
        yield store
    finally:
        store.close()


@pytest.mark.parametrize(
    "known", [{"username": "ljusvakt", "password": "p:w"}, {"token": "ljusvakt:p:w"}]
)
def test_user_and_password_of_1x_write_and_read(
    proxy: RewritingProxy, known: dict[str, str]
) -> None:
    with opened(InfluxTarget(proxy.url, "ljusvakt", **known)) as store:
        store.add(Quantity.POWER, columns_of(ROWS))
        out = store.columns(Quantity.POWER, start_ms=NOW_MS, stop_ms=NOW_MS + 1)
    assert rows_of(out) == ROWS


@pytest.mark.parametrize("known", [{}, {"token": "ljusvakt:wrong"}])
def test_b03_a_wrong_password_is_a_matter_of_settings_and_not_in_the_message(
    proxy: RewritingProxy, known: dict[str, str]
) -> None:
    with opened(InfluxTarget(proxy.url, "ljusvakt", **known)) as store:
        with pytest.raises(StoreDeniedError, match="401") as failure:
            store.columns(Quantity.POWER, start_ms=NOW_MS, stop_ms=NOW_MS + 1)
        with pytest.raises(StoreDeniedError):
            store.add(Quantity.POWER, columns_of(ROWS))
    assert "wrong" not in str(failure.value)
    assert "wrong" not in repr(store.target)


def test_the_deployed_database_keeps_400_days_in_shards_of_a_day(server: InfluxServer) -> None:
    said = ask(server, 'SHOW RETENTION POLICIES ON "ljusvakt"', "admin:secret")
    assert '["raw","9600h0m0s","24h0m0s",1,true]' in said


def test_a_stranger_may_not_even_ask(server: InfluxServer) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(server, "SHOW DATABASES")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed but itself."""
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem", "-days", "2",
             "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("openssl was not found")
    return tmp_path / "cert.pem"


def test_tls_is_spoken_with_whom_the_ca_file_vouches_for_and_nobody_else(
    server: InfluxServer, certificate: Path
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, certificate.with_name("key.pem"))
    proxy = RewritingProxy(server.port, tls=tls)
    try:
        known = {"token": "ljusvakt:p:w"}
        trusted = InfluxTarget(proxy.url, "ljusvakt", ca_file=certificate, **known)
        with opened(trusted) as store:
            store.add(Quantity.POWER, columns_of(ROWS))
            out = store.columns(Quantity.POWER, start_ms=NOW_MS, stop_ms=NOW_MS + 1)
            assert rows_of(out) == ROWS
        with opened(InfluxTarget(proxy.url, "ljusvakt", **known)) as store:
            with pytest.raises(StoreAwayError, match=r"(?i)certificate"):
                store.columns(Quantity.POWER, start_ms=NOW_MS, stop_ms=NOW_MS + 1)
            with pytest.raises(StoreAwayError):
                store.add(Quantity.POWER, columns_of(ROWS))
    finally:
        proxy.close()


def test_a_ca_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="influx_ca_file"):
        InfluxStore(
            InfluxTarget("https://127.0.0.1:1", "x", ca_file=tmp_path / "no.pem"),
            now_ms=lambda: NOW_MS,
        )
