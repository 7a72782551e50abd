"""Milesight sensors: light, motion, people counters, room climate, metering switches.

Little-endian; channel, type, value, until the end. What a channel means depends on the model, so
the registry names it; without a model only what all models here agree on is read. Doors, regions
and lines beyond the first bear their name as channel.

References
----------
The vendor's published payload definitions, one README per model
(github.com/Milesight-IoT/SensorDecoders).
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from ingest.reading import Quantity
from ingest.wire.codecs import Report, Value, lengths, unknown
from ingest.wire.codecs.reader import Reader

__all__ = ["FAMILY", "MODELS", "decode"]

FAMILY: Final = "milesight"


class _Field(NamedTuple):
    """Where a value stands in its channel: byte, length, what it is, steps a unit."""

    at: int
    length: int
    quantity: Quantity
    steps: int = 1
    signed: bool = False
    channel: str = ""


class _Entry(NamedTuple):
    """A channel and type: how long its value is, and what of it is ours."""

    length: int
    fields: tuple[_Field, ...] = ()


_Key = tuple[int, int]
_Table = Mapping[_Key, _Entry]
_Found = list[Value | Report]


def _one(length: int, quantity: Quantity, steps: int = 1, *, signed: bool = False) -> _Entry:
    return _Entry(length, (_Field(0, length, quantity, steps, signed),))


def _in_out(*, total: bool = False, channel: str = "", extra: int = 0) -> _Entry:
    """Two counters of two bytes, in and out, and maybe an alarm byte behind."""
    names = (Quantity.PEOPLE_IN, Quantity.PEOPLE_OUT)
    if total:
        names = (Quantity.PEOPLE_IN_TOTAL, Quantity.PEOPLE_OUT_TOTAL)
    fields = tuple(_Field(2 * n, 2, name, channel=channel) for n, name in enumerate(names))
    return _Entry(4 + extra, fields)


def _long_total(quantity: Quantity, channel: str) -> _Entry:
    return _Entry(4, (_Field(0, 4, quantity, channel=channel),))


def _regions(first: int, count: int) -> _Entry:
    return _Entry(
        count,
        tuple(
            _Field(n, 1, Quantity.PEOPLE_PRESENT, channel=f"region{first + n}")
            for n in range(count)
        ),
    )


def _line(number: int) -> str:
    return "" if number == 1 else f"line{number}"


_BATTERY: Final = _one(1, Quantity.BATTERY_LEVEL)
_TEMPERATURE: Final = _one(2, Quantity.TEMPERATURE, 10, signed=True)
_HUMIDITY: Final = _one(1, Quantity.HUMIDITY, 2)
_COMMON: Final[_Table] = {(0x01, 0x75): _BATTERY}

_VS121: Final[_Table] = {
    (0x04, 0xC9): _Entry(4, (_Field(0, 1, Quantity.PEOPLE_PRESENT),)),
    (0x05, 0xCC): _in_out(),
    (0x06, 0xCD): _Entry(1),  # most at a time
    (0x07, 0xD5): _regions(1, 8),
    (0x08, 0xD5): _regions(9, 8),
    **{(channel, 0xDA): _Entry(8) for channel in (0x09, 0x0A, 0x0B, 0x0C)},  # who goes where
    (0x0D, 0xCC): _in_out(total=True),
    (0x0E, 0xE4): _Entry(5),  # how long they stay
    (0x10, 0xF7): _Entry(4),  # of these, across the line; counted in the above
}
_VS13X: Final[_Table] = {
    **{
        (channel, 0xD2): _long_total(Quantity.PEOPLE_IN_TOTAL, _line(n))
        for n, channel in enumerate((0x03, 0x06, 0x09, 0x0C), 1)
    },
    **{
        (channel, 0xD2): _long_total(Quantity.PEOPLE_OUT_TOTAL, _line(n))
        for n, channel in enumerate((0x04, 0x07, 0x0A, 0x0D), 1)
    },
    **{
        (channel, 0xCC): _in_out(channel=_line(n))
        for n, channel in enumerate((0x05, 0x08, 0x0B, 0x0E), 1)
    },
    (0x0F, 0xE3): _regions(1, 4),
    (0x10, 0xE4): _Entry(5),  # how long they stay
    # Children, counted in the above as well.
    **{(channel, 0xD2): _Entry(4) for channel in (0x11, 0x12, 0x14, 0x15, 0x17, 0x18, 0x1A, 0x1B)},
    **{(channel, 0xCC): _Entry(4) for channel in (0x13, 0x16, 0x19, 0x1C)},
    (0x1D, 0xE3): _Entry(4),
    (0x1E, 0xE4): _Entry(5),
}
_VS35X: Final[_Table] = {
    (0x02, 0x75): _Entry(1),  # battery of the second half of the gate
    (0x03, 0x67): _TEMPERATURE,
    (0x83, 0x67): _Entry(3, (_Field(0, 2, Quantity.TEMPERATURE, 10, signed=True),)),
    (0x04, 0xCC): _in_out(total=True),
    (0x84, 0xCC): _in_out(total=True, extra=1),
    (0x05, 0xCC): _in_out(),
    (0x85, 0xCC): _in_out(extra=1),
    (0x81, 0xEE): _Entry(1),  # sensitivity
}
_VS34X: Final[_Table] = {(0x03, 0x00): _Entry(1)}  # a seat or desk is taken: no passage
_WS202: Final[_Table] = {
    (0x03, 0x00): _one(1, Quantity.MOTION),
    (0x04, 0x00): _Entry(1),  # dark or bright, not lux
}
_WS203: Final[_Table] = {
    (0x03, 0x67): _TEMPERATURE,
    (0x04, 0x68): _HUMIDITY,
    (0x05, 0x00): _Entry(1),  # the room is taken
    (0x83, 0x67): _Entry(3, (_Field(0, 2, Quantity.TEMPERATURE, 10, signed=True),)),
}
_WS301: Final[_Table] = {(0x03, 0x00): _Entry(1), (0x04, 0x00): _Entry(1)}  # door, tamper
_EM500_LGT: Final[_Table] = {
    (0x03, 0x94): _one(4, Quantity.ILLUMINANCE),
    (0x83, 0x94): _Entry(5, (_Field(0, 4, Quantity.ILLUMINANCE),)),
}
_AM100: Final[_Table] = {
    (0x03, 0x67): _TEMPERATURE,
    (0x04, 0x68): _HUMIDITY,
    (0x05, 0x6A): _one(2, Quantity.MOTION),
    (0x06, 0x65): _Entry(6, (_Field(0, 2, Quantity.ILLUMINANCE),)),
    **{key: _Entry(2) for key in ((0x07, 0x7D), (0x08, 0x7D), (0x09, 0x73))},
}
_AM300: Final[_Table] = {
    (0x03, 0x67): _TEMPERATURE,
    (0x04, 0x68): _HUMIDITY,
    (0x05, 0x00): _one(1, Quantity.MOTION),
    (0x06, 0xCB): _Entry(1),  # a step from 0 to 5, not lux
    **{
        key: _Entry(2)
        for key in (
            *((0x07, 0x7D), (0x08, 0x7D), (0x08, 0xE6), (0x09, 0x73), (0x0A, 0x7D)),
            *((0x0B, 0x7D), (0x0C, 0x7D), (0x0D, 0x7D)),
        )
    },
    (0x0E, 0x01): _Entry(1),
}
_WS5XX: Final[_Table] = {
    (0x03, 0x74): _Entry(2),  # mains voltage
    (0x04, 0x80): _one(4, Quantity.POWER),
    (0x05, 0x81): _Entry(1),  # power factor
    (0x06, 0x83): _one(4, Quantity.ENERGY, 1000),
    (0x07, 0xC9): _Entry(2),  # current
    (0x08, 0x70): _Entry(1),
    (0x08, 0x29): _Entry(1),
    (0x08, 0x31): _Entry(2),
    (0xFF, 0x3F): _Entry(1),
}
_VS321: Final[_Table] = {
    (0x03, 0x67): _TEMPERATURE,
    (0x04, 0x68): _HUMIDITY,
    (0x05, 0xFD): _one(2, Quantity.PEOPLE_PRESENT),
    (0x06, 0xFE): _Entry(4),  # which seats and regions are taken
    (0x07, 0xFF): _Entry(1),  # dim or bright, not lux
    (0x08, 0xF4): _Entry(2),  # whether it can see
}
_AT101: Final[_Table] = {
    (0x03, 0x67): _TEMPERATURE,
    (0x04, 0x88): _Entry(9),  # where it is
    (0x05, 0x00): _Entry(1),
}
_EM310_TILT: Final[_Table] = {(0x03, 0xCF): _Entry(7), (0x83, 0xCF): _Entry(7)}

# By the beginning of the model's name.
_BY_MODEL: Final[dict[str, _Table]] = {
    "vs121": _VS121,
    "vs132": _VS13X,
    "vs133": _VS13X,
    "vs135": _VS13X,
    "vs13x": _VS13X,
    "vs321": _VS321,
    "vs340": _VS34X,
    "vs341": _VS34X,
    "vs350": _VS35X,
    "vs351": _VS35X,
    "vs360": _VS35X,
    "ws202": _WS202,
    "ws203": _WS203,
    "ws301": _WS301,
    "ws50": _WS5XX,
    "ws51": _WS5XX,
    "ws52": _WS5XX,
    "ws55": _WS5XX,
    "em500lgt": _EM500_LGT,
    "am102": _AM100,
    "am104": _AM100,
    "am107": _AM100,
    "am30": _AM300,
    "am31": _AM300,
    "em310tilt": _EM310_TILT,
    "at101": _AT101,
}
MODELS: Final = tuple(_BY_MODEL)
_MODEL_NAME: Final = re.compile(r"(?:am|at|ct|ds|em|ft|gs|ts|tn|uc|vs|ws|wt)\d{3}")
# Without a model: light and people counters, whose channels never contradict each other.
_ANY: Final[_Table] = {**_VS121, **_VS13X, **_VS35X, **_EM500_LGT}

# Identification (0xFF) and answers to settings (0xFE, 0xFF): how long they are.
_SETTINGS: Final = lengths(
    """
    01:1 02:2 03:2 04:1 05:3 06:9 08:6 09:2 0A:2 0B:1 0F:1 10:1 11:4 16:8 17:2 18:2 1C:2 1F:4
    25:2 27:1 28:1 2E:1 2F:1 35:8 3A:2 3B:1 40:1 41:1 42:1 43:1 44:1 45:1 46:3 48:1 4A:1 50:1
    51:1 68:1 69:1 6A:3 6B:1 6D:1 75:6 77:2 84:1 8E:3 8F:2 95:2 96:8 97:1 A6:1 A7:2 A8:1 A9:1
    AA:1 AB:3 AC:4 AD:1 BD:2 CC:1 EC:1 ED:3 EF:3 F1:4 F2:2 F5:1 FC:1 FD:1 FE:1 FF:2
    """,
    base=16,
)
# Answers to later settings (0xF9; 0xF8 has one byte more, the outcome).
_LATER_SETTINGS: Final = lengths(
    """
    10:1 11:1 3D:1 84:3 85:2 86:1 87:1 88:2 89:2 8B:1 8C:1 8D:4 8E:4 90:6 91:5 92:3 93:1 94:1
    95:6 96:3 97:2 98:1 99:7 A2:1 A3:1 B7:3 BA:1 CD:1 CF:1 D0:1 D1:1 D2:1 D3:1 D4:1 D5:2 D6:4
    D7:7 D8:1 DC:1 DD:1
    """,
    base=16,
)
# 0x0A/0xEF on gates, 0x0F/0x85 on the VS121: when the report was made.
_TIMESTAMPS: Final = frozenset({(0x0A, 0xEF), (0x0F, 0x85)})
_HISTORY: Final = (0x20, 0xCE)
_GATE_EVENTS: Final = {
    0: ("device_malfunction", "counting anomaly"),
    1: ("communication_failure", "the second half does not answer"),
    2: ("not_in_proper_position", "the halves do not face each other"),
}
# History of the VS121: length by kind, and the live channel that has the same layout.
_VS121_HISTORY: Final[dict[int, _Entry]] = {
    0x01: _VS121[0x04, 0xC9],
    0x02: _in_out(),
    0x03: _Entry(1),
    **{kind: _regions(4 * n + 1, 4) for n, kind in enumerate((0x04, 0x05, 0x06, 0x07))},
    **{kind: _Entry(4) for kind in range(0x08, 0x10)},
    0x10: _in_out(total=True),
    0x11: _Entry(5),
    0x12: _Entry(4),
}


def decode(payload: bytes, port: int, *, model: str | None) -> list[Value | Report]:
    """Read one payload; see `ingest.wire.codecs.Codec.decode`.

    The port is the operator's choice (85 unless changed) and says nothing.
    """
    del port
    name = _plain(model)
    table = _table(name, payload)
    reader = Reader(FAMILY, payload, "little")
    found: _Found = []
    reported_ms: int | None = None
    while True:
        key = (reader.unsigned(1, "channel"), reader.unsigned(1, "type"))
        if key == _HISTORY:
            found += _history(reader, name)
        elif key in _TIMESTAMPS:
            reported_ms = reader.unsigned(4, "time") * 1000
        elif key in table or key in _COMMON:
            found += _values(reader, table.get(key) or _COMMON[key], key)
        else:
            found += _other(reader, key, name)
        if not reader.left:
            break
    if reported_ms is None:
        return found
    return [_at(item, reported_ms) for item in found]


def _plain(model: str | None) -> str:
    """The model's name in small letters and digits, from its first letters and digits on."""
    return "".join(sign for sign in (model or "").casefold() if sign.isalnum())


