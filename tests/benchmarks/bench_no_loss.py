"""Our collector against what users would build: its rate, and what is lost at kills and an outage.

Theirs is paho-mqtt with influxdb-client's batching mode; ours is the whole collector. Both write
into a real InfluxDB 1.6.7, ours into its Parquet files as well. For the losses both listen to the
same broker at the same time, are killed at the same moments, and lose the same InfluxDB; for the
rates they take turns.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from contracts.influx_server import InfluxServer, RewritingProxy
from contracts.mosquitto_server import MosquittoServer
from contracts.ports import free_ports
from faults.city import QUANTITY, CollectorProcess, Devices, publishing
from faults.history import Key, archived_rows

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.anyio, pytest.mark.timeout(900)]
OUTAGE_S = float(os.environ.get("LJUSVAKT_BENCH_OUTAGE_S", "10"))
MESSAGES = int(os.environ.get("LJUSVAKT_BENCH_MESSAGES", "60000")) // 2
ROUNDS = int(os.environ.get("LJUSVAKT_BENCH_ROUNDS", "3"))
KILLS = 3
NO_MORE_S = 10  # nothing more has come to rest for so long
STILL_S = 130  # longer than influxdb-client waits between two tries
HERE = Path(__file__).parent


class Subscriber:
    """A program that takes messages and stores them; can be killed and started again."""

    def __init__(self, script: str, *args: object) -> None:
        self.command = [sys.executable, str(HERE / script), *map(str, args)]
        self.process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Returns when it has subscribed."""
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


class Database:
    """One of an InfluxDB's."""

    def __init__(self, influx: InfluxServer, name: str) -> None:
        self.influx = influx
        self.name = name
        influx.query(f'CREATE DATABASE "{name}"')

    def count(self) -> int:
        """How many readings it holds."""
        answer = self.influx.query("SELECT count(value) FROM illuminance_lx", self.name)
        return int(answer.rsplit(",", 1)[1].split("]")[0]) if "values" in answer else 0

    def keys(self) -> set[Key]:
        """Which readings it holds."""
        answer = self.influx.query("SELECT value FROM illuminance_lx GROUP BY device", self.name)
        return {
            (
                series["tags"]["device"],
                QUANTITY,
                round(datetime.fromisoformat(at).timestamp() * 1e3),
            )
            for series in json.loads(answer)["results"][0].get("series", [])
            for at, _ in series["values"]
        }


@pytest.fixture
def cleanup() -> Generator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def influx_of(stack: ExitStack, program: Path, folder: Path) -> tuple[InfluxServer, str]:
    """An InfluxDB, and where it takes the 2.x way of writing."""
    influx = stack.enter_context(InfluxServer(program, folder))
    proxy = RewritingProxy(influx.port)
    stack.callback(proxy.close)
    return influx, proxy.url


