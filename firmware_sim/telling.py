"""What a city says over MQTT: the rows of its devices, and batches of some hours."""

from collections.abc import Iterator
from itertools import islice, pairwise
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from firmware_sim.city import Counter, Feeder
from firmware_sim.devices.native import (
    encode_events,
    encode_readings,
    numbered,
    topic,
)
from firmware_sim.devices.node import Row
from firmware_sim.fleet import Outgoing
from firmware_sim.footfall import CountRows
from firmware_sim.sky import DAY_MS
from firmware_sim.transmission import EventRow, Rows
from firmware_sim.world import City

__all__ = [
    "Told",
    "counter_batches",
    "counter_rows",
    "device_rows",
    "event_row",
    "history",
    "in_pieces",
]

Told = tuple[str, bytes, int]
"""Topic, payload and receive time [ms, UTC]."""

HOUR_MS = 3_600_000
UNSET_BEFORE_MS = 1_577_836_800_000
EARLY_DAYS = 2
HISTORY_DAYS = 4
NATIVE = "ljusvakt/v1/"
MESSAGES_AT_ONCE = 2_000


# ---------------------------------------------------------------------- rows of single devices


def device_rows(feeder: Feeder, rows: Rows) -> Iterator[tuple[str, Row]]:
    """Device and row of everything measured, in the order of the rows."""
    columns = rows.columns()
    if rows.meter is not None:
        columns |= {"energy_wh": np.floor(rows.meter[0] / 1000), "lit_s": rows.meter[1] * 1.0}
    names = tuple(columns)
    lists = [column.tolist() for column in columns.values()]
    whole = all(np.isfinite(column).all() for column in columns.values())
    starts = [0] * len(rows.device) if rows.starts is None else rows.starts.tolist()
    moments = zip(
        rows.device.tolist(), rows.time_ms.tolist(), rows.true_ms.tolist(),
        rows.received_ms.tolist(), starts, zip(*lists, strict=True), strict=True,
    )  # fmt: skip
    devices = feeder.device_ids
    for lamp, time_ms, true_ms, received_ms, started, values in moments:
        pairs = zip(names, values, strict=True)
        # NaN alone differs from itself.
        said = dict(pairs) if whole else {name: v for name, v in pairs if v == v}  # noqa: PLR0124
        yield devices[lamp], Row(time_ms, said, None, true_ms, received_ms, started)


def event_row(event: EventRow) -> Row:
    """A fault report as a row of its device's buffer."""
    report = (event.event, event.active, event.info)
    return Row(event.time_ms, None, report, event.time_ms, event.received_ms)


def counter_rows(counters: tuple[Counter, ...], rows: CountRows) -> Iterator[tuple[Counter, Row]]:
    """Counter and row of everything counted, in the order of the rows."""
    for number, time_ms, received_ms, inwards, outwards in zip(
        rows.counter.tolist(), rows.time_ms.tolist(), rows.received_ms.tolist(),
        rows.inwards.tolist(), rows.outwards.tolist(), strict=True,
    ):  # fmt: skip
        people = {"people_in": int(inwards), "people_out": int(outwards)}
        yield counters[number], Row(time_ms, people, None, time_ms, received_ms)


# ---------------------------------------------------------------------- batches


def in_pieces(messages: Iterator[Told]) -> Iterator[list[Outgoing]]:
    """Messages to send, some thousand at a time."""
    while piece := list(islice(messages, MESSAGES_AT_ONCE)):
        yield [(where, payload, False) for where, payload, _ in piece]


def history(
    city: City,
    start_ms: int,
    stop_ms: int,
    *,
    batch_ms: int = 6 * HOUR_MS,
    boot: int | None = None,
) -> Iterator[Told]:
    """Everything received in `[start_ms, stop_ms)` as native batch messages in time order.

    Devices send a batch every `batch_ms` (on the full hour UTC), so that noon finds all of the
    night. Each item is topic, payload and receive time [ms, UTC]. With a boot number, rows are
    numbered from 0 in the order they are received.
    """
    next_seq: dict[str, int] = {}
    first, last = start_ms // DAY_MS, (stop_ms - 1) // DAY_MS
    waiting: list[tuple[int, str, bytes]] = []
    # Readings may be held back for a day and more: start early, and drop what came before.
    for day in range(first - EARLY_DAYS, last + 1, HISTORY_DAYS):
        days = min(HISTORY_DAYS, last + 1 - day)
        for feeder in city.feeders:
            rows, events = city.feeder_day(feeder, day, days)
            # Cut before batching: what is received later belongs to whoever goes on from there.
            within = (rows.received_ms >= start_ms) & (rows.received_ms < stop_ms)
            rows = rows.taken(within)
            if feeder.lorawan:
                waiting += radio_messages(city, feeder, rows, events)
                continue
            waiting += feeder_batches(feeder, rows, batch_ms, simulated=city.simulated)
            waiting += [event_message(city, feeder, event) for event in events]
        waiting += counter_batches(city, day, days, batch_ms, start_ms, stop_ms)
        waiting.sort(key=itemgetter(0, 1))
        # What is measured later is received later than the end of these days.
        end_ms = (day + days) * DAY_MS
        ready = [item for item in waiting if item[0] < end_ms]
        waiting = waiting[len(ready) :]
        for received_ms, where, payload in ready:
            if not start_ms <= received_ms < stop_ms:
                continue
            message = payload
            if boot is not None and where.startswith(NATIVE):
                device = where.split("/")[3]
                seq = next_seq.get(device, 0)
                message, next_seq[device] = numbered(payload, boot, seq)
            yield where, message, received_ms