def _table(name: str, payload: bytes) -> _Table:
    """What channels mean for a model; a device profile may wrap the name in other words."""
    for beginning, table in _BY_MODEL.items():
        if beginning in name:
            return table
    if named := _MODEL_NAME.search(name):
        raise unknown(FAMILY, f"model {named[0]}", payload)
    return _ANY


def _values(reader: Reader, entry: _Entry, key: _Key, time_ms: int | None = None) -> _Found:
    value = reader.take(entry.length, f"channel {key[0]:#04x} type {key[1]:#04x}")
    return [
        Value(
            field.quantity,
            int.from_bytes(value[field.at : field.at + field.length], "little", signed=field.signed)
            / field.steps,
            time_ms,
            field.channel,
        )
        for field in entry.fields
    ]


def _other(reader: Reader, key: _Key, name: str) -> _Found:
    """Fault reports, identification and answers to settings."""
    channel, kind = key
    if key == (0x03, 0xF4) and ("vs360" in name or not name):
        event, status = reader.take(2, "event")
        if event not in _GATE_EVENTS:
            raise unknown(FAMILY, f"event {event}", reader.payload)
        return [Report(_GATE_EVENTS[event][0], bool(status), _GATE_EVENTS[event][1])]
    if key == (0x50, 0xFC):
        _, node, status = reader.take(3, "occlusion")
        return [Report("function_error", bool(status), f"view is blocked, node {node}")]
    if channel in {0xFE, 0xFF} and kind in _SETTINGS:
        length = 3 if kind == 0x03 and "vs121" in name else _SETTINGS[kind]
        reader.take(length, f"setting {kind:#04x}")
        if (channel, kind) == (0xFF, 0xFE):
            return [Report("device_reset", None, "")]
        return []
    if channel in {0xF8, 0xF9} and kind in _LATER_SETTINGS:
        reader.take(_LATER_SETTINGS[kind] + (channel == 0xF8), f"setting {kind:#04x}")
        return []
    of_model = f" of model {name}" if name else ", no model given,"
    raise unknown(
        FAMILY,
        f"channel {channel:#04x} type {kind:#04x}{of_model} at byte {reader.at - 2}",
        reader.payload,
    )


