"""Stores that are filled through a journal, as they are in the running program."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ingest.batch import Batch
from ingest.journal import Journal, JournalReader
from ingest.reading import Event, Flag, Quantity
from ingest.stores import Columns, StoredEvent
from ingest.stores.merging import withdrawals


def batch_of(quantity: Quantity, columns: Columns) -> Batch:
    """One commit's worth of readings."""
    batch = Batch()
    batch.add_columns(
        quantity,
        columns.device_ids,
        columns.device,
        columns.time_ms,
        columns.value,
        columns.received_ms,
        columns.flags,
    )
    batch.counts["received"] -= withdrawals(columns)  # they are no readings
    return batch


def event_batch(events: Sequence[StoredEvent]) -> Batch:
    """One commit's worth of fault reports."""
    batch = Batch()
    for e in events:
        keep = batch.withdraw_event if e.flags & Flag.WITHDRAWN else batch.add_event
        keep(Event(e.device_id, e.time_ms, e.event, e.active, e.info, e.flags), e.received_ms)
    return batch


class Journaled:
    """A `SeriesStore` whose `add` commits to a journal and then calls `settle`."""

    def __init__(self, folder: Path, now_ms: Callable[[], int]) -> None:
        self.journal = Journal(
            folder / "journal.db", quota_bytes=1 << 30, now_ms=now_ms, synchronous="NORMAL"
        )
        self.reader = JournalReader(folder / "journal.db")
        self.store = None
        self.settle: Callable[[], object] = lambda: None

    def add(self, quantity: Quantity, columns: Columns) -> None:
        self.journal.commit(batch_of(quantity, columns))
        self.settle()

    def add_events(self, events: Sequence[StoredEvent]) -> None:
        self.journal.commit(event_batch(events))
        self.settle()

    def columns(self, quantity: Quantity, **window) -> Columns:
        return self.store.columns(quantity, **window)

    def latest(self, quantity: Quantity, **window) -> Columns:
        return self.store.latest(quantity, **window)

    def events(self, **window) -> list[StoredEvent]:
        return self.store.events(**window)

    def close(self) -> None:
        self.reader.close()
        self.journal.close()