@contextmanager
def load(port: int) -> Generator[subprocess.Popen[str]]:
    """A publisher that sends faster than anybody takes, once it is told to."""
    one = subprocess.Popen(
        [sys.executable, str(HERE / "ingest_load.py"), "publish", str(port), str(MESSAGES), "1"],
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


async def at_rest(port: int, pid: int, count: Callable[[], int]) -> tuple[int, float, float]:
    """Publish; how many came to rest, until when [s], for how much processor time [s]."""
    with load(port) as publisher:
        assert publisher.stdin is not None
        used_s = processor_s(pid)
        began_s = at_s = time.perf_counter()
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
        rest = 0
        while rest < MESSAGES and time.perf_counter() - at_s < NO_MORE_S:
            await asyncio.sleep(0.1)
            if (now := await asyncio.to_thread(count)) > rest:
                rest, at_s = now, time.perf_counter()
        return rest, at_s - began_s, processor_s(pid) - used_s


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


async def test_rates(mosquitto: Path, influxd: Path, tmp_path: Path, cleanup: ExitStack) -> None:
    influx, url = influx_of(cleanup, influxd, tmp_path / "influx")
    found: dict[str, list[tuple[int, float, float]]] = {
        "as users build it": [],
        "ours, InfluxDB": [],
        "ours, Parquet": [],
    }
    for number in range(ROUNDS):
        for name, several in found.items():
            (port,) = free_ports(1)
            folder = tmp_path / f"{number}-{len(several)}-{name.replace(' ', '')}"
            with MosquittoServer(mosquitto, folder / "broker", port):
                if name == "ours, Parquet":
                    one = CollectorProcess(folder, port)
                    one.start()
                    await one.ready()
                    assert one.process is not None
                    count = lambda where=folder / "archive": archived_rows(where)  # noqa: E731
                    several.append(await at_rest(port, one.process.pid, count))
                    one.kill()
                    continue
                database = Database(influx, f"rate-{number}-{name[:4]}")
                script = "as_users_build.py" if name[0] == "a" else "ours_into_influx.py"
                two = Subscriber(script, port, url, database.name, folder)
                two.start()
                several.append(await at_rest(port, two.pid, database.count))
                two.kill()
    print(f"\nMosquitto QoS 1, one reading a message, {MESSAGES} messages x {ROUNDS}")
    for name, several in found.items():
        tell(name, several)
    for name in ("ours, InfluxDB", "ours, Parquet"):
        assert [rest for rest, _, _ in found[name]] == [MESSAGES] * ROUNDS
    assert all(0 < rest <= MESSAGES for rest, _, _ in found["as users build it"])


class Schedule:
    """One round of kills and an outage, suffered by both; what they store comes later."""

    def __init__(self, stack: ExitStack, mosquitto: Path, influxd: Path, folder: Path) -> None:
        (self.port,) = free_ports(1)
        stack.enter_context(MosquittoServer(mosquitto, folder / "broker", self.port))
        self.influx, url = influx_of(stack, influxd, folder / "influx")
        self.databases = {name: Database(self.influx, name) for name in ("theirs", "ours")}
        self.both = [
            Subscriber("as_users_build.py", self.port, url, "theirs"),
            Subscriber("ours_into_influx.py", self.port, url, "ours", folder / "ours"),
        ]
        for one in self.both:
            stack.callback(one.kill)
        self.confirmed: set[Key] = set()

    async def run(self) -> None:
        """Until InfluxDB is back."""
        for one in self.both:
            one.start()
        async with publishing(Devices(self.port)) as devices:
            for _ in range(KILLS):
                await asyncio.sleep(2)
                for one in self.both:
                    one.kill()
                await asyncio.gather(*(asyncio.to_thread(one.start) for one in self.both))
            await asyncio.sleep(2)
            await asyncio.to_thread(self.influx.stop)
            await asyncio.sleep(OUTAGE_S)
            await asyncio.to_thread(self.influx.start)
        self.confirmed = devices.acknowledged

    def counts(self) -> list[int]:
        return [database.count() for database in self.databases.values()]

    def lost(self) -> dict[str, int]:
        """How many of the readings confirmed to the devices are not stored."""
        return {name: len(self.confirmed - one.keys()) for name, one in self.databases.items()}


async def test_losses(mosquitto: Path, influxd: Path, tmp_path: Path, cleanup: ExitStack) -> None:
    rounds: list[Schedule] = []
    for number in range(ROUNDS):
        one = Schedule(cleanup, mosquitto, influxd, tmp_path / str(number))
        await one.run()
        rounds.append(one)
    before: list[list[int]] = []
    still_since_s = time.perf_counter()
    while time.perf_counter() - still_since_s < STILL_S:
        await asyncio.sleep(1)
        now = [one.counts() for one in rounds]
        if now != before:
            before, still_since_s = now, time.perf_counter()
    lost = [one.lost() for one in rounds]
    told = [len(one.confirmed) for one in rounds]
    print(f"\n{KILLS} kills and {OUTAGE_S:.0f} s without InfluxDB, x {ROUNDS}; confirmed: {told}")
    for name in ("theirs", "ours"):
        several = [one[name] for one in lost]
        shares = [n / of for n, of in zip(several, told, strict=True)]
        print(
            f"  {name:6} lost {several}, {sum(several)} of {sum(told)}"
            f" ({min(shares):.1%}-{max(shares):.1%})"
        )
    assert min(told) > 400 * OUTAGE_S / 2
    assert [one["ours"] for one in lost] == [0] * ROUNDS
    assert all(one["theirs"] <= of for one, of in zip(lost, told, strict=True))
