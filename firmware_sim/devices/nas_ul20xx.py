"""NAS UL20xx luminaire controllers' payloads, little-endian.

References
----------
Format as published by the vendor with its codecs (nasys/nas-codecs): status on port 23, usage on
port 26, alerts on port 61.
"""

import struct
from dataclasses import dataclass

__all__ = [
    "ALERT_PORT",
    "BROADCAST",
    "STATUS_PORT",
    "USAGE_PORT",
    "Driver",
    "encode_driver_alert",
    "encode_metering_alert",
    "encode_status",
    "encode_usage",
    "single",
]

STATUS_PORT, USAGE_PORT, ALERT_PORT = 23, 26, 61
BROADCAST = 0xFE
INTERNAL_MEASUREMENT = 0xFF
DRIVER_ALERT, METERING_ALERT = 0x83, 0x84
LAMP_ERROR_BIT, OVER_CURRENT_BIT, UNDER_VOLTAGE_BIT = 0x01, 0x02, 0x04
DRIVER_ERROR, LAMP_FAILURE, LAMP_ON = 0x01, 0x02, 0x04
CALENDAR_DUSK = 0x50


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

    @property
    def bits(self) -> int:
        """DALI status byte (IEC 62386-102, QUERY STATUS)."""
        return (
            DRIVER_ERROR * self.driver_error
            | LAMP_FAILURE * self.lamp_failure
            | LAMP_ON * self.lamp_on
        )


def encode_status(
    epoch_s: int,
    drivers: tuple[Driver, ...],
    *,
    relay_closed: bool = True,
    dali_error: bool = False,
    rssi_dbm: int = -80,
    snr_db: int = 7,
    temperature_c: int = 15,
) -> bytes:
    """The regular status packet (port 23, first layout).

    Parameters
    ----------
    epoch_s : int
        The controller's clock [s].
    drivers : tuple of Driver
    """
    flags = 0x02 * dali_error | 0x10 * relay_closed
    head = struct.pack("<BIBBbbB", 0x00, epoch_s, flags, -rssi_dbm, snr_db, temperature_c, 0)
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
