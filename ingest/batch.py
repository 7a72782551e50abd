"""What one journal commit holds: readings as columns, fault reports, bad messages, counts."""

from collections import Counter
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ingest.errors import Reason
from ingest.reading import Event, Quantity
from ingest.receipts import Numbered

__all__ = ["BadMessage", "Batch", "Block"]

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Block:
    """Readings of one quantity and one UTC day, ready to be written.

    Attributes
    ----------
    day : int
        Days since 1970-01-01 UTC.
    device : int32 (n,)
        Index into `device_ids`.
    time_ms, received_ms : int64 (n,)
    value : float64 (n,)
    flags : uint8 (n,)
    device_ids : list of str
    """

    quantity: str
    day: int
    device: npt.NDArray[np.int32]
    time_ms: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    received_ms: npt.NDArray[np.int64]
    flags: npt.NDArray[np.uint8]
    device_ids: list[str]


@dataclass(frozen=True, slots=True)
class BadMessage:
    """A message for the quarantine: whole, with the reason.

    Attributes
    ----------
    readings : int
        How many readings it counts for in the balance; a message nobody could read counts as one.
    """

    received_ms: int
    topic: str
    payload: bytes
    reason: Reason
    detail: str = ""
    readings: int = 1


_Piece = tuple[str, Rows[int], Rows[float], Rows[int] | int, int]
"""Device, times, values, flags and receive time of one series."""


@dataclass(slots=True)
class Batch:
    """Everything one commit of the journal writes, in the order it came.

    Attributes
    ----------
    counts : Counter of str
        What to add to the counters (see `ingest.counters`); committed with the readings.
    events : list of (Event, int)
        Fault reports with their receive time [ms, UTC]; those with `Flag.WITHDRAWN` take one back.
    bad : list of BadMessage
    sequences : Numbered
        Places of native messages in their devices' numbering.
    released : list of int
        Ids of quarantined messages that leave the quarantine, because they are in this batch.
    """

    counts: Counter[str] = field(default_factory=Counter[str])
    events: list[tuple[Event, int]] = field(default_factory=list[tuple[Event, int]])
    bad: list[BadMessage] = field(default_factory=list[BadMessage])
    sequences: Numbered = field(default_factory=Numbered)
    released: list[int] = field(default_factory=list[int])
    _pieces: dict[str, list[_Piece]] = field(default_factory=dict[str, list[_Piece]])
    _blocks: list[Block] = field(default_factory=list[Block])

    def add(
        self,
        device_id: str,
        quantity: Quantity,
        time_ms: Rows[int],
        value: Rows[float],
        flags: Rows[int] | int,
        received_ms: int,
    ) -> None:
        """Readings of one device, equally long columns; they count as received."""
        self.counts["received"] += len(time_ms)
        pieces = self._pieces.get(quantity)
        if pieces is None:
            pieces = self._pieces[quantity] = []
        pieces.append((device_id, time_ms, value, flags, received_ms))

    def withdraw(
        self,
        device_id: str,
        quantity: Quantity,
        time_ms: Rows[int],
        value: Rows[float],
        flags: Rows[int] | int,
        received_ms: int,
    ) -> None:
        """Take readings back that stand at another time; `flags` hold `Flag.WITHDRAWN`.

        They are rows of the journal, but no readings, so they count for nothing.
        """
        pieces = self._pieces.setdefault(quantity, [])
        pieces.append((device_id, time_ms, value, flags, received_ms))

    def add_columns(
        self,
        quantity: Quantity,
        device_ids: list[str],
        device: npt.NDArray[np.int32],
        time_ms: npt.NDArray[np.int64],
        value: npt.NDArray[np.float64],
        received_ms: npt.NDArray[np.int64],
        flags: npt.NDArray[np.uint8],
    ) -> None:
        """Readings of many devices at once, as bulk import has them; they count as received."""
        self.counts["received"] += len(time_ms)
        self._blocks += _by_day(quantity, device_ids, device, time_ms, value, received_ms, flags)

    def add_event(self, event: Event, received_ms: int) -> None:
        """A fault report; it counts as one reading."""
        self.counts["received"] += 1
        self.events.append((event, received_ms))

    def withdraw_event(self, event: Event, received_ms: int) -> None:
        """Take a fault report back that stands at another time; `flags` hold `Flag.WITHDRAWN`."""
        self.events.append((event, received_ms))

    def add_bad(self, message: BadMessage) -> None:
        """A message for the quarantine."""
        self.counts["received"] += message.readings
        self.counts["quarantined"] += message.readings
        self.counts[f"rejected.{message.reason}"] += 1
        self.bad.append(message)

    def release(self, number: int, readings: int) -> None:
        """A message leaves the quarantine; what it holds is counted as it is added."""
        self.counts["received"] -= readings
        self.counts["quarantined"] -= readings
        self.counts["quarantine_released"] += 1
        self.released.append(number)

    def add_duplicate(self, readings: int) -> None:
        """Readings known to be in the journal or the store already."""
        self.counts["received"] += readings
        self.counts["duplicate"] += readings

    def add_refused(self, reason: Reason = Reason.PERSONAL_DATA) -> None:
        """A message whose content must not be kept; nothing of it is."""
        self.counts["received"] += 1
        self.counts["refused"] += 1
        self.counts[f"rejected.{reason}"] += 1

    @property
    def rows(self) -> int:
        """Readings and withdrawals in it."""
        return sum(len(piece[1]) for pieces in self._pieces.values() for piece in pieces) + sum(
            len(b.time_ms) for b in self._blocks
        )

    @property
    def nbytes(self) -> int:
        """About what it will take in the journal [bytes]."""
        return (
            25 * self.rows
            + sum(len(m.payload) + 100 for m in self.bad)
            + 100 * len(self.events)
            + 44 * len(self.sequences)
        )

    def __bool__(self) -> bool:
        return bool(self.counts or self._pieces or self._blocks or self.events or self.sequences)

    def blocks(self) -> list[Block]:
        """Its readings by quantity and UTC day; within a block in the order they came."""
        blocks = list(self._blocks)
        for quantity, pieces in self._pieces.items():
            blocks += _of_pieces(quantity, pieces)
        return blocks


