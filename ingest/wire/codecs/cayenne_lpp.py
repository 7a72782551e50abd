"""Cayenne Low Power Payload: channel, type, value, until the end.

Big-endian. The first channel of a quantity is the device's own; what further channels of the same
payload say bears the number of the channel.

References
----------
Cayenne LPP 2.0 and its extended types as published (github.com/ElectronicCats/CayenneLPP): data
type = IPSO object id - 3200.
"""

from typing import Final

from ingest.reading import Quantity
from ingest.wire.codecs import Report, Value, lengths, unknown
from ingest.wire.codecs.reader import Reader

__all__ = ["FAMILY", "MODELS", "decode"]

FAMILY: Final = "cayenne_lpp"
MODELS: Final = ("any",)

# Length of the value, the quantity it is for us, how many of its steps make one unit, signed.
_KEPT: Final = {
    101: (2, Quantity.ILLUMINANCE, 1, False),
    103: (2, Quantity.TEMPERATURE, 10, True),
    104: (1, Quantity.HUMIDITY, 2, False),
    116: (2, Quantity.BATTERY_VOLTAGE, 100, False),
    120: (1, Quantity.BATTERY_LEVEL, 1, False),
    128: (2, Quantity.POWER, 1, False),
    131: (4, Quantity.ENERGY, 1000, False),
}
# Known, and no quantity of ours: digital and analogue in and out, generic, presence, acceleration,
# pressure, current, frequency, altitude, concentration, distance, time, gyrometer, direction,
# colour, position, switch.
_LEFT_OUT: Final = lengths(
    """
    0:1 1:1 2:2 3:2 100:4 102:1 113:6 115:2 117:2 118:4 121:2 125:2 130:4 132:2 133:4 134:6 135:3
    136:9 142:1
    """,
    base=10,
)


def decode(payload: bytes, port: int, *, model: str | None) -> list[Value | Report]:
    """Read one payload; see `ingest.wire.codecs.Codec.decode`."""
    del port, model  # the format has one port and one form; whoever chose it says so
    reader = Reader(FAMILY, payload, "big")
    found: list[Value | Report] = []
    seen: dict[Quantity, int] = {}
    while True:
        channel = reader.unsigned(1, "channel")
        kind = reader.unsigned(1, "type")
        what = f"type {kind} of channel {channel}"
        if kind in _LEFT_OUT:
            reader.take(_LEFT_OUT[kind], what)
        elif kind in _KEPT:
            length, quantity, steps, is_signed = _KEPT[kind]
            raw = reader.signed(length, what) if is_signed else reader.unsigned(length, what)
            first = seen.setdefault(quantity, channel) == channel
            found.append(Value(quantity, raw / steps, None, "" if first else f"ch{channel}"))
        else:
            raise unknown(FAMILY, what, payload)
        if not reader.left:
            return found