def _history(reader: Reader, name: str) -> _Found:
    """One remembered report: its time, then what it was, by model."""
    table = _table(name, reader.payload)
    time_ms = reader.unsigned(4, "time") * 1000
    if table is _EM500_LGT:
        return _values(reader, _EM500_LGT[0x03, 0x94], _HISTORY, time_ms)
    if table is _WS203:
        reader.take(2, "kind and occupancy")
        return _values(reader, _TEMPERATURE, _HISTORY, time_ms) + _values(
            reader, _HUMIDITY, _HISTORY, time_ms
        )
    by_kind = _HISTORIES.get(name[:4] if table is not _ANY else "")
    if by_kind is None:
        raise unknown(FAMILY, f"history of model {name or '(none given)'}", reader.payload)
    kind = reader.unsigned(1, "kind of history")
    return by_kind(reader, kind, time_ms)


def _gate_history(reader: Reader, kind: int, time_ms: int) -> _Found:
    if kind not in {0, 1}:
        raise unknown(FAMILY, f"history {kind:#04x}", reader.payload)
    found = _values(reader, _in_out(), _HISTORY, time_ms)
    if kind == 1:
        found += _values(reader, _in_out(total=True), _HISTORY, time_ms)
    return found


def _vs12x_history(reader: Reader, kind: int, time_ms: int) -> _Found:
    if kind not in _VS121_HISTORY:
        raise unknown(FAMILY, f"history {kind:#04x}", reader.payload)
    return _values(reader, _VS121_HISTORY[kind], _HISTORY, time_ms)


def _vs13x_history(reader: Reader, kind: int, time_ms: int) -> _Found:
    if kind in {0x10, 0x1E, 0x20, 0x3C}:  # how long they stay
        reader.take(3, "stay")
        return []
    for live in (0xD2, 0xCC, 0xE3):
        if (kind, live) in _VS13X:
            return _values(reader, _VS13X[kind, live], _HISTORY, time_ms)
    raise unknown(FAMILY, f"history {kind:#04x}", reader.payload)


_HISTORIES: Final[dict[str, Callable[[Reader, int, int], _Found]]] = {
    "vs12": _vs12x_history,
    "vs13": _vs13x_history,
    "vs35": _gate_history,
    "vs36": _gate_history,
}


def _at(item: Value | Report, time_ms: int) -> Value | Report:
    """The same at the time of the report, unless it has a time of its own."""
    if item.time_ms is not None:
        return item
    if isinstance(item, Value):
        return Value(item.quantity, item.value, time_ms, item.channel)
    return Report(item.event, item.active, item.info, time_ms)