def radio_messages(
    city: City, feeder: Feeder, rows: Rows, events: list[EventRow]
) -> list[tuple[int, str, bytes]]:
    """A LoRaWAN feeder's readings and reports, each in its own uplink."""
    items = [*device_rows(feeder, rows), *((e.device_id, event_row(e)) for e in events)]
    items.sort(key=lambda item: (item[1].received_ms, item[0]))
    return [
        (row.received_ms, message.topic, message.payload)
        for device, row in items
        for message in city.radios.uplinks(feeder, device, row)
    ]


def event_message(city: City, feeder: Feeder, event: EventRow) -> tuple[int, str, bytes]:
    """A fault report as a message."""
    payload = encode_events(
        event.time_ms, event.event, active=event.active, info=event.info,
        simulated=city.simulated,
    )  # fmt: skip
    return event.received_ms, topic(feeder.gateway, event.device_id, "events"), payload


def counter_batches(
    city: City, day: int, days: int, batch_ms: int, start_ms: int, stop_ms: int
) -> list[tuple[int, str, bytes]]:
    """Footfall of some days that is received in `[start_ms, stop_ms)`, as batch messages.

    Each item is receive time [ms, UTC], topic and payload.
    """
    if not city.counters:
        return []
    rows = city.counter_day(day, days)
    rows = rows.taken((rows.received_ms >= start_ms) & (rows.received_ms < stop_ms))
    out: list[tuple[int, str, bytes]] = []
    for number, block in groups(rows.counter, rows.received_ms // batch_ms):
        counter = city.counters[number]
        columns = {
            "people_in": rows.inwards[block].astype(np.int64).tolist(),
            "people_out": rows.outwards[block].astype(np.int64).tolist(),
        }
        payload = encode_readings(rows.time_ms[block].tolist(), columns, simulated=city.simulated)
        where = topic(counter.gateway, counter.device_id, "readings")
        out.append((int(rows.received_ms[block].max()), where, payload))
    return out


def groups(
    device: NDArray[np.int32], block: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Places of the rows of each device and block, in the order they stand."""
    if not len(device):
        return
    order = np.lexsort((block, device))
    d, b = device[order], block[order]
    edges = np.flatnonzero(np.r_[True, (d[1:] != d[:-1]) | (b[1:] != b[:-1]), True])
    for start, stop in pairwise(edges.tolist()):
        yield int(d[start]), order[start:stop]


def plain(values: NDArray[np.float64]) -> list[float | int | None]:
    """Numbers for JSON: NaN becomes null."""
    numbers: list[float | int | None] = [*values.tolist()]
    for k in np.flatnonzero(np.isnan(values)):
        numbers[k] = None
    return numbers


def feeder_batches(
    feeder: Feeder, rows: Rows, batch_ms: int, *, simulated: bool
) -> list[tuple[int, str, bytes]]:
    """Readings of a feeder as one message a device and batch."""
    out: list[tuple[int, str, bytes]] = []
    unset = rows.time_ms < UNSET_BEFORE_MS
    # What was held back is sent by itself, so that its age stays visible.
    held = rows.received_ms - rows.true_ms > HOUR_MS
    block = (rows.received_ms // batch_ms) * 4 + held * 2 + unset
    told = rows.columns()
    for lamp, at in groups(rows.device, block):
        columns = {
            name: plain(column[at])
            for name, column in told.items()
            if np.isfinite(column[at]).any()
        }
        payload = encode_readings(rows.time_ms[at].tolist(), columns, simulated=simulated)
        where = topic(feeder.gateway, feeder.device_ids[lamp], "readings")
        out.append((int(rows.received_ms[at].max()), where, payload))
    return out
