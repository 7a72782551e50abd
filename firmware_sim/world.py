"""A simulated city that can be asked for any day, past or to come, and given faults."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_sim.city import Counter, Feeder, build_plan
from firmware_sim.devices.envelopes import Uplink, chirpstack_v3, chirpstack_v4, things_stack_v3
from firmware_sim.devices.lorawan import ElsysSensor, LuminaireController, Radio
from firmware_sim.devices.native import encode_events, encode_readings, numbered, topic
from firmware_sim.devices.node import Message, Row
from firmware_sim.errors import SimulatorError
from firmware_sim.faults import (
    OPEN_MS,
    Fault,
    in_a_row,
    outage,
    plan_faults,
    shaped_fault,
    silent,
)
from firmware_sim.feed import assets_rows, feeder_rows, truth_rows
from firmware_sim.footfall import CountRows, count_rows
from firmware_sim.scenario import FAULT_KINDS, Scenario
from firmware_sim.sky import DAY_MS
from firmware_sim.streams import generator
from firmware_sim.transmission import EventRow, Rows

__all__ = ["City", "Injection", "build_city", "device_rows", "event_row"]

HOUR_MS = 3_600_000
UNSET_BEFORE_MS = 1_577_836_800_000
EARLY_DAYS = 2
ENVELOPES: dict[str, Callable[[Uplink], tuple[str, bytes]]] = {
    "chirpstack_v4": chirpstack_v4,
    "chirpstack_v3": chirpstack_v3,
    "things_stack_v3": things_stack_v3,
}
HISTORY_DAYS = 4
NATIVE = "ljusvakt/v1/"
FRAMES_A_SLOT = 4  # alert, status and usage of a sample; a report between two samples
COLUMNS = ("illuminance_lx", "power_w", "lamp_status", "dimming_pct")


@dataclass(frozen=True)
class Injection:
    """A fault set in from the outside.

    Attributes
    ----------
    kind : str
        A single kind at `device`, or `feeder_out`, `five_in_a_row`, `gateway_dead`.
    target : str
        Device, feeder, segment or gateway id, as the kind has it.
    start_ms, end_ms : int
        `[start, end)`; open ends at `OPEN_MS`.
    """

    kind: str
    target: str
    start_ms: int
    end_ms: int = OPEN_MS
    severity: float | None = None


class City:
    """The simulated world: a pure function of scenario, injected faults and time.

    Parameters
    ----------
    scenario : Scenario
    state : Path, optional
        Keeps injected faults over a restart.
    simulated : bool
        Whether messages say that no real device stands behind them.
    """

    def __init__(
        self, scenario: Scenario, *, state: Path | None = None, simulated: bool = True
    ) -> None:
        self.scenario = scenario
        self.simulated = simulated
        self.plan = build_plan(scenario)
        self.planned = plan_faults(self.plan)
        self._state = state
        self.injections: list[Injection] = []
        if state is not None and state.exists():
            self.injections = [Injection(**row) for row in json.loads(state.read_text("utf-8"))]
        self._feeder_of = {d: f for f in self.plan.feeders for d in f.device_ids}
        self._feeders = {f.name: f for f in self.plan.feeders}
        self._radios = {
            device: radio_device(scenario, feeder, lamp)
            for feeder in self.plan.feeders
            if feeder.lorawan
            for lamp, device in enumerate(feeder.device_ids)
        }

    @property
    def feeders(self) -> tuple[Feeder, ...]:
        """All feeders, tunnels last."""
        return self.plan.feeders

    @property
    def counters(self) -> tuple[Counter, ...]:
        """All footfall counters."""
        return self.plan.counters

    @property
    def gateways(self) -> list[str]:
        """Every gateway a device or counter talks through."""
        names = [f.gateway for f in self.plan.feeders] + [c.gateway for c in self.plan.counters]
        return list(dict.fromkeys(names))

    def assets_rows(self) -> list[dict[str, object]]:
        """Rows of the assets format, counters included; empty text = not known."""
        return assets_rows(self.plan)

    def truth_rows(self) -> list[tuple[str, ...]]:
        """Rows of the truth format within the scenario's run, injected faults included."""
        return truth_rows(self.plan, {f.name: self.faults_of(f) for f in self.plan.feeders})

    def faults_of(self, feeder: Feeder) -> list[Fault]:
        """Planned and injected faults of one feeder."""
        found = list(self.planned[feeder.name])
        for injection in self.injections:
            found += [f for f in self.as_faults(injection) if f.feeder == feeder.name]
        ended = {
            (i.kind, i.target): i.end_ms for i in self.injections if i.kind == "planned_repair"
        }
        return [self.cut(fault, ended) for fault in found]

    @staticmethod
    def cut(fault: Fault, ended: dict[tuple[str, str], int]) -> Fault:
        """A planned fault that was repaired from the outside ends then."""
        stop = ended.get(("planned_repair", fault.incident))
        return fault if stop is None else replace(fault, end_ms=min(fault.end_ms, stop))

    def as_faults(self, injection: Injection) -> list[Fault]:
        """An injection as faults of its feeders."""
        kind, target = injection.kind, injection.target
        start, end = injection.start_ms, injection.end_ms
        if kind == "planned_repair":
            return []
        if kind == "feeder_out":
            feeder = self.feeder_named(target)
            incident = f"{feeder.name}:supply_loss:{start // 60_000}"
            members = tuple(range(feeder.size))
            return [outage(feeder, members, start, end, incident, ("feeder", feeder.name))]
        if kind == "five_in_a_row":
            feeder, at = self.segment_start(target)
            lamps = in_a_row(feeder, at)
            incident = f"{feeder.name}:row:{start // 60_000}"
            cause = ("segment", feeder.segments[lamps[0]])
            return [outage(feeder, lamps, start, end, incident, cause)]
        if kind == "gateway_dead":
            return silent(self.plan.gateways[target], start, end, target)
        feeder, lamp = self.lamp_named(target)
        rng = generator(self.scenario.seed, "injected", target, kind, start)
        return [shaped_fault(feeder, lamp, kind, rng, start, end, size=injection.severity)]

    def feeder_named(self, name: str) -> Feeder:
        """A feeder by its id, or the feeder of a device."""
        found = self._feeders.get(name) or self._feeder_of.get(name)
        if found is None:
            raise SimulatorError(
                f"no feeder {name!r} in the simulated city.", remedy="Feeders stand in its assets."
            )
        return found

    def lamp_named(self, device_id: str) -> tuple[Feeder, int]:
        """Feeder and place of a luminaire."""
        feeder = self._feeder_of.get(device_id)
        if feeder is None:
            raise SimulatorError(
                f"no luminaire {device_id!r} in the simulated city.",
                remedy="Device ids stand in its assets.",
            )
        return feeder, feeder.device_ids.index(device_id)

    def segment_start(self, name: str) -> tuple[Feeder, int]:
        """Feeder and first place of a segment, or of the place of a device."""
        for feeder in self.plan.feeders:
            if name in feeder.segments:
                return feeder, feeder.segments.index(name)
            if name == feeder.name:
                return feeder, 0
        return self.lamp_named(name)

    def inject(self, injection: Injection) -> list[Feeder]:
        """Set a fault in; returns the feeders it touches.

        Raises
        ------
        SimulatorError
            If kind or target do not exist.
        """
        known = {*FAULT_KINDS, "feeder_out", "five_in_a_row", "gateway_dead"}
        if injection.kind not in known:
            raise SimulatorError(
                f"no fault kind {injection.kind!r}.", remedy=f"One of: {', '.join(sorted(known))}."
            )
        if injection.kind == "gateway_dead" and injection.target not in self.plan.gateways:
            raise SimulatorError(
                f"no gateway {injection.target!r} in the simulated city.",
                remedy="Gateways stand in its assets.",
            )
        touched = [self._feeders[f.feeder] for f in self.as_faults(injection)]
        self.injections.append(injection)
        self.save()
        return touched

    def repair(self, target: str, now_ms: int) -> list[Feeder]:
        """End every fault of a device, feeder, segment or gateway; returns its feeders."""
        touched: list[Feeder] = []
        for feeder in self.plan.feeders:
            for fault in self.faults_of(feeder):
                named = {fault.cause_id, feeder.name, *(feeder.device_ids[k] for k in fault.lamps)}
                named |= {feeder.gateway} if fault.cause_kind == "gateway" else set()
                if target in named and fault.start_ms <= now_ms < fault.end_ms:
                    self.end(fault, now_ms)
                    touched.append(feeder)
        self.save()
        return touched

    def end(self, fault: Fault, now_ms: int) -> None:
        """End one fault, planned or injected."""
        for k, injection in enumerate(self.injections):
            if any(f.fault_id == fault.fault_id for f in self.as_faults(injection)):
                self.injections[k] = replace(injection, end_ms=min(injection.end_ms, now_ms))
                return
        self.injections.append(Injection("planned_repair", fault.incident, now_ms, now_ms))

    def save(self) -> None:
        """Keep the injections for the next start."""
        if self._state is None:
            return
        rows = [
            {
                "kind": i.kind, "target": i.target, "start_ms": i.start_ms, "end_ms": i.end_ms,
                "severity": i.severity,
            }
            for i in self.injections
        ]  # fmt: skip
        new = self._state.with_suffix(".new")
        new.write_text(json.dumps(rows), "utf-8")
        new.replace(self._state)

    def feeder_day(self, feeder: Feeder, day: int, days: int = 1) -> tuple[Rows, list[EventRow]]:
        """Readings and fault reports measured by a feeder's devices in some days (since 1970)."""
        return feeder_rows(self.scenario, feeder, self.faults_of(feeder), day, days)

    def counter_day(self, day: int, days: int = 1) -> CountRows:
        """Readings of all counters of some days (since 1970)."""
        return count_rows(self.scenario, self.plan.counters, day, days)

    def history(
        self, start_ms: int, stop_ms: int, *, batch_ms: int = 6 * HOUR_MS, boot: int | None = None
    ) -> Iterator[tuple[str, bytes, int]]:
        """Everything received in `[start_ms, stop_ms)` as native batch messages in time order.

        Devices send a batch every `batch_ms` (on the full hour UTC), so that noon finds all of the
        night. Each item is topic, payload and receive time [ms, UTC]. With a boot number, rows are
        numbered from 0 in the order they are received.
        """
        next_seq: dict[str, int] = {}
        first, last = start_ms // DAY_MS, (stop_ms - 1) // DAY_MS
        waiting: list[tuple[int, str, bytes]] = []
        # Readings may be held back for a day and more: start early, and drop what came before.
        for day in range(first - EARLY_DAYS, last + 1, HISTORY_DAYS):
            days = min(HISTORY_DAYS, last + 1 - day)
            for feeder in self.plan.feeders:
                rows, events = self.feeder_day(feeder, day, days)
                # Cut before batching: what is received later belongs to whoever goes on from there.
                within = (rows.received_ms >= start_ms) & (rows.received_ms < stop_ms)
                rows = rows.taken(within)
                if feeder.lorawan:
                    waiting += self.radio_messages(feeder, rows, events)
                    continue
                waiting += feeder_batches(feeder, rows, batch_ms, simulated=self.simulated)
                waiting += [self.event_message(feeder, event) for event in events]
            waiting += self.counter_batches(day, days, batch_ms, start_ms, stop_ms)
            waiting.sort(key=lambda item: (item[0], item[1]))
            # What is measured later is received later than the end of these days.
            end_ms = (day + days) * DAY_MS
            ready = [item for item in waiting if item[0] < end_ms]
            waiting = waiting[len(ready) :]
            for received_ms, where, payload in ready:
                if not start_ms <= received_ms < stop_ms:
                    continue
                message = payload
                if boot is not None and where.startswith(NATIVE):
                    device = where.split("/")[3]
                    seq = next_seq.get(device, 0)
                    message, next_seq[device] = numbered(payload, boot, seq)
                yield where, message, received_ms

    def uplinks(self, feeder: Feeder, device: str, row: Row, true_ms: int) -> list[Message]:
        """What a LoRaWAN device sends for one moment, which always has the same frame counters."""
        sender, values = self._radios[device], row.values or {}
        slot = (true_ms - self.scenario.start_ms) // (feeder.interval_s * 1000)
        sender.radio.at(FRAMES_A_SLOT * slot)
        lux = values.get("illuminance_lx")
        if isinstance(sender, ElsysSensor):
            return [] if lux is None else [sender.measure(true_ms, light_lx=max(lux, 0.0))]
        if row.event is not None:
            # Of the reports of other makers its alert knows the lamp's alone.
            sender.radio.at(FRAMES_A_SLOT * slot + FRAMES_A_SLOT - 1)
            name, active, _ = row.event
            known = name == "lamp_failure"
            return sender.alert(true_ms, lamp_failure=bool(active)) if known else []
        level = values.get("dimming_pct")
        watts = values.get("power_w")
        bits = int(values.get("lamp_status") or 0)
        burning = (watts or 0) > 3 if level is None else level > 0
        # A sensor that skips a value, as for a sentinel, is still there.
        sensor = bool(feeder.has_lux[feeder.device_ids.index(device)])
        return sender.burn(
            true_ms, level=(level or 100 * burning) / 100, power_w=watts or 0.0,
            lamp_failure=bool(bits & 1), gear_failure=bool(bits & 2), restarted=bool(bits & 16),
            light_lx=(-1.0 if lux is None else lux) if sensor else None, clock_ms=row.time_ms,
        )  # fmt: skip

    def radio_messages(
        self, feeder: Feeder, rows: Rows, events: list[EventRow]
    ) -> list[tuple[int, str, bytes]]:
        """A LoRaWAN feeder's readings and reports, each in its own uplink."""
        reports = [(e.device_id, event_row(e), e.time_ms, e.received_ms) for e in events]
        items = sorted([*device_rows(feeder, rows), *reports], key=lambda item: (item[3], item[0]))
        out: list[tuple[int, str, bytes]] = []
        for device, row, true_ms, received in items:
            sent = self.uplinks(feeder, device, row, true_ms)
            out += [(received, message.topic, message.payload) for message in sent]
        return out

    def event_message(self, feeder: Feeder, event: EventRow) -> tuple[int, str, bytes]:
        """A fault report as a message."""
        payload = encode_events(
            event.time_ms, event.event, active=event.active, info=event.info,
            simulated=self.simulated,
        )  # fmt: skip
        return event.received_ms, topic(feeder.gateway, event.device_id, "events"), payload

    def counter_batches(
        self, day: int, days: int, batch_ms: int, start_ms: int, stop_ms: int
    ) -> list[tuple[int, str, bytes]]:
        """Footfall of some days as batch messages."""
        if not self.plan.counters:
            return []
        rows = self.counter_day(day, days)
        rows = rows.taken((rows.received_ms >= start_ms) & (rows.received_ms < stop_ms))
        out: list[tuple[int, str, bytes]] = []
        for number, block in groups(rows.counter, rows.received_ms // batch_ms):
            counter = self.plan.counters[number]
            columns = {
                "people_in": rows.inwards[block].astype(np.int64).tolist(),
                "people_out": rows.outwards[block].astype(np.int64).tolist(),
            }
            payload = encode_readings(
                rows.time_ms[block].tolist(), columns, simulated=self.simulated
            )
            where = topic(counter.gateway, counter.device_id, "readings")
            out.append((int(rows.received_ms[block].max()), where, payload))
        return out


def radio_device(
    scenario: Scenario, feeder: Feeder, lamp: int
) -> ElsysSensor | LuminaireController:
    """A luminaire controller where watts or status are told, a light sensor elsewhere."""
    name, eui = feeder.luminaire_ids[lamp], feeder.device_ids[lamp]
    envelope = ENVELOPES[scenario.devices.network_server]
    if feeder.has_power or feeder.has_status:
        return LuminaireController(
            Radio(name, "NAS UL20xx", envelope, dev_eui=eui), float(feeder.rated_w[lamp])
        )
    return ElsysSensor(Radio(name, "ELSYS ERS", envelope, dev_eui=eui), scenario.start_ms)


def device_rows(feeder: Feeder, rows: Rows) -> Iterator[tuple[str, Row, int, int]]:
    """Device, row, moment of measuring and of receiving, in the order they were received."""
    columns = list(
        zip(COLUMNS, (rows.lux, rows.power_w, rows.status, rows.dimming_pct), strict=True)
    )
    known = [np.isfinite(column) for _, column in columns]
    moments = zip(
        rows.device.tolist(), rows.time_ms.tolist(), rows.true_ms.tolist(),
        rows.received_ms.tolist(), strict=True,
    )  # fmt: skip
    for k, (lamp, time_ms, true_ms, received) in enumerate(moments):
        values = {
            name: column[k].item()
            for (name, column), finite in zip(columns, known, strict=True)
            if finite[k]
        }
        yield feeder.device_ids[lamp], Row(time_ms, values, measured_ms=true_ms), true_ms, received


def event_row(event: EventRow) -> Row:
    """A fault report as a row of its device's buffer."""
    report = (event.event, event.active, event.info)
    return Row(event.time_ms, None, report, measured_ms=event.time_ms)


def groups(
    device: NDArray[np.int32], block: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Places of the rows of each device and block, in the order they stand."""
    if not len(device):
        return
    order = np.lexsort((block, device))
    d, b = device[order], block[order]
    edges = np.flatnonzero(np.r_[True, (d[1:] != d[:-1]) | (b[1:] != b[:-1]), True])
    for start, stop in pairwise(edges.tolist()):
        yield int(d[start]), order[start:stop]


def plain(values: NDArray[np.float64]) -> list[float | int | None]:
    """Numbers for JSON: NaN becomes null."""
    numbers: list[float | int | None] = [*values.tolist()]
    for k in np.flatnonzero(np.isnan(values)):
        numbers[k] = None
    return numbers


def feeder_batches(
    feeder: Feeder, rows: Rows, batch_ms: int, *, simulated: bool
) -> list[tuple[int, str, bytes]]:
    """Readings of a feeder as one message a device and batch."""
    out: list[tuple[int, str, bytes]] = []
    unset = rows.time_ms < UNSET_BEFORE_MS
    # What was held back is sent by itself, so that its age stays visible.
    held = rows.received_ms - rows.true_ms > HOUR_MS
    block = (rows.received_ms // batch_ms) * 4 + held * 2 + unset
    for lamp, at in groups(rows.device, block):
        columns = {
            name: plain(column[at])
            for name, column in zip(
                COLUMNS, (rows.lux, rows.power_w, rows.status, rows.dimming_pct), strict=True
            )
            if np.isfinite(column[at]).any()
        }
        payload = encode_readings(rows.time_ms[at].tolist(), columns, simulated=simulated)
        where = topic(feeder.gateway, feeder.device_ids[lamp], "readings")
        out.append((int(rows.received_ms[at].max()), where, payload))
    return out


def build_city(scenario: Scenario, *, state: Path | None = None, simulated: bool = True) -> City:
    """The simulated city of a scenario; see `City`."""
    return City(scenario, state=state, simulated=simulated)
