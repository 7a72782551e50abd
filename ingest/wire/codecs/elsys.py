"""ELSYS sensors (ERS, EMS, ELT and kin): light, motion, temperature, humidity, battery.

Big-endian; one byte of type, then a value of that type's length, until the end. Port 6 carries the
sensor's settings, which hold no readings.

References
----------
The vendor's published payload types, as in its decoder for The Things Network
(github.com/TheThingsNetwork/lorawan-devices, vendor/elsys).
"""

from typing import Final

from ingest.reading import Quantity
from ingest.wire.codecs import Report, Value, lengths, unknown
from ingest.wire.codecs.reader import Reader

__all__ = ["FAMILY", "MODELS", "decode"]

FAMILY: Final = "elsys"
MODELS: Final = ("ERS", "ERS CO2", "ERS Eye", "ERS Sound", "EMS", "EMS Door", "ELT-2", "ESM5k")

_SETTINGS: Final = 0x3E
_SETTINGS_PORT: Final = 6

# Length of the value, the quantity it is for us, how many of its steps make one unit, signed.
_KEPT: Final = {
    0x01: (2, Quantity.TEMPERATURE, 10, True),
    0x02: (1, Quantity.HUMIDITY, 1, False),
    0x04: (2, Quantity.ILLUMINANCE, 1, False),
    0x05: (1, Quantity.MOTION, 1, False),
    0x07: (2, Quantity.BATTERY_VOLTAGE, 1000, False),
}
# Known, and no quantity of ours: acceleration, CO2, analogue inputs, position, pulses, external
# temperatures and inputs, distance, shocks, infrared, occupancy, leak, grid eye, pressure, sound,
# gases, debugging.
_LEFT_OUT: Final = lengths(
    """
    03:3 06:2 08:2 09:6 0A:2 0B:4 0C:2 0D:1 0E:2 0F:1 10:4 11:1 12:1 13:65 14:4 15:2 16:2 17:4
    18:2 19:2 1A:1 1B:4 1C:2 3D:4
    """,
    base=16,
)


def decode(payload: bytes, port: int, *, model: str | None) -> list[Value | Report]:
    """Read one payload; see `ingest.wire.codecs.Codec.decode`."""
    del model  # every model speaks the same
    reader = Reader(FAMILY, payload, "big")
    found: list[Value | Report] = []
    seen: dict[Quantity, int] = {}
    reader_type = reader.unsigned(1, "type")
    if reader_type == _SETTINGS or port == _SETTINGS_PORT:
        if reader_type != _SETTINGS:
            raise unknown(FAMILY, f"type {reader_type:#04x} on port {port}", payload)
        return found
    reader.at = 0
    while reader.left:
        kind = reader.unsigned(1, "type")
        if kind in _LEFT_OUT:
            reader.take(_LEFT_OUT[kind], f"type {kind:#04x}")
            continue
        if kind not in _KEPT:
            raise unknown(FAMILY, f"type {kind:#04x} at byte {reader.at - 1}", payload)
        length, quantity, steps, is_signed = _KEPT[kind]
        what = f"type {kind:#04x}"
        raw = reader.signed(length, what) if is_signed else reader.unsigned(length, what)
        nth = seen[quantity] = seen.get(quantity, 0) + 1
        found.append(Value(quantity, raw / steps, None, str(nth) if nth > 1 else ""))
    return found
