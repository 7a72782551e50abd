"""A simulated city that can be asked for any day, past or to come, and given faults."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_sim.city import Counter, Feeder, build_plan
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
from firmware_sim.feed import assets_rows, feeder_rows, metered_days, truth_rows
from firmware_sim.footfall import CountRows, count_rows
from firmware_sim.radio import Meters, Radios
from firmware_sim.scenario import FAULT_KINDS, Scenario
from firmware_sim.sky import DAY_MS
from firmware_sim.streams import generator
from firmware_sim.transmission import EventRow, Rows, starts_by

__all__ = ["City", "Injection", "build_city"]


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
        self.radios = Radios(self.plan)
        self._meters = Meters(scenario, self.used)

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
        for feeder in touched:
            self._meters.forget(feeder, injection.start_ms // DAY_MS)
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
                    self._meters.forget(feeder, now_ms // DAY_MS)
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
        faults = self.faults_of(feeder)
        rows, events = feeder_rows(self.scenario, feeder, faults, day, days)
        rows.starts = starts_by(self.scenario, feeder, faults, rows)
        if rows.meter is not None:
            rows.meter = rows.meter + self._meters.at(feeder, day)[:, rows.device]
        return rows, events

    def used(self, feeder: Feeder, day: int, days: int) -> NDArray[np.int64]:
        """Energy [mWh] and burning time [s] of each lamp in some days, int64 (2, lamps)."""
        counted = metered_days(self.scenario, feeder, self.faults_of(feeder), day, days)
        assert counted is not None  # noqa: S101 - asked for metered feeders alone
        return counted

    def counter_day(self, day: int, days: int = 1) -> CountRows:
        """Readings of all counters of some days (since 1970)."""
        return count_rows(self.scenario, self.plan.counters, day, days)


def build_city(scenario: Scenario, *, state: Path | None = None, simulated: bool = True) -> City:
    """The simulated city of a scenario; see `City`."""
    return City(scenario, state=state, simulated=simulated)
