"""What breaks, where, when and for how long: the truth beside the feed.

Single faults, five in a row, feeder and clock faults are drawn from their feeder's own stream;
cabinet and gateway faults from the stream of the cabinet's or gateway's name.
"""

from dataclasses import dataclass, replace

import numpy as np

from firmware_sim.city import CityPlan, Feeder
from firmware_sim.scenario import FAULT_KINDS, PlacedFault, Scenario
from firmware_sim.sky import DAY_MS
from firmware_sim.streams import generator
from firmware_sim.sun import sun_position

__all__ = ["OPEN_MS", "Fault", "gateway_faults", "placed_faults", "plan_faults"]

OPEN_MS = 2**62
GRADUAL = frozenset({"depreciation", "sensor_drift"})
URGENCY = {
    "supply_loss": "urgent",
    "lamp_failure": "major",
    "cycling_failure": "major",
    "lamp_unexpected_on": "minor",
    "switching_error": "major",
    "dimming_failure": "major",
    "communication_failure": "minor",
}
SENSOR_KINDS = frozenset({"sensor_stuck", "sensor_blind", "sensor_drift"})
SHAPE = {
    # kind: lowest and highest size of the effect
    "lamp_failure": (0.0, 0.03),
    "dimming_failure": (0.25, 0.6),
    "depreciation": (0.2, 0.45),
    "cycling_failure": (0.3, 0.5),
    "lamp_unexpected_on": (1.0, 1.0),
    "switching_error": (35.0, 95.0),
    "sensor_stuck": (0.0, 1.0),
    "sensor_blind": (0.05, 0.55),
    "sensor_drift": (-0.8, 0.6),
    "misaimed": (0.3, 0.6),
    "communication_failure": (0.0, 1.0),
}


@dataclass(frozen=True)
class Fault:
    """One fault of one or more luminaires of a feeder.

    Attributes
    ----------
    kind : str
        Finding kind it should be named.
    effect : str
        How it shows: a finding kind, or `dark_feeder` (supply lost) or `clock` (feeder clock).
    lamps : tuple of int
        Places along the feeder.
    start_ms, end_ms : int
        `[start, end)`; `OPEN_MS` while not repaired.
    size : float
        Remaining light, lost share, factor or minutes, as the kind has it.
    ramp_ms : int
        How long a gradual one takes to grow.
    incident : str
        Rows of truth with the same value deserve one work order.
    """

    fault_id: str
    kind: str
    effect: str
    feeder: str
    lamps: tuple[int, ...]
    start_ms: int
    end_ms: int
    size: float
    ramp_ms: int
    incident: str
    cause_kind: str
    cause_id: str
    logged: bool = True

    @property
    def severity(self) -> str:
        """How much it matters by itself."""
        return URGENCY.get(self.kind, "minor")


def burning_moment(scenario: Scenario, rng: np.random.Generator, day: int) -> int:
    """A moment of the night that begins on a day (since 1970) [ms]: most lamps fail while lit."""
    minutes = day * DAY_MS + 43_200_000 + np.arange(1440, dtype=np.float64) * 60_000
    elevation, _ = sun_position(minutes, scenario.city.lat, scenario.city.lon)
    dark = np.flatnonzero(elevation < -6)
    u = rng.random()
    at = int(dark[int(u * len(dark))]) if len(dark) else int(u * 1440)
    return int(minutes[at]) + int(rng.integers(60_000))


