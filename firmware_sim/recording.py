"""Messages in files: what `record` writes and what `replay` reads.

A recording is JSON Lines (`.jsonl`, or `.jsonl.gz`), one message a line: `topic`, `payload` in
base64, `qos`, `retain`, `received_ms`. Replay also reads captured network-server messages, tables
of readings and tables of LoRaWAN frames.
"""

import base64
import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, TextIO, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from firmware_sim.devices.envelopes import Uplink, chirpstack_v4
from firmware_sim.devices.native import encode_events, encode_readings, topic
from firmware_sim.errors import TableError

__all__ = ["Recorded", "RecordingWriter", "read_messages", "shifted"]

REPLAY_GROUP = "replay"
ArrowTable: TypeAlias = Any  # pyarrow carries no types
ArrowColumn: TypeAlias = Any
KNOWN_COLUMNS = {"device_id", "time", "received_time"}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message and when it was received [ms, UTC]."""

    topic: str
    payload: bytes
    received_ms: int
    qos: int = 1
    retain: bool = False

    def line(self) -> str:
        """As a line of a recording."""
        return json.dumps(
            {
                "topic": self.topic,
                "payload": base64.b64encode(self.payload).decode("ascii"),
                "qos": self.qos,
                "retain": self.retain,
                "received_ms": self.received_ms,
            },
            ensure_ascii=False,
        )


class RecordingWriter:
    """Writes a recording; gzip by the name's end. Use it in `with`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._flushed_s = 0.0
        self._file: TextIO

    def __enter__(self) -> Self:
        if self.path.suffix == ".gz":
            self._file = gzip.open(self.path, "wt", encoding="utf-8")
        else:
            self._file = self.path.open("w", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, message: Recorded) -> None:
        """Append a message; written out at most once a second, as messages come."""
        self._file.write(message.line() + "\n")
        self.count += 1
        if time.monotonic() - self._flushed_s > 1:
            self._file.flush()
            self._flushed_s = time.monotonic()


