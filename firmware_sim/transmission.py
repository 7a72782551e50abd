"""How measured values reach us: lost, late, twice, out of order, with a wrong clock."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from firmware_sim.city import Feeder
from firmware_sim.faults import OPEN_MS, Fault
from firmware_sim.light import Measured
from firmware_sim.nuisances import DeviceQuirks, spans_between
from firmware_sim.scenario import Scenario
from firmware_sim.sky import SkyTable
from firmware_sim.streams import generator

__all__ = ["EventRow", "Rows", "fault_reports", "starts_by", "transmit"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Number = TypeVar("Number", np.int32, np.int64, np.float64)
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
LOST_HOURS, OUTAGE_HOURS, LATE_HOURS, UNSET_HOURS = (1.0, 9.0), (1.0, 18.0), (3.0, 20.0), (1.0, 6.0)
REPORTED = {
    "lamp_failure": "lamp_failure",
    "dimming_failure": "lamp_power_too_low",
    "cycling_failure": "cycling_failure",
    "lamp_unexpected_on": "lamp_unexpected_on",
    "switching_error": "switching_error_off",
    "dark_feeder": "supply_loss",
}
# Of these a LoRaWAN controller's format has words for two; it has no last gasp.
REPORTED_BY_RADIO = {"lamp_failure": "lamp_failure", "dimming_failure": "control_gear_failure"}


@dataclass
class Rows:
    """Readings as they were received, in the order of `received_ms`; equally long columns.

    Attributes
    ----------
    device : int32
        Place of the device along its feeder.
    time_ms : int64
        By the device's clock.
    true_ms : int64
        When it was measured; no file shows it.
    received_ms : int64
    lux, power_w, status, dimming_pct, battery_v : float64
        NaN where not sent; -1 and 65535 lux are sentinels.
    meter : int64 (2, n), optional
        Energy [mWh] and burning time [s] of LoRaWAN controllers; in no file.
    starts : int64 (n,), optional
        How often the device had started anew in the run by then; in no file.
    """

    device: NDArray[np.int32]
    time_ms: Ints
    true_ms: Ints
    received_ms: Ints
    lux: Floats
    power_w: Floats
    status: Floats
    dimming_pct: Floats
    battery_v: Floats
    meter: Ints | None = None
    starts: Ints | None = None

    def columns(self) -> dict[str, Floats]:
        """What was measured, by the name of the quantity; without what none of the rows holds."""
        columns = {
            "illuminance_lx": self.lux, "power_w": self.power_w, "lamp_status": self.status,
            "dimming_pct": self.dimming_pct, "battery_v": self.battery_v,
        }  # fmt: skip
        return {name: column for name, column in columns.items() if np.isfinite(column).any()}

    def taken(self, chosen: Ints | Bools) -> "Rows":
        """Some of the rows."""
        return Rows(
            self.device[chosen], self.time_ms[chosen], self.true_ms[chosen],
            self.received_ms[chosen], self.lux[chosen], self.power_w[chosen], self.status[chosen],
            self.dimming_pct[chosen], self.battery_v[chosen],
            None if self.meter is None else self.meter[:, chosen],
            None if self.starts is None else self.starts[chosen],
        )  # fmt: skip

    def joined(self, other: "Rows") -> "Rows":
        """These rows and then the other ones."""

        def both(a: NDArray[Number], b: NDArray[Number]) -> NDArray[Number]:
            return np.concatenate([a, b])

        return Rows(
            both(self.device, other.device), both(self.time_ms, other.time_ms),
            both(self.true_ms, other.true_ms), both(self.received_ms, other.received_ms),
            both(self.lux, other.lux), both(self.power_w, other.power_w),
            both(self.status, other.status), both(self.dimming_pct, other.dimming_pct),
            both(self.battery_v, other.battery_v),
            None
            if self.meter is None or other.meter is None
            else np.concatenate([self.meter, other.meter], axis=1),
        )  # fmt: skip


@dataclass(frozen=True)
class EventRow:
    """One fault report of a device."""

    device_id: str
    time_ms: int
    received_ms: int
    event: str
    active: bool | None
    info: str


def transmit(
    scenario: Scenario,
    feeder: Feeder,
    measured: Measured,
    quirks: tuple[DeviceQuirks, ...],
    table: SkyTable,
) -> Rows:
    """Carry what was measured to us.

    Parameters
    ----------
    measured : Measured
    quirks : tuple of DeviceQuirks
        One per luminaire.
    table : SkyTable
        Of the same days.
    """
    plan = scenario.nuisances
    true_ms = measured.true_ms
    kept = measured.alive & (measured.draws[0] >= plan.loss)
    kept &= np.isfinite(measured.lux) | np.isfinite(measured.power_w) | np.isfinite(measured.status)
    delay = 800 + np.floor(-2500 * np.log(np.maximum(1 - measured.draws[1], 1e-9)))
    u = measured.draws[3]
    swapped = u < plan.out_of_order
    delay = np.where(
        swapped, delay + np.floor(u / max(plan.out_of_order, 1e-12) * 25 * MINUTE_MS), delay
    )
    received = true_ms + delay.astype(np.int64)
    hold(scenario, feeder, table, true_ms, received, kept)
    lux = with_sentinels(measured, plan.sentinels)
    clock = device_clock(scenario, feeder, quirks, table, true_ms)
    row, at = np.nonzero(kept)
    rows = Rows(
        row.astype(np.int32), clock[row, at], true_ms[row, at], received[row, at], lux[row, at],
        measured.power_w[row, at], measured.status[row, at], measured.dimming_pct[row, at],
        measured.battery_v[row, at],
        None if measured.meter is None else measured.meter[:, row, at],
    )  # fmt: skip
    return in_order(twice(rows, measured.draws[2][row, at], plan.duplicates))


def hold(
    scenario: Scenario,
    feeder: Feeder,
    table: SkyTable,
    true_ms: Ints,
    received: Ints,
    kept: Bools,
) -> None:
    """Bursts of loss, gateway outages and store-and-forward; changes `received` and `kept`."""
    plan, seed = scenario.nuisances, scenario.seed
    begin, end = table.start_ms, table.stop_ms
    for span in spans_between(
        seed, "outage", feeder.gateway, plan.gateway_outages_per_month, OUTAGE_HOURS, begin, end
    ):
        out = (true_ms >= span.start_ms) & (true_ms < span.stop_ms)
        # Whether a gateway keeps what it could not send is the gateway's, not the moment's.
        if generator(seed, "keeps", feeder.gateway).random() < plan.gateway_keeps:
            np.copyto(
                received, np.maximum(received, span.stop_ms + (received - true_ms)), where=out
            )
        else:
            kept &= ~out
    for row, device in enumerate(feeder.device_ids):
        time_ms = true_ms[row]
        for span in spans_between(
            seed, "burst", device, plan.bursts_per_month, LOST_HOURS, begin, end
        ):
            kept[row] &= ~((time_ms >= span.start_ms) & (time_ms < span.stop_ms))
        if feeder.lorawan:
            continue  # without a buffer nothing is held back on the device
        for span in spans_between(
            seed, "late", device, plan.late_per_month, LATE_HOURS, begin, end
        ):
            held = (time_ms >= span.start_ms) & (time_ms < span.stop_ms)
            released = span.stop_ms + (received[row] - time_ms)
            received[row] = np.where(held, np.maximum(received[row], released), received[row])


def with_sentinels(measured: Measured, share: float) -> Floats:
    """Now and then a sensor says that it does not know: -1 or 65535 lux."""
    u = measured.draws[2]
    # The upper end of the draw, so that duplicates (its lower end) are others.
    chosen = (u > 1 - share) & np.isfinite(measured.lux)
    value = np.where(u > 1 - share / 2, -1.0, 65535.0)
    return np.where(chosen, value, measured.lux)


def device_clock(
    scenario: Scenario,
    feeder: Feeder,
    quirks: tuple[DeviceQuirks, ...],
    table: SkyTable,
    true_ms: Ints,
) -> Ints:
    """What the devices' own clocks say [ms]."""
    clock = true_ms.copy()
    per_month = scenario.nuisances.unset_clock_per_month
    for row, (device, quirk) in enumerate(zip(feeder.device_ids, quirks, strict=True)):
        clock[row] += round(quirk.skew_ms)
        if quirk.local_clock:
            at = (true_ms[row] - int(table.time_ms[0])) // MINUTE_MS
            clock[row] += table.offset_ms[at]
        for span in spans_between(
            scenario.seed, "unset", device, per_month, UNSET_HOURS, table.start_ms, table.stop_ms
        ):
            # Restarted without the time: counts from 1970 until it is set.
            unset = (true_ms[row] >= span.start_ms) & (true_ms[row] < span.stop_ms)
            clock[row] = np.where(unset, true_ms[row] - span.start_ms, clock[row])
    return clock