def fault_span(
    scenario: Scenario, rng: np.random.Generator, *, gradual: bool, at_night: bool
) -> tuple[int, int, bool]:
    """Start, end and whether the repair is logged."""
    first, days = scenario.start_ms // DAY_MS, scenario.scenario.days
    older, u_start, u_repair, u_long, u_log = rng.random(5)
    if older < scenario.faults.older:
        day = first - 5 - int(u_start * 60)
    else:
        # Let the references settle for a third of the run, and leave some nights to notice.
        head, tail = min(days // 4, 14), min(days // 6, 6)
        span = max(days - head - tail - (days // 4 if gradual else 0), 1)
        day = first + head + int(u_start * span)
    start_ms = (
        burning_moment(scenario, rng, day) if at_night else day * DAY_MS + int(rng.integers(DAY_MS))
    )
    if u_repair >= scenario.faults.repaired:
        return start_ms, OPEN_MS, False
    lasts = (25 + 30 * u_long if gradual else 3 + 14 * u_long) * DAY_MS
    # Crews repair by day.
    end_day = (max(start_ms, scenario.start_ms) + int(lasts)) // DAY_MS
    end_ms = end_day * DAY_MS + 8 * 3_600_000 + int(rng.integers(6 * 3_600_000))
    return start_ms, end_ms, bool(u_log < scenario.faults.repair_logged)


def single_fault(
    scenario: Scenario, feeder: Feeder, lamp: int, kind: str, rng: np.random.Generator
) -> Fault:
    """One luminaire's fault of a kind, at a time of its own."""
    at_night = kind in {"lamp_failure", "dimming_failure"}
    start_ms, end_ms, logged = fault_span(scenario, rng, gradual=kind in GRADUAL, at_night=at_night)
    return shaped_fault(feeder, lamp, kind, rng, start_ms, end_ms, logged=logged)


def shaped_fault(
    feeder: Feeder,
    lamp: int,
    kind: str,
    rng: np.random.Generator,
    start_ms: int,
    end_ms: int,
    *,
    logged: bool = True,
    size: float | None = None,
) -> Fault:
    """A single fault at a given time; its size is drawn unless given."""
    low, high = SHAPE[kind]
    drawn = float(rng.uniform(low, high))
    if kind == "sensor_drift" and abs(drawn) < 0.3:
        drawn = 0.3 if drawn > 0 else -0.3
    if kind == "sensor_stuck":
        drawn = float(np.floor(rng.random() * 3))  # held, zero, full scale
    if kind == "switching_error" and rng.random() < 0.5:
        drawn = -drawn  # early off
    ramp = int(rng.uniform(12, 40) * DAY_MS) if kind in GRADUAL else 0
    device = feeder.device_ids[lamp]
    fault_id = f"{device}:{kind}:{start_ms // 60_000}"
    return Fault(
        fault_id, kind, kind, feeder.name, (lamp,), start_ms, end_ms,
        drawn if size is None else size, ramp, fault_id,
        "sensor" if kind in SENSOR_KINDS else "luminaire", device, logged,
    )  # fmt: skip


def wrong_clock(
    feeder: Feeder, start: int, end: int, minutes: float, *, logged: bool = True
) -> Fault:
    """A feeder switched so many minutes too late, or too early."""
    incident = f"{feeder.name}:switching_error:{start // 60_000}"
    return Fault(
        incident,
        "switching_error",
        "clock",
        feeder.name,
        tuple(range(feeder.size)),
        start,
        end,
        minutes,
        0,
        incident,
        "feeder",
        feeder.name,
        logged,
    )


def outage(
    feeder: Feeder,
    lamps: tuple[int, ...],
    start_ms: int,
    end_ms: int,
    incident: str,
    cause: tuple[str, str],
    *,
    logged: bool = True,
) -> Fault:
    """Supply lost for some or all luminaires of a feeder."""
    return Fault(
        f"{incident}:{feeder.name}", "supply_loss", "dark_feeder", feeder.name, lamps, start_ms,
        end_ms, 0.0, 0, incident, *cause, logged,
    )  # fmt: skip


def in_a_row(feeder: Feeder, at: int, count: int = 5) -> tuple[int, ...]:
    """Up to `count` neighbours on one segment, from place `at` on (moved back where it ends)."""
    segments = feeder.segments
    best = max(dict.fromkeys(segments), key=segments.count)
    own = segments[at % feeder.size]
    chosen = own if segments.count(own) >= count else best
    members = [k for k, segment in enumerate(segments) if segment == chosen]
    first = min(max(at - members[0], 0), max(len(members) - count, 0))
    return tuple(members[first : first + count])


def feeder_faults(scenario: Scenario, feeder: Feeder) -> list[Fault]:
    """Faults of one feeder by rate, from its own stream."""
    rates = scenario.faults
    rng = generator(scenario.seed, "faults", feeder.name)
    found: list[Fault] = []
    u = rng.random(4)
    if u[0] < (rates.tunnel_out if feeder.tunnel else rates.feeder_out):
        start, end, logged = fault_span(scenario, rng, gradual=False, at_night=True)
        incident = f"{feeder.name}:supply_loss:{start // 60_000}"
        found.append(
            outage(
                feeder,
                tuple(range(feeder.size)),
                start,
                end,
                incident,
                ("feeder", feeder.name),
                logged=logged,
            )
        )
        return found
    if feeder.switching not in {"always", "feeder"} and u[1] < rates.feeder_clock:
        start, end, logged = fault_span(scenario, rng, gradual=False, at_night=False)
        minutes = float(rng.uniform(40, 90)) * (1 if rng.random() < 0.5 else -1)
        found.append(wrong_clock(feeder, start, end, minutes, logged=logged))
        return found
    taken: set[int] = set()
    if not feeder.tunnel and u[2] < rates.five_in_a_row and feeder.size >= 7:
        lamps = in_a_row(feeder, int(u[3] * feeder.size))
        start, end, logged = fault_span(scenario, rng, gradual=False, at_night=True)
        segment = feeder.segments[lamps[0]]
        incident = f"{feeder.name}:row:{start // 60_000}"
        found.append(
            outage(feeder, lamps, start, end, incident, ("segment", segment), logged=logged)
        )
        taken.update(lamps)
    shares = np.cumsum([getattr(rates, kind) for kind in FAULT_KINDS])
    for lamp, draw in enumerate(rng.random(feeder.size)):
        lamp_rng = generator(scenario.seed, "lamp fault", feeder.device_ids[lamp])
        if draw >= shares[-1] or lamp in taken:
            continue
        kind = FAULT_KINDS[int(np.searchsorted(shares, draw, side="right"))]
        if can_have(feeder, lamp, kind):
            found.append(single_fault(scenario, feeder, lamp, kind, lamp_rng))
    return found


def can_have(feeder: Feeder, lamp: int, kind: str) -> bool:
    """Whether a fault of this kind could be seen by anyone at all there."""
    if not feeder.has_device[lamp]:
        return False
    if kind in {"lamp_unexpected_on", "switching_error"} and feeder.tunnel:
        return False
    if feeder.switching == "feeder":
        # Silent by day: what needs daylight to be told apart is left to other feeders.
        return kind in {
            "lamp_failure",
            "dimming_failure",
            "cycling_failure",
            "communication_failure",
        }
    if kind in SENSOR_KINDS | {"misaimed", "depreciation"}:
        return bool(feeder.has_lux[lamp])
    if kind == "switching_error":
        return bool(feeder.has_lux[lamp]) or feeder.has_power
    return True


def cabinet_faults(plan: CityPlan) -> list[Fault]:
    """Whole cabinets out, by rate."""
    found: list[Fault] = []
    for cabinet, feeders in plan.cabinets.items():
        rng = generator(plan.scenario.seed, "faults", cabinet)
        if rng.random() >= plan.scenario.faults.cabinet_out:
            continue
        start, end, logged = fault_span(plan.scenario, rng, gradual=False, at_night=True)
        incident = f"{cabinet}:supply_loss:{start // 60_000}"
        found += [
            outage(
                f, tuple(range(f.size)), start, end, incident, ("cabinet", cabinet), logged=logged
            )
            for f in feeders
        ]
    return found


def silent(feeders: list[Feeder], start_ms: int, end_ms: int, gateway: str) -> list[Fault]:
    """A dead gateway: everyone behind it falls silent."""
    incident = f"{gateway}:communication_failure:{start_ms // 60_000}"
    return [
        Fault(
            f"{incident}:{feeder.name}",
            "communication_failure",
            "communication_failure",
            feeder.name,
            tuple(range(feeder.size)),
            start_ms,
            end_ms,
            0.0,
            0,
            incident,
            "gateway",
            gateway,
        )
        for feeder in feeders
    ]


def gateway_faults(plan: CityPlan) -> list[Fault]:
    """Gateways dead for more than a day, by rate."""
    found: list[Fault] = []
    for gateway, feeders in plan.gateways.items():
        rng = generator(plan.scenario.seed, "faults", gateway)
        if rng.random() >= plan.scenario.faults.gateway_dead:
            continue
        start, end, _ = fault_span(plan.scenario, rng, gradual=False, at_night=False)
        found += silent(feeders, start, end, gateway)
    return found


def free_feeders(plan: CityPlan) -> list[Feeder]:
    """Street feeders that no placed cabinet or gateway fault touches."""
    placed = plan.scenario.fault
    gateways, cabinets = list(plan.gateways), list(plan.cabinets)
    dead = {
        gateways[f.gateway % len(gateways)] for f in placed if f.kind == "gateway_dead" and gateways
    }
    out = {
        cabinets[f.cabinet % len(cabinets)] for f in placed if f.kind == "cabinet_out" and cabinets
    }
    streets = [f for f in plan.feeders if not f.tunnel]
    free = [f for f in streets if f.gateway not in dead and f.cabinet not in out]
    return free or streets or list(plan.feeders)


def placed_faults(plan: CityPlan) -> list[Fault]:
    """The `[[fault]]` tables of the scenario."""
    found: list[Fault] = []
    if not plan.feeders:
        return found
    free = free_feeders(plan)
    for number, wanted in enumerate(plan.scenario.fault):
        found += place(plan, wanted, free[wanted.feeder % len(free)], number)
    return found


def place(plan: CityPlan, wanted: PlacedFault, feeder: Feeder, number: int) -> list[Fault]:
    """One `[[fault]]` table as faults."""
    scenario = plan.scenario
    start = scenario.start_ms + round(wanted.at_day * DAY_MS)
    end = (
        OPEN_MS
        if wanted.until_day is None
        else scenario.start_ms + round(wanted.until_day * DAY_MS)
    )
    lamp = wanted.lamp % feeder.size
    if wanted.kind == "gateway_dead":
        gateway = list(plan.gateways)[wanted.gateway % len(plan.gateways)]
        return silent(plan.gateways[gateway], start, end, gateway)
    if wanted.kind == "cabinet_out":
        cabinet = list(plan.cabinets)[wanted.cabinet % len(plan.cabinets)]
        incident = f"{cabinet}:supply_loss:{start // 60_000}"
        return [
            outage(f, tuple(range(f.size)), start, end, incident, ("cabinet", cabinet))
            for f in plan.cabinets[cabinet]
        ]
    if wanted.kind == "tunnel_out":
        tunnels = [f for f in plan.feeders if f.tunnel]
        if not tunnels:
            return []
        feeder = tunnels[wanted.feeder % len(tunnels)]
    if wanted.kind in {"feeder_out", "tunnel_out"}:
        incident = f"{feeder.name}:supply_loss:{start // 60_000}"
        return [
            outage(feeder, tuple(range(feeder.size)), start, end, incident, ("feeder", feeder.name))
        ]
    if wanted.kind == "five_in_a_row":
        lamps = in_a_row(feeder, lamp)
        incident = f"{feeder.name}:row:{start // 60_000}"
        return [outage(feeder, lamps, start, end, incident, ("segment", feeder.segments[lamps[0]]))]
    if wanted.kind == "feeder_clock":
        minutes = 60.0 if wanted.severity is None else wanted.severity
        return [wrong_clock(feeder, start, end, minutes)]
    rng = generator(scenario.seed, "placed", number)
    return [shaped_fault(feeder, lamp, wanted.kind, rng, start, end, size=wanted.severity)]


def plan_faults(plan: CityPlan) -> dict[str, list[Fault]]:
    """All faults of the city by feeder; one that a bigger one would hide is left out."""
    by_feeder: dict[str, list[Fault]] = {feeder.name: [] for feeder in plan.feeders}
    whole = [*placed_faults(plan), *cabinet_faults(plan), *gateway_faults(plan)]
    for fault in whole:
        by_feeder[fault.feeder].append(fault)
    for feeder in plan.feeders:
        grouped = [f for f in by_feeder[feeder.name] if len(f.lamps) > 1]
        for fault in feeder_faults(plan.scenario, feeder):
            # A fault that a bigger one hides from start to end is no fault anyone could find.
            if not any(hidden(fault, other) for other in grouped):
                by_feeder[feeder.name].append(fault)
    return by_feeder


def hidden(fault: Fault, other: Fault) -> bool:
    """Whether another fault of the same luminaires overlaps this one."""
    return (
        bool(set(fault.lamps) & set(other.lamps))
        and fault.start_ms < other.end_ms
        and other.start_ms < fault.end_ms
    )


def repaired(fault: Fault, end_ms: int) -> Fault:
    """The same fault, over at a time."""
    return replace(fault, end_ms=end_ms)
