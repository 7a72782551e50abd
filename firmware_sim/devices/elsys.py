"""ELSYS sensors' payloads: tagged values, big-endian, on port 5.

References
----------
ELSYS, "Sensor payload": one byte of type, then the value; 0x01 temperature [0.1 °C], 0x02 relative
humidity [%], 0x04 light [lx], 0x05 motion [count], 0x07 supply [mV].
"""

import struct

__all__ = ["PORT", "encode_elsys"]

PORT = 5


def encode_elsys(
    *,
    light_lx: float | None = None,
    temperature_c: float | None = None,
    humidity_pct: float | None = None,
    motion: int | None = None,
    supply_v: float | None = None,
) -> bytes:
    """The payload of one uplink; what is None is left out.

    Light is clipped to 65,535 lx and motion to 255, as the device does.
    """
    parts: list[bytes] = []
    if temperature_c is not None:
        parts.append(struct.pack(">Bh", 0x01, round(temperature_c * 10)))
    if humidity_pct is not None:
        parts.append(struct.pack(">BB", 0x02, round(humidity_pct)))
    if light_lx is not None:
        parts.append(struct.pack(">BH", 0x04, min(round(light_lx), 0xFFFF)))
    if motion is not None:
        parts.append(struct.pack(">BB", 0x05, min(motion, 0xFF)))
    if supply_v is not None:
        parts.append(struct.pack(">BH", 0x07, round(supply_v * 1000)))
    return b"".join(parts)
