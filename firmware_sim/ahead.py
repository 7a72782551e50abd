"""What lies ahead of a live city, computed feeder by feeder just before it is needed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from firmware_sim.city import Feeder
from firmware_sim.devices.node import Row
from firmware_sim.telling import counter_rows, device_rows, event_row
from firmware_sim.world import City

__all__ = ["COUNTERS", "Block", "Queue", "counter_blocks", "feeder_blocks"]

Ints = NDArray[np.int64]
Item = tuple[str, str, Row]
"""Gateway, device and row."""

COUNTERS = "counters"  # the queue of all footfall counters; feeders have one each


@dataclass
class Block:
    """Rows in the order they are received, as arrays until they fall due.

    Attributes
    ----------
    received_ms, true_ms : int64 (n,)
        When each is received and was measured.
    places : int64 (n,)
        What `rows` knows each by.
    rows : callable
        Makes the rows at some places.
    """

    received_ms: Ints
    true_ms: Ints
    places: Ints
    rows: Callable[[Ints], Iterator[Item]]
    at: int = 0

    def due(self, now_ms: int) -> Iterator[Item]:
        """Take out what has been received by now."""
        stop = int(np.searchsorted(self.received_ms, now_ms, "right"))
        if stop <= self.at:
            return iter(())
        taken, self.at = self.places[self.at : stop], stop
        return self.rows(taken)

    def only(self, chosen: NDArray[np.bool_]) -> "Block":
        """Some of the rows that were not taken out yet."""
        left = np.flatnonzero(chosen & (np.arange(len(chosen)) >= self.at))
        return Block(self.received_ms[left], self.true_ms[left], self.places[left], self.rows)


@dataclass
class Queue:
    """What lies ahead of one feeder, or of the counters.

    Attributes
    ----------
    version : int
        Counts how often a fault changed what lies ahead.
    """

    blocks: list[Block] = field(default_factory=list)
    version: int = 0

    def add(self, blocks: list[Block], since_ms: int) -> None:
        """Add what is received from `since_ms` on."""
        self.blocks = [b for b in self.blocks if b.at < len(b.places)]
        self.blocks += [b.only(b.received_ms >= since_ms) for b in blocks]

    def due(self, now_ms: int) -> Iterator[Item]:
        """Take out what has been received by now."""
        for block in self.blocks:
            yield from block.due(now_ms)

    def replace(self, blocks: list[Block], now_ms: int, since_ms: int) -> None:
        """From now on something else is measured; what was measured before stays."""
        kept = [b.only(b.true_ms <= now_ms) for b in self.blocks]
        self.blocks = []
        self.add(kept, since_ms)
        self.add([b.only(b.true_ms > now_ms) for b in blocks], since_ms)


def feeder_blocks(city: City, feeder: Feeder, day: int) -> list[Block]:
    """What a feeder's devices will send of one day."""
    rows, events = city.feeder_day(feeder, day)
    events.sort(key=lambda event: event.received_ms)
    times = np.array([(e.received_ms, e.time_ms) for e in events], np.int64).reshape(-1, 2)

    def measured(at: Ints) -> Iterator[Item]:
        for device, row in device_rows(feeder, rows.taken(at)):
            yield feeder.gateway, device, row

    def reported(at: Ints) -> Iterator[Item]:
        for k in at.tolist():
            yield feeder.gateway, events[k].device_id, event_row(events[k])

    return [
        Block(rows.received_ms, rows.true_ms, np.arange(len(rows.device)), measured),
        Block(times[:, 0], times[:, 1], np.arange(len(events)), reported),
    ]


def counter_blocks(city: City, day: int) -> list[Block]:
    """What the footfall counters will send of one day."""
    rows = city.counter_day(day)

    def counted(at: Ints) -> Iterator[Item]:
        for counter, row in counter_rows(city.counters, rows.taken(at)):
            yield counter.gateway, counter.device_id, row

    return [Block(rows.received_ms, rows.true_ms, np.arange(len(rows.counter)), counted)]
