"""Files that `replay` sends: recordings, captured network-server messages, tables."""

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from firmware_sim.devices.envelopes import Uplink, chirpstack_v4
from firmware_sim.errors import TableError
from firmware_sim.recording import Recorded, moment_ms
from firmware_sim.replayed_tables import table_messages

__all__ = ["read_messages"]


def read_messages(path: Path) -> list[Recorded]:
    """All messages of a file, by the time they were received.

    Reads recordings, captured ChirpStack, Helium and Things Stack messages (one JSON object, or one
    a line), tables of readings (`device_id`, `time`, quantities), of events and of LoRaWAN frames
    (`deveui`, `fcnt`, `fport`, `payload_b64`, `utc_time`), as CSV, Parquet or JSON Lines.

    Raises
    ------
    TableError
        If the file cannot be read or is none of these.
    """
    try:
        if path.suffix in {".parquet", ".csv"} or holds_rows(path):
            messages = list(table_messages(path))
        else:
            messages = list(json_messages(path))
    except (OSError, pa.ArrowException, ValueError, LookupError, TypeError, EOFError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else error
        raise TableError(f"{path}: cannot be read ({said}).") from error
    return sorted(messages, key=lambda message: message.received_ms)


def holds_rows(path: Path) -> bool:
    """Whether a JSON Lines file is a table of readings or events rather than of messages."""
    if path.suffix not in {".jsonl", ".ndjson"}:
        return False
    with path.open(encoding="utf-8-sig") as file:
        first = next((line for line in file if line.strip()), "")
    try:
        found: object = json.loads(first)
    except ValueError:
        return False
    return isinstance(found, dict) and {"device_id", "time"} <= found.keys()


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