def twice(rows: Rows, u: Floats, share: float) -> Rows:
    """Some rows come a second time, a little later."""
    again = np.flatnonzero(u < share)
    if not len(again):
        return rows
    copies = rows.taken(again)
    copies.received_ms = copies.received_ms + 5_000 + (u[again] / share * 600_000).astype(np.int64)
    return rows.joined(copies)


def in_order(rows: Rows) -> Rows:
    """Rows by the time they were received; ties by device and time."""
    return rows.taken(np.lexsort((rows.time_ms, rows.device, rows.received_ms)))


def fault_reports(
    scenario: Scenario, feeder: Feeder, faults: list[Fault], start_ms: int, stop_ms: int
) -> list[EventRow]:
    """Device events measured in `[start_ms, stop_ms)`: true ones, missed ones, false ones."""
    if not feeder.has_events:
        return []
    rows: list[EventRow] = []
    for fault in faults:
        rows += reports_of(scenario, feeder, fault)
    per_month = scenario.nuisances.event_false_per_month
    for lamp, device in enumerate(feeder.device_ids):
        if not feeder.has_device[lamp]:
            continue
        for span in spans_between(
            scenario.seed, "false event", device, per_month, (0.1, 0.6), start_ms, stop_ms
        ):
            rows.append(event(device, span.start_ms, "lamp_failure", "DALI 0x04", active=True))
            rows.append(event(device, span.stop_ms, "lamp_failure", "", active=False))
    inside = [row for row in rows if start_ms <= row.time_ms < stop_ms]
    return sorted(inside, key=lambda row: (row.time_ms, row.device_id, row.event, bool(row.active)))


