"""Findings against the truth: what was found, when, under which name, and what was false.

The matching rules stand in `docs/testers.md`. In short: an order is a set of findings with one
incident; an order is false when none of its luminaires had a fault of any kind then; a fault is
found by the first order that covers one of its luminaires in time.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from scipy import special

from firmware_sim.errors import TableError
from firmware_sim.recording import times_ms

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
    "read_run",
    "score_runs",
]

ArrowTable: TypeAlias = Any  # pyarrow carries no types
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
URGENT = frozenset({"urgent"})
GROUP_CAUSES = frozenset({"feeder", "segment", "cabinet", "gateway"})


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
    urgent_minutes: list[float] = field(default_factory=list)
    urgent: int = 0

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


def read_rows(path: Path, needed: Sequence[str]) -> ArrowTable:
    """A small table as CSV, JSON Lines or Parquet, all columns as text but times.

    Raises
    ------
    TableError
        Names the file and the columns that are missing.
    """
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        elif path.suffix in {".jsonl", ".ndjson"}:
            from pyarrow import json as pa_json

            table = pa_json.read_json(path)
        else:
            with path.open(encoding="utf-8-sig") as file:
                names = file.readline().strip().split(",")
            options = pa_csv.ConvertOptions(
                column_types={name.strip('"'): pa.string() for name in names}
            )
            table = pa_csv.read_csv(path, convert_options=options)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read ({error}).") from error
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise TableError(
            f"{path}: no column {', '.join(missing)}.",
            remedy="The formats stand in docs/formats.md.",
        )
    return table


def column_ms(table: ArrowTable, name: str, empty: int) -> list[int]:
    """Times of a column; `empty` where none is given."""
    column = table[name]
    given = column.is_valid().to_pylist()
    if pa.types.is_string(column.type):
        texts = column.to_pylist()
        return [times_ms(pa.chunked_array([[text]]))[0] if text else empty for text in texts]
    found = times_ms(column)
    return [t if ok else empty for t, ok in zip(found, given, strict=True)]


def texts(table: ArrowTable, name: str) -> list[str]:
    """A text column; empty where nothing is given."""
    if name not in table.column_names:
        return [""] * table.num_rows
    return ["" if v is None else str(v) for v in table[name].to_pylist()]


def read_truth(path: Path) -> list[Fault]:
    """Faults of a truth table, by incident."""
    table = read_rows(path, ["kind", "device_id", "start", "end", "incident"])
    starts, ends = column_ms(table, "start", 0), column_ms(table, "end", OPEN_MS)
    found: dict[str, Fault] = {}
    for k, (kind, device, incident, cause_kind, cause_id, severity) in enumerate(
        zip(
            texts(table, "kind"),
            texts(table, "device_id"),
            texts(table, "incident"),
            texts(table, "cause_kind"),
            texts(table, "cause_id"),
            texts(table, "severity"),
            strict=True,
        )
    ):
        fault = found.setdefault(
            incident, Fault(incident, kind, cause_kind, cause_id, severity, {})
        )
        fault.spans[device] = (starts[k], ends[k])
    return list(found.values())


def read_orders(path: Path) -> list[Order]:
    """Orders of a findings table, by incident."""
    table = read_rows(path, ["kind", "device_id", "incident", "start", "end", "raised_at"])
    starts, ends = column_ms(table, "start", 0), column_ms(table, "end", OPEN_MS)
    raised = column_ms(table, "raised_at", 0)
    kinds, devices, incidents = (texts(table, n) for n in ("kind", "device_id", "incident"))
    causes, ids, notes = (texts(table, n) for n in ("cause_kind", "cause_id", "note"))
    rows: dict[str, list[int]] = {}
    for k, incident in enumerate(incidents):
        rows.setdefault(incident, []).append(k)
    orders = []
    for incident, members in rows.items():
        members.sort(key=lambda k: (raised[k], starts[k], devices[k]))
        first = members[0]
        spans: dict[str, tuple[int, int]] = {}
        named: dict[str, str] = {}
        for k in members:
            low, high = spans.get(devices[k], (starts[k], ends[k]))
            spans[devices[k]] = (min(low, starts[k]), max(high, ends[k]))
            named.setdefault(devices[k], kinds[k])
        orders.append(
            Order(
                incident,
                kinds[first],
                causes[first],
                ids[first],
                raised[first],
                named,
                spans,
                tuple(dict.fromkeys(notes[k] for k in members if notes[k])),
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
        kinds = texts(read_rows(assets, ["device_id", "kind"]), "kind")
        lamp_nights = nights * sum(kind != "counter" for kind in kinds)
    return Run(
        findings.parent.name or str(findings),
        faults,
        orders,
        start_ms,
        stop_ms,
        lamp_nights,
        readings,
    )


def span_of(faults: list[Fault], orders: list[Order], readings: Path | None) -> tuple[int, int]:
    """First and last time that matters."""
    if readings is not None and readings.suffix == ".parquet":
        try:
            file = pq.ParquetFile(readings)
            place = file.schema_arrow.get_field_index("received_time")
            place = place if place >= 0 else file.schema_arrow.get_field_index("time")
            stats = [
                file.metadata.row_group(k).column(place).statistics
                for k in range(file.num_row_groups)
            ]
        except (OSError, pa.ArrowException) as error:
            raise TableError(f"{readings}: cannot be read ({error}).") from error
        known = [s for s in stats if s is not None and s.has_min_max]
        if known:
            low = min(s.min for s in known).timestamp() * 1000
            high = max(s.max for s in known).timestamp() * 1000
            return int(low), int(high)
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
    for order in run.orders:
        about = [fault for fault in run.faults if covers(order, fault)]
        score.orders += 1
        kind = score.kinds.setdefault(order.kind, KindScore(order.kind))
        kind.orders += 1
        if not about:
            score.false_orders.append((run, order))
            continue
        score.orders_on_fault += 1
        same = [fault for fault in about if fault.kind == order.kind]
        kind.right += bool(same)
        if not same:
            score.wrong_kind[(about[0].kind, order.kind)] += 1
        score.crew += 1
        score.crew_right += any(crew(fault.kind) == crew(order.kind) for fault in about)
        for fault in same or about[:1]:
            matched[fault.incident].append(order)
    for fault in run.faults:
        judge_fault(score, run, fault, matched[fault.incident], horizon_days)


def crew(kind: str) -> str:
    """Who goes: the sensor crew or the lamp crew."""
    return "sensor" if kind in SENSOR_CREW else "lamp"


def judge_fault(
    score: Score, run: Run, fault: Fault, orders: list[Order], horizon_days: float | None
) -> None:
    """Count one fault: found, when, under its name, with one order."""
    begun = max(fault.start_ms, run.start_ms)
    in_time = [
        o for o in orders if horizon_days is None or o.raised_ms - begun <= horizon_days * DAY_MS
    ]
    too_young = horizon_days is not None and run.stop_ms - begun < horizon_days * DAY_MS
    if not in_time and too_young:
        return
    kind = score.kinds.setdefault(fault.kind, KindScore(fault.kind))
    kind.faults += 1
    score.faults += 1
    score.found_any += bool(in_time)
    score.repeated += max(len(in_time) - 1, 0)
    named = [o for o in in_time if o.kind == fault.kind]
    if named:
        kind.found += 1
        noons = noons_after(begun, named[0].raised_ms)
        kind.nights.append(noons)
        kind.first_noon += noons <= 1
        kind.second_noon += noons <= 2
    if not in_time:
        score.missed.append((run, fault))
    if fault.grouped:
        score.grouped += 1
        score.grouped_orders += len(in_time)
        score.grouped_one += len(in_time) == 1
    if fault.severity in URGENT:
        score.urgent += 1
        if in_time:
            score.urgent_minutes.append((in_time[0].raised_ms - begun) / 60_000)


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
        "urgent_found": rate(len(score.urgent_minutes), score.urgent),
        "urgent_minutes_median": quantile(score.urgent_minutes, 0.5),
        "urgent_minutes_p90": quantile(score.urgent_minutes, 0.9),
        "urgent_within_60_minutes": rate(sum(m <= 60 for m in score.urgent_minutes), score.urgent),
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


def below_limits(facts: dict[str, Any], limits: dict[str, float]) -> list[str]:
    """What falls short of `--fail-under`; false-order rates must stay below, all else above.

    A name is a path in the facts (`kinds.lamp_failure.recall`); a share counts by its value.
    """
    failures = []
    for name, limit in limits.items():
        value: Any = facts
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, dict):
            value = value.get("value")
        if value is None:
            failures.append(f"{name} is not known")
        elif (
            name.startswith(("false_", "urgent_minutes", "orders_per", "repeated"))
            and value > limit
        ) or (
            not name.startswith(("false_", "urgent_minutes", "orders_per", "repeated"))
            and value < limit
        ):
            failures.append(f"{name} is {value:.4g}, limit {limit:g}")
    return failures
