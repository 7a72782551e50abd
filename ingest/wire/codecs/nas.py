"""NAS luminaire controllers (UL20xx, UL2002, LCU): dimming, lamp and driver failures, power, lux.

Little-endian. Firmware 1.0 reports its state on port 24 and its use on port 25, firmware 1.1 on 23
and 26; alerts (61), answers to commands (60), settings (50) and start-up (99) are shared.

A periodic state carries failures as `lamp_status` and, where one is present, as a fault report;
alerts and answers about the drivers report the end of a failure as well. Power, energy, dimming and
failures of a second and further driver bear its DALI address as channel.

References
----------
Published payload format of the vendor: github.com/nasys/nas-codecs (UL20xx, firmware 1.0 and 1.1).
"""

import math
from typing import Final

from ingest.reading import Quantity
from ingest.wire.codecs import Report, Value, unknown
from ingest.wire.codecs.reader import Reader

__all__ = ["FAMILY", "MODELS", "decode"]

FAMILY: Final = "nas"
MODELS: Final = ("UL2002", "UL20xx", "LCU")

_BROADCAST: Final = 0xFE
_ALL: Final = 0xFF
_LAMP_FAILURE: Final = 1
_GEAR_FAILURE: Final = 2
_UNDERVOLTAGE: Final = 8
_RESTARTED: Final = 16

# Settings that the device repeats on port 50 when asked; nothing in them is a reading.
_SETTINGS: Final = frozenset(
    {
        *(0x01, 0x03, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x13, 0x15, 0x16),
        *(0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x52, 0x53, 0xFE, 0xFF),
    }
)
# Answers on port 60 that hold no reading: DALI passed through, memory, state asked for, relay.
_SILENT_ANSWERS: Final = frozenset({0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x0A, 0x0B, 0x0C})


def decode(payload: bytes, port: int, *, model: str | None) -> list[Value | Report]:
    """Read one payload; see `ingest.wire.codecs.Codec.decode`."""
    del model  # port and first byte tell the versions apart
    reader = Reader(FAMILY, payload, "little")
    match port:
        case 23:
            return _state_1_1(reader)
        case 24:
            return _state_1_0(reader)
        case 25:
            return _use(reader)
        case 26:
            if reader.unsigned(1, "packet type") != 0:
                raise unknown(FAMILY, f"use packet type {payload[0]:#04x}", payload)
            return _use(reader)
        case 50:
            if reader.unsigned(1, "packet type") not in _SETTINGS:
                raise unknown(FAMILY, f"settings packet type {payload[0]:#04x}", payload)
            return []
        case 60:
            return _answer(reader)
        case 61:
            return _alert(reader)
        case 99:
            return _system(reader)
        case _:
            raise unknown(FAMILY, f"port {port}", payload)


def _state_1_1(reader: Reader) -> list[Value | Report]:
    kind = reader.unsigned(1, "packet type")
    if kind not in {0, 1}:
        raise unknown(FAMILY, f"state packet type {kind:#04x}", reader.payload)
    time_ms = reader.unsigned(4, "time") * 1000
    state = reader.unsigned(1, "state")
    if kind == 1:
        reader.take(1, "second state")
    reader.take(2, "radio")
    found: list[Value | Report] = [
        Value(Quantity.TEMPERATURE, reader.signed(1, "temperature"), time_ms)
    ]
    if state & 0x02:
        found.append(Report("control_gear_comm_failure", True, "DALI connection", time_ms))
    if kind == 0:
        optional = reader.unsigned(1, "what follows")
        if optional & 0x02:
            reader.take(1, "photoresistor")
        alerts = reader.unsigned(1, "alerts") if optional & 0x10 else 0
    else:
        alerts = reader.unsigned(1, "alerts")
        found += _sensors(reader, time_ms)
    found += _past_lamp_error(alerts, time_ms)
    found += _dimming_sources(reader, time_ms)
    return found


def _past_lamp_error(alerts: int, time_ms: int) -> list[Value | Report]:
    if not alerts & 0x20:
        return []
    return [Report("lamp_failure", None, "metering: lamp error within the last 24 h", time_ms)]


