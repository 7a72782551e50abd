"""Findings against the truth: what was found, when, under which name, and what was false.

The matching rules stand in `docs/testers.md`. In short: an order is a set of findings with one
incident; an order is false when none of its luminaires had a fault of any kind then; a fault is
found by the first order that covers one of its luminaires in time.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy import special

from firmware_sim.errors import TableError
from firmware_sim.tables import ArrowTable, column_ms, read_rows, span_of_readings, texts
from firmware_sim.urgent import Lit, UrgentCase, first_dark, read_lit, urgent_facts

__all__ = [
    "KINDS",
    "Fault",
    "KindScore",
    "Order",
    "Run",
    "Score",
    "as_facts",
    "below_limits",
    "binomial_bounds",
    "poisson_bounds",
    "read_orders",
    "read_run",
    "read_truth",
    "score_runs",
]

DAY_MS = 86_400_000
OPEN_MS = 2**62
GRACE_MS = 2 * DAY_MS
KINDS = (
    "lamp_failure",
    "dimming_failure",
    "depreciation",
    "cycling_failure",
    "lamp_unexpected_on",
    "switching_error",
    "supply_loss",
    "sensor_stuck",
    "sensor_blind",
    "sensor_drift",
    "misaimed",
    "communication_failure",
)
SENSOR_CREW = frozenset({"sensor_stuck", "sensor_blind", "sensor_drift", "communication_failure"})
COUNTER = "counter"  # cause of faults of footfall counters, which no lamp crew is judged by


@dataclass(frozen=True)
class Fault:
    """One incident of the truth: one cause, one or more luminaires.

    Attributes
    ----------
    spans : dict of str to (int, int)
        Luminaire to `[start, end)` [ms, UTC].
    """

    incident: str
    kind: str
    cause_kind: str
    cause_id: str
    severity: str
    spans: dict[str, tuple[int, int]]

    @property
    def start_ms(self) -> int:
        """When its first luminaire was struck."""
        return min(start for start, _ in self.spans.values())

    @property
    def of_counter(self) -> bool:
        """Whether a footfall counter is broken, and no street light."""
        return self.cause_kind == COUNTER

    @property
    def grouped(self) -> bool:
        """Whether one order is deserved for more than one luminaire."""
        return len(self.spans) > 1


@dataclass(frozen=True)
class Order:
    """Findings with one incident: one work order.

    Attributes
    ----------
    kind : str
        Of the finding that was raised first.
    kinds : dict of str to str
        Luminaire to the kind it was first given.
    spans : dict of str to (int, int)
        Luminaire to `[start, end)` as judged.
    raised_ms : int
        When the order went out.
    """

    incident: str
    kind: str
    cause_kind: str
    cause_id: str
    raised_ms: int
    kinds: dict[str, str]
    spans: dict[str, tuple[int, int]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One simulated city and what was found in it."""

    name: str
    faults: list[Fault]
    orders: list[Order]
    start_ms: int
    stop_ms: int
    lamp_nights: float
    readings: Path | None = None
    lit: dict[str, Lit] = field(default_factory=dict)


@dataclass
class KindScore:
    """How one kind was found."""

    kind: str
    faults: int = 0
    found: int = 0
    orders: int = 0
    right: int = 0
    nights: list[float] = field(default_factory=list)
    first_noon: int = 0
    second_noon: int = 0

    @property
    def precision(self) -> float:
        """Share of the orders of this kind on a fault of this kind; NaN without orders."""
        return self.right / self.orders if self.orders else math.nan

    @property
    def recall(self) -> float:
        """Share of the faults of this kind that were found under this name; NaN without faults."""
        return self.found / self.faults if self.faults else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean; 0 where there were faults or orders and none was right."""
        if not self.faults and not self.orders:
            return math.nan
        total = self.faults + self.orders
        return (self.found + self.right) / total if total else math.nan


@dataclass
class Score:
    """What `score` reports over all runs."""

    kinds: dict[str, KindScore]
    lamp_nights: float
    false_orders: list[tuple[Run, Order]] = field(default_factory=list)
    missed: list[tuple[Run, Fault]] = field(default_factory=list)
    misnamed: list[tuple[Run, Fault, Order]] = field(default_factory=list)
    wrong_kind: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: int = 0
    found_any: int = 0
    orders: int = 0
    orders_on_fault: int = 0
    repeated: int = 0
    grouped: int = 0
    grouped_one: int = 0
    grouped_orders: int = 0
    crew: int = 0
    crew_right: int = 0
    urgent: list[UrgentCase] = field(default_factory=list)
    counters: int = 0
    counters_found: int = 0
    orders_on_counters: int = 0

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the kinds that had a fault."""
        values = [k.f1 for k in self.kinds.values() if k.faults]
        return float(np.mean(values)) if values else math.nan


