"""Ten thousand gateways lose their broker in one moment: they come back spread out, and complete.

Each has a connection of its own, held by the simulator's own code. Continuous integration runs
fewer; how many is printed.
"""

import asyncio
import json
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from contracts.mosquitto_server import MosquittoServer
from contracts.waiting import until
from faults.city import BORN_MS, QUANTITY, SETTLED, CollectorProcess, settle
from faults.history import Key

from firmware_sim import gateways
from firmware_sim.backoff import pause_s
from firmware_sim.devices.node import Message
from firmware_sim.gateways import GatewayLink, keep_connected
from firmware_sim.publishing import BrokerAddress

LONG = os.environ.get("LJUSVAKT_LONG") == "1"
GATEWAYS = 10_000 if LONG else 1500
PER_SECOND = 1500
SPARE_FILES = 300  # of pytest itself; the broker needs fewer
SEED = int(os.environ.get("LJUSVAKT_SEED", "20261123"))
pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.timeout(600 if LONG else 120),
]


@dataclass
class Waits:
    """Every wait of every gateway: when it began, after how many failures, how long it is to be."""

    drawn: random.Random
    told: list[tuple[float, int, float]] = field(default_factory=list)

    def pause_s(self, failures: int) -> float:
        wait_s = pause_s(failures, self.drawn.random)
        self.told.append((time.monotonic(), failures, wait_s))
        return wait_s

    def by_failures(self) -> dict[int, list[float]]:
        """As shares of the longest they could have been."""
        shares: dict[int, list[float]] = {}
        for _, failures, wait_s in self.told:
            shares.setdefault(failures, []).append(wait_s / min(60.0, 2.0**failures))
        return shares

    def busiest_tenth(self) -> int:
        """How many attempts fall due in the same tenth of a second."""
        return max(Counter(int(10 * (at_s + wait_s)) for at_s, _, wait_s in self.told).values())


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    written = Waits(random.Random(SEED))  # noqa: S311 - waits are no secret
    monkeypatch.setattr(gateways, "pause_s", written.pause_s)
    return written


@pytest.fixture
def many() -> Generator[int]:
    """How many gateways the limit of open files allows, up to all; the broker inherits it."""
    was = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (was[1], was[1]))
    yield min(GATEWAYS, was[1] - SPARE_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, was)


@pytest.fixture
def server(
    mosquitto: Path,
    tmp_path: Path,
    free_port: int,
    many: int,
) -> Generator[MosquittoServer]:
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port) as running_server:
        yield running_server


@pytest.fixture
def collector(server: MosquittoServer, tmp_path: Path) -> Generator[CollectorProcess]:
    one = CollectorProcess(tmp_path / "collector", server.port)
    (one.folder / "waits-as-deployed").touch()
    one.start()
    yield one
    one.kill()


class Gateway:
    """One luminaire behind one gateway; what it sent, and how much of it was confirmed."""

    def __init__(self, number: int) -> None:
        self.link = GatewayLink(f"g{number:05d}", self.confirm)
        self.device = f"d{number:05d}"
        self.keys: list[Key] = []
        self.confirmed = 0

    def confirm(self, count: int) -> None:
        """Messages go out, and out again, in the order they were made; so do their PUBACKs."""
        self.confirmed += count

    def tell(self) -> None:
        number = len(self.keys)
        self.keys.append((self.device, QUANTITY, BORN_MS + number))
        body = {"boot": 1, "seq": number, "t": BORN_MS + number, "v": float(number)}
        topic = f"ljusvakt/v1/{self.link.name}/{self.device}/{QUANTITY}"
        self.link.put([Message(topic, json.dumps(body).encode())])


class City:
    """All gateways; each tells a reading in its turn, whether or not there is a broker."""

    def __init__(self, many: int, port: int) -> None:
        self.gateways = [Gateway(number) for number in range(many)]
        self.address = BrokerAddress("127.0.0.1", port)
        self.holding: list[asyncio.Task[None]] = []
        self.sent: dict[Key, float] = {}
        self.acknowledged: set[Key] = set()

    def connect(self) -> None:
        self.holding = [
            asyncio.create_task(keep_connected(one.link, self.address, hurry=True))
            for one in self.gateways
        ]

    async def tell(self) -> None:
        """For ever, in turns."""
        while True:
            for at, gateway in enumerate(self.gateways):
                gateway.tell()
                if at % 15 == 0:
                    await asyncio.sleep(15 / PER_SECOND)

    async def connected(self) -> None:
        await until(lambda: all(one.link.connected for one in self.gateways), 300)

    async def all_confirm_another(self) -> None:
        before = [len(one.keys) for one in self.gateways]
        await until(
            lambda: all(one.confirmed > n for one, n in zip(self.gateways, before, strict=True)),
            120,
        )

    async def end(self) -> None:
        """When all that was told is confirmed; then write it down."""
        await until(lambda: all(one.confirmed == len(one.keys) for one in self.gateways), 120)
        for task in self.holding:
            task.cancel()
        await asyncio.gather(*self.holding, return_exceptions=True)
        for one in self.gateways:
            self.sent.update({key: float(number) for number, key in enumerate(one.keys)})
            self.acknowledged.update(one.keys[: one.confirmed])


def furthest_from_even(shares: Sequence[float]) -> float:
    """Kolmogorov's distance of numbers in [0, 1) from those drawn evenly from all of it."""
    n = len(shares)
    return max(max((at + 1) / n - share, share - at / n) for at, share in enumerate(sorted(shares)))


def chance(n: int) -> float:
    """What so many even numbers stay below, but for one time in a million."""
    return 2.7 / n**0.5


async def test_everybody_comes_back_spread_out_and_nothing_acknowledged_is_lost(
    many: int, waits: Waits, server: MosquittoServer, collector: CollectorProcess
) -> None:
    await collector.ready()
    city = City(many, server.port)
    began_s = time.monotonic()
    city.connect()
    telling = asyncio.create_task(city.tell())
    await city.connected()
    stood_s = time.monotonic()
    await city.all_confirm_another()
    waits.told.clear()
    lost = [one.link.reconnects for one in city.gateways]

    await asyncio.to_thread(server.stop)
    gone_s = time.monotonic()
    await until(  # everybody has noticed, and has tried in vain
        lambda: all(
            one.link.reconnects >= n + 2 for one, n in zip(city.gateways, lost, strict=True)
        ),
        60,
    )
    await asyncio.to_thread(server.start)
    back_s = time.monotonic()
    await city.connected()
    all_back_s = time.monotonic()
    await city.all_confirm_another()
    telling.cancel()
    await city.end()

    shares = waits.by_failures()
    print(
        f"seed {SEED}, {many} gateways connected in {stood_s - began_s:.1f} s; "
        f"broker away {back_s - gone_s:.2f} s; all back {all_back_s - back_s:.1f} s after it; "
        f"attempts by failures before: { {n: len(of) for n, of in sorted(shares.items())} }, "
        f"at most {waits.busiest_tenth()} due in a tenth of a second"
    )
    assert len(shares[0]) >= many <= len(shares[1])
    for of in shares.values():
        assert furthest_from_even(of) < chance(len(of)), len(of)

    assert collector.log().count("mqtt connected") == 2
    assert await settle(city, collector) == SETTLED


def test_waits_that_are_alike_would_be_found() -> None:
    names = [f"g{number:05d}" for number in range(1000)]
    by_name = [(sum(name.encode()) % 97) / 97 for name in names]
    assert furthest_from_even(by_name) > chance(len(names))