def _sensors(reader: Reader, time_ms: int) -> list[Value | Report]:
    """The block of sensors that firmware 1.1.4 and later sends: its length, then kind and value."""
    length = reader.unsigned(1, "length of sensors")
    block = Reader(FAMILY, reader.take(length, "sensors"), "little")
    found: list[Value | Report] = []
    while block.left:
        kind = block.unsigned()
        match kind:
            case 0x01 | 0x04 | 0x08:  # photoresistor (no unit), digital input, tilt
                block.take(1, "sensor")
            case 0x02 | 0x03:
                raw = block.unsigned(2, "light sensor")
                if raw != 0xFFFF:
                    channel = "d4i" if kind == 0x03 and found else ""
                    found.append(Value(Quantity.ILLUMINANCE, _lux(raw), time_ms, channel))
            case _:
                raise unknown(FAMILY, f"sensor {kind:#04x}", reader.payload)
    return found


def _lux(raw: int) -> float:
    """The vendor's logarithmic scale: 4000 steps a decade from a thousandth of a lux."""
    return math.pow(10, (raw & 0x7FFF) / 4000 - 3)


def _dimming_sources(reader: Reader, time_ms: int) -> list[Value | Report]:
    found: list[Value | Report] = []
    status = 0
    reported = False
    drivers = 0
    while reader.left:
        address = reader.unsigned(1, "address")
        reader.take(1, "reason")
        level = reader.unsigned(1, "dimming")
        flags = reader.unsigned(1, "driver")
        if level <= 100:
            channel = _channel(address) if drivers else ""
            found.append(Value(Quantity.DIMMING, level, time_ms, channel))
        drivers += 1
        if flags != 0xFF:
            reported = True
            status |= _status_bits(flags)
            found += _driver_reports(address, flags, time_ms, ends=False)
    if reported:
        found.append(Value(Quantity.LAMP_STATUS, status, time_ms))
    return found


def _status_bits(flags: int) -> int:
    """Our bits for a DALI status byte (IEC 62386-102, QUERY STATUS)."""
    status = 0
    if flags & 0x01:
        status |= _GEAR_FAILURE
    if flags & 0x02:
        status |= _LAMP_FAILURE
    if flags & 0x80:
        status |= _RESTARTED
    return status


def _driver_reports(
    address: int, flags: int, time_ms: int | None, *, ends: bool
) -> list[Value | Report]:
    """Fault reports for a DALI status byte; those that are over only where `ends`."""
    where = _name(address)
    reports: list[Value | Report] = []
    for bit, event in (
        (0x01, "control_gear_failure"),
        (0x02, "lamp_failure"),
        (0x08, "limit_error"),
    ):
        if flags & bit:
            reports.append(Report(event, True, where, time_ms))
        elif ends and bit != 0x08:
            reports.append(Report(event, False, where, time_ms))
    return reports


def _state_1_0(reader: Reader) -> list[Value | Report]:
    time_ms = reader.unsigned(4, "time") * 1000
    state = reader.unsigned(1, "state")
    reader.take(2, "radio")
    found: list[Value | Report] = [
        Value(Quantity.TEMPERATURE, reader.signed(1, "temperature"), time_ms)
    ]
    if state & 0x03:
        info = "DALI connection" if state & 0x02 else "DALI, from outside"
        found.append(Report("control_gear_comm_failure", True, info, time_ms))
    if state & 0x20:
        found.append(Report("device_malfunction", True, "hardware", time_ms))
    if state & 0x40:
        found.append(Report("device_malfunction", True, "firmware", time_ms))
    interfaces = reader.unsigned(1, "interfaces")
    if interfaces & 0x01:
        reader.take(1, "threshold input")
    if interfaces & 0x02:
        reader.take(1, "photoresistor")
    found += _past_lamp_error(interfaces, time_ms)
    profiles = 0
    while reader.left:
        reader.take(2, "profile")
        address = reader.unsigned(1, "address")
        reader.take(1, "days")
        level = reader.unsigned(1, "dimming")
        if level <= 100:
            channel = _channel(address) if profiles else ""
            found.append(Value(Quantity.DIMMING, level, time_ms, channel))
        profiles += 1
    return found


def _use(reader: Reader) -> list[Value | Report]:
    """Energy and power, of the controller's own meter or of drivers that measure themselves."""
    found: list[Value | Report] = []
    entries = 0
    while reader.left:
        address = reader.unsigned(1, "address")
        holds = reader.unsigned(1, "what follows")
        channel = _channel(address) if entries else ""
        entries += 1
        if holds & 0x01:
            energy_wh = reader.unsigned(4, "energy")
            found.append(Value(Quantity.ENERGY, energy_wh / 1000, None, channel))
        if holds & 0x02:
            found.append(Value(Quantity.POWER, reader.unsigned(2, "power"), None, channel))
        # Load-side energy and power, power factor, mains voltage, hours of driver and lamp.
        for bit, size in ((0x04, 4), (0x08, 2), (0x10, 1), (0x20, 1), (0x40, 4), (0x80, 4)):
            if holds & bit:
                reader.take(size, "use")
    if not entries:
        reader.unsigned(1, "address")
    return found


