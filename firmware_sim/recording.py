"""Messages in files: what `record` writes, and how `replay` moves them in time.

A recording is JSON Lines (`.jsonl`, or `.jsonl.gz`), one message a line: `topic`, `payload` in
base64, `qos`, `retain`, `received_ms`.
"""

import base64
import gzip
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO, cast

__all__ = ["Recorded", "RecordingWriter", "moment_ms", "shifted"]


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
    """Writes a recording; gzip by the name's end. Use it in `with`.

    What was added is safe from the death of the program once `flush` has returned.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._flushed = 0
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
        """Append a message."""
        self._file.write(message.line() + "\n")
        self.count += 1

    def flush(self) -> None:
        """Hand to the system what was added since the last time."""
        if self._flushed != self.count:
            self._file.flush()
            self._flushed = self.count


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
