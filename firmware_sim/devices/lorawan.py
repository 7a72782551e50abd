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

    def uplink(self, port: int, payload: bytes, time_ms: int) -> Message:
        """The next frame."""
        frame = Uplink(self.dev_eui, self.name, self.profile, port, self.counter, payload, time_ms)
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
        self, time_ms: int, *, light_lx: float, motion: int = 0, temperature_c: float = 8.0
    ) -> Message:
        """One regular uplink."""
        years = (time_ms - self.installed_ms) / (365.25 * 86_400_000)
        payload = encode_elsys(
            light_lx=light_lx, motion=motion, temperature_c=temperature_c,
            supply_v=max(3.6 - 0.06 * years, 2.0),
        )  # fmt: skip
        return self.radio.uplink(ELSYS_PORT, payload, time_ms)


@dataclass
class LuminaireController:
    """A NAS UL20xx on a DALI driver: status, usage, and alerts of its own."""

    radio: Radio
    rated_w: float
    energy_wh: float = 0.0
    lamp_on_s: int = 0
    failed: bool = False
    last_ms: int | None = None

    @staticmethod
    def named(
        name: str, rated_w: float, envelope: Envelope = chirpstack_v4
    ) -> "LuminaireController":
        """A controller with the EUI of its name."""
        return LuminaireController(Radio(name, "NAS UL20xx", envelope), rated_w)

    def burn(
        self,
        time_ms: int,
        *,
        level: float,
        power_w: float,
        lamp_failure: bool,
        gear_failure: bool = False,
        restarted: bool = False,
        light_lx: float | None = None,
        clock_ms: int | None = None,
    ) -> list[Message]:
        """Time passed until now at this level: status, usage, and an alert when the lamp fails.

        Parameters
        ----------
        level : float
            Commanded dim level, 0..1.
        power_w : float
            Drawn power [W].
        gear_failure, restarted : bool
            What else the driver says of itself.
        light_lx : float, optional
            Of its light sensor [lx]; None where there is none, -1 where it says nothing.
        clock_ms : int, optional
            Time by the controller's own clock, which is right without it.
        """
        passed_s = 0 if self.last_ms is None else (time_ms - self.last_ms) // 1000
        self.last_ms = time_ms
        lit = level > 0 and not lamp_failure
        self.energy_wh += power_w * passed_s / 3600
        self.lamp_on_s += passed_s if lit else 0
        driver = nas_ul20xx.Driver(
            nas_ul20xx.single(0), driver_error=gear_failure, lamp_on=lit,
            lamp_failure=lamp_failure and level > 0, level_pct=round(level * 100),
            power_failure=restarted,
        )  # fmt: skip
        newly = driver.lamp_failure and not self.failed
        sent = self.alert(time_ms, lamp_failure=True) if newly else []
        self.failed = driver.lamp_failure
        clock_s = max(time_ms if clock_ms is None else clock_ms, 0) // 1000
        status = nas_ul20xx.encode_status(clock_s, (driver,), light_lx=light_lx)
        usage = nas_ul20xx.encode_usage(
            address=driver.address, energy_wh=int(self.energy_wh), power_w=power_w,
            voltage_v=230, power_factor=0.95, lamp_on_s=self.lamp_on_s,
        )  # fmt: skip
        sent.append(self.radio.uplink(nas_ul20xx.STATUS_PORT, status, time_ms))
        sent.append(self.radio.uplink(nas_ul20xx.USAGE_PORT, usage, time_ms))
        return sent

    def alert(self, time_ms: int, *, lamp_failure: bool) -> list[Message]:
        """What the driver reports at once, when its lamp fails or burns again."""
        self.failed = lamp_failure
        driver = nas_ul20xx.Driver(
            nas_ul20xx.single(0), lamp_failure=lamp_failure, lamp_on=not lamp_failure
        )
        payload = nas_ul20xx.encode_driver_alert((driver,))
        return [self.radio.uplink(nas_ul20xx.ALERT_PORT, payload, time_ms)]
