"""Whatever happens to collector, broker, store, disk or clock: nothing acknowledged is lost."""

import asyncio
import os
import random
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from contracts.mosquitto_server import MosquittoServer
from faults.city import SETTLED, CollectorProcess, Devices, publishing, rows, settle
from faults.history import RIGHT, check_readings

LONG = os.environ.get("LJUSVAKT_LONG") == "1"
pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.timeout(3600 if LONG else 300),
]
SEED = int(os.environ.get("LJUSVAKT_SEED", "20261123"))
MANY = 50  # readings at least that a schedule must have met


@pytest.fixture
def server(mosquitto: Path, tmp_path: Path, free_port: int) -> Generator[MosquittoServer]:
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port) as running_server:
        yield running_server


@pytest.fixture
def collector(
    server: MosquittoServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Generator[CollectorProcess]:
    kind = getattr(request, "param", "mqtt5")
    one = CollectorProcess(tmp_path / "collector", server.port, kind=kind)
    one.start()
    yield one
    one.kill()


def test_the_checker_sees_each_kind_of_wrong() -> None:
    sent = {("d", "q", t): float(t) for t in range(6)}
    told = {("d", "q", t) for t in range(4)}
    right = [(("d", "q", t), float(t)) for t in range(5)]
    assert check_readings(sent, told, right) == RIGHT
    assert check_readings(sent, told, right[1:])["lost"] == 1
    assert check_readings(sent, told, [*right, right[0]])["doubled"] == 1
    assert check_readings(sent, told, [*right, (("d", "q", 99), 1.0)])["invented"] == 1
    assert check_readings(sent, told, [*right[:-1], (("d", "q", 4), 9.0)])["changed"] == 1


@pytest.mark.parametrize("collector", ["mqtt5", "paho"], indirect=True)
async def test_kill_9_at_random_points_loses_nothing(
    server: MosquittoServer, collector: CollectorProcess, request: pytest.FixtureRequest
) -> None:
    rounds = 200 if LONG else 4
    rng = random.Random(SEED)  # noqa: S311 - a schedule is no secret
    print(f"seed {SEED}, {rounds} rounds")
    await collector.ready()
    async with publishing(Devices(server.port)) as devices:
        for _ in range(rounds):
            await asyncio.sleep(rng.uniform(0.02, 0.5))
            collector.kill()
            await asyncio.sleep(rng.uniform(0.0, 0.3))
            collector.start()
            if rng.random() < 0.7:
                await collector.ready()
        await collector.ready()
        await asyncio.sleep(0.3)
    assert len(devices.acknowledged) > MANY
    assert await settle(devices, collector) == SETTLED


async def test_a_mixed_schedule_loses_nothing(
    server: MosquittoServer, collector: CollectorProcess
) -> None:
    rng = random.Random(SEED + 1)  # noqa: S311 - a schedule is no secret
    await collector.ready()
    async with publishing(Devices(server.port)) as devices:
        for _ in range(120 if LONG else 8):
            await asyncio.sleep(rng.uniform(0.05, 0.3))
            match rng.choice(["kill", "stop", "freeze", "full", "clock", "store", "broker"]):
                case "kill":
                    collector.kill()
                    collector.start()
                    await collector.ready()
                case "stop":
                    assert collector.stop() < 10
                    collector.start()
                    await collector.ready()
                case "freeze":
                    assert collector.process is not None
                    collector.process.send_signal(signal.SIGSTOP)
                    await asyncio.sleep(0.3)
                    collector.process.send_signal(signal.SIGCONT)
                case "full":
                    with collector.disk_full():
                        await asyncio.sleep(0.3)
                case "clock":
                    collector.step_clock(rng.choice([-86_400_000, -3_600_000, 3_600_000]))
                case "store":
                    (collector.folder / "store-down").touch()
                    await asyncio.sleep(0.4)
                    (collector.folder / "store-down").unlink()
                case "broker":
                    server.stop()
                    server.start()
        await asyncio.sleep(0.3)
    assert len(devices.acknowledged) > MANY
    assert await settle(devices, collector) == SETTLED


async def test_a_broker_that_restarts_costs_nothing(
    server: MosquittoServer, collector: CollectorProcess
) -> None:
    await collector.ready()
    async with publishing(Devices(server.port)) as devices:
        for _ in range(3):
            await asyncio.sleep(0.4)
            server.stop()
            server.start()
        await asyncio.sleep(0.4)
    assert len(devices.acknowledged) > MANY
    assert await settle(devices, collector) == SETTLED


async def test_a_store_that_is_away_and_then_slow_changes_no_acknowledgement(
    server: MosquittoServer, collector: CollectorProcess
) -> None:
    await collector.ready()
    async with publishing(Devices(server.port)) as devices:
        (collector.folder / "store-down").touch()
        await asyncio.sleep(4.0 if not LONG else 120.0)
        reader = collector.reader()
        waiting = reader.counters().in_journal
        reader.close()
        assert waiting > 0.8 * len(devices.acknowledged) > 0
        (collector.folder / "store-down").unlink()
        (collector.folder / "store-slow").touch()
        await asyncio.sleep(0.5)
        (collector.folder / "store-slow").unlink()
    assert len(devices.acknowledged) > MANY
    assert await settle(devices, collector) == SETTLED


async def test_a_full_disk_holds_the_acknowledgement_and_nothing_else(
    server: MosquittoServer, collector: CollectorProcess
) -> None:
    await collector.ready()
    async with publishing(Devices(server.port)) as devices:
        await asyncio.sleep(0.3)
        with collector.disk_full():
            await asyncio.sleep(0.3)
            reader = collector.reader()
            before = reader.counters()
            await asyncio.sleep(1.0)
            assert reader.counters().received == before.received
            assert before.balanced
            reader.close()
        await asyncio.sleep(0.3)
        with collector.disk_full(600_000):  # somewhere in the middle of a file
            await asyncio.sleep(1.0)
    assert len(devices.acknowledged) > MANY
    assert await settle(devices, collector) == SETTLED


async def test_clock_steps_move_no_reading(
    server: MosquittoServer, collector: CollectorProcess
) -> None:
    await collector.ready()
    async with publishing(Devices(server.port)) as devices:
        for step_ms in (3_600_000, -7_200_000, 86_400_000, -86_400_000, -300_000):
            collector.step_clock(step_ms)
            await asyncio.sleep(0.2)
    assert len(devices.acknowledged) > MANY
    assert await settle(devices, collector) == SETTLED


async def test_two_collectors_on_ranges_of_groups_with_one_killed(
    server: MosquittoServer, tmp_path: Path
) -> None:
    ranges = [("ljusvakt/v1/g1/+/+",), ("ljusvakt/v1/g2/+/+", "ljusvakt/v1/g3/+/+")]
    two = [
        CollectorProcess(
            tmp_path / f"c{i}", server.port, client_id=f"collector-{i}", filters=filters
        )
        for i, filters in enumerate(ranges)
    ]
    try:
        for one in two:
            one.start()
        for one in two:
            await one.ready()
        async with publishing(Devices(server.port, groups=("g1", "g2", "g3"))) as devices:
            await asyncio.sleep(0.4)
            two[1].kill()
            await asyncio.sleep(0.6)
            two[1].start()
            await two[1].ready()
            await asyncio.sleep(0.3)
        assert len(devices.acknowledged) > MANY
        assert await settle(devices, *two) == SETTLED
    finally:
        for one in two:
            one.kill()


async def test_a_collector_that_acknowledges_first_would_be_found(
    server: MosquittoServer, tmp_path: Path
) -> None:
    one = CollectorProcess(tmp_path / "wrong", server.port)
    (one.folder / "acknowledge-first").touch()
    one.start()
    try:
        await one.ready()
        async with publishing(Devices(server.port)) as devices:
            await asyncio.sleep(0.7)
            one.kill()
            one.start()
            await one.ready()
        await one.empties()
        assert check_readings(devices.sent, devices.acknowledged, rows((one,)))["lost"] > 0
    finally:
        one.kill()
