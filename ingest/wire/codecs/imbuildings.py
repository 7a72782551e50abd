"""IMBuildings people counters and comfort sensors.

Big-endian; type and variant first, unless the device is set to leave them out and names them by its
port (13: comfort, 26 to 28: people counter variants 6 to 8). Counter A counts one direction and is
our `in`, counter B the other. Counts since the last message are kept as such, totals as totals
(they start again at 65,536).

References
----------
The vendor's published decoder (github.com/TheThingsNetwork/lorawan-devices, vendor/imbuildings).
"""

from typing import Final

from ingest.reading import Quantity
from ingest.wire.codecs import Report, Value, short, unknown
from ingest.wire.codecs.reader import Reader

__all__ = ["FAMILY", "MODELS", "decode"]

FAMILY: Final = "imbuildings"
MODELS: Final = ("People Counter", "Verticount", "Office Occupancy Counter", "Comfort Sensor")

_COMFORT: Final = 1
_PEOPLE: Final = 2
_DOWNLINK_ANSWER: Final = 0xF1
_HEADERLESS: Final = {
    13: (_COMFORT, 3, 7),
    26: (_PEOPLE, 6, 13),
    27: (_PEOPLE, 7, 5),
    28: (2, 8, 4),
}
# Whole length with header, by type and variant.
_LENGTHS: Final = {
    (_COMFORT, 1): 19,
    (_COMFORT, 2): 25,
    (_COMFORT, 3): 20,
    (_PEOPLE, 2): 15,
    (_PEOPLE, 3): 17,
    (_PEOPLE, 4): 24,
    (_PEOPLE, 5): 19,
    (_PEOPLE, 6): 23,
    (_PEOPLE, 7): 15,
    (_PEOPLE, 8): 14,
}


def decode(payload: bytes, port: int, *, model: str | None) -> list[Value | Report]:
    """Read one payload; see `ingest.wire.codecs.Codec.decode`."""
    del model  # type and variant, or the port, tell
    if len(payload) >= 2 and _LENGTHS.get((payload[0], payload[1])) == len(payload):
        return _read(payload, payload[0], payload[1], has_header=True)
    if port in _HEADERLESS:
        kind, variant, length = _HEADERLESS[port]
        if len(payload) != length:
            raise short(FAMILY, f"port {port} carries {length} bytes, not {len(payload)}", payload)
        return _read(payload, kind, variant, has_header=False)
    if payload[:1] == bytes([_DOWNLINK_ANSWER]) and len(payload) >= 2:
        return []
    if len(payload) >= 2 and (payload[0], payload[1]) in _LENGTHS:
        expected = _LENGTHS[payload[0], payload[1]]
        raise short(
            FAMILY,
            f"type {payload[0]} variant {payload[1]} has {expected} bytes, not {len(payload)}",
            payload,
        )
    raise unknown(FAMILY, f"type and variant {payload[:2].hex(' ')} on port {port}", payload)


def _read(payload: bytes, kind: int, variant: int, *, has_header: bool) -> list[Value | Report]:
    # Fields stand at fixed places from the end, with and without header.
    reader = Reader(FAMILY, payload, "big")
    if kind == _COMFORT:
        return _comfort(reader, variant, has_header=has_header)
    if variant in {2, 3, 4}:
        return _narrowband(reader, variant)
    return _people(reader, variant, has_header=has_header)


def _battery(reader: Reader, at: int) -> Value:
    reader.at = at
    return Value(Quantity.BATTERY_VOLTAGE, reader.unsigned(2, "battery") / 100)


def _comfort(reader: Reader, variant: int, *, has_header: bool) -> list[Value | Report]:
    end = len(reader.payload)
    found: list[Value | Report] = []
    if has_header:
        found.append(_battery(reader, 11 if variant == 3 else 9))
    reader.at = end - 7
    found.append(Value(Quantity.TEMPERATURE, reader.signed(2, "temperature") / 100))
    found.append(Value(Quantity.HUMIDITY, reader.unsigned(2, "humidity") / 100))
    return found  # then CO2 and presence


def _narrowband(reader: Reader, variant: int) -> list[Value | Report]:
    """NB-IoT variants: counts since the last message, then the state of the sensor."""
    size = 1 if variant == 2 else 2
    found: list[Value | Report] = [_battery(reader, 9)]
    reader.at = len(reader.payload) - 2 * size - 1
    found.append(Value(Quantity.PEOPLE_IN, reader.unsigned(size, "counter A")))
    found.append(Value(Quantity.PEOPLE_OUT, reader.unsigned(size, "counter B")))
    return found


def _people(reader: Reader, variant: int, *, has_header: bool) -> list[Value | Report]:
    reader.at = 10 if has_header else 0
    found: list[Value | Report] = []
    if has_header or variant in {6, 8}:
        reader.take(1, "state of the device")
        found.append(Value(Quantity.BATTERY_VOLTAGE, reader.unsigned(2, "battery") / 100))
    if variant in {5, 6}:
        reader.at = len(reader.payload) - (6 if variant == 5 else 10)
        found.append(Value(Quantity.PEOPLE_IN, reader.unsigned(2, "counter A")))
        found.append(Value(Quantity.PEOPLE_OUT, reader.unsigned(2, "counter B")))
    if variant in {6, 7}:
        reader.at = len(reader.payload) - (5 if variant == 6 else 4)
        found.append(Value(Quantity.PEOPLE_IN_TOTAL, reader.unsigned(2, "total A")))
        found.append(Value(Quantity.PEOPLE_OUT_TOTAL, reader.unsigned(2, "total B")))
    return found
