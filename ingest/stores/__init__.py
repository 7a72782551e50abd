"""Where readings rest; every store keeps the promises of `tests/contracts/series_store.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ingest.reading import Quantity

__all__ = ["Added", "Columns", "CountingStore", "SeriesStore", "StoredEvent"]


@dataclass(slots=True)
class Columns:
    """Readings of one quantity as parallel columns.

    Attributes
    ----------
    device : int32 (n,)
        Index into `device_ids`.
    time_ms : int64 (n,)
        When it was so, by the device [ms, UTC].
    value : float64 (n,)
    received_ms : int64 (n,)
        When we received it [ms, UTC].
    flags : uint8 (n,)
        `ingest.reading.Flag` bits.
    device_ids : list of str
    """

    device: npt.NDArray[np.int32]
    time_ms: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    received_ms: npt.NDArray[np.int64]
    flags: npt.NDArray[np.uint8]
    device_ids: list[str]

    def __len__(self) -> int:
        return len(self.time_ms)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A fault report as kept: identity is (device_id, time_ms, event).

    `flags` are `ingest.reading.Flag` bits.
    """

    device_id: str
    time_ms: int
    received_ms: int
    event: str
    active: bool | None
    info: str
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Added:
    """What became of readings or fault reports that were given to a store.

    Attributes
    ----------
    stored : int
        How many more the store holds than before.
    duplicate : int
        How many were there already or came twice in the same batch; a newer value replaced the old.
    refused : tuple of (str, str)
        Lines that the store would not take, one or several to a text, each with what it said. They
        are in neither count.
    """

    stored: int = 0
    duplicate: int = 0
    refused: tuple[tuple[str, str], ...] = ()

    @property
    def quarantined(self) -> int:
        """How many lines were refused."""
        return sum(text.count("\n") + 1 for text, _ in self.refused)


class SeriesStore(Protocol):
    """A place for readings and fault reports.

    A reading is (device, quantity, time): the last write wins, an identical repeat keeps the first
    `received_ms`. `stop_ms` is outside. What comes out is sorted by device id, then time.
    """

    def add(self, quantity: Quantity, columns: Columns) -> None:
        """Keep readings; when it returns they are as durable as the store can make them."""
        ...

    def columns(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        devices: Sequence[str] | None = None,
    ) -> Columns:
        """Readings with `start_ms <= time_ms < stop_ms`, of all devices or of those named."""
        ...

    def add_events(self, events: Sequence[StoredEvent]) -> None:
        """Keep fault reports; the same (device, time, event) again replaces."""
        ...

    def events(self, *, start_ms: int, stop_ms: int) -> list[StoredEvent]:
        """Fault reports with `start_ms <= time_ms < stop_ms`, by time."""
        ...


class CountingStore(SeriesStore, Protocol):
    """A store that says what became of what it was given, so that the balance can be kept."""

    def put(self, quantity: Quantity, columns: Columns) -> Added:
        """The same as `add`; lines that are refused are returned, not raised."""
        ...

    def put_events(self, events: Sequence[StoredEvent]) -> Added:
        """The same as `add_events`."""
        ...
