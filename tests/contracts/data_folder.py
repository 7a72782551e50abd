"""What a program's data folder holds, read beside it or after it has ended."""

from contextlib import closing
from pathlib import Path

from contracts.waiting import eventually

from ingest.counters import Counters
from ingest.journal import JournalReader
from ingest.reading import Quantity
from ingest.stores.parquet import ParquetStore

__all__ = ["Row", "counts_after", "rows_in"]

Row = tuple[str, str, int, float]
"""Quantity, device, time [ms, UTC], value."""


def counts_after(folder: Path, messages: int) -> Counters:
    """The balance as soon as so many messages have been read."""
    with closing(JournalReader(folder / "journal.db")) as reader:

        def enough() -> Counters | None:
            counts = reader.counters()
            return counts if counts.other.get("messages", 0) >= messages else None

        found: Counters = eventually(enough)
        return found


def rows_in(folder: Path) -> list[Row]:
    """Everything a round or a page would read."""
    found: list[Row] = []
    with closing(JournalReader(folder / "journal.db")) as reader:
        store = ParquetStore(folder / "archive", tail=reader)
        for quantity in Quantity:
            columns = store.columns(quantity, start_ms=0, stop_ms=2**52)
            devices = [columns.device_ids[device] for device in columns.device.tolist()]
            times_ms, values = columns.time_ms.tolist(), columns.value.tolist()
            found += [(quantity.value, *row) for row in zip(devices, times_ms, values, strict=True)]
    return found
