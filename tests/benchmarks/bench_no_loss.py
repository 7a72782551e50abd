"""Our collector against what users would build: its rate, and what is lost at kills and an outage.

Both get the same publishers, the same broker and the same schedule of three kills and one outage of
the store. Theirs is paho-mqtt with influxdb-client's batching mode; ours writes to its Parquet
store, whose outage is as long.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from contracts.influx_server import InfluxServer, RewritingProxy
from contracts.mosquitto_server import MosquittoServer
from faults.city import SETTLED, CollectorProcess, Devices, publishing, settle
from faults.history import archived_rows

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.anyio, pytest.mark.timeout(600)]
OUTAGE_S = float(os.environ.get("LJUSVAKT_BENCH_OUTAGE_S", "10"))
MESSAGES = int(os.environ.get("LJUSVAKT_BENCH_MESSAGES", "60000")) // 2
ROUNDS = int(os.environ.get("LJUSVAKT_BENCH_ROUNDS", "3"))
NO_MORE_S = 10  # nothing more has come to rest for so long
STILL_S = 130  # longer than influxdb-client waits between two tries


class UsersProcess:
    """Theirs."""

    def __init__(self, port: int, url: str, database: str) -> None:
        script = Path(__file__).with_name("as_users_build.py")
        self.command = [sys.executable, str(script), str(port), url, database]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def influx(influxd: Path, tmp_path: Path) -> Generator[InfluxServer]:
    with InfluxServer(influxd, tmp_path / "influx") as server:
        yield server


@pytest.fixture
def proxy(influx: InfluxServer) -> Generator[RewritingProxy]:
    one = RewritingProxy(influx.port)
    yield one
    one.close()


def points(influx: InfluxServer, database: str) -> int:
    """How many readings a database holds."""
    answer = influx.query("SELECT count(value) FROM illuminance_lx", database)
    return int(answer.rsplit(",", 1)[1].split("]")[0]) if "values" in answer else 0


@contextmanager
def load(port: int) -> Generator[subprocess.Popen[str]]:
    """A publisher that sends faster than anybody takes, once it is told to."""
    script = Path(__file__).with_name("ingest_load.py")
    one = subprocess.Popen(
        [sys.executable, str(script), "publish", str(port), str(MESSAGES), "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert one.stdout is not None
    assert one.stdout.readline() == "ready\n"
    try:
        yield one
    finally:
        one.kill()
        one.communicate()


async def at_rest(
    publisher: subprocess.Popen[str],
    process: subprocess.Popen[str] | subprocess.Popen[bytes],
    count: Callable[[], int],
) -> tuple[int, float, float]:
    """Let it publish; how many came to rest, until when [s], for how much processor time [s]."""
    assert publisher.stdin is not None
    used_s = processor_s(process.pid)
    began_s = at_s = time.perf_counter()
    publisher.stdin.write("go\n")
    publisher.stdin.flush()
    rest = 0
    while rest < MESSAGES and time.perf_counter() - at_s < NO_MORE_S:
        await asyncio.sleep(0.1)
        if (now := await asyncio.to_thread(count)) > rest:
            rest, at_s = now, time.perf_counter()
    return rest, at_s - began_s, processor_s(process.pid) - used_s


def processor_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tell(name: str, found: list[tuple[int, float, float]]) -> None:
    rate = [rest / s for rest, s, _ in found]
    cost = [cpu_s / rest * 1e6 for rest, _, cpu_s in found]
    print(
        f"  {name:20} {statistics.median(rate):8,.0f} readings/s at rest in the store "
        f"({min(rate):,.0f}-{max(rate):,.0f}), {statistics.median(cost):.0f} CPU us each "
        f"({min(cost):.0f}-{max(cost):.0f}), {[MESSAGES - rest for rest, _, _ in found]} missing"
    )


async def test_rates(
    mosquitto: Path, influx: InfluxServer, proxy: RewritingProxy, tmp_path: Path, free_port: int
) -> None:
    users: list[tuple[int, float, float]] = []
    ours: list[tuple[int, float, float]] = []
    for number in range(ROUNDS):
        name = f"rate{number}"
        influx.query(f'CREATE DATABASE "{name}"')
        with MosquittoServer(mosquitto, tmp_path / f"theirs{number}", free_port):
            theirs = UsersProcess(free_port, proxy.url, name)
            theirs.start()
            assert theirs.process is not None
            with load(free_port) as publisher:
                found = await at_rest(publisher, theirs.process, lambda n=name: points(influx, n))
            theirs.kill()
            users.append(found)
        with MosquittoServer(mosquitto, tmp_path / f"ours{number}", free_port):
            one = CollectorProcess(tmp_path / f"collector{number}", free_port)
            one.start()
            await one.ready()
            assert one.process is not None
            with load(free_port) as publisher:
                folder = one.folder / "archive"
                found = await at_rest(publisher, one.process, lambda f=folder: archived_rows(f))
            one.kill()
            ours.append(found)
    print(f"\nMosquitto QoS 1, one reading a message, {MESSAGES} messages x {ROUNDS}")
    tell("as users build it", users)
    tell("ours", ours)
    assert [rest for rest, _, _ in ours] == [MESSAGES] * ROUNDS
    assert all(0 < rest <= MESSAGES for rest, _, _ in users)


async def test_losses_of_what_users_would_build(
    mosquitto: Path, influx: InfluxServer, proxy: RewritingProxy, tmp_path: Path, free_port: int
) -> None:
    influx.query('CREATE DATABASE "city"')
    theirs = UsersProcess(free_port, proxy.url, "city")
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port):
        theirs.start()
        async with publishing(Devices(free_port)) as devices:
            for _ in range(3):
                await asyncio.sleep(2)
                theirs.kill()
                await asyncio.to_thread(theirs.start)
            await asyncio.sleep(2)
            await asyncio.to_thread(influx.stop)
            await asyncio.sleep(OUTAGE_S)
            await asyncio.to_thread(influx.start)
        count = before = 0
        still_since_s = time.perf_counter()
        while time.perf_counter() - still_since_s < STILL_S:
            await asyncio.sleep(1)
            count, before = points(influx, "city"), count
            if count != before:
                still_since_s = time.perf_counter()
        theirs.kill()
    told = len(devices.acknowledged)
    print(
        f"\nas users would build it: {told} readings confirmed, {told - count} lost "
        f"({(told - count) / told:.1%}) at three kills and a store outage of {OUTAGE_S:.0f} s"
    )
    assert 0 < count <= told


async def test_losses_of_ours(mosquitto: Path, tmp_path: Path, free_port: int) -> None:
    ours = CollectorProcess(tmp_path / "collector", free_port)
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port):
        ours.start()
        await ours.ready()
        async with publishing(Devices(free_port)) as devices:
            for _ in range(3):
                await asyncio.sleep(2)
                ours.kill()
                ours.start()
                await ours.ready()
            await asyncio.sleep(2)
            (ours.folder / "store-down").touch()
            await asyncio.sleep(OUTAGE_S)
            (ours.folder / "store-down").unlink()
        told = len(devices.acknowledged)
        wrong = await settle(devices, ours, within_s=120)
    print(f"\nours: {told} readings confirmed, {wrong['lost']} lost at the same")
    assert told > 400 * OUTAGE_S / 2
    assert wrong == SETTLED
