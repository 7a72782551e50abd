"""Line protocol: the one place where lines are written and read.

A client library that is handed points writes some of them as nothing, or as another series, without
an error: an empty tag, a NaN, a backslash at the end. Here a point either becomes exactly one line
from which the same point can be read, or `UnwritableError` says why not.

References
----------
InfluxDB OSS 1.8 documentation, "InfluxDB line protocol reference".
"""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from ingest.errors import UnwritableError
from ingest.reading import QUANTITIES, Quantity
from ingest.stores import Columns, StoredEvent

__all__ = [
    "EVENTS",
    "WHOLE_QUANTITIES",
    "check_writable",
    "event_line",
    "parse_event",
    "parse_reading",
    "reading_lines",
    "together",
]

EVENTS = "events"
DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
EVENT_NAME = re.compile(r"[a-z0-9_]{1,64}")
# Their `value` is an integer for ever: a field cannot change its type.
WHOLE_QUANTITIES = frozenset(
    {
        Quantity.LAMP_STATUS,
        Quantity.PEOPLE_COUNT,
        Quantity.PEOPLE_IN,
        Quantity.PEOPLE_OUT,
        Quantity.PEOPLE_PRESENT,
        Quantity.PEOPLE_COUNT_TOTAL,
        Quantity.PEOPLE_IN_TOTAL,
        Quantity.PEOPLE_OUT_TOTAL,
        Quantity.MOTION,
    }
)
_INT64 = 2**63
_FLAGS = 2**8
_LINE = re.compile(
    r"(?P<measurement>[a-z0-9_]+),device=(?P<device>[A-Za-z0-9_-]{1,64})"
    r"(?:,event=(?P<event>[a-z0-9_]{1,64}))? (?P<fields>.+) (?P<time>-?[0-9]{1,19})"
)
_FIELD = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\["\\])*"|[^", ]+)(?:,(?=[a-z])|\Z)')


def reading_lines(quantity: Quantity, columns: Columns) -> list[str]:
    """One line a reading, in the order of the columns.

    Raises
    ------
    UnwritableError
        If an id, a value or a time cannot be carried; nothing is left out silently.
    """
    check_writable(quantity, columns)
    names = columns.device_ids
    return [
        f"{quantity},device={names[device]} value={text},received_ms={received}i,flags={flags}i {t}"
        for device, t, text, received, flags in zip(
            columns.device.tolist(),
            columns.time_ms.tolist(),
            _texts(quantity, columns),
            columns.received_ms.tolist(),
            columns.flags.tolist(),
            strict=True,
        )
    ]


def check_writable(quantity: Quantity, columns: Columns) -> None:
    """Return if line protocol can carry all of these.

    Raises
    ------
    UnwritableError
    """
    for name in columns.device_ids:
        if not DEVICE_ID.fullmatch(name):
            raise UnwritableError(f"device id {name!r}")
    if not np.isfinite(columns.value).all():
        raise UnwritableError(f"a value of {quantity} is not finite")
    if quantity in WHOLE_QUANTITIES and not (columns.value == np.floor(columns.value)).all():
        raise UnwritableError(f"a value of {quantity} is not whole")


def _texts(quantity: Quantity, columns: Columns) -> list[str]:
    """Shortest text of each value in the precision its quantity is kept in."""
    kept = columns.value.astype(QUANTITIES[quantity].archive_type)
    # Sensors repeat themselves: turning each value into text once saves half of the work.
    unique, which = np.unique(kept, return_inverse=True)
    if quantity in WHOLE_QUANTITIES:
        texts = [f"{int(value)}i" for value in unique]
    else:
        texts = [str(value) for value in unique]
    return [texts[k] for k in which.tolist()]


def event_line(event: StoredEvent) -> str:
    """A fault report as one line.

    All fields are always written: one that is left out would keep what an earlier report said.

    Raises
    ------
    UnwritableError
        If it cannot be carried.
    """
    if not DEVICE_ID.fullmatch(event.device_id):
        raise UnwritableError(f"device id {event.device_id!r}")
    if not EVENT_NAME.fullmatch(event.event):
        raise UnwritableError(f"event name {event.event!r}")
    if not all(-_INT64 <= n < _INT64 for n in (event.time_ms, event.received_ms)):
        raise UnwritableError(f"time {event.time_ms} or {event.received_ms}")
    if not 0 <= event.flags < _FLAGS:
        raise UnwritableError(f"flags {event.flags}")
    info = event.info.replace("\\", "\\\\").replace('"', '\\"')
    if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in info):
        raise UnwritableError(f"info {event.info!r} holds control characters")
    return (
        f"{EVENTS},device={event.device_id},event={event.event} "
        f"active={_text(event.active is True)},has_period={_text(event.active is not None)},"
        f'info="{info}",received_ms={event.received_ms}i,flags={event.flags}i {event.time_ms}'
    )


def _text(truth: bool) -> str:
    return "true" if truth else "false"


def _fields(line: str) -> tuple[re.Match[str], dict[str, str]]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise UnwritableError(f"not a line of ours: {line[:200]!r}")
    text = found["fields"]
    fields: dict[str, str] = {}
    at = 0
    while at < len(text):
        field = _FIELD.match(text, at)
        if field is None:
            raise UnwritableError(f"not a field of ours: {text[at : at + 200]!r}")
        fields[field[1]] = field[2]
        at = field.end()
    return found, fields


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]+i", text):
        raise UnwritableError(f"{text[:50]!r} is no integer")
    return int(text[:-1])


