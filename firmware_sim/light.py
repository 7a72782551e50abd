"""What the devices of one feeder measure: sky, lamps, neighbours, sensors, faults, as arrays.

`y = quantise(clip(g(t) (s sky(t) + sum of b_j L_j(t) + stray(t)) (1 + e) + dark))`

All random numbers come from the stream of (feeder, day); everything else is a function of the
moment. A day computed alone and a day computed within a month are therefore the same day.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_sim.batteries import EMPTYING_DAYS, battery_volts
from firmware_sim.city import Feeder
from firmware_sim.faults import Fault
from firmware_sim.nuisances import DeviceQuirks, Span
from firmware_sim.scenario import Scenario
from firmware_sim.sky import DAY_MS, SkyTable, cloud_light, snow_day
from firmware_sim.streams import generator, smooth_noise

__all__ = ["Measured", "measure", "programme_levels"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
JITTER_MS = 4_000
STANDBY = 0.02
LAMP_FAILURE_BIT, CONTROL_GEAR_BIT, RESTARTED_BIT, LAST_GASP_BIT = 1, 2, 16, 128
WINDOW = re.compile(r"(motion:)?(\d\d):(\d\d)-(\d\d):(\d\d)@(\d+)$")


@dataclass
class Measured:
    """What a feeder's devices measured in some days; arrays of (luminaires, samples).

    Attributes
    ----------
    true_ms : int64
        When it was measured [ms, UTC].
    lux, power_w, status, dimming_pct, battery_v : float64
        NaN where the device does not measure that.
    alive : bool
        Whether the device had power and a working radio.
    burning : bool
        Whether the luminaire was commanded to burn.
    light : float64
        Light of the own lamp over its full level.
    draws : float64 (k, luminaires, samples)
        Uniform draws of the day streams left for the transmission.
    meter : int64 (2, luminaires, samples), optional
        Energy [mWh] and burning time [s] since the first of these days, of LoRaWAN controllers
        with a meter.
    """

    true_ms: Ints
    lux: Floats
    power_w: Floats
    status: Floats
    dimming_pct: Floats
    battery_v: Floats
    alive: Bools
    burning: Bools
    light: Floats
    draws: Floats
    meter: Ints | None = None


@dataclass
class Draws:
    """Random numbers of some days of a feeder; the order of the draws is part of the feed."""

    noise: Floats
    power_noise: Floats
    uniform: Floats

    @staticmethod
    def of(scenario: Scenario, feeder: Feeder, first_day: int, days: int) -> "Draws":
        """Draw day by day, each day from its own stream."""
        shape = (feeder.size, feeder.samples_per_day)
        normal, uniform = [], []
        for day in range(first_day, first_day + days):
            rng = generator(scenario.seed, "day", feeder.name, day)
            uniform.append(rng.random((9, *shape), dtype=np.float32))
            normal.append(rng.standard_normal((2, *shape), dtype=np.float32))
        both = np.concatenate(normal, axis=2).astype(np.float64)
        return Draws(both[0], both[1], np.concatenate(uniform, axis=2).astype(np.float64))


def programme_levels(dimming: str) -> tuple[Floats, Bools]:
    """Dim level at each local minute of the day, and where motion may raise it.

    Parameters
    ----------
    dimming : str
        As in the assets format: `22:00-05:00@40`, `motion:22:00-05:00@30`, joined by `;`.
    """
    level, motion = np.ones(1440), np.zeros(1440, np.bool_)
    for part in filter(None, dimming.split(";")):
        found = WINDOW.match(part)
        if not found:
            raise ValueError(f"not a dimming window: {part!r}")
        begin = int(found[2]) * 60 + int(found[3])
        end = int(found[4]) * 60 + int(found[5])
        minutes = np.arange(begin, end if end > begin else end + 1440) % 1440
        level[minutes] = int(found[6]) / 100
        motion[minutes] = bool(found[1])
    return level, motion


class Window:
    """The sky over one feeder, looked up at the devices' own sample times."""

    def __init__(self, scenario: Scenario, feeder: Feeder, table: SkyTable, draws: Draws) -> None:
        self.scenario, self.feeder, self.table = scenario, feeder, table
        steps = np.arange(table.days * feeder.samples_per_day) * (feeder.interval_s * 1000.0)
        jitter = np.floor(draws.uniform[0] * JITTER_MS)
        self.time_ms = table.start_ms + steps + feeder.phase_ms[:, None] + jitter
        minutes = (self.time_ms - table.time_ms[0]) / MINUTE_MS
        self.at = minutes.astype(np.int64)
        self.part = minutes - self.at
        light, smooth = cloud_light(
            scenario, table, float(feeder.lat.mean()), float(feeder.lon.mean())
        )
        self.log_sky = np.log(table.clear_lx * light + table.glow_lx)
        self.smooth_sky = table.clear_lx * smooth
        self.morning = table.azimuth_deg < 180
        rng = generator(scenario.seed, "switching", feeder.name)
        self.astro_deg = float(rng.uniform(-4.5, -1.5)) + rng.normal(0, 0.1, feeder.size)[:, None]
        self.on_lx = (
            float(rng.uniform(20, 60))
            * np.exp(
                rng.normal(0, 0.25 if feeder.switching == "own_photocell" else 0.01, feeder.size)
            )[:, None]
        )
        self.off_factor = float(rng.uniform(1.2, 1.8))
        if feeder.switching == "own_photocell":
            nightly = smooth_noise(
                scenario.seed, ("photocell", feeder.name), self.time_ms, 18.0 * HOUR_MS, feeder.size
            )
            self.on_lx = self.on_lx * np.exp(0.15 * nightly)

    def sky(self) -> Floats:
        """Illuminance by the sky on open ground [lx]."""
        left, right = self.log_sky[self.at], self.log_sky[self.at + 1]
        light: Floats = np.exp(left + (right - left) * self.part)
        return light

    def commanded(self, late_minutes: int = 0) -> Bools:
        """Whether the switch says lit, seen `late_minutes` later."""
        shape = self.at.shape
        if self.feeder.switching == "always":
            return np.ones(shape, np.bool_)
        at = np.clip(self.at - late_minutes, 0, len(self.smooth_sky) - 1)
        if self.feeder.switching in {"photocell", "own_photocell"}:
            limit = np.where(self.morning[at], self.on_lx * self.off_factor, self.on_lx)
            dusk: Bools = self.smooth_sky[at] < limit
            return dusk
        night: Bools = self.table.elevation_deg[at] < self.astro_deg
        return night


