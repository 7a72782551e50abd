"""What is lost at three kills and a 10 s store outage: our collector, and what users would build.

Both get the same publishers, the same broker and the same schedule. Ours writes to its Parquet
store, whose outage is as long.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from contracts.influx_server import InfluxServer, RewritingProxy
from contracts.mosquitto_server import MosquittoServer
from faults.city import CollectorProcess, Devices, publishing, rows
from faults.history import check_readings

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.anyio, pytest.mark.timeout(600)]
OUTAGE_S = float(os.environ.get("LJUSVAKT_BENCH_OUTAGE_S", "10"))


class UsersProcess:
    """Theirs."""

    def __init__(self, port: int, url: str) -> None:
        script = Path(__file__).with_name("as_users_build.py")
        self.command = [sys.executable, str(script), str(port), url, "city"]
        self.process: subprocess.Popen[str] | None = None

    async def start(self) -> None:
        self.process = subprocess.Popen(  # noqa: ASYNC220 - a moment
            self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        await asyncio.to_thread(self.process.stdout.readline)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()


async def test_losses_of_what_users_would_build(
    mosquitto: Path, influxd: Path, tmp_path: Path, free_port: int
) -> None:
    influx = InfluxServer(influxd, tmp_path / "influx")
    influx.start()
    influx.query('CREATE DATABASE "city"')
    proxy = RewritingProxy(influx.port)
    theirs = UsersProcess(free_port, proxy.url)
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port):
        await theirs.start()
        async with publishing(Devices(free_port)) as devices:
            for _ in range(3):
                await asyncio.sleep(2)
                theirs.kill()
                await theirs.start()
            await asyncio.sleep(2)
            await asyncio.to_thread(influx.stop)
            await asyncio.sleep(OUTAGE_S)
            await asyncio.to_thread(influx.start)
            await asyncio.sleep(5)
        count, before = -1, -2
        while count != before:  # until it has written what it will write
            await asyncio.sleep(5)
            before = count
            answer = influx.query("SELECT count(value) FROM illuminance_lx", "city")
            count = int(answer.rsplit(",", 1)[1].split("]")[0])
        theirs.kill()
    proxy.close()
    influx.stop()
    told = len(devices.acknowledged)
    print(
        f"\nas users would build it: {told} readings confirmed, {told - count} lost "
        f"({(told - count) / told:.1%}) at three kills and a store outage of {OUTAGE_S:.0f} s"
    )
    assert count > 0


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
        await ours.empties(at_least=len(devices.acknowledged), within_s=120)
        ours.stop()
    wrong = check_readings(devices.sent, devices.acknowledged, rows((ours,)))
    print(
        f"\nours: {len(devices.acknowledged)} readings confirmed, {wrong['lost']} lost, "
        f"{wrong['doubled']} twice, at the same"
    )
    assert sum(wrong.values()) == 0
