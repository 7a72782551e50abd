"""What tests share: the real data, the real servers, free ports."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from contracts import ports

if TYPE_CHECKING:
    from contracts.influx_server import InfluxServer, RewritingProxy
    from contracts.postgres_server import PostgresServer

SERVERS_REQUIRED = os.environ.get("LJUSVAKT_REQUIRE_SERVERS") == "1"


def absent(what: str) -> None:
    """Skip because a program is missing; in continuous integration that is a failure."""
    if SERVERS_REQUIRED:
        pytest.fail(f"{what} was not found and LJUSVAKT_REQUIRE_SERVERS=1")
    pytest.skip(f"{what} was not found")


def program(*candidates: str) -> Path:
    """The first of these programs that is on the machine; skips where there is none."""
    for name in candidates:
        if found := shutil.which(name):
            return Path(found)
    absent(candidates[0])
    raise AssertionError


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs that tests start compile what they import once for all of them.

    Where the environment forbids to keep compiled files, and none were installed, each start costs
    some four seconds of processor time more.
    """
    with pytest.MonkeyPatch.context() as environment:
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):
            environment.delenv("PYTHONDONTWRITEBYTECODE")
            environment.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The shared real data; never part of the project."""
    where = Path(os.environ.get("LJUSVAKT_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not where.is_dir():
        pytest.skip(f"no real data at {where} (set LJUSVAKT_DATA)")
    return where


@pytest.fixture(scope="session")
def mosquitto() -> Path:
    """The Mosquitto broker's program."""
    return program("mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")


@pytest.fixture(scope="session")
def influxd() -> Path:
    """The InfluxDB 1.x server's program."""
    return program(os.environ.get("LJUSVAKT_INFLUXD", "influxd"), "/usr/bin/influxd")


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Headless Chromium."""
    return program("chromium", "/usr/bin/chromium", "chromium-browser")


@pytest.fixture(scope="session")
def postgres_bin() -> Path:
    """The folder with PostgreSQL's own programs (initdb, pg_ctl)."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    return program("initdb").parent


@pytest.fixture
def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    return ports.free_port()


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No LJUSVAKT_ setting of the machine reaches the test."""
    for name in list(os.environ):
        if name.startswith("LJUSVAKT_") and name != "LJUSVAKT_DATA":
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture(scope="session")
def postgres(postgres_bin: Path) -> Iterator["PostgresServer"]:
    """A real PostgreSQL server; `fresh()` makes a database."""
    from contracts.postgres_server import postgres_server

    with postgres_server(postgres_bin) as server:
        yield server


@pytest.fixture(scope="session")
def influx(influxd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["InfluxServer"]:
    """A real InfluxDB 1.x; a test that stops it finds it again through `proxy`."""
    from contracts.influx_server import InfluxServer

    with InfluxServer(influxd, tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.fixture
def proxy(influx: "InfluxServer") -> Iterator["RewritingProxy"]:
    """The InfluxDB, up again if somebody stopped it, with the 2.x way of writing."""
    from contracts.influx_server import RewritingProxy

    influx.start()
    with RewritingProxy(influx.port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def told_demo(mosquitto: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small demo that has told its history, with `mosquitto`; to be copied."""
    from end_to_end.demo_process import SMALL, DemoProcess

    assert mosquitto
    folder = tmp_path_factory.mktemp("told") / "demo"
    with DemoProcess(folder, ports.free_port(), *SMALL) as demo:
        demo.wait_for_event("ready", within_s=200)
        assert demo.stop(within_s=60) == 0
    return folder


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a ledger with its schema and nothing in it; to be copied, not used."""
    from api.ledger import open_ledger

    where = tmp_path_factory.mktemp("empty") / "ops.db"
    open_ledger(where).close()
    return where


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.live)])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty ledger can be: the same test runs over both databases."""
    if request.param == "sqlite":
        return str(shutil.copy(request.getfixturevalue("empty_ledger"), tmp_path / "ops.db"))
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.emptied()