def _of_pieces(quantity: str, pieces: list[_Piece]) -> list[Block]:
    """One message's rows after another's, by day."""
    names = [piece[0] for piece in pieces]
    index = {name: number for number, name in enumerate(dict.fromkeys(names))}
    device = np.array([index[name] for name in names], np.int32)
    received_ms = np.array([piece[4] for piece in pieces], np.int64)
    count = [len(piece[1]) for piece in pieces]
    if max(count) > 1:
        device, received_ms = np.repeat(device, count), np.repeat(received_ms, count)
    flags: list[int] = []
    for (_, _, _, flag, _), n in zip(pieces, count, strict=True):
        if isinstance(flag, int):
            flags += [flag] * n
        else:
            flags += flag
    return _by_day(
        quantity,
        list(index),
        device,
        np.array([time_ms for piece in pieces for time_ms in piece[1]], np.int64),
        np.array([value for piece in pieces for value in piece[2]], np.float64),
        received_ms,
        np.array(flags, np.uint8),
    )


def _by_day(
    quantity: str,
    device_ids: list[str],
    device: npt.NDArray[np.int32],
    time_ms: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    received_ms: npt.NDArray[np.int64],
    flags: npt.NDArray[np.uint8],
) -> list[Block]:
    """Split columns by UTC day, keeping the order within each."""
    if not len(time_ms):
        return []
    day = time_ms // DAY_MS
    first = int(day[0])
    if (day == first).all():
        return [Block(quantity, first, device, time_ms, value, received_ms, flags, device_ids)]
    blocks: list[Block] = []
    for one in np.unique(day):
        at = day == one
        blocks.append(
            Block(
                quantity,
                int(one),
                device[at],
                time_ms[at],
                value[at],
                received_ms[at],
                flags[at],
                device_ids,
            )
        )
    return blocks
