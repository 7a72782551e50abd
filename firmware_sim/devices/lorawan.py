"""LoRaWAN devices: a sensor or a luminaire controller that counts its frames.

They have no ring buffer: a frame that is lost is lost, as with real ones. Some frames are heard
twice, by a confirmed uplink whose receipt was lost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from firmware_sim.devices import nas_ul20xx
from firmware_sim.devices.elsys import PORT as ELSYS_PORT
from firmware_sim.devices.elsys import encode_elsys
from firmware_sim.devices.envelopes import Uplink, chirpstack_v4
from firmware_sim.devices.node import Message

__all__ = ["ElsysSensor", "LuminaireController", "Radio", "dev_eui_of"]

Envelope = Callable[[Uplink], tuple[str, bytes]]


def dev_eui_of(name: str) -> str:
    """A DevEUI for a simulated device: locally administered, the same for the same name."""
    return "FEFF" + blake2b(name.encode(), digest_size=6).hexdigest().upper()


@dataclass
class Radio:
    """Frame counter and envelope of one device; `dev_eui` is made from its name if not given."""

    name: str
    profile: str
    envelope: Envelope = chirpstack_v4
    counter: int = 0
    dev_eui: str = ""

    def __post_init__(self) -> None:
        self.dev_eui = self.dev_eui or dev_eui_of(self.name)

    def at(self, counter: int) -> None:
        """Go on from a frame counter; the same moment then has the same counter again."""
        self.counter = counter % 2**32

    def uplink(self, port: int, payload: bytes, time_ms: int, arrived_ms: int = 0) -> Message:
        """The next frame, heard by a gateway and brought to the network server some time later."""
        frame = Uplink(
            self.dev_eui, self.name, self.profile, port, self.counter, payload, time_ms,
            arrived_ms=max(arrived_ms, time_ms),
        )  # fmt: skip
        self.counter += 1
        return Message(*self.envelope(frame))


@dataclass
class ElsysSensor:
    """A light and motion sensor on batteries; 3.6 V that sink over ten years."""

    radio: Radio
    installed_ms: int

    @staticmethod
    def named(name: str, installed_ms: int, envelope: Envelope = chirpstack_v4) -> "ElsysSensor":
        """A sensor with the EUI of its name."""
        return ElsysSensor(Radio(name, "ELSYS ERS", envelope), installed_ms)

    def measure(
        self,
        time_ms: int,
        *,
        light_lx: float | None,
        motion: int = 0,
        temperature_c: float = 8.0,
        arrived_ms: int = 0,
    ) -> Message:
        """One regular uplink. The format knows no faults and no clock."""
        years = (time_ms - self.installed_ms) / (365.25 * 86_400_000)
        payload = encode_elsys(
            light_lx=light_lx, motion=motion, temperature_c=temperature_c,
            supply_v=max(3.6 - 0.06 * years, 2.0),
        )  # fmt: skip
        return self.radio.uplink(ELSYS_PORT, payload, time_ms, arrived_ms)


@dataclass
class LuminaireController:
    """A NAS UL20xx: status and usage, and reports of its own.

    It has no store of charge for a last word: where the supply goes it falls silent, and when it
    is back it says that it started. Its meter and its frame counter outlast that.

    Attributes
    ----------
    rated_w : float
        What its lamp draws at full level [W].
    dali : bool
        Whether a DALI driver answers it; without one its meter alone notices a dead lamp.
    """

    radio: Radio
    rated_w: float
    dali: bool = True

    @staticmethod
    def named(
        name: str, rated_w: float, envelope: Envelope = chirpstack_v4
    ) -> "LuminaireController":
        """A controller with the EUI of its name."""
        return LuminaireController(Radio(name, "NAS UL20xx", envelope), rated_w)

    def sample(
        self,
        time_ms: int,
        *,
        level: float,
        power_w: float | None,
        energy_wh: int,
        lamp_on_s: int,
        lamp_failure: bool = False,
        gear_failure: bool = False,
        restarted: bool = False,
        light_lx: float | None = None,
        clock_ms: int | None = None,
        arrived_ms: int = 0,
    ) -> list[Message]:
        """The regular uplinks: status, and usage where it has a meter.

        Parameters
        ----------
        level : float
            Commanded dim level, 0..1.
        power_w : float or None
            Drawn power [W]; None without a meter.
        energy_wh, lamp_on_s : int
            What the meter has counted since it was put up.
        gear_failure, restarted : bool
            What else the driver says of itself.
        light_lx : float, optional
            Of its light sensor [lx]; None where there is none, -1 where it says nothing.
        clock_ms : int, optional
            Time by the controller's own clock, which is right without it.
        """
        driver = nas_ul20xx.Driver(
            nas_ul20xx.single(0), driver_error=gear_failure,
            lamp_on=level > 0 and not lamp_failure, lamp_failure=lamp_failure and level > 0,
            level_pct=round(level * 100), power_failure=restarted,
        )  # fmt: skip
        clock_s = max(time_ms if clock_ms is None else clock_ms, 0) // 1000
        status = nas_ul20xx.encode_status(clock_s, (driver,), light_lx=light_lx)
        sent = [self.radio.uplink(nas_ul20xx.STATUS_PORT, status, time_ms, arrived_ms)]
        if power_w is not None:
            usage = nas_ul20xx.encode_usage(
                address=driver.address, energy_wh=energy_wh, power_w=power_w, voltage_v=230,
                power_factor=0.95, lamp_on_s=lamp_on_s,
            )  # fmt: skip
            sent.append(self.radio.uplink(nas_ul20xx.USAGE_PORT, usage, time_ms, arrived_ms))
        return sent

    def report(
        self, time_ms: int, event: str, *, active: bool | None, arrived_ms: int = 0
    ) -> list[Message]:
        """What it reports at once.

        Parameters
        ----------
        event : str
            `lamp_failure` or `control_gear_failure` begins or ends, by its driver or, without one,
            by its meter; `device_reset` after the supply came back. Its format knows no others.
        """
        if event == "device_reset":
            payload = nas_ul20xx.encode_boot(int(self.radio.dev_eui[-8:], 16), time_ms // 1000)
            return [self.radio.uplink(nas_ul20xx.SYSTEM_PORT, payload, time_ms, arrived_ms)]
        lamp, gear = (
            bool(active) and event == "lamp_failure",
            bool(active) and event != "lamp_failure",
        )
        if event not in (
            {"lamp_failure", "control_gear_failure"} if self.dali else {"lamp_failure"}
        ):
            return []
        if self.dali:
            driver = nas_ul20xx.Driver(
                nas_ul20xx.single(0), driver_error=gear, lamp_failure=lamp, lamp_on=not lamp
            )
            payload = nas_ul20xx.encode_driver_alert((driver,))
        else:
            payload = nas_ul20xx.encode_metering_alert(
                power_w=0.0 if lamp else self.rated_w, voltage_v=230, power_factor=0.95,
                lamp_error=lamp,
            )  # fmt: skip
        return [self.radio.uplink(nas_ul20xx.ALERT_PORT, payload, time_ms, arrived_ms)]
