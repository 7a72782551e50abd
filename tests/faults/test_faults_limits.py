"""A collector that may open no more files, or have no more memory, loses nothing either."""

import asyncio
import contextlib
import resource
from collections.abc import Generator
from pathlib import Path

import pytest
from contracts.mosquitto_server import MosquittoServer
from faults.city import SETTLED, CollectorProcess, Devices, publishing, settle

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.timeout(150),
]


@pytest.fixture
def server(mosquitto: Path, tmp_path: Path, free_port: int) -> Generator[MosquittoServer]:
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port) as running_server:
        yield running_server


@pytest.fixture
def collector(server: MosquittoServer, tmp_path: Path) -> Generator[CollectorProcess]:
    one = CollectorProcess(tmp_path / "collector", server.port)
    one.start()
    yield one
    one.kill()


def memory_of(pid: int) -> str:
    return Path(f"/proc/{pid}/statm").read_text()


@contextlib.contextmanager
def limited(collector: CollectorProcess, what: int, to: int) -> Generator[None]:
    """A limit of the running process, lifted afterwards if it still runs."""
    assert collector.process is not None
    was = resource.prlimit(collector.process.pid, what)
    resource.prlimit(collector.process.pid, what, (to, was[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(collector.process.pid, what, was)


async def test_a_collector_without_file_descriptors_goes_on_when_there_are_some_again(
    server: MosquittoServer, collector: CollectorProcess
) -> None:
    await collector.ready()
    async with publishing(Devices(server.port)) as devices:
        await asyncio.sleep(0.5)
        with limited(collector, resource.RLIMIT_NOFILE, 3):
            await asyncio.sleep(0.5)
            server.stop()
            server.start()
            # It can neither connect again nor write a file of the store; it waits.
            await asyncio.sleep(1.5)
            assert collector.process is not None
            assert collector.process.poll() is None
            assert b"Too many open files" in (collector.folder / "log").read_bytes()
        await asyncio.sleep(0.5)
    assert len(devices.acknowledged) > 50
    assert await settle(devices, collector) == SETTLED


async def test_a_collector_without_memory_may_end_but_loses_nothing(
    server: MosquittoServer, collector: CollectorProcess
) -> None:
    await collector.ready()
    async with publishing(Devices(server.port)) as devices:
        await asyncio.sleep(0.5)
        assert collector.process is not None
        for more_bytes in (0, 1 << 20):
            statm = memory_of(collector.process.pid)
            has_bytes = int(statm.split()[0]) * resource.getpagesize()
            with limited(collector, resource.RLIMIT_AS, has_bytes + more_bytes):
                await asyncio.sleep(1.5)
            ended = collector.process.poll()
            print(f"{more_bytes} bytes more: {'still runs' if ended is None else f'ended {ended}'}")
            collector.kill()
            collector.start()
            await collector.ready()
        await asyncio.sleep(0.3)
    assert len(devices.acknowledged) > 50
    assert await settle(devices, collector) == SETTLED
