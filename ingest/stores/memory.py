"""Readings in memory: a real store without permanence, for tests and for trying things out."""

import threading
from collections.abc import Sequence

from ingest.reading import Quantity
from ingest.stores import Added, Columns, StoredEvent
from ingest.stores.event_rows import merge_events, standing_events, taken_back
from ingest.stores.merging import (
    at_kept_precision,
    concatenate,
    empty,
    latest_of,
    merge,
    select,
    standing,
    withdrawals,
)

__all__ = ["MemoryStore"]


class MemoryStore:
    """A `SeriesStore` that forgets everything when the process ends."""

    def __init__(self) -> None:
        self._readings: dict[Quantity, Columns] = {}
        self._events: list[StoredEvent] = []
        self._lock = threading.Lock()

    def add(self, quantity: Quantity, columns: Columns) -> None:
        """Keep readings."""
        self.put(quantity, columns)

    def put(self, quantity: Quantity, columns: Columns) -> Added:
        """Keep readings and say what became of them."""
        new = at_kept_precision(quantity, columns)
        with self._lock:
            kept = self._readings.get(quantity, empty())
            merged = standing(merge(concatenate([kept, new])))
            self._readings[quantity] = merged
        stored = len(merged) - len(kept)
        return Added(stored, len(new) - withdrawals(new) - stored)

    def columns(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        devices: Sequence[str] | None = None,
    ) -> Columns:
        """Readings with `start_ms <= time_ms < stop_ms`, of all devices or of those named."""
        kept = self._readings.get(quantity, empty())
        return merge(select(kept, start_ms=start_ms, stop_ms=stop_ms, devices=devices))

    def latest(self, quantity: Quantity, *, start_ms: int, stop_ms: int) -> Columns:
        """The newest reading of each device with `start_ms <= time_ms < stop_ms`."""
        return latest_of(self.columns(quantity, start_ms=start_ms, stop_ms=stop_ms))

    def add_events(self, events: Sequence[StoredEvent]) -> None:
        """Keep fault reports."""
        self.put_events(events)

    def put_events(self, events: Sequence[StoredEvent]) -> Added:
        """Keep fault reports and say what became of them."""
        with self._lock:
            before = len(self._events)
            self._events = standing_events(merge_events([*self._events, *events]))
            stored = len(self._events) - before
        given = len(events) - sum(map(taken_back, events))
        return Added(stored, given - stored)

    def events(self, *, start_ms: int, stop_ms: int) -> list[StoredEvent]:
        """Fault reports with `start_ms <= time_ms < stop_ms`, by time, device and name."""
        return [event for event in self._events if start_ms <= event.time_ms < stop_ms]
