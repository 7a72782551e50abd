"""Tables of the interchange formats, and of LoRaWAN frames, as messages to replay."""

import base64
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firmware_sim.devices.envelopes import Uplink, chirpstack_v4
from firmware_sim.devices.native import encode_events, encode_readings, topic
from firmware_sim.errors import TableError
from firmware_sim.recording import Recorded, moment_ms
from firmware_sim.tables import read_rows

__all__ = ["table_messages"]

REPLAY_GROUP = "replay"
ArrowTable: TypeAlias = Any  # pyarrow carries no types
ArrowColumn: TypeAlias = Any
KNOWN_COLUMNS = {"device_id", "time", "received_time"}


def table_messages(path: Path) -> Iterator[Recorded]:
    """Messages of a CSV or Parquet table."""
    table = read_rows(path, [])
    names = set(table.column_names)
    if {"deveui", "fcnt", "fport", "payload_b64", "utc_time"} <= names:
        yield from frame_messages(table)
    elif {"device_id", "time", "event"} <= names:
        yield from event_messages(table)
    elif {"device_id", "time"} <= names:
        yield from reading_messages(table)
    else:
        raise TableError(
            f"{path}: no table of readings, events or LoRaWAN frames (columns: "
            f"{', '.join(table.column_names)}).",
            remedy="Readings have device_id, time and one column a quantity.",
        )


def times_ms(column: ArrowColumn) -> list[int]:
    """A time column as milliseconds."""
    if pa.types.is_timestamp(column.type):
        whole = pc.cast(column, pa.timestamp("ms", tz=column.type.tz), safe=False)
        return cast("list[int]", pc.cast(whole, pa.int64()).to_pylist())
    return [moment_ms(str(text)) for text in column.to_pylist()]


def numbers(column: ArrowColumn) -> NDArray[np.float64]:
    """A column of quantities, of text also with decimal commas; NaN where nothing is given."""
    if pa.types.is_string(column.type):
        said = [str(text or "").strip().replace(",", ".") for text in column.to_pylist()]
        return np.array([float(text) if text else np.nan for text in said], np.float64)
    found: NDArray[np.float64] = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    return found


def frame_messages(table: ArrowTable) -> Iterator[Recorded]:
    """LoRaWAN frames of ELSYS devices, in the envelope a network server would have put on."""
    times = times_ms(table["utc_time"])
    rows = zip(
        table["deveui"].to_pylist(), table["fcnt"].to_pylist(), table["fport"].to_pylist(),
        table["payload_b64"].to_pylist(), times, strict=True,
    )  # fmt: skip
    for eui, counter, port, payload, time_ms in rows:
        uplink = Uplink(
            str(eui), str(eui), "ELSYS", int(port or 0), int(counter or 0),
            base64.b64decode(payload or ""), time_ms,
        )  # fmt: skip
        yield Recorded(*chirpstack_v4(uplink), time_ms)


def event_messages(table: ArrowTable) -> Iterator[Recorded]:
    """Fault reports of the interchange format."""
    times = times_ms(table["time"])
    names = set(table.column_names)
    received = times_ms(table["received_time"]) if "received_time" in names else times
    active = table["active"].to_pylist() if "active" in names else [None] * len(times)
    info = table["info"].to_pylist() if "info" in names else [""] * len(times)
    for device, time_ms, got, event, on, text in zip(
        table["device_id"].to_pylist(), times, received, table["event"].to_pylist(), active, info,
        strict=True,
    ):  # fmt: skip
        starts = on if on is None or isinstance(on, bool) else str(on).lower() == "true"
        payload = encode_events(time_ms, event, active=starts, info=text or "", simulated=False)
        yield Recorded(topic(REPLAY_GROUP, device, "events"), payload, got)


def reading_messages(table: ArrowTable) -> Iterator[Recorded]:
    """Readings of the interchange format: up to an hour of a device in one message."""
    names = [name for name in table.column_names if name not in KNOWN_COLUMNS]
    device = np.asarray(pc.cast(table["device_id"], pa.string()).to_pylist(), dtype=object)
    time_ms = np.array(times_ms(table["time"]), np.int64)
    has_received = "received_time" in table.column_names
    received = np.array(times_ms(table["received_time"]), np.int64) if has_received else time_ms
    # Archives hold 32-bit numbers: four decimals are what the device meant.
    columns = {n: np.round(numbers(table[n]), 4) for n in names}
    order = np.lexsort((received, device.astype(str)))
    d, t, r = device[order], time_ms[order], received[order]
    edge = np.r_[True, (d[1:] != d[:-1]) | (r[1:] // 3_600_000 != r[:-1] // 3_600_000), True]
    # A clock that was never set stands decades away: a message of its own.
    edge[1:-1] |= np.abs(np.diff(t)) > 20 * 86_400_000
    cuts = np.flatnonzero(edge)
    for start, stop in pairwise(cuts.tolist()):
        rows = order[start:stop]
        values = {
            name: [None if np.isnan(v) else v for v in column[rows].tolist()]
            for name, column in columns.items()
            if np.isfinite(column[rows]).any()
        }
        if values:
            payload = encode_readings(time_ms[rows].tolist(), values, simulated=False)
            where = topic(REPLAY_GROUP, str(d[start]), "readings")
            yield Recorded(where, payload, int(r[stop - 1]))
