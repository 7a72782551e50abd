"""A city's LoRaWAN devices: which one stands where, what it sends, and where its meter stands."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from firmware_sim.city import CityPlan, Feeder
from firmware_sim.devices.envelopes import Uplink, chirpstack_v3, chirpstack_v4, things_stack_v3
from firmware_sim.devices.lorawan import ElsysSensor, LuminaireController, Radio
from firmware_sim.devices.node import Message, Row
from firmware_sim.scenario import Scenario
from firmware_sim.streams import uniform

__all__ = ["Meters", "Radios"]

Ints = NDArray[np.int64]
ENVELOPES: dict[str, Callable[[Uplink], tuple[str, bytes]]] = {
    "chirpstack_v4": chirpstack_v4,
    "chirpstack_v3": chirpstack_v3,
    "things_stack_v3": things_stack_v3,
}
FRAMES_A_SLOT = 4  # status and usage of a sample; a restart and a report between two samples
RESTART_FRAME, REPORT_FRAME = 2, 3
BURNING_S_A_YEAR = 4_100 * 3600
YOUNGEST_YEARS, OLDEST_YEARS = 1.0, 4.0  # age of controllers when the scenario begins
METERS_KEPT = 8
CHUNK_DAYS = 15


class Radios:
    """The LoRaWAN devices of a city; a moment always has the same frame counters."""

    def __init__(self, plan: CityPlan) -> None:
        self.scenario = plan.scenario
        self._devices = {
            device: radio_device(plan.scenario, feeder, lamp)
            for feeder in plan.feeders
            if feeder.lorawan
            for lamp, device in enumerate(feeder.device_ids)
        }

    def uplinks(self, feeder: Feeder, device: str, row: Row) -> list[Message]:
        """What a device sends for one moment."""
        sender, values = self._devices[device], row.values or {}
        slot = (row.measured_ms - self.scenario.start_ms) // (feeder.interval_s * 1000)
        sender.radio.at(FRAMES_A_SLOT * slot)
        lux = values.get("illuminance_lx")
        if isinstance(sender, ElsysSensor):
            # A sentinel of other makers: this one leaves the value out.
            known = None if lux is None or lux < 0 else lux
            return [sender.measure(row.measured_ms, light_lx=known, arrived_ms=row.received_ms)]
        if row.event is not None:
            name, active, _ = row.event
            frame = RESTART_FRAME if name == "device_reset" else REPORT_FRAME
            sender.radio.at(FRAMES_A_SLOT * slot + frame)
            return sender.report(row.measured_ms, name, active=active, arrived_ms=row.received_ms)
        level, watts = values.get("dimming_pct"), values.get("power_w")
        bits = int(values.get("lamp_status") or 0)
        burning = (watts or 0) > 3 if level is None else level > 0
        # A sensor that skips a value, as for a sentinel, is still there.
        sensor = bool(feeder.has_lux[feeder.device_ids.index(device)])
        return sender.sample(
            row.measured_ms, level=(level or 100 * burning) / 100, power_w=watts,
            energy_wh=int(values.get("energy_wh") or 0), lamp_on_s=int(values.get("lit_s") or 0),
            lamp_failure=bool(bits & 1), gear_failure=bool(bits & 2), restarted=bool(bits & 16),
            light_lx=(-1.0 if lux is None else lux) if sensor else None, clock_ms=row.time_ms,
            arrived_ms=row.received_ms,
        )  # fmt: skip


def radio_device(
    scenario: Scenario, feeder: Feeder, lamp: int
) -> ElsysSensor | LuminaireController:
    """A luminaire controller where watts or status are told, a light sensor elsewhere."""
    name, eui = feeder.luminaire_ids[lamp], feeder.device_ids[lamp]
    envelope = ENVELOPES[scenario.devices.network_server]
    if feeder.controller:
        return LuminaireController(
            Radio(name, "NAS UL20xx", envelope, dev_eui=eui), float(feeder.rated_w[lamp]),
            dali=feeder.has_status,
        )  # fmt: skip
    return ElsysSensor(Radio(name, "ELSYS ERS", envelope, dev_eui=eui), scenario.start_ms)


class Meters:
    """Where the meters of a feeder's controllers stand at the beginning of a day.

    They count from the day each was put up, so a city that is started anew goes on where it stood:
    what was used between the scenario's first day and the day asked for is added up once.

    Parameters
    ----------
    used : callable
        Energy [mWh] and burning time [s], int64 (2, lamps), of a feeder in some days.
    """

    def __init__(self, scenario: Scenario, used: Callable[[Feeder, int, int], Ints]) -> None:
        self.scenario = scenario
        self._used = used
        self._known: dict[str, dict[int, Ints]] = {}

    def at(self, feeder: Feeder, day: int) -> Ints:
        """Energy [mWh] and burning time [s] of each lamp, int64 (2, lamps), at a day's midnight."""
        known = self._known.setdefault(feeder.name, {})
        if not known:
            known[self.scenario.start_ms // 86_400_000] = self.first(feeder)
        begun = max((d for d in known if d <= day), default=None)
        if begun is None:
            begun = min(known)
            # Before the youngest was put up there was nothing to count.
            known[day] = np.maximum(known[begun] - self._used(feeder, day, begun - day), 0)
            return known[day]
        total = known[begun]
        for chunk in range(begun, day, CHUNK_DAYS):
            total = total + self._used(feeder, chunk, min(CHUNK_DAYS, day - chunk))
        known[day] = total
        while len(known) > METERS_KEPT:
            del known[sorted(known)[1]]  # the first day stays: everything can be had from there
        return total

    def first(self, feeder: Feeder) -> Ints:
        """What a controller had counted when the scenario begins."""
        years = [
            YOUNGEST_YEARS
            + (OLDEST_YEARS - YOUNGEST_YEARS) * uniform(feeder.seed, "put up", device)
            for device in feeder.device_ids
        ]
        lit_s = (np.array(years) * BURNING_S_A_YEAR).astype(np.int64)
        return np.stack([(lit_s / 3600 * feeder.rated_w * 1000).astype(np.int64), lit_s])

    def forget(self, feeder: Feeder, after_day: int) -> None:
        """A fault was set in or repaired on a day: what follows is another sum."""
        known = self._known.get(feeder.name, {})
        for day in [d for d in known if d > after_day]:
            del known[day]