def active(fault: Fault, time_ms: Floats) -> Bools:
    """Where a fault holds, for the rows of its luminaires."""
    inside: Bools = (time_ms >= fault.start_ms) & (time_ms < fault.end_ms)
    return inside


def growth(fault: Fault, time_ms: Floats) -> Floats:
    """How far a gradual fault has grown, 0..1."""
    return np.clip((time_ms - fault.start_ms) / max(fault.ramp_ms, 1), 0, 1)


def cycling_off(seed: int, fault: Fault, time_ms: Floats) -> Bools:
    """Where a cycling lamp is dark: random quarter hours of four nights in five."""
    block = (time_ms // (15 * MINUTE_MS)).astype(np.int64)
    first, last = int(block.min()), int(block.max())
    days = range(first // 96, last // 96 + 1)
    u = np.concatenate([generator(seed, "cycle", fault.fault_id, day).random(97) for day in days])
    u = u.reshape(len(days), 97)
    off = (u[:, :96] < fault.size) & (u[:, 96:] < 0.8)
    dark: Bools = off.ravel()[block - (first // 96) * 96]
    return dark


def lamp_light(
    window: Window, draws: Draws, faults: list[Fault], work: tuple[Span, ...]
) -> tuple[Floats, Floats, Bools, Floats]:
    """Light and watts of every lamp.

    Returns
    -------
    light : float64 (n, s)
        Over the full level; faults of the lamp are in it.
    level : float64 (n, s)
        Commanded dim level, 0 where off.
    burning : bool (n, s)
        Commanded to burn by the programme, faults of the switch apart.
    watts : float64 (n, s)
        Over the rated power.
    """
    feeder, table, time_ms = window.feeder, window.table, window.time_ms
    programme, motion = programme_levels(feeder.dimming)
    minute = table.local_minute[window.at]
    dim = programme[minute]
    if motion.any():
        dim = np.where(motion[minute] & (draws.uniform[1] < 0.15), 1.0, dim)
    burning = window.commanded()
    switched = burning.copy()
    for fault in faults:
        rows = list(fault.lamps)
        if fault.effect == "clock":
            moved = window.commanded(round(fault.size))
            switched[rows] = np.where(active(fault, time_ms[rows]), moved[rows], switched[rows])
        elif fault.effect == "switching_error":
            # Late on, or early off: never keeps the lamp longer.
            moved = window.commanded(round(fault.size))
            cut = switched[rows] & moved[rows]
            switched[rows] = np.where(active(fault, time_ms[rows]), cut, switched[rows])
        elif fault.effect == "lamp_unexpected_on":
            switched[rows] |= active(fault, time_ms[rows])
    by_work = np.zeros_like(switched)
    for span in work:
        by_work |= (time_ms >= span.start_ms) & (time_ms < span.stop_ms)
    switched |= by_work
    level = np.where(switched, np.where(burning, dim, 1.0), 0.0)
    light, watts = level.copy(), np.where(level > 0, 0.08 + 0.92 * level, STANDBY)
    aged = 0.90 + 0.00008 * (time_ms - window.scenario.start_ms) / DAY_MS
    watts = np.where(feeder.clo[:, None] & (level > 0), watts * aged, watts)
    for fault in faults:
        strike_lamp(window.scenario.seed, fault, time_ms, light, watts)
    leaf = 1 - window.scenario.weather.leaf_loss * feeder.trees[:, None] * table.leaf[window.at]
    return light * leaf, level, burning, watts


def strike_lamp(seed: int, fault: Fault, time_ms: Floats, light: Floats, watts: Floats) -> None:
    """Put one fault of a lamp or its supply into light and watts, in place."""
    rows = list(fault.lamps)
    now = active(fault, time_ms[rows])
    if not now.any():
        return
    part, drawn = np.ones(now.shape), np.ones(now.shape)
    if fault.effect == "lamp_failure":
        part, drawn = np.full(now.shape, fault.size), np.full(now.shape, 0.03)
    elif fault.effect == "dark_feeder":
        part, drawn = np.zeros(now.shape), np.zeros(now.shape)
    elif fault.effect == "dimming_failure":
        part, drawn = part - fault.size, drawn - 0.92 * fault.size
    elif fault.effect == "depreciation":
        part = 1 - fault.size * growth(fault, time_ms[rows])
    elif fault.effect == "cycling_failure":
        off = cycling_off(seed, fault, time_ms[rows])
        part, drawn = np.where(off, 0.0, 1.0), np.where(off, 0.03, 1.0)
    else:
        return
    light[rows] = np.where(now, light[rows] * part, light[rows])
    watts[rows] = np.where(now, np.minimum(watts[rows], watts[rows] * drawn), watts[rows])


def with_neighbours(feeder: Feeder, light: Floats) -> Floats:
    """Illuminance by the lamps under each luminaire [lx]: the own one and those beside it."""
    before = np.zeros_like(light)
    after = np.zeros_like(light)
    linked = feeder.same_segment
    before[1:] = np.where(linked[1:, None], light[:-1], 0)
    after[:-1] = np.where(linked[1:, None], light[1:], 0)
    has_before = linked
    has_after = np.r_[linked[1:], False]
    side = (1 - feeder.own) / 2
    own = feeder.own + side * (~has_before) + side * (~has_after)
    total: Floats = feeder.level_lx[:, None] * (
        own[:, None] * light + side[:, None] * (before + after)
    )
    return total


def sensor_gain(window: Window, quirks: tuple[DeviceQuirks, ...]) -> Floats:
    """Gain of every healthy sensor: wander, rain and snow on the dome, exchanged sensors."""
    scenario, feeder, table, time_ms = window.scenario, window.feeder, window.table, window.time_ms
    names = ("gain", feeder.name)
    slow = smooth_noise(scenario.seed, (*names, "slow"), time_ms, 8.0 * DAY_MS, feeder.size)
    fast = smooth_noise(scenario.seed, (*names, "fast"), time_ms, 20.0 * HOUR_MS, feeder.size)
    log_gain = scenario.devices.gain_wander * (slow + 0.4 * fast)
    if not feeder.tunnel:
        rng = generator(scenario.seed, "dome", feeder.name)
        wet = -0.03 - 0.03 * rng.random((feeder.size, 1))
        log_gain = log_gain + wet * table.rain[window.at]
    gain: Floats = np.exp(log_gain)
    if not feeder.tunnel and table.snow.any():
        gain *= snow_on_dome(window)
    for row, quirk in enumerate(quirks):
        for swap in quirk.swaps:
            gain[row] = np.where(time_ms[row] >= swap.time_ms, gain[row] * swap.gain, gain[row])
    return gain


def snow_on_dome(window: Window) -> Floats:
    """What fresh snow leaves of the light on each sensor; it melts within a day or two."""
    scenario, feeder, time_ms = window.scenario, window.feeder, window.time_ms
    left: Floats = np.ones(time_ms.shape)
    first = window.table.first_day
    for day in range(first - 3, first + window.table.days):
        if not snow_day(scenario, day)[1]:
            continue
        u = generator(scenario.seed, "snow dome", feeder.name, day).random((3, feeder.size, 1))
        fell_ms = day * DAY_MS + (2 + 10 * u[2]) * HOUR_MS
        hours = (time_ms - fell_ms) / HOUR_MS
        # Gone after three days, so that a window needs no older snow.
        covered = (u[0] < scenario.weather.snow_on_dome) & (hours >= 0) & (hours < 72)
        depth = 0.3 + 0.6 * u[1]
        left[:] = np.where(covered, left * (1 - depth * np.exp(-np.maximum(hours, 0) / 14)), left)
    return left


def stray_light(window: Window, quirks: tuple[DeviceQuirks, ...]) -> Floats:
    """Shop windows and festive lighting [lx]."""
    stray: Floats = np.zeros(window.time_ms.shape)
    for row, quirk in enumerate(quirks):
        for source in quirk.stray:
            time_ms = window.time_ms[row]
            minute = window.table.local_minute[window.at[row]]
            lit = (time_ms >= source.start_ms) & (time_ms < source.stop_ms)
            lit &= (minute >= source.on_minute) & (minute < source.off_minute)
            stray[row] += np.where(lit, source.lux, 0.0)
    return stray


def headlights(window: Window, draws: Draws) -> Floats:
    """Cars that pass just when the sensor looks [lx]."""
    if window.feeder.tunnel or window.feeder.category != "street":
        return np.zeros_like(window.time_ms)
    hour = window.table.local_minute[window.at] // 60
    traffic = np.where((hour >= 1) & (hour < 5), 0.2, 1.0) * window.scenario.nuisances.headlights
    # The size comes from the digits of the same draw: below the limit it is uniform again.
    u = draws.uniform[2]
    size = -np.log(np.maximum(u / np.maximum(traffic, 1e-12), 1e-6))
    return np.where(u < traffic, 6.0 * size, 0.0)


def open_sky(window: Window) -> Floats:
    """Sky light each sensor sees [lx]: its share, the leaves, gaps that let the sun through."""
    feeder, table, at = window.feeder, window.table, window.at
    share = feeder.sky_share[:, None] * (1 - 0.5 * feeder.trees[:, None] * table.leaf[at])
    share = share * (1 + 0.3 * table.snow[at])
    seen: Floats = share * window.sky()
    gaps = np.flatnonzero(feeder.sun_gap_depth > 0)
    if len(gaps):
        off = (table.azimuth_deg[at[gaps]] - feeder.sun_gap_deg[gaps, None]) / 14.0
        direct = feeder.sun_gap_depth[gaps, None] * np.exp(-off * off)
        clear = (1 - table.cover[at[gaps]]) * (table.elevation_deg[at[gaps]] > 2)
        seen[gaps] *= 1 + direct * clear
    return seen


def strike_sensor(fault: Fault, time_ms: Floats, gain: Floats, lamps: Floats, sky: Floats) -> None:
    """Put one fault of a sensor into what it sees, in place."""
    rows = list(fault.lamps)
    now = active(fault, time_ms[rows])
    if fault.effect == "sensor_blind":
        gain[rows] = np.where(now, gain[rows] * fault.size, gain[rows])
    elif fault.effect == "sensor_drift":
        moved = gain[rows] * np.exp(fault.size * growth(fault, time_ms[rows]))
        gain[rows] = np.where(now, moved, gain[rows])
    elif fault.effect == "misaimed":
        lamps[rows] = np.where(now, lamps[rows] * fault.size, lamps[rows])
        sky[rows] = np.where(now, sky[rows] * (1.4 + 4 * (0.6 - fault.size)), sky[rows])


def quantised(lux: Floats, resolution_lx: float) -> Floats:
    """What the sensor's converter makes of it."""
    steps = np.floor(lux / resolution_lx + 0.5)
    # Dividing by a whole number gives the nearest double of the decimal; 3 * 0.1 does not.
    per_lx = round(1 / resolution_lx)
    return steps / per_lx if per_lx > 1 else steps


def held_value(feeder: Feeder, fault: Fault) -> float:
    """What a stuck sensor goes on reporting."""
    if fault.size == 1.0:
        return 0.0
    if fault.size == 2.0:
        return feeder.max_lx
    u = generator(feeder.seed, "held", fault.fault_id).random()
    value = np.array([feeder.level_lx[fault.lamps[0]] * (0.4 + u)])
    return float(quantised(value, feeder.resolution_lx)[0])


def status_bits(
    feeder: Feeder, faults: list[Fault], window: Window, burning: Bools, draws: Draws
) -> Floats:
    """The controller's own bit field, with its misses and false flags."""
    scenario, time_ms = window.scenario, window.time_ms
    bits = np.zeros(time_ms.shape, np.int64)
    per_month = scenario.nuisances.event_false_per_month
    false_flag = draws.uniform[3] < per_month / (30 * feeder.samples_per_day)
    bits |= np.where(false_flag, LAMP_FAILURE_BIT, 0)
    for fault in faults:
        rows = list(fault.lamps)
        now = active(fault, time_ms[rows])
        missed = generator(scenario.seed, "miss", fault.fault_id).random()
        if missed < scenario.nuisances.event_miss:
            continue
        if fault.effect == "lamp_failure":
            bits[rows] |= np.where(now & burning[rows], LAMP_FAILURE_BIT, 0)
        elif fault.effect == "dimming_failure" and fault.size > 0.45:
            bits[rows] |= np.where(now & burning[rows], CONTROL_GEAR_BIT, 0)
        elif fault.effect == "cycling_failure":
            before = time_ms[rows] - feeder.interval_s * 1000
            back = cycling_off(scenario.seed, fault, before) & now & burning[rows]
            back &= ~cycling_off(scenario.seed, fault, time_ms[rows])
            bits[rows] |= np.where(back, RESTARTED_BIT, 0)
        elif fault.effect == "dark_feeder":
            # The last sample with a little charge left: within one interval of the loss.
            gasp = now & (time_ms[rows] < fault.start_ms + feeder.interval_s * 1000)
            bits[rows] |= np.where(gasp, LAST_GASP_BIT, 0)
    return bits.astype(np.float64)


def liveness(feeder: Feeder, faults: list[Fault], time_ms: Floats, draws: Draws) -> Bools:
    """Whether each device had power and a radio."""
    alive = np.broadcast_to(feeder.has_device[:, None], time_ms.shape).copy()
    for fault in faults:
        rows = list(fault.lamps)
        now = active(fault, time_ms[rows])
        if fault.effect == "communication_failure":
            alive[rows] &= ~now
            if feeder.battery and len(rows) == 1:
                # An emptying battery: ever more samples fail over the last days.
                ahead = (fault.start_ms - time_ms[rows]) / (EMPTYING_DAYS * DAY_MS)
                weak = (ahead > 0) & (ahead < 1)
                alive[rows] &= ~(weak & (draws.uniform[4][rows] > ahead))
        elif fault.effect == "dark_feeder" and not feeder.battery:
            gasp = feeder.has_status & (time_ms[rows] < fault.start_ms + feeder.interval_s * 1000)
            alive[rows] &= ~(now & ~gasp)
    return alive


def measure(
    scenario: Scenario,
    feeder: Feeder,
    faults: list[Fault],
    quirks: tuple[DeviceQuirks, ...],
    work: tuple[Span, ...],
    table: SkyTable,
) -> Measured:
    """Everything the devices of one feeder measured in the days of a sky table."""
    draws = Draws.of(scenario, feeder, table.first_day, table.days)
    window = Window(scenario, feeder, table, draws)
    time_ms = window.time_ms
    near = [
        f
        for f in faults
        if f.start_ms - EMPTYING_DAYS * DAY_MS < table.stop_ms and f.end_ms > table.start_ms
    ]
    light, level, burning, watts = lamp_light(window, draws, near, work)
    lamps = with_neighbours(feeder, light) * (
        1 + 0.15 * table.snow[window.at] * (not feeder.tunnel)
    )
    sky = open_sky(window)
    gain = sensor_gain(window, quirks)
    for fault in near:
        strike_sensor(fault, time_ms, gain, lamps, sky)
    seen = sky + lamps + stray_light(window, quirks) + headlights(window, draws)
    lux = gain * seen * (1 + scenario.devices.noise * draws.noise) + feeder.dark_offset_lx[:, None]
    lux = quantised(np.clip(lux, 0, feeder.max_lx), feeder.resolution_lx)
    for fault in near:
        if fault.effect == "sensor_stuck":
            rows = list(fault.lamps)
            lux[rows] = np.where(active(fault, time_ms[rows]), held_value(feeder, fault), lux[rows])
    lux[~feeder.has_lux] = np.nan
    energised = level > 0 if feeder.switching == "feeder" else np.ones(level.shape, np.bool_)
    nothing = np.full(time_ms.shape, np.nan)
    power = nothing
    if feeder.has_power:
        noisy = watts * feeder.rated_w[:, None] * (1 + 0.003 * draws.power_noise)
        power = np.floor(np.maximum(noisy, 0) * 10 + 0.5) / 10
    told = feeder.has_status
    return Measured(
        true_ms=time_ms.astype(np.int64),
        lux=lux,
        power_w=power,
        status=status_bits(feeder, near, window, burning, draws) if told else nothing,
        dimming_pct=np.round(level * 100) if told else nothing,
        # Sensors on LoRaWAN tell theirs in their own format.
        battery_v=battery_volts(scenario, feeder, faults, time_ms)
        if feeder.battery and not feeder.lorawan
        else nothing,
        alive=liveness(feeder, near, time_ms, draws) & energised,
        burning=burning,
        light=light,
        draws=draws.uniform[5:],
        meter=metered(feeder, watts, light) if feeder.lorawan and feeder.has_power else None,
    )


def metered(feeder: Feeder, watts: Floats, light: Floats) -> Ints:
    """What the meters count sample by sample; whole numbers, so that the days add up exactly."""
    energy_mwh = np.rint(watts * feeder.rated_w[:, None] * (feeder.interval_s / 3.6))
    lit_s = np.where(light > 0.1, feeder.interval_s, 0)
    return np.cumsum(np.stack([energy_mwh.astype(np.int64), lit_s.astype(np.int64)]), axis=2)
