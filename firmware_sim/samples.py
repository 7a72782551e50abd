"""A city's days over MQTT as fast as they can be written: a message a sample, as its devices live.

Columns become text at once and messages from their texts: encoding row by row would take longer
than the broker takes to pass a message on. A test holds the bytes against `devices.native`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_sim.city import Feeder
from firmware_sim.devices.native import encode_events, encode_json, topic
from firmware_sim.fleet import Outgoing
from firmware_sim.sky import DAY_MS
from firmware_sim.telling import device_rows, event_row
from firmware_sim.transmission import EventRow, Rows
from firmware_sim.world import City

__all__ = ["samples"]

Ints = NDArray[np.int64]
Texts = list[bytes]
# Two days at once cost a third less than one by one; few luminaires, so that the first go out soon.
LAMPS_AT_ONCE, DAYS_AT_ONCE, MESSAGES_AT_ONCE = 150, 2, 1_000
NOT_NUMBERED = -1


@dataclass
class Sayings:
    """Messages of some devices; equally long columns.

    Attributes
    ----------
    received_ms : int64 (n,)
    device : int64 (n,)
        Number of the sender in the city; `NOT_NUMBERED` for LoRaWAN, whose frames count themselves.
    where : list of str
    body : list of bytes
        The message; without its numbering where the device numbers its rows.
    starts : int64 (n,)
        How often the device had started.
    """

    received_ms: Ints
    device: Ints
    where: list[str]
    body: Texts
    starts: Ints

    @staticmethod
    def joined(parts: list["Sayings"]) -> "Sayings":
        """One after the other, then by the time they are received."""
        received = np.concatenate([part.received_ms for part in parts])
        device = np.concatenate([part.device for part in parts])
        order = np.lexsort((device, received))
        where = [text for part in parts for text in part.where]
        body = [text for part in parts for text in part.body]
        places = order.tolist()
        return Sayings(
            received[order], device[order], [where[k] for k in places], [body[k] for k in places],
            np.concatenate([part.starts for part in parts])[order],
        )  # fmt: skip

    def cut(self, at: int) -> tuple["Sayings", "Sayings"]:
        """Those before a place, and the rest."""

        def some(chosen: slice) -> Sayings:
            return Sayings(
                self.received_ms[chosen], self.device[chosen], self.where[chosen],
                self.body[chosen], self.starts[chosen],
            )  # fmt: skip

        return some(slice(at)), some(slice(at, None))


def samples(city: City, boot: int) -> Iterator[list[Outgoing]]:
    """What devices measured in the scenario's days, each sample in a message of its own.

    Computed as it is asked for: some days after the others and, within these, some hundred
    luminaires at a time, their messages in the order they are received. Each device numbers its
    rows from 0 in that order.
    """
    first_number: dict[str, int] = {}
    senders = 0
    for feeder in city.feeders:
        first_number[feeder.name] = senders
        senders += feeder.size
    # The last place is nobody's: what is not numbered looks there.
    numbers = Numbers(senders + len(city.counters) + 1, boot)
    parts = [*feeder_parts(city.feeders), list[Feeder]()]
    none = np.zeros(0, np.int64)
    nothing = Sayings(none, none, [], [], none)
    held = [nothing] * len(parts)
    first, stop = city.scenario.start_ms // DAY_MS, city.scenario.stop_ms // DAY_MS
    for day in range(first, stop, DAYS_AT_ONCE):
        days = min(DAYS_AT_ONCE, stop - day)
        for k, feeders in enumerate(parts):
            fresh = [held[k]]
            for feeder in feeders:
                fresh += feeder_sayings(city, feeder, day, days, first_number[feeder.name])
            if not feeders:
                fresh += counter_sayings(city, day, days, senders)
            waiting = Sayings.joined(fresh)
            # What is held back over midnight comes with the next days, after the last ones at once.
            over = (day + days) * DAY_MS if day + days < stop else 2**62
            ready, held[k] = waiting.cut(int(np.searchsorted(waiting.received_ms, over)))
            yield from numbered(ready, numbers)


def feeder_parts(feeders: tuple[Feeder, ...]) -> list[list[Feeder]]:
    """Feeders in parts of some hundred luminaires."""
    parts: list[list[Feeder]] = []
    room = 0
    for feeder in feeders:
        if room < feeder.size:
            parts.append([])
            room = LAMPS_AT_ONCE
        parts[-1].append(feeder)
        room -= feeder.size
    return parts


class Numbers:
    """The numbering of every device: how often it has started, and the number of its next row."""

    def __init__(self, devices: int, boot: int) -> None:
        self._boot = boot << 16
        self._starts = np.zeros(devices, np.int64)
        self._next = np.zeros(devices, np.int64)

    def take(self, device: Ints, starts: Ints) -> tuple[list[int], list[int]]:
        """Boot and sequence numbers of rows in the order they are sent."""
        if not starts.any() and not self._starts[device].any():
            return [self._boot] * len(device), self._run(device)
        boots, numbers = [], []
        for one, started in zip(device.tolist(), starts.tolist(), strict=True):
            if one != NOT_NUMBERED and started > self._starts[one]:
                self._starts[one], self._next[one] = started, 0
            boots.append(self._boot + int(self._starts[one]))
            numbers.append(NOT_NUMBERED if one == NOT_NUMBERED else int(self._next[one]))
            self._next[one] += one != NOT_NUMBERED
        return boots, numbers

    def _run(self, device: Ints) -> list[int]:
        """Sequence numbers where nobody has started anew."""
        order = np.argsort(device, kind="stable")
        ordered = device[order]
        begins = np.flatnonzero(np.diff(ordered, prepend=-2))
        nth = np.arange(len(device)) - np.repeat(begins, np.diff(begins, append=len(device)))
        seq = np.empty(len(device), np.int64)
        seq[order] = np.where(ordered == NOT_NUMBERED, NOT_NUMBERED, self._next[ordered] + nth)
        senders, rows = np.unique(ordered[ordered != NOT_NUMBERED], return_counts=True)
        self._next[senders] += rows
        numbers: list[int] = seq.tolist()
        return numbers


def numbered(sayings: Sayings, numbers: Numbers) -> Iterator[list[Outgoing]]:
    """Messages with the numbering of their devices."""
    for at in range(0, len(sayings.device), MESSAGES_AT_ONCE):
        some = slice(at, at + MESSAGES_AT_ONCE)
        boots, seqs = numbers.take(sayings.device[some], sayings.starts[some])
        yield [
            (where, body if seq < 0 else b'{"boot":%d,"seq":%d%b' % (boot, seq, body), False)
            for where, body, boot, seq in zip(
                sayings.where[some], sayings.body[some], boots, seqs, strict=True
            )
        ]


def texts_of(values: list[int] | list[float]) -> Texts:
    """Numbers as JSON writes them."""
    return encode_json(values)[1:-1].split(b",")


def bodies(
    time_ms: Ints, columns: Mapping[str, NDArray[np.float64] | Ints], *, simulated: bool
) -> Texts:
    """Messages of one row each, from the number of the row on; NaN is left out."""
    if not len(time_ms):
        return []
    known = np.zeros(len(time_ms), np.int64)
    for k, column in enumerate(columns.values()):
        known |= np.isfinite(column).astype(np.int64) << k
    t0 = texts_of(time_ms.tolist())
    texts = [texts_of(np.nan_to_num(column).tolist()) for column in columns.values()]
    out: Texts = [b""] * len(time_ms)
    for pattern in np.unique(known).tolist():
        there = [k for k in range(len(columns)) if pattern >> k & 1]
        names = [name.encode() for k, name in enumerate(columns) if k in there]
        template = b',"t0":%b,"dt":[0],"q":{' + b",".join(b'"%b":[%%b]' % n for n in names) + b"}"
        template += b',"simulated":true}' if simulated else b"}"
        rows = zip(t0, *(texts[k] for k in there), strict=True)
        if (known == pattern).all():
            return [template % row for row in rows]
        for k, (row, is_so) in enumerate(zip(rows, (known == pattern).tolist(), strict=True)):
            if is_so:
                out[k] = template % row
    return out


def feeder_sayings(city: City, feeder: Feeder, day: int, days: int, first: int) -> list[Sayings]:
    """What a feeder's devices measured and reported in some days."""
    rows, events = city.feeder_day(feeder, day, days)
    if feeder.lorawan:
        return [radio_sayings(city, feeder, rows, events)]
    where = [topic(feeder.gateway, device, "readings") for device in feeder.device_ids]
    said = Sayings(
        rows.received_ms, rows.device.astype(np.int64) + first,
        [where[k] for k in rows.device.tolist()],
        bodies(rows.time_ms, rows.columns(), simulated=city.simulated), started(rows),
    )  # fmt: skip
    if not events:
        return [said]
    place = {device: first + k for k, device in enumerate(feeder.device_ids)}
    reports = [
        encode_events(e.time_ms, e.event, active=e.active, info=e.info, simulated=city.simulated)
        for e in events
    ]
    told = Sayings(
        np.array([e.received_ms for e in events], np.int64),
        np.array([place[e.device_id] for e in events], np.int64),
        [topic(feeder.gateway, e.device_id, "events") for e in events],
        [b"," + report[1:] for report in reports],
        np.zeros(len(events), np.int64),
    )
    return [said, told]


