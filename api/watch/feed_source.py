"""Recorded readings held in memory for a backtest: narrow columns, night by night."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.grid import DAY_MS, Bools, Floats, Ints, Times, night_of, window_start
from api.errors import BadInputError
from api.watch.window_readings import READ
from ingest.reading import Quantity
from ingest.stores import Columns, StoredEvent

__all__ = ["FeedSource", "Gathering"]

LONGEST_DELTA_MS = 2**31 - 1


@dataclass(slots=True)
class NightOfReadings:
    """One quantity in one window, sixteen bytes a reading, by device and time.

    Attributes
    ----------
    device : int32 (m,)
    at_ms : int32 (m,)
        After the window's noon.
    value : float32 (m,)
    delta_ms : int32 (m,)
        Receive time minus time.
    first_ms, last_ms : int
        When the first and the last of them were received.
    """

    device: Ints
    at_ms: Ints
    value: Floats
    delta_ms: Ints
    first_ms: int
    last_ms: int

    def only(self, keep: Bools) -> "NightOfReadings":
        """Some of them."""
        if keep.all():
            return self
        return NightOfReadings(
            self.device[keep],
            self.at_ms[keep],
            self.value[keep],
            self.delta_ms[keep],
            self.first_ms,
            self.last_ms,
        )


class FeedSource:
    """Readings and events of a feed; keeps a store's promises to the round.

    Parameters
    ----------
    device_ids : list of str
        Sorted.
    nights : dict of Quantity to dict of int to NightOfReadings
    events : list of StoredEvent
        By time.
    """

    def __init__(
        self,
        device_ids: list[str],
        nights: dict[Quantity, dict[int, NightOfReadings]],
        events: list[StoredEvent],
    ) -> None:
        self.device_ids = device_ids
        self.nights = nights
        self.all_events = events
        self._number = {name: i for i, name in enumerate(device_ids)}
        self._event_ms = np.array([e.time_ms for e in events], dtype=np.int64)

    def columns(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        devices: Sequence[str] | None = None,
    ) -> Columns:
        """Readings with `start_ms <= time_ms < stop_ms`, of all devices or of those named."""
        parts: list[tuple[int, NightOfReadings]] = []
        wanted = None if devices is None else self._wanted(devices)
        for number, night in self._touched(quantity, start_ms, stop_ms):
            noon = window_start(number)
            keep = np.ones(len(night.device), dtype=bool)
            if start_ms > noon or stop_ms < noon + DAY_MS:
                keep = (night.at_ms >= start_ms - noon) & (night.at_ms < stop_ms - noon)
            if wanted is not None:
                keep &= wanted[night.device]
            parts.append((noon, night.only(keep)))
        return self._joined(parts)

    def arrived(
        self,
        quantity: Quantity,
        *,
        start_ms: int,
        stop_ms: int,
        reach_ms: int,
        now_ms: int,
        mark: int | None,
    ) -> tuple[Columns | None, int]:
        """Readings of the window, and of some days around it, received after `mark`, up to now."""
        if mark is None:
            return None, now_ms
        parts: list[tuple[int, NightOfReadings]] = []
        for number, night in self._touched(quantity, start_ms - reach_ms, stop_ms + reach_ms):
            if night.first_ms > now_ms or night.last_ms <= mark:
                continue
            noon = window_start(number)
            received = night.at_ms.astype(np.int64) + night.delta_ms + noon
            keep = (received > mark) & (received <= now_ms)
            if keep.any():
                parts.append((noon, night.only(keep)))
        return self._joined(parts), now_ms

    def events(self, *, start_ms: int, stop_ms: int) -> list[StoredEvent]:
        """Fault reports with `start_ms <= time_ms < stop_ms`, by time."""
        a, b = np.searchsorted(self._event_ms, [start_ms, stop_ms])
        return self.all_events[int(a) : int(b)]

    @property
    def count(self) -> int:
        """Readings of all quantities that a round uses."""
        return sum(len(n.device) for nights in self.nights.values() for n in nights.values())

    def span_ms(self) -> tuple[int, int]:
        """First and last time of any reading or event.

        Raises
        ------
        BadInputError
            When there is none.
        """
        ends = [
            (window_start(number) + int(edge.min()), window_start(number) + int(edge.max()))
            for nights in self.nights.values()
            for number, night in nights.items()
            if len(edge := night.at_ms)
        ]
        if len(self._event_ms):
            ends.append((int(self._event_ms[0]), int(self._event_ms[-1])))
        if not ends:
            raise BadInputError(
                "the feed holds no reading that can be used.",
                remedy="Expected illuminance_lx, power_w or lamp_status, or fault reports.",
            )
        return min(a for a, _ in ends), max(b for _, b in ends)

    def late_arrivals(self) -> dict[int, set[int]]:
        """For each night, the earlier nights whose readings were received only then."""
        late: dict[int, set[int]] = {}
        for nights in self.nights.values():
            for number, night in nights.items():
                stop_ms = window_start(number + 1)
                if night.last_ms <= stop_ms:
                    continue
                received = night.at_ms.astype(np.int64) + night.delta_ms + window_start(number)
                after = received[received > stop_ms]
                for came in np.unique((after - window_start(0) - 1) // DAY_MS):
                    late.setdefault(int(came), set()).add(number)
        return late

    def _touched(
        self, quantity: Quantity, start_ms: int, stop_ms: int
    ) -> list[tuple[int, NightOfReadings]]:
        """Nights that a stretch of time reaches into, in order."""
        nights = self.nights.get(quantity, {})
        span = range(night_of(start_ms), night_of(stop_ms - 1) + 1)
        if len(span) > len(nights):
            return sorted((n, night) for n, night in nights.items() if n in span)
        return [(n, nights[n]) for n in span if n in nights]

    def _wanted(self, devices: Sequence[str]) -> Bools:
        wanted = np.zeros(len(self.device_ids), dtype=bool)
        wanted[[self._number[d] for d in devices if d in self._number]] = True
        return wanted

    def _joined(self, parts: Sequence[tuple[int, NightOfReadings]]) -> Columns:
        """Columns as a store gives them."""
        time_ms = joined([n.at_ms.astype(np.int64) + noon for noon, n in parts], np.int64)
        delta = joined([n.delta_ms for _, n in parts], np.int32)
        return Columns(
            joined([n.device for _, n in parts], np.int32),
            time_ms,
            joined([n.value for _, n in parts], np.float32).astype(np.float64),
            time_ms + delta,
            np.zeros(len(time_ms), dtype=np.uint8),
            self.device_ids,
        )


def joined(parts: Sequence[npt.NDArray[Any]], kind: type[np.generic]) -> npt.NDArray[Any]:
    """Arrays one after the other; an empty one of this kind of none."""
    if not parts:
        return np.zeros(0, dtype=kind)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class Gathering:
    """Takes readings in pieces, in any order, and puts them in order night by night."""

    def __init__(self) -> None:
        self.number_of: dict[str, int] = {}
        self._pieces: dict[tuple[Quantity, int], list[list[npt.NDArray[Any]]]] = {}

    def add(
        self,
        quantity: Quantity,
        device: Ints,
        time_ms: Times,
        value: npt.NDArray[np.float64],
        received_ms: Times,
    ) -> None:
        """A piece; `device` numbers are those of `number_of`."""
        if quantity not in READ or not len(device):
            return
        night = (time_ms - window_start(0)) // DAY_MS
        at_ms = (time_ms - window_start(0) - night * DAY_MS).astype(np.int32)
        delta = np.clip(received_ms - time_ms, -LONGEST_DELTA_MS, LONGEST_DELTA_MS)
        columns = [device, at_ms, value.astype(np.float32), delta.astype(np.int32)]
        if np.any(night[1:] < night[:-1]):
            order = np.argsort(night, kind="stable")
            night, columns = night[order], [c[order] for c in columns]
        edges = np.flatnonzero(np.r_[True, night[1:] != night[:-1]])
        for a, b in zip(edges, [*edges[1:], len(night)], strict=True):
            # Copies, so that a piece does not hold the file it came from.
            piece = [c[a:b].copy() for c in columns]
            self._pieces.setdefault((quantity, int(night[a])), []).append(piece)

    def source(self, events: list[StoredEvent]) -> FeedSource:
        """All in order; of equal (device, time) the last arrival stays, received at the first."""
        ids = sorted(self.number_of)
        place = {name: i for i, name in enumerate(ids)}
        order = np.array([place[name] for name in self.number_of], dtype=np.int32)
        nights: dict[Quantity, dict[int, NightOfReadings]] = {}
        for key in sorted(self._pieces):
            pieces = self._pieces.pop(key)
            columns = [np.concatenate(c) for c in zip(*pieces, strict=True)]
            nights.setdefault(key[0], {})[key[1]] = in_order(columns, order, key[1])
        return FeedSource(ids, nights, events)


def in_order(columns: Iterable[npt.NDArray[Any]], order: Ints, night: int) -> NightOfReadings:
    """Sort one night by device and time; of equal ones the last arrival stays."""
    device, at_ms, value, delta = columns
    device = order[device].astype(np.int32)
    # One number to sort by is four times as fast as several keys.
    key = device.astype(np.int64) * DAY_MS + at_ms
    if np.any(key[1:] < key[:-1]):
        by = np.argsort(key, kind="stable")
        key, device, at_ms, value, delta = key[by], device[by], at_ms[by], value[by], delta[by]
    twin = key[1:] == key[:-1]
    if twin.any():
        shared = np.flatnonzero(np.r_[twin, False] | np.r_[False, twin])
        again = shared[np.lexsort((delta[shared], key[shared]))]
        value[shared], delta[shared] = value[again], delta[again]
        last, first = np.r_[~twin, True], np.r_[True, ~twin]
        delta = delta[first]
        device, at_ms, value = device[last], at_ms[last], value[last]
    received = at_ms.astype(np.int64) + delta + window_start(night)
    return NightOfReadings(device, at_ms, value, delta, int(received.min()), int(received.max()))
