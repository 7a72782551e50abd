"""NAS UL20xx luminaire controllers' payloads, little-endian.

References
----------
Format as published by the vendor with its codecs (nasys/nas-codecs): status on port 23, usage on
port 26, alerts on port 61, its own start on port 99. Light is a logarithm: 4,000 steps a decade
from 0.001 lx.
"""

import math
import struct
from dataclasses import dataclass

__all__ = [
    "ALERT_PORT",
    "BROADCAST",
    "STATUS_PORT",
    "SYSTEM_PORT",
    "USAGE_PORT",
    "Driver",
    "encode_boot",
    "encode_driver_alert",
    "encode_metering_alert",
    "encode_status",
    "encode_usage",
    "single",
]

STATUS_PORT, USAGE_PORT, ALERT_PORT, SYSTEM_PORT = 23, 26, 61, 99
BROADCAST = 0xFE
DRIVER_ALERT, METERING_ALERT = 0x83, 0x84
LAMP_ERROR_BIT, OVER_CURRENT_BIT, UNDER_VOLTAGE_BIT = 0x01, 0x02, 0x04
DRIVER_ERROR, LAMP_FAILURE, LAMP_ON, POWER_FAILURE = 0x01, 0x02, 0x04, 0x80
DALI_ERROR, RELAY_CLOSED = 0x02, 0x80
LIGHT_SENSOR, LIGHT_UNKNOWN, LIGHT_FULL_SCALE = 0x02, 0xFFFF, 0x7FFF
LAMP_ERROR_IN_24_H = 0x20
CALENDAR_DUSK = 0x50
FIRMWARE = (1, 1, 4)
DALI_CONFIG, WITH_METER, BUS_HIGH, POWERED_ON = 0x00, 0x20, 0xFE, 0x00


def single(number: int) -> int:
    """Address byte of a driver by its short DALI address."""
    return number << 1


@dataclass(frozen=True)
class Driver:
    """What one DALI driver says of itself."""

    address: int
    driver_error: bool = False
    lamp_failure: bool = False
    lamp_on: bool = False
    level_pct: int = 0
    power_failure: bool = False

    @property
    def bits(self) -> int:
        """DALI status byte (IEC 62386-102, QUERY STATUS)."""
        return (
            DRIVER_ERROR * self.driver_error
            | LAMP_FAILURE * self.lamp_failure
            | LAMP_ON * self.lamp_on
            | POWER_FAILURE * self.power_failure
        )


def encode_light(light_lx: float) -> bytes:
    """A light sensor's value; what is no illuminance is "not known"."""
    if not 0 <= light_lx < 65535:
        return struct.pack("<BH", LIGHT_SENSOR, LIGHT_UNKNOWN)
    raw = round(4000 * (math.log10(max(light_lx, 0.001)) + 3))
    return struct.pack("<BH", LIGHT_SENSOR, min(raw, LIGHT_FULL_SCALE))


def encode_status(
    epoch_s: int,
    drivers: tuple[Driver, ...],
    *,
    light_lx: float | None = None,
    lamp_error_in_24_h: bool = False,
    relay_closed: bool = True,
    dali_error: bool = False,
    rssi_dbm: int = -80,
    snr_db: int = 7,
    temperature_c: int = 15,
) -> bytes:
    """The regular status packet (port 23).

    Parameters
    ----------
    epoch_s : int
        The controller's clock [s].
    drivers : tuple of Driver
    light_lx : float, optional
        Of its light sensor [lx], -1 where that says nothing; firmware 1.1.4 and later has room for
        it. None is a controller without a sensor, which sends the older layout.
    lamp_error_in_24_h : bool
        What the meter remembers; newer layout alone.
    """
    state = DALI_ERROR * dali_error | RELAY_CLOSED * relay_closed
    radio = (-rssi_dbm, snr_db, temperature_c)
    if light_lx is None:
        head = struct.pack("<BIBBbbB", 0x00, epoch_s, state, *radio, 0)
    else:
        sensors = encode_light(light_lx)
        alerts = LAMP_ERROR_IN_24_H * lamp_error_in_24_h
        head = struct.pack(
            "<BIBBBbbBB", 0x01, epoch_s, state, 0, *radio, alerts, len(sensors)
        ) + sensors  # fmt: skip
    return head + b"".join(bytes((d.address, CALENDAR_DUSK, d.level_pct, d.bits)) for d in drivers)


def encode_usage(
    *,
    address: int,
    energy_wh: int,
    power_w: float,
    voltage_v: int,
    power_factor: float,
    lamp_on_s: int,
) -> bytes:
    """The usage packet (port 26) of one driver: energy, power, volts, hours of light."""
    present = 0x01 | 0x02 | 0x10 | 0x20 | 0x80
    return struct.pack(
        "<BBBIHBBI", 0x00, address, present, energy_wh, round(power_w), round(power_factor * 100),
        voltage_v, lamp_on_s,
    )  # fmt: skip


def encode_driver_alert(drivers: tuple[Driver, ...]) -> bytes:
    """The alert of one or more drivers (port 61)."""
    head = bytes((DRIVER_ALERT, len(drivers) << 5))
    return head + b"".join(bytes((d.address, d.bits)) for d in drivers)


def encode_metering_alert(
    *,
    power_w: float,
    voltage_v: int,
    power_factor: float,
    lamp_error: bool = False,
    over_current: bool = False,
    under_voltage: bool = False,
) -> bytes:
    """The alert of the meter (port 61)."""
    flags = (
        LAMP_ERROR_BIT * lamp_error
        | OVER_CURRENT_BIT * over_current
        | UNDER_VOLTAGE_BIT * under_voltage
    )
    return struct.pack(
        "<BBHHB", METERING_ALERT, flags, round(power_w), voltage_v, round(power_factor * 100)
    )


def encode_boot(serial: int, epoch_s: int, *, drivers: int = 1) -> bytes:
    """What a controller says first after it was without supply (port 99).

    Serial number, firmware, clock, equipment and how it was reset: by nothing but the supply.
    """
    return struct.pack(
        "<BI3BIBBBBB", 0x00, serial, *FIRMWARE, epoch_s, DALI_CONFIG, WITH_METER, BUS_HIGH,
        drivers, POWERED_ON,
    )  # fmt: skip
