"""13,332 real uplinks through a real Mosquitto, twice and in any order, are the same readings."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import aiomqtt
import pyarrow.parquet as pq
import pytest
from contracts.mosquitto_server import MosquittoServer
from contracts.waiting import until

from ingest.collector import Collector
from ingest.counters import Counters
from ingest.devices import Registry
from ingest.journal import Journal, JournalReader
from ingest.reading import Quantity
from ingest.sealer import Sealer
from ingest.settings import MqttSettings
from ingest.sources.loopback import LoopbackSource
from ingest.sources.mqtt5 import Mqtt5Source
from ingest.stores.parquet import ParquetStore

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.data, pytest.mark.anyio]
NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
Uplink = tuple[str, bytes]
Row = tuple[str, str, int, float]


@pytest.fixture(scope="module")
def table(data_dir: Path) -> list[dict[str, object]]:
    path = data_dir / "lorawan" / "elsys_ems_tourperret_first_half.parquet"
    found: list[dict[str, object]] = pq.read_table(path).to_pylist()
    return found


@pytest.fixture(scope="module")
def uplinks(table: list[dict[str, object]]) -> list[Uplink]:
    """Each in the envelope of ChirpStack v4."""
    made: list[Uplink] = []
    for row in table:
        eui = str(row["deveui"]).lower()
        body = {
            "deduplicationId": "0",
            "time": row["utc_time"].isoformat(),  # type: ignore[attr-defined]
            "deviceInfo": {"devEui": eui, "deviceProfileName": "ELSYS EMS"},
            "fCnt": row["fcnt"],
            "fPort": row["fport"],
            "data": row["payload_b64"],
        }
        made.append((f"application/1/device/{eui}/event/up", json.dumps(body).encode()))
    return made


def frames_of(table: list[dict[str, object]]) -> int:
    """How many frames there are, by a plain loop: copies within an hour are one."""
    heard: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for row in table:
        key = (row["deveui"], row["fcnt"], row["payload_b64"])
        heard[key].append(row["utc_time"].timestamp() * 1000)  # type: ignore[attr-defined]
    frames = 0
    for times in heard.values():
        times.sort()
        frames += 1 + sum(b - a > HOUR_MS for a, b in pairwise(times))
    return frames


async def through(
    folder: Path, uplinks: Sequence[Uplink], port: int | None
) -> tuple[set[Row], Counters]:
    """What rests in the archive when these came, by a broker or within the process."""
    journal = Journal(
        folder / "journal.db", quota_bytes=10**9, now_ms=lambda: NOW_MS, synchronous="NORMAL"
    )
    reader = JournalReader(journal.path)
    everyone = Registry(enrol=True)
    loopback = LoopbackSource()
    source = (
        loopback
        if port is None
        else Mqtt5Source(MqttSettings(port=port, client_id=folder.name, filters=("application/#",)))
    )
    collector = Collector(source, journal, registry=lambda: everyone, now_ms=lambda: NOW_MS)
    running = asyncio.create_task(collector.run())
    await until(lambda: source.status.connected)
    if port is None:
        for topic, body in uplinks:
            await loopback.put(topic, body)
        await loopback.drained()
    else:
        async with (
            aiomqtt.Client("127.0.0.1", port, max_inflight_messages=500) as client,
            asyncio.TaskGroup() as group,
        ):
            window = asyncio.Semaphore(500)
            for topic, body in uplinks:
                await window.acquire()
                task = group.create_task(client.publish(topic, body, qos=1, timeout=60))
                task.add_done_callback(lambda _: window.release())
        await until(
            lambda: reader.counters().other.get("messages", 0) >= len(uplinks), within_s=120
        )
    await collector.stop()
    await running
    store = ParquetStore(folder / "archive", tail=reader)
    await Sealer(journal, reader, store, now_ms=lambda: NOW_MS).drain()
    rows: set[Row] = set()
    for quantity in Quantity:
        columns = store.columns(quantity, start_ms=0, stop_ms=NOW_MS)
        for device, time_ms, value in zip(
            columns.device.tolist(), columns.time_ms.tolist(), columns.value.tolist(), strict=True
        ):
            rows.add((columns.device_ids[device], quantity, time_ms, value))
    counters = reader.counters()
    reader.close()
    journal.close()
    return rows, counters


@pytest.mark.timeout(600)
async def test_real_uplinks_twice_and_shuffled_are_the_same_readings(
    mosquitto: Path,
    tmp_path: Path,
    free_port: int,
    table: list[dict[str, object]],
    uplinks: list[Uplink],
) -> None:
    once, counters = await through(tmp_path / "once", uplinks, None)
    frames = frames_of(table)
    assert counters.quarantined == 0, counters.rejected
    assert counters.other["frames_again"] == len(uplinks) - frames
    assert len(once) == counters.stored
    # Temperature is ELSYS type 01 and comes first where there is one.
    warm = frames_of([row for row in table if str(row["payload_b64"]).startswith("AQ")])
    assert sum(row[1] == Quantity.TEMPERATURE for row in once) == warm

    rng = random.Random(20261123)  # noqa: S311 - a shuffle is no secret
    twice = [*uplinks, *uplinks]
    rng.shuffle(twice)
    with MosquittoServer(mosquitto, tmp_path / "mosquitto", free_port):
        rows, shuffled = await through(tmp_path / "twice", twice, free_port)
    assert rows == once
    assert shuffled.stored == counters.stored
    assert shuffled.received == 2 * counters.received
    assert shuffled.duplicate == shuffled.received - shuffled.stored
    assert counters.balanced
    assert shuffled.balanced
