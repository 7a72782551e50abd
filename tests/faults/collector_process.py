"""A whole collector as a process of its own: MQTT source, journal, shipper, Parquet store.

Driven from outside by signals and by files in its folder: while `store-down` exists the store
refuses, while `store-slow` exists it takes its time, and `clock` holds how far the clock is off.
It connects again within half a second, unless `waits-as-deployed` lies there when it starts.
"""

import asyncio
import mmap
import signal
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from ingest.collector import Collector
from ingest.devices import Registry
from ingest.errors import StoreError
from ingest.journal import Journal, JournalReader
from ingest.reading import Quantity
from ingest.settings import CollectorSettings, MqttSettings
from ingest.shipper import StoreShipper
from ingest.sources import Deliver, Message
from ingest.sources.mqtt5 import Mqtt5Source
from ingest.sources.paho import PahoSource
from ingest.sources.session import Backoff, MqttSource
from ingest.stores import Added, Columns, StoredEvent
from ingest.stores.parquet import ParquetStore


class MoodyStore:
    """A Parquet store that is away or slow when a file says so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ParquetStore(folder / "archive")

    def _mood(self) -> None:
        if (self.folder / "store-down").exists():
            raise StoreError("the store is away")
        while (self.folder / "store-slow").exists():
            time.sleep(0.05)

    def put(self, quantity: Quantity, columns: Columns) -> Added:
        self._mood()
        return self.store.put(quantity, columns)

    def put_events(self, events: Sequence[StoredEvent]) -> Added:
        self._mood()
        return self.store.put_events(events)


def clock_of(folder: Path) -> mmap.mmap:
    path = folder / "clock"
    if not path.exists():
        path.write_bytes(struct.pack("<q", 0))
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 8)


def acknowledge_first(source: MqttSource) -> None:
    """What must not be: for the test that the tests would notice."""
    run, ack = source.run, source.ack

    async def run_first(deliver: Deliver) -> None:
        def told(messages: Sequence[Message]) -> None:
            deliver(messages)
            ack([message[4] for message in messages])

        await run(told)

    source.run = run_first  # type: ignore[method-assign]
    source.ack = lambda _tokens: None  # type: ignore[method-assign]


async def main(folder: Path, port: int, kind: str, client_id: str, filters: list[str]) -> None:
    clock = clock_of(folder)

    def now_ms() -> int:
        return time.time_ns() // 1_000_000 + struct.unpack("<q", clock[:8])[0]

    journal = Journal(
        folder / "journal.db",
        quota_bytes=1 << 30,
        now_ms=now_ms,
        min_free_bytes=0,
        synchronous="NORMAL" if (folder / "synchronous-normal").exists() else "FULL",
    )
    reader = JournalReader(journal.path)
    settings = MqttSettings(port=port, client_id=client_id, filters=tuple(filters))
    source = (Mqtt5Source if kind == "mqtt5" else PahoSource)(
        settings,
        backoff=(
            None if (folder / "waits-as-deployed").exists() else Backoff(first_s=0.05, cap_s=0.5)
        ),
    )
    registry = Registry(enrol=True)
    if (folder / "acknowledge-first").exists():
        acknowledge_first(source)
    collector = Collector(
        source,
        journal,
        registry=lambda: registry,
        now_ms=now_ms,
        settings=CollectorSettings(
            retry_s=0.05, linger_s=0.3 if (folder / "acknowledge-first").exists() else 0.008
        ),
    )
    shipper = StoreShipper(journal, reader, MoodyStore(folder), now_ms=now_ms, draw=lambda: 0.05)
    collecting = asyncio.create_task(collector.run())
    shipping = asyncio.create_task(shipper.run())
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, lambda: asyncio.ensure_future(collector.stop())
    )
    while not source.status.connected and not collecting.done():  # noqa: ASYNC110 - sets no event
        await asyncio.sleep(0.01)
    (folder / "ready").touch()
    await collecting
    shipping.cancel()
    await asyncio.gather(shipping, return_exceptions=True)
    reader.close()
    journal.close()


if __name__ == "__main__":
    # As the program logs: rendering an exception must open no file, there may be none left to open.
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:]))
