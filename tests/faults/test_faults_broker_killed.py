"""A broker that is killed forgets what it had confirmed: devices send again by their receipts."""

import asyncio
import contextlib
import json
import os
import random
from collections import deque
from collections.abc import Generator
from pathlib import Path

import aiomqtt
import pytest
from contracts.mosquitto_server import MosquittoServer
from contracts.waiting import until
from faults.city import CollectorProcess, closed_sockets_forgiven, rows
from faults.history import RIGHT, Key, check_readings

LONG = os.environ.get("LJUSVAKT_LONG") == "1"
KILLS = 20 if LONG else 3
pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.timeout(1800 if LONG else 180),
]

SEED = int(os.environ.get("LJUSVAKT_SEED", "20261123"))
BORN_MS = 1_790_000_000_000
QUANTITY = "illuminance_lx"


class Device:
    """Keeps each row until a receipt covers it, as docs/wire.md asks of devices."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.rows: deque[tuple[int, bytes]] = deque()
        self.sent: dict[Key, float] = {}
        self.confirmed = 0
        self.sent_again = 0
        self.going = True

    def make(self) -> tuple[int, bytes]:
        seq = len(self.sent)
        body = {"boot": 1, "seq": seq, "t": BORN_MS + seq, "v": float(seq % 1000)}
        self.sent[self.name, QUANTITY, BORN_MS + seq] = float(seq % 1000)
        self.rows.append((seq, json.dumps(body).encode()))
        return self.rows[-1]

    async def run(self) -> None:
        """Until told to stop and everything is covered by a receipt."""
        while self.going or self.rows:
            with contextlib.suppress(aiomqtt.MqttError, ExceptionGroup):
                async with (
                    aiomqtt.Client("127.0.0.1", self.port, timeout=2) as client,
                    asyncio.TaskGroup() as group,
                ):
                    await client.subscribe(f"ljusvakt/v1/g/{self.name}/ack", qos=1)
                    hearing = group.create_task(self._hear(client))
                    await self._tell(client)
                    hearing.cancel()
            await asyncio.sleep(0.02)

    async def _hear(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            upto = json.loads(message.payload)["seq"]  # type: ignore[arg-type]
            while self.rows and self.rows[0][0] <= upto:
                self.rows.popleft()

    async def _tell(self, client: aiomqtt.Client) -> None:
        topic = f"ljusvakt/v1/g/{self.name}/{QUANTITY}"
        for _, body in list(self.rows):  # what no receipt covers, first
            self.sent_again += 1
            await client.publish(topic, body, qos=1)
        while self.going:
            _, body = self.make()
            await client.publish(topic, body, qos=1)
            self.confirmed += 1
            await asyncio.sleep(0.005)
        with contextlib.suppress(TimeoutError):
            await until(lambda: not self.rows, 6)  # else once more from the first


@pytest.fixture
def server(mosquitto: Path, tmp_path: Path, free_port: int) -> Generator[MosquittoServer]:
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port) as running_server:
        yield running_server


async def test_what_a_killed_broker_forgets_is_sent_again_by_receipts(
    server: MosquittoServer, tmp_path: Path
) -> None:
    """Everything that was ever sent, confirmed or not, is in the store exactly once."""
    rng = random.Random(SEED)  # noqa: S311 - a schedule is no secret
    collector = CollectorProcess(tmp_path / "collector", server.port)
    collector.start()
    devices = [Device(f"d{number}", server.port) for number in range(3)]
    try:
        await collector.ready()
        with closed_sockets_forgiven():
            async with asyncio.TaskGroup() as group:
                for device in devices:
                    group.create_task(device.run())
                for _ in range(KILLS):
                    await asyncio.sleep(rng.uniform(0.3, 0.8))
                    # While the collector is away all that is confirmed lies with the broker alone.
                    collector.kill()
                    await asyncio.sleep(rng.uniform(0.2, 0.5))
                    server.kill()
                    for kept in server.folder.glob("*.db*"):
                        kept.unlink()
                    server.start()
                    collector.start()
                    await collector.ready()
                await asyncio.sleep(0.5)
                for device in devices:
                    device.going = False
        sent = {key: value for device in devices for key, value in device.sent.items()}
        await collector.empties(at_least=len(sent))
        assert collector.stop() < 10
    finally:
        collector.kill()
    print(
        f"seed {SEED}, {KILLS} kills: {len(sent)} rows made, "
        f"{sum(device.confirmed for device in devices)} confirmed, "
        f"{sum(device.sent_again for device in devices)} sent again"
    )
    assert all(device.sent_again for device in devices)
    assert check_readings(sent, set(sent), rows((collector,))) == RIGHT
    assert collector.out_of_balance() == []
