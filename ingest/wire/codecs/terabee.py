"""Terabee people counters (M, L-XL) and occupancy counters.

Big-endian. Counts are totals since the last reset; they are kept as totals, and counts per
interval are made from them where they are read.

References
----------
The vendor's published decoders (github.com/actility/device-catalog, vendors/terabee;
github.com/TheThingsNetwork/lorawan-devices, vendor/terabee).
"""

from typing import Final

from ingest.reading import Quantity
from ingest.wire.codecs import Report, Value, short, unknown
from ingest.wire.codecs.reader import Reader

__all__ = ["FAMILY", "MODELS", "decode"]

FAMILY: Final = "terabee"
MODELS: Final = ("People Counting M", "People Counting L-XL", "People Occupancy Counting")

_COUNTS_L_XL: Final = 1
_COUNTS_M: Final = 82
_OCCUPANCY: Final = 83
_COMMANDS: Final = 2
_GET_COUNTS: Final = 2
_ACKNOWLEDGE: Final = 0xFF
_NOT_SET: Final = 0xFF

# Commands whose answers the device sends, by port; none but the counts holds readings.
_ANSWERS: Final = {
    2: {1, 2, 130},
    3: {1, 2},
    4: {1, 2, 3, 4, 5, 6, 128, 138, 139},
    5: {1, 129},
    6: {1},
    7: {1},
    8: {1, 129},
    100: {1, 2, 3, 4, 5, 129, 130, 131, 132, 133},
    102: {0},
}
_AREA: Final = 101  # L-XL answers with bare points, occupancy counters with command and zone


def decode(payload: bytes, port: int, *, model: str | None) -> list[Value | Report]:
    """Read one payload; see `ingest.wire.codecs.Codec.decode`."""
    del model  # ports tell the models apart
    reader = Reader(FAMILY, payload, "big")
    if port in {_COUNTS_L_XL, _COUNTS_M}:
        return _counts(reader)
    if port == _OCCUPANCY:
        return _occupancy(reader)
    if port == _AREA:
        reader.unsigned(1, "area")
        return []
    if port not in _ANSWERS:
        raise unknown(FAMILY, f"port {port}", payload)
    command = reader.unsigned(1, "command")
    if command == _ACKNOWLEDGE:
        command = reader.unsigned(1, "acknowledged command")
        reader.unsigned(1, "outcome")
        reader.end()
        answered = False
    else:
        answered = True
    if command not in _ANSWERS[port]:
        raise unknown(FAMILY, f"command {command} on port {port}", payload)
    if answered and port == _COMMANDS and command == _GET_COUNTS:
        found = _totals(reader)
        reader.end()
        return found
    return []


def _totals(reader: Reader) -> list[Value | Report]:
    return [
        Value(Quantity.PEOPLE_IN_TOTAL, reader.unsigned(4, "count in")),
        Value(Quantity.PEOPLE_OUT_TOTAL, reader.unsigned(4, "count out")),
    ]


def _counts(reader: Reader) -> list[Value | Report]:
    found = _totals(reader)
    if reader.left:
        found += _flags(reader)
    reader.end()
    return found


def _flags(reader: Reader) -> list[Value | Report]:
    flags = reader.unsigned(1, "flags")
    reports: list[Value | Report] = []
    for bit, info in ((0x01, "counting stopped"), (0x02, "counting stuck")):
        if flags & bit:
            reports.append(Report("device_malfunction", True, info))
    return reports


def _occupancy(reader: Reader) -> list[Value | Report]:
    found = _flags(reader)
    zones = reader.take(reader.left, "zones")
    if len(zones) != 9:
        raise short(FAMILY, f"{len(zones)} zones instead of 9", reader.payload)
    present, *each = zones
    found.append(Value(Quantity.PEOPLE_PRESENT, present))
    found += [
        Value(Quantity.PEOPLE_PRESENT, count, None, f"zone{number}")
        for number, count in enumerate(each)
        if count != _NOT_SET
    ]
    return found