def parse_reading(line: str) -> tuple[Quantity, Columns]:
    """The reading that a line of `reading_lines` carries.

    Raises
    ------
    UnwritableError
        If it is no such line.
    """
    found, fields = _fields(line)
    try:
        quantity = Quantity(found["measurement"])
        text = fields["value"]
        value = float(_integer(text)) if quantity in WHOLE_QUANTITIES else float(text)
        with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused
            kept = np.array([value], QUANTITIES[quantity].archive_type).astype(np.float64)
        columns = Columns(
            np.zeros(1, np.int32),
            np.array([int(found["time"])], np.int64),
            kept,
            np.array([_integer(fields["received_ms"])], np.int64),
            np.array([_integer(fields["flags"])], np.uint8),
            [found["device"]],
        )
    except (KeyError, ValueError, OverflowError) as error:
        raise UnwritableError(f"not a reading: {line[:200]!r}") from error
    if reading_lines(quantity, columns) != [line]:
        raise UnwritableError(f"not a reading as it is written here: {line[:200]!r}")
    return quantity, columns


def parse_event(line: str) -> StoredEvent:
    """The fault report that a line of `event_line` carries.

    Raises
    ------
    UnwritableError
        If it is no such line.
    """
    found, fields = _fields(line)
    if found["measurement"] != EVENTS or found["event"] is None:
        raise UnwritableError(f"not a fault report: {line[:200]!r}")
    try:
        active = {"true": True, "false": False}[fields["active"]]
        event = StoredEvent(
            found["device"],
            int(found["time"]),
            _integer(fields["received_ms"]),
            found["event"],
            active if {"true": True, "false": False}[fields["has_period"]] else None,
            re.sub(r"\\(.)", r"\1", fields["info"][1:-1]),
            _integer(fields["flags"]),
        )
    except KeyError as error:
        raise UnwritableError(f"not a fault report: {line[:200]!r}") from error
    if event_line(event) != line:
        raise UnwritableError(f"not a fault report as it is written here: {line[:200]!r}")
    return event


def together(lines: Sequence[str]) -> bytes:
    """The body of one write: every point on a line of its own."""
    body = "\n".join(lines)
    if body.count("\n") != len(lines) - 1 or not all(lines):
        raise UnwritableError("a point is not exactly one line")
    return body.encode()