def event(device: str, time_ms: int, name: str, info: str, *, active: bool | None) -> EventRow:
    """A fault report that arrives two seconds later."""
    return EventRow(device, time_ms, time_ms + 2_000, name, active, info)


def reports_of(scenario: Scenario, feeder: Feeder, fault: Fault) -> list[EventRow]:
    """What the devices themselves say of one fault."""
    name = (REPORTED_BY_RADIO if feeder.lorawan else REPORTED).get(fault.effect)
    if feeder.lorawan and fault.effect == "dark_feeder" and not feeder.battery:
        return restarts_of(scenario, feeder, fault)
    if name is None:
        return []
    rows = []
    for lamp in fault.lamps:
        u = generator(scenario.seed, "report", fault.fault_id, lamp).random(2)
        if u[0] < scenario.nuisances.event_miss or not feeder.has_device[lamp]:
            continue
        last_gasp = fault.effect == "dark_feeder"
        wait = 500 if last_gasp else int((3 + 80 * u[1]) * MINUTE_MS)
        device = feeder.device_ids[lamp]
        if fault.start_ms + wait < fault.end_ms:
            rows.append(event(device, fault.start_ms + wait, name, "", active=True))
            if fault.end_ms < OPEN_MS:
                rows.append(event(device, fault.end_ms + 60_000, name, "", active=False))
    return rows


def restarts_of(scenario: Scenario, feeder: Feeder, fault: Fault) -> list[EventRow]:
    """What LoRaWAN controllers say when the supply is back: that they have started."""
    rows = []
    for lamp in fault.lamps:
        u = generator(scenario.seed, "report", fault.fault_id, lamp).random(2)
        told = u[0] >= scenario.nuisances.event_miss and feeder.has_device[lamp]
        if told and fault.end_ms < OPEN_MS:
            at = fault.end_ms + int((20 + 160 * u[1]) * 1000)  # joining takes its time
            rows.append(event(feeder.device_ids[lamp], at, "device_reset", "", active=None))
    return rows


def starts_by(scenario: Scenario, feeder: Feeder, faults: list[Fault], rows: Rows) -> Ints | None:
    """How often each row's device had started anew by then; None where none ever had.

    A device starts when its supply comes back, a mains one after an outage and one on a switched
    feeder every evening, and when it has lost the time.
    """
    starts = np.zeros(len(rows.device), np.int64)
    if feeder.switching == "feeder":
        # From noon to noon: the feeder is without supply by day.
        noon_ms = 12 * HOUR_MS
        starts += np.maximum((rows.true_ms - scenario.start_ms + noon_ms) // (24 * HOUR_MS), 0)
    for fault in faults:
        if fault.effect == "dark_feeder" and not feeder.battery and fault.end_ms < OPEN_MS:
            starts += np.isin(rows.device, fault.lamps) & (rows.true_ms >= fault.end_ms)
    per_month = scenario.nuisances.unset_clock_per_month
    latest = int(rows.true_ms.max()) + 1 if len(rows.true_ms) else 0
    for lamp, device in enumerate(feeder.device_ids):
        for span in spans_between(
            scenario.seed, "unset", device, per_month, UNSET_HOURS, scenario.start_ms, latest
        ):
            if span.start_ms >= scenario.start_ms:
                starts += (rows.device == lamp) & (rows.true_ms >= span.start_ms)
    return starts if starts.any() else None