def read_messages(path: Path) -> list[Recorded]:
    """All messages of a file, by the time they were received.

    Reads recordings, captured ChirpStack, Helium and Things Stack messages (one JSON object, or one
    a line), tables of readings (`device_id`, `time`, quantities), of events and of LoRaWAN frames
    (`deveui`, `fcnt`, `fport`, `payload_b64`, `utc_time`), as CSV or Parquet.

    Raises
    ------
    TableError
        If the file cannot be read or is none of these.
    """
    try:
        if path.suffix in {".parquet", ".csv"}:
            messages = list(table_messages(path))
        else:
            messages = list(json_messages(path))
    except (OSError, pa.ArrowException, ValueError, LookupError, TypeError, EOFError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else error
        raise TableError(f"{path}: cannot be read ({said}).") from error
    return sorted(messages, key=lambda message: message.received_ms)


def whole_text(path: Path) -> str:
    """The text of a file; of an archive that its writer did not finish, what can be read."""
    if path.suffix != ".gz":
        return path.read_text("utf-8")
    found = bytearray()
    with gzip.open(path) as file:
        try:
            while piece := file.read1(1 << 20):
                found += piece
        except EOFError:
            if b"\n" not in found:
                raise
    return found.decode("utf-8", errors="ignore")


def json_messages(path: Path) -> Iterator[Recorded]:
    """Messages of a JSON or JSON Lines file."""
    text = whole_text(path)
    try:
        objects = [(1, json.loads(text))]
    except json.JSONDecodeError:
        objects = []
        lines = text.splitlines()
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    objects.append((number, json.loads(line)))
                except json.JSONDecodeError as error:
                    last = number == len(lines) and not text.endswith("\n")
                    if objects and last and line.startswith('{"topic": '):
                        break  # a recorder that was killed has left half a line
                    raise TableError(
                        f"{path}:{number}: not JSON: {error.msg}.", remedy="One JSON object a line."
                    ) from error
    for number, found in objects:
        for item in found if isinstance(found, list) else [found]:
            message = as_message(item)
            if message is None:
                raise TableError(
                    f"{path}:{number}: neither a recorded message nor a network server's.",
                    remedy="docs/testers.md says what is read.",
                )
            yield message


def moment_ms(text: str) -> int:
    """Milliseconds of an RFC 3339 time, UTC without a zone; digits beyond microseconds are cut."""
    text = text.replace("Z", "+00:00")
    head, dot, tail = text.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = f"{head}.{tail[:digits][:6].ljust(6, '0')}{tail[digits:]}"
    moment = datetime.fromisoformat(text)
    # Without a zone Python would take the machine's.
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def as_message(item: object) -> Recorded | None:
    """One JSON object as a message; None if it is none we know."""
    if not isinstance(item, dict):
        return None
    found = cast("dict[str, Any]", item)
    if "topic" in found and "payload" in found and "received_ms" in found:
        payload = base64.b64decode(found["payload"], validate=True)
        return Recorded(
            found["topic"], payload, int(found["received_ms"]), int(found.get("qos", 1)),
            bool(found.get("retain", False)),
        )  # fmt: skip
    if found.get("type") == "up" and isinstance(found.get("payload"), dict):
        return as_message(found["payload"])
    if "deviceInfo" in found:
        eui, app = found["deviceInfo"]["devEui"], found["deviceInfo"].get("applicationName", "app")
        where = f"application/{token(app)}/device/{eui}/event/{v4_event(found)}"
        return captured(where, found, found.get("time"))
    if "devEUI" in found:
        return chirpstack_v3_capture(found)
    if "end_device_ids" in found:
        ids = found["end_device_ids"]
        kind = "up" if "uplink_message" in found else "join" if "join_accept" in found else "down"
        app = ids.get("application_ids", {}).get("application_id", "app")
        return captured(
            f"v3/{app}/devices/{ids['device_id']}/{kind}", found, found.get("received_at")
        )
    if "dev_eui" in found and "fcnt" in found:
        return helium_capture(found)
    return None


def token(text: str) -> str:
    """Free text as one level of a topic."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text) or "app"


def captured(where: str, found: dict[str, Any], time: str | None) -> Recorded:
    """A captured envelope, byte for byte as compact JSON."""
    payload = json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode()
    return Recorded(where, payload, moment_ms(time) if time else 0)


def v4_event(found: dict[str, Any]) -> str:
    """Which ChirpStack v4 event an object is."""
    marks = {
        "integrationName": "integration",
        "acknowledged": "ack",
        "level": "log",
        "margin": "status",
        "batteryLevel": "status",
        "location": "location",
        "downlinkId": "txack",
        "object": "up",
        "data": "up",
        "fPort": "up",
    }
    return next((event for mark, event in marks.items() if mark in found), "join")


def chirpstack_v3_capture(found: dict[str, Any]) -> Recorded:
    """A captured ChirpStack v3 uplink; its EUI may be base64 from protobuf."""
    eui = str(found["devEUI"])
    if len(eui) != 16:
        eui = base64.b64decode(eui).hex()
    app = token(str(found.get("applicationID", "1")))
    heard = [r.get("time") for r in found.get("rxInfo", []) if r.get("time")]
    message = captured(
        f"application/{app}/device/{eui.lower()}/event/up", found, heard[0] if heard else None
    )
    if not heard and "_timestamp" in found:
        return replace(message, received_ms=int(found["_timestamp"]))
    return message


def helium_capture(found: dict[str, Any]) -> Recorded:
    """A captured Helium uplink, wrapped as a ChirpStack v4 one: Helium is not read by ingest."""
    uplink = Uplink(
        dev_eui=str(found["dev_eui"]),
        name=str(found.get("name", found["dev_eui"])),
        profile="ELSYS" if "elsys" in str(found.get("name", "")).lower() else "unknown",
        port=int(found["port"]),
        counter=int(found["fcnt"]),
        payload=base64.b64decode(found["payload"]),
        time_ms=int(found["reported_at"]),
    )
    return Recorded(*chirpstack_v4(uplink), uplink.time_ms)


def table_messages(path: Path) -> Iterator[Recorded]:
    """Messages of a CSV or Parquet table."""
    table = pq.read_table(path) if path.suffix == ".parquet" else pa_csv.read_csv(path)
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
    columns = {
        n: np.round(pc.cast(table[n], pa.float64()).to_numpy(zero_copy_only=False), 4)
        for n in names
    }
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


def shifted(message: Recorded, by_ms: int) -> Recorded:
    """The same message with every time in it moved.

    Native: `t`, `t0`. Network servers': `time`, `received_at`, wherever they stand.
    Bytes that are not JSON stay as they are.
    """
    if not by_ms:
        return message
    moved = replace(message, received_ms=message.received_ms + by_ms)
    try:
        content = json.loads(message.payload)
    except ValueError:
        return moved
    if not isinstance(content, dict):
        return moved
    move_times(cast("dict[str, Any]", content), by_ms)
    payload = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    return replace(moved, payload=payload)


def move_times(content: dict[str, Any], by_ms: int) -> None:
    """Move the times of a message, in place."""
    for key, value in content.items():
        if key in {"t", "t0"} and isinstance(value, int):
            content[key] = value + by_ms
        elif key in {"time", "received_at", "gwTime", "nsTime"} and isinstance(value, str):
            moved = moment_ms(value) + by_ms
            stamp = datetime.fromtimestamp(moved // 1000, tz=UTC)
            content[key] = f"{stamp:%Y-%m-%dT%H:%M:%S}.{moved % 1000:03d}Z"
        elif isinstance(value, dict):
            move_times(cast("dict[str, Any]", value), by_ms)
        elif isinstance(value, list):
            for item in cast("list[object]", value):
                if isinstance(item, dict):
                    move_times(cast("dict[str, Any]", item), by_ms)