def poisson_bounds(count: int, exposure: float, level: float = 0.95) -> tuple[float, float]:
    """Exact bounds of a Poisson rate (Garwood).

    References
    ----------
    Garwood (1936), doi 10.1093/biomet/28.3-4.437.
    """
    tail = (1 - level) / 2
    low = float(special.gammaincinv(count, tail)) if count else 0.0
    high = float(special.gammaincinv(count + 1, 1 - tail))
    return (low / exposure, high / exposure) if exposure > 0 else (math.nan, math.nan)


def binomial_bounds(hits: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Exact bounds of a share (Clopper-Pearson); the whole range without trials.

    References
    ----------
    Clopper & Pearson (1934), doi 10.1093/biomet/26.4.404.
    """
    if not trials:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = float(special.betaincinv(hits, trials - hits + 1, tail)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0
    return low, high


def read_truth(path: Path) -> list[Fault]:
    """Faults of a truth table, by incident; a row without one is a fault by its `fault_id`."""
    table = read_rows(path, ["kind", "device_id", "start"])
    starts, ends = column_ms(path, table, "start", 0), column_ms(path, table, "end", OPEN_MS)
    kinds, devices, severities = (texts(table, n) for n in ("kind", "device_id", "severity"))
    causes, ids = texts(table, "cause_kind"), texts(table, "cause_id")
    found: dict[str, Fault] = {}
    for k, incident in enumerate(incidents_of(table, "fault_id")):
        fault = found.setdefault(
            incident, Fault(incident, kinds[k], causes[k], ids[k], severities[k], {})
        )
        widen(fault.spans, devices[k], starts[k], ends[k])
    return list(found.values())


def incidents_of(table: ArrowTable, other: str = "") -> list[str]:
    """What belongs together; a row that names neither incident nor `other` stands alone."""
    named, second = texts(table, "incident"), texts(table, other)
    return [a or b or f"row {k + 1}" for k, (a, b) in enumerate(zip(named, second, strict=True))]


def widen(spans: dict[str, tuple[int, int]], device: str, start: int, end: int) -> None:
    """Let the span of a device reach over another one."""
    low, high = spans.get(device, (start, end))
    spans[device] = (min(low, start), max(high, end))


def read_orders(path: Path) -> list[Order]:
    """Orders of a findings table, by incident; a finding without one is an order of its own."""
    table = read_rows(path, ["kind", "device_id", "raised_at"])
    raised = column_ms(path, table, "raised_at", 0)
    unsaid = [k for k, moment in enumerate(raised) if not moment]
    if unsaid:
        raise TableError(
            f"{path}: row {unsaid[0] + 1}: raised_at is empty.",
            remedy="Without the round that raised it a finding cannot be scored.",
        )
    starts, ends = column_ms(path, table, "start", 0), column_ms(path, table, "end", OPEN_MS)
    starts = [start or moment for start, moment in zip(starts, raised, strict=True)]
    kinds, devices = texts(table, "kind"), texts(table, "device_id")
    causes, ids, notes = (texts(table, n) for n in ("cause_kind", "cause_id", "note"))
    rows: dict[str, list[int]] = {}
    for k, incident in enumerate(incidents_of(table)):
        rows.setdefault(incident, []).append(k)
    orders = []
    for incident, members in rows.items():
        members.sort(key=lambda k: (raised[k], starts[k], devices[k]))
        first = members[0]
        spans: dict[str, tuple[int, int]] = {}
        named: dict[str, str] = {}
        for k in members:
            widen(spans, devices[k], starts[k], ends[k])
            named.setdefault(devices[k], kinds[k])
        said = tuple(dict.fromkeys(notes[k] for k in members if notes[k]))
        orders.append(
            Order(
                incident, kinds[first], causes[first], ids[first], raised[first], named, spans, said
            )
        )
    return sorted(orders, key=lambda order: (order.raised_ms, order.incident))


def read_run(
    findings: Path,
    truth: Path,
    *,
    assets: Path | None = None,
    readings: Path | None = None,
    days: float | None = None,
    lamp_nights: float | None = None,
) -> Run:
    """Read one run.

    Parameters
    ----------
    findings, truth : Path
        Tables of the interchange formats.
    assets : Path, optional
        Says how many luminaires with a device there were; with `days` it gives the lamp-nights.
    days : float, optional
        Nights that were judged; the span of the readings without it, if those are given.
    lamp_nights : float, optional
        Given outright.

    Raises
    ------
    TableError
        If a table cannot be used, or the exposure cannot be told.
    """
    faults, orders = read_truth(truth), read_orders(findings)
    start_ms, stop_ms = span_of(faults, orders, readings)
    nights = days if days is not None else (stop_ms - start_ms) / DAY_MS
    if lamp_nights is None:
        if assets is None:
            raise TableError(
                f"{findings}: how many luminaires were watched is not known.",
                remedy="Give --assets, or --lamp-nights.",
            )
        if days is None and readings is None:
            raise TableError(
                f"{findings}: for how many nights is not known.",
                remedy="Give --days or --readings.",
            )
        kinds = texts(read_rows(assets, ["device_id"]), "kind")
        lamp_nights = nights * sum(kind != "counter" for kind in kinds)
    return Run(
        findings.parent.name or str(findings),
        faults,
        orders,
        start_ms,
        stop_ms,
        lamp_nights,
        readings,
        {} if assets is None else read_lit(assets),
    )


def span_of(faults: list[Fault], orders: list[Order], readings: Path | None) -> tuple[int, int]:
    """First and last time that matters."""
    span = None if readings is None else span_of_readings(readings)
    if span is not None:
        return span
    times = [f.start_ms for f in faults] + [o.raised_ms for o in orders]
    return (min(times), max(times)) if times else (0, 0)


def covers(order: Order, fault: Fault) -> bool:
    """Whether an order is about a fault: a luminaire in common, raised in its time."""
    for device in order.spans.keys() & fault.spans.keys():
        start, end = fault.spans[device]
        begun = order.raised_ms >= start
        late = order.raised_ms >= end + GRACE_MS
        if begun and not late:
            return True
    return False


def noons_after(start_ms: int, raised_ms: int) -> int:
    """Noon rounds (UTC) from the start of a fault up to the round that raised it, both counted."""
    first = -(-(start_ms - DAY_MS // 2) // DAY_MS)
    this = -(-(raised_ms - DAY_MS // 2) // DAY_MS)
    return max(this - first + 1, 1)


def score_runs(runs: Iterable[Run], *, horizon_days: float | None = None) -> Score:
    """Score runs together.

    Parameters
    ----------
    horizon_days : float, optional
        A fault found later than so many days after its start counts as missed; faults that began
        closer than that to the end of their run are left out when they were not found.
    """
    score = Score({kind: KindScore(kind) for kind in KINDS}, 0.0)
    for run in runs:
        score.lamp_nights += run.lamp_nights
        score_run(score, run, horizon_days)
    return score


def score_run(score: Score, run: Run, horizon_days: float | None) -> None:
    """Add one run to a score."""
    matched: dict[str, list[Order]] = {fault.incident: [] for fault in run.faults}
    seen: dict[str, list[Order]] = {fault.incident: [] for fault in run.faults}
    for order in run.orders:
        about = [fault for fault in run.faults if covers(order, fault)]
        if about and all(fault.of_counter for fault in about):
            score.orders_on_counters += 1
            for fault in about:
                seen[fault.incident].append(order)
            continue
        about = [fault for fault in about if not fault.of_counter]
        score.orders += 1
        kind = score.kinds.setdefault(order.kind, KindScore(order.kind))
        kind.orders += 1
        if not about:
            score.false_orders.append((run, order))
            continue
        score.orders_on_fault += 1
        same = [fault for fault in about if fault.kind == order.kind]
        kind.right += bool(same)
        # Of several faults under one wrong name it is meant for the one it has most in common with.
        nearest = max(about, key=lambda fault: len(order.spans.keys() & fault.spans.keys()))
        if not same:
            score.wrong_kind[(nearest.kind, order.kind)] += 1
        score.crew += 1
        score.crew_right += any(crew(fault.kind) == crew(order.kind) for fault in about)
        for fault in about:
            seen[fault.incident].append(order)
        for fault in same or [nearest]:
            matched[fault.incident].append(order)
    for fault in run.faults:
        if fault.of_counter:
            score.counters += 1
            score.counters_found += bool(seen[fault.incident])
            continue
        own, any_name = matched[fault.incident], seen[fault.incident]
        judge_fault(score, run, fault, own, any_name, horizon_days)


def crew(kind: str) -> str:
    """Who goes: the sensor crew or the lamp crew."""
    return "sensor" if kind in SENSOR_CREW else "lamp"


def judge_fault(
    score: Score,
    run: Run,
    fault: Fault,
    orders: list[Order],
    any_name: list[Order],
    horizon_days: float | None,
) -> None:
    """Count one fault: found, when, under its name, with one order.

    Parameters
    ----------
    orders : list of Order
        Those meant for it.
    any_name : list of Order
        Those about it, also when they were meant for another fault of the same luminaires.
    """
    begun = max(fault.start_ms, run.start_ms)
    limit_ms = math.inf if horizon_days is None else begun + horizon_days * DAY_MS
    in_time = [o for o in orders if o.raised_ms <= limit_ms]
    seen = [o for o in any_name if o.raised_ms <= limit_ms]
    if not seen and limit_ms < math.inf and run.stop_ms < limit_ms:
        return
    kind = score.kinds.setdefault(fault.kind, KindScore(fault.kind))
    kind.faults += 1
    score.faults += 1
    score.found_any += bool(seen)
    score.repeated += max(len(in_time) - 1, 0)
    named = [o for o in in_time if o.kind == fault.kind]
    if named:
        kind.found += 1
        noons = noons_after(begun, named[0].raised_ms)
        kind.nights.append(noons)
        kind.first_noon += noons <= 1
        kind.second_noon += noons <= 2
    if not seen:
        score.missed.append((run, fault))
    elif not named:
        score.misnamed.append((run, fault, seen[0]))
    if fault.grouped:
        score.grouped += 1
        score.grouped_orders += len(in_time)
        score.grouped_one += len(in_time) == 1
    if fault.severity == "urgent":
        score.urgent.append(urgent_case(run, fault, begun, seen, len(in_time)))


def urgent_case(run: Run, fault: Fault, begun: int, seen: list[Order], orders: int) -> UrgentCase:
    """How soon the order of an urgent fault went out, and what could be seen of it."""
    members = {device: run.lit[device] for device in fault.spans if device in run.lit}
    clock_ms, silent = first_dark(members, begun, run.readings) if members else (begun, None)
    minutes = max(seen[0].raised_ms - clock_ms, 0) / 60_000 if seen else math.inf
    tunnel = bool(members) and all(one.tunnel for one in members.values())
    return UrgentCase("tunnel" if tunnel else fault.cause_kind or "other", silent, minutes, orders)


def rate(hits: int, trials: int) -> dict[str, float | int | None]:
    """A share with its bounds, for JSON."""
    low, high = binomial_bounds(hits, trials)
    return {
        "value": hits / trials if trials else None, "hits": hits, "n": trials, "low": low,
        "high": high,
    }  # fmt: skip


def quantile(values: list[float], q: float) -> float | None:
    """A quantile, or None of nothing."""
    return float(np.quantile(values, q)) if values else None


def as_facts(score: Score) -> dict[str, Any]:
    """The score as plain numbers; None where there was nothing to count."""
    false = len(score.false_orders)
    low, high = poisson_bounds(false, score.lamp_nights)
    per_night = false / score.lamp_nights if score.lamp_nights else math.nan
    return {
        "macro_f1": none_if_nan(score.macro_f1),
        "lamp_nights": score.lamp_nights,
        "orders": score.orders,
        "faults": score.faults,
        "false_orders": false,
        "false_per_1000_lamp_nights": bounded(per_night, low, high, 1000),
        "false_per_1000_lamp_years": bounded(per_night, low, high, 365_250),
        "any_fault_precision": rate(score.orders_on_fault, score.orders),
        "any_fault_recall": rate(score.found_any, score.faults),
        "repeated_orders": score.repeated,
        "right_crew": rate(score.crew_right, score.crew),
        "grouped_with_one_order": rate(score.grouped_one, score.grouped),
        "orders_per_grouped_fault": score.grouped_orders / score.grouped if score.grouped else None,
        "urgent": urgent_facts(score.urgent, rate),
        "counter_faults": score.counters,
        "counter_faults_with_an_order": rate(score.counters_found, score.counters),
        "orders_on_counters": score.orders_on_counters,
        "kinds": {name: kind_facts(kind) for name, kind in score.kinds.items()},
        "wrong_kind": [
            {"truth": truth, "named": named, "orders": n}
            for (truth, named), n in sorted(score.wrong_kind.items())
        ],
    }


def bounded(value: float, low: float, high: float, factor: float) -> dict[str, float | None]:
    """A rate with its bounds in another unit."""
    return {
        "value": none_if_nan(value * factor), "low": none_if_nan(low * factor),
        "high": none_if_nan(high * factor),
    }  # fmt: skip


def none_if_nan(value: float) -> float | None:
    """JSON knows no NaN."""
    return None if math.isnan(value) else value


def kind_facts(kind: KindScore) -> dict[str, Any]:
    """One kind as plain numbers."""
    return {
        "faults": kind.faults,
        "orders": kind.orders,
        "precision": rate(kind.right, kind.orders),
        "recall": rate(kind.found, kind.faults),
        "f1": none_if_nan(kind.f1),
        "nights_median": quantile(kind.nights, 0.5),
        "nights_p90": quantile(kind.nights, 0.9),
        "by_first_noon": rate(kind.first_noon, kind.faults),
        "by_second_noon": rate(kind.second_noon, kind.faults),
    }


CEILINGS = ("false_", "median_minutes", "p95_minutes", "orders_per", "repeated", "nights_")


def below_limits(facts: dict[str, Any], limits: dict[str, float]) -> list[str]:
    """What falls short of `--fail-under`.

    A name is a path in the facts (`kinds.lamp_failure.recall`); a share counts by its value.
    False orders, minutes, nights and repeated orders must stay below their limit, all else above.

    Raises
    ------
    KeyError
        If there is no such number to compare with, in any run.
    """
    failures = []
    for name, limit in limits.items():
        value: Any = facts
        for part in name.split("."):
            if not isinstance(value, dict) or part not in value:
                raise KeyError(name)
            value = cast("dict[str, Any]", value)[part]
        if isinstance(value, dict):
            value = cast("dict[str, Any]", value).get("value", "")
        if value is None:
            failures.append(f"{name} is not known")
        elif not isinstance(value, int | float):
            raise KeyError(name)
        elif value > limit if name.split(".")[-1].startswith(CEILINGS) else value < limit:
            failures.append(f"{name} is {value:.4g}, limit {limit:g}")
    return failures
