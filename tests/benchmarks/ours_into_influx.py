"""Our collector, its journal and its shipper into InfluxDB, with the program's own settings.

`PORT INFLUX_URL BUCKET FOLDER`. Beside `as_users_build.py`: the same messages, the same database.
"""

import asyncio
import logging
import sys
import time
from pathlib import Path

import structlog

from ingest.collector import Collector
from ingest.devices import Registry
from ingest.journal import Journal, JournalReader
from ingest.settings import MqttSettings
from ingest.shipper import StoreShipper
from ingest.sources.mqtt5 import Mqtt5Source
from ingest.stores.influx import InfluxStore, InfluxTarget


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def main(port: int, url: str, bucket: str, folder: Path) -> None:
    """Until it is killed."""
    journal = Journal(folder / "journal.db", quota_bytes=1 << 30, now_ms=now_ms)
    reader = JournalReader(journal.path)
    source = Mqtt5Source(
        MqttSettings(port=port, client_id="ours", filters=("ljusvakt/v1/+/+/illuminance_lx",))
    )
    registry = Registry(enrol=True)
    collector = Collector(source, journal, registry=lambda: registry, now_ms=now_ms)
    store = InfluxStore(InfluxTarget(url, bucket), now_ms=now_ms)
    shipper = StoreShipper(journal, reader, store, now_ms=now_ms)
    async with asyncio.TaskGroup() as group:
        group.create_task(collector.run())
        group.create_task(shipper.run())
        await source.subscribed.wait()
        print("ready", flush=True)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])))