def started(rows: Rows) -> Ints:
    """How often each row's device had started."""
    return np.zeros(len(rows.device), np.int64) if rows.starts is None else rows.starts


def radio_sayings(city: City, feeder: Feeder, rows: Rows, events: list[EventRow]) -> Sayings:
    """The uplinks of a LoRaWAN feeder's devices."""
    items = [*device_rows(feeder, rows), *((e.device_id, event_row(e)) for e in events)]
    sent = [
        (row.received_ms, message.topic, message.payload)
        for device, row in items
        for message in city.radios.uplinks(feeder, device, row)
    ]
    return Sayings(
        np.array([received_ms for received_ms, _, _ in sent], np.int64),
        np.full(len(sent), NOT_NUMBERED, np.int64),
        [where for _, where, _ in sent],
        [payload for _, _, payload in sent],
        np.zeros(len(sent), np.int64),
    )


def counter_sayings(city: City, day: int, days: int, first: int) -> list[Sayings]:
    """What the footfall counters counted in some days."""
    if not city.counters:
        return []
    rows = city.counter_day(day, days)
    where = [topic(c.gateway, c.device_id, "readings") for c in city.counters]
    columns: dict[str, NDArray[np.float64] | Ints] = {
        "people_in": rows.inwards.astype(np.int64), "people_out": rows.outwards.astype(np.int64)
    }  # fmt: skip
    return [
        Sayings(
            rows.received_ms, rows.counter.astype(np.int64) + first,
            [where[k] for k in rows.counter.tolist()],
            bodies(rows.time_ms, columns, simulated=city.simulated),
            np.zeros(len(rows.counter), np.int64),
        )
    ]  # fmt: skip