def _answer(reader: Reader) -> list[Value | Report]:
    kind = reader.unsigned(1, "command")
    if kind == 0x00:
        return _drivers(reader)
    if kind in {0x01, 0x09}:
        found: list[Value | Report] = []
        destinations = 0
        while reader.left:
            address = reader.unsigned(1, "address")
            level = reader.unsigned(1, "dimming")
            if kind == 0x09:
                reader.take(1, "duration")
            if level <= 100:
                channel = _channel(address) if destinations else ""
                found.append(Value(Quantity.DIMMING, level, None, channel))
            destinations += 1
        return found
    if kind in _SILENT_ANSWERS:
        return []
    raise unknown(FAMILY, f"command {kind:#04x}", reader.payload)


def _drivers(reader: Reader) -> list[Value | Report]:
    """Addresses with their DALI status bytes."""
    found: list[Value | Report] = []
    status = 0
    while reader.left:
        address = reader.unsigned(1, "address")
        flags = reader.unsigned(1, "driver")
        status |= _status_bits(flags)
        found += _driver_reports(address, flags, None, ends=True)
    if not found:
        reader.unsigned(1, "address")
    found.append(Value(Quantity.LAMP_STATUS, status))
    return found


def _alert(reader: Reader) -> list[Value | Report]:
    kind = reader.unsigned(1, "alert")
    flags = reader.unsigned(1, "condition")
    match kind:
        case 0x80:  # digital input and its counter
            if flags >> 4 not in {2, 4}:
                raise unknown(FAMILY, f"digital input of length {flags >> 4}", reader.payload)
            reader.take(flags >> 4, "counter")
            reader.end()
            return []
        case 0x81:  # photoresistor: no unit
            reader.take(2, "photoresistor")
            reader.end()
            return []
        case 0x83:
            return _drivers(reader)
        case 0x84:
            return _metering_alert(reader, flags)
        case 0x85:  # which step of the light sensor's own dimming holds
            reader.end()
            return []
        case _:
            raise unknown(FAMILY, f"alert {kind:#04x}", reader.payload)


def _metering_alert(reader: Reader, flags: int) -> list[Value | Report]:
    power_w = reader.unsigned(2, "power")
    reader.take(3, "voltage and power factor")
    reader.end()
    status = (_LAMP_FAILURE if flags & 0x01 else 0) | (_UNDERVOLTAGE if flags & 0x04 else 0)
    conditions = (
        "lamp_failure",
        "current_too_high",
        "supply_voltage_too_low",
        "supply_voltage_too_high",
        "power_factor_too_low",
    )
    reports: list[Value | Report] = [
        Report(event, bool(flags & (1 << bit)), "metering") for bit, event in enumerate(conditions)
    ]
    return [
        Value(Quantity.POWER, power_w),
        Value(Quantity.LAMP_STATUS, status),
        *reports,
    ]


def _system(reader: Reader) -> list[Value | Report]:
    kind = reader.unsigned(1, "packet type")
    if kind == 0x13:  # a downlink was not understood
        reader.take(2, "error")
        reader.end()
        return []
    if kind != 0x00:
        raise unknown(FAMILY, f"system packet type {kind:#04x}", reader.payload)
    reader.take(4, "serial number")
    version = ".".join(str(part) for part in reader.take(3, "firmware"))
    reader.take(4, "time")  # not set yet when it starts
    reader.take(4, "equipment")
    if reader.left:
        reader.take(1, "reason")
    reader.end()
    return [Report("device_reset", None, f"firmware {version}")]


def _channel(address: int) -> str:
    return _name(address).replace(" ", "")


def _name(address: int) -> str:
    if address == 0x01:
        return "analog"
    if address == _BROADCAST:
        return "DALI all"
    if address == _ALL:
        return "meter"
    if address & 0x80:
        return f"DALI group {(address >> 1) & 0x0F}"
    return f"DALI {(address >> 1) & 0x3F}"
