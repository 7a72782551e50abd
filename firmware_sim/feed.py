"""A scenario as files: readings, events, assets, maintenance, counts and the truth.

Feeders are computed by a pool of processes and written in their own order, so the files are the
same bytes whatever the number of processes.
"""

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from firmware_sim.city import CityPlan, Counter, Feeder, build_plan
from firmware_sim.faults import OPEN_MS, Fault, plan_faults
from firmware_sim.footfall import CountRows, count_rows, counter_fault
from firmware_sim.light import measure
from firmware_sim.nuisances import quirks_of, work_on
from firmware_sim.scenario import Scenario
from firmware_sim.sky import DAY_MS, SkyTable, sky_table
from firmware_sim.transmission import EventRow, Rows, fault_reports, transmit

__all__ = [
    "ASSET_COLUMNS",
    "TRUTH_COLUMNS",
    "FeedSummary",
    "assets_rows",
    "feeder_rows",
    "maintenance_rows",
    "stamp",
    "truth_rows",
    "write_feed",
]

CHUNK_DAYS = 15
ArrowTable: TypeAlias = Any  # pyarrow carries no types
ASSET_COLUMNS = (
    "device_id", "luminaire_id", "kind", "site", "segment", "segment_order", "feeder", "cabinet",
    "gateway", "lat", "lon", "nominal_illuminance_lx", "switching", "dimming", "supply",
    "rated_power_w", "max_illuminance_lx", "resolution_lx", "interval_s", "location_category",
    "lighting_class",
)  # fmt: skip
TRUTH_COLUMNS = (
    "fault_id", "kind", "device_id", "start", "end", "incident", "cause_kind", "cause_id",
    "severity",
)  # fmt: skip
MAINTENANCE_COLUMNS = ("device_id", "time", "action")
EVENT_COLUMNS = ("device_id", "time", "received_time", "event", "active", "info")
QUANTITIES = (
    "illuminance_lx", "power_w", "lamp_status", "dimming_pct", "people_in", "people_out",
    "battery_v",
)  # fmt: skip
READINGS_SCHEMA = pa.schema(
    [
        ("device_id", pa.dictionary(pa.int32(), pa.string())),
        ("time", pa.timestamp("ms", tz="UTC")),
        ("received_time", pa.timestamp("ms", tz="UTC")),
        *((name, pa.float32()) for name in QUANTITIES),
    ]
)
LIGHTING_CLASSES = {
    "street": "M5",
    "cycle_path": "P4",
    "park": "P5",
    "square": "P3",
    "tunnel": "P2",
}


@dataclass(frozen=True)
class FeedSummary:
    """What was written."""

    folder: str
    devices: int
    readings: int
    events: int
    faults: int
    incidents: int


def stamp(time_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds; empty for an open end."""
    if time_ms >= OPEN_MS:
        return ""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


@lru_cache(maxsize=8)
def shared_sky(scenario: Scenario, first_day: int, days: int) -> SkyTable:
    """The sky of some days, computed once a process."""
    return sky_table(scenario, first_day, days)


def feeder_rows(
    scenario: Scenario, feeder: Feeder, faults: list[Fault], first_day: int, days: int
) -> tuple[Rows, list[EventRow]]:
    """Readings and fault reports measured by one feeder's devices in some days (since 1970)."""
    table = shared_sky(scenario, first_day, days)
    quirks = tuple(quirks_of(scenario, feeder, lamp) for lamp in range(feeder.size))
    work = work_on(scenario, feeder)
    measured = measure(scenario, feeder, faults, quirks, work, table)
    rows = transmit(scenario, feeder, measured, quirks, table)
    return rows, fault_reports(scenario, feeder, faults, table.start_ms, table.stop_ms)


def metered_days(
    scenario: Scenario, feeder: Feeder, faults: list[Fault], first_day: int, days: int
) -> NDArray[np.int64] | None:
    """Energy [mWh] and burning time [s] of each lamp in some days, int64 (2, lamps), if metered."""
    table = shared_sky(scenario, first_day, days)
    quirks = tuple(quirks_of(scenario, feeder, lamp) for lamp in range(feeder.size))
    measured = measure(scenario, feeder, faults, quirks, work_on(scenario, feeder), table)
    return None if measured.meter is None else measured.meter[:, :, -1]


def assets_rows(plan: CityPlan) -> list[dict[str, object]]:
    """Rows of the assets format; empty text = not known.

    A luminaire without a device is not in the list: its segment has a gap in `segment_order`.
    """
    rows = [luminaire_row(f, k) for f in plan.feeders for k in range(f.size) if f.has_device[k]]
    return rows + [counter_row(plan.scenario, counter) for counter in plan.counters]


def luminaire_row(feeder: Feeder, k: int) -> dict[str, object]:
    """One luminaire."""
    nominal = float(feeder.nominal_lx[k])
    values: tuple[object, ...] = (
        feeder.device_ids[k],
        feeder.luminaire_ids[k],
        "tunnel" if feeder.tunnel else "luminaire",
        feeder.site if feeder.tunnel else feeder.district,
        feeder.segments[k],
        int(feeder.orders[k]),
        feeder.name,
        feeder.cabinet,
        feeder.gateway,
        float(feeder.lat[k]),
        float(feeder.lon[k]),
        "" if np.isnan(nominal) else nominal,
        feeder.switching,
        feeder.dimming,
        "battery" if feeder.battery else "mains",
        float(feeder.rated_w[k]),
        feeder.max_lx if feeder.has_lux[k] else "",
        feeder.resolution_lx if feeder.has_lux[k] else "",
        feeder.interval_s,
        feeder.category,
        LIGHTING_CLASSES.get(feeder.category, ""),
    )
    return dict(zip(ASSET_COLUMNS, values, strict=True))


def counter_row(scenario: Scenario, counter: Counter) -> dict[str, object]:
    """One footfall counter."""
    row: dict[str, object] = dict.fromkeys(ASSET_COLUMNS, "")
    row.update(
        device_id=counter.device_id,
        luminaire_id="",
        kind="counter",
        site=counter.site,
        segment=counter.segment,
        gateway=counter.gateway,
        lat=counter.lat,
        lon=counter.lon,
        supply="battery",
        interval_s=scenario.footfall.interval_s,
        location_category=counter.category,
    )
    return row


def truth_rows(plan: CityPlan, faults: dict[str, list[Fault]]) -> list[tuple[str, ...]]:
    """Rows of the truth format: one per fault and device within the run, counters last."""
    feeders = {feeder.name: feeder for feeder in plan.feeders}
    rows: list[tuple[str, ...]] = []
    for name, found in faults.items():
        feeder = feeders[name]
        for fault in found:
            if fault.start_ms >= plan.scenario.stop_ms or fault.end_ms <= plan.scenario.start_ms:
                continue
            rows += [
                (
                    fault.fault_id, fault.kind, feeder.device_ids[lamp], stamp(fault.start_ms),
                    stamp(fault.end_ms) if fault.end_ms < plan.scenario.stop_ms else "",
                    fault.incident, fault.cause_kind, fault.cause_id, fault.severity,
                )
                for lamp in fault.lamps
                if feeder.has_device[lamp]
            ]  # fmt: skip
    return rows + [row for c in plan.counters if (row := counter_truth(plan.scenario, c))]


def counter_truth(scenario: Scenario, counter: Counter) -> tuple[str, ...] | None:
    """The row of truth of a counter that breaks; its cause is the counter, no street light."""
    fault = counter_fault(scenario, counter)
    if fault is None:
        return None
    name = f"{counter.device_id}:{fault.kind}:{fault.start_ms // 60_000}"
    return (
        name, fault.kind, counter.device_id, stamp(fault.start_ms), "", name, "counter",
        counter.device_id, "minor",
    )  # fmt: skip


def maintenance_rows(plan: CityPlan, faults: dict[str, list[Fault]]) -> list[tuple[str, str, str]]:
    """Rows of the maintenance format: logged swaps, repairs and planned work, in time order."""
    scenario = plan.scenario
    found: list[tuple[int, str, str]] = []
    for feeder in plan.feeders:
        for lamp, device in enumerate(feeder.device_ids):
            swaps = quirks_of(scenario, feeder, lamp).swaps
            found += [(swap.time_ms, device, "sensor_swap") for swap in swaps if swap.logged]
            for span in work_on(scenario, feeder):
                found += [
                    (span.start_ms, device, "planned_on"),
                    (span.stop_ms, device, "planned_off"),
                ]
        for fault in faults[feeder.name]:
            if fault.logged and fault.end_ms < OPEN_MS:
                found += [
                    (fault.end_ms, feeder.device_ids[lamp], "repaired") for lamp in fault.lamps
                ]
    inside = [row for row in sorted(found) if scenario.start_ms <= row[0] < scenario.stop_ms]
    return [(device, stamp(time_ms), action) for time_ms, device, action in inside]


def rows_table(device_ids: tuple[str, ...], rows: Rows) -> ArrowTable:
    """A feeder's readings as an Arrow table."""
    return readings_table(device_ids, rows.device, rows.time_ms, rows.received_ms, rows.columns())


def counts_table(device_ids: tuple[str, ...], rows: CountRows) -> ArrowTable:
    """Footfall readings as an Arrow table of the same columns."""
    people = {"people_in": rows.inwards, "people_out": rows.outwards}
    return readings_table(device_ids, rows.counter, rows.time_ms, rows.received_ms, people)


def readings_table(
    device_ids: tuple[str, ...],
    device: NDArray[np.int32],
    time_ms: NDArray[np.int64],
    received_ms: NDArray[np.int64],
    quantities: Mapping[str, NDArray[np.float64]],
) -> ArrowTable:
    """Readings as an Arrow table; a quantity that is not there is not known."""
    nothing = pa.nulls(len(time_ms), pa.float32())
    columns = [
        pa.DictionaryArray.from_arrays(pa.array(device), pa.array(device_ids)),
        pa.array(time_ms, pa.timestamp("ms", tz="UTC")),
        pa.array(received_ms, pa.timestamp("ms", tz="UTC")),
        *(
            pa.array(quantities[name].astype(np.float32), from_pandas=True)
            if name in quantities
            else nothing
            for name in QUANTITIES
        ),
    ]
    return pa.Table.from_arrays(columns, schema=READINGS_SCHEMA)


def feeder_task(task: tuple[Scenario, Feeder, list[Fault]]) -> tuple[ArrowTable, list[EventRow]]:
    """All readings and reports of one feeder over the run; runs in a worker process."""
    scenario, feeder, faults = task
    first, total = scenario.start_ms // DAY_MS, scenario.scenario.days
    tables, events = [], list[EventRow]()
    for day in range(0, total, CHUNK_DAYS):
        rows, told = feeder_rows(
            scenario, feeder, faults, first + day, min(CHUNK_DAYS, total - day)
        )
        tables.append(rows_table(feeder.device_ids, rows))
        events += told
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    return table, events


def results(
    tasks: list[tuple[Scenario, Feeder, list[Fault]]], processes: int
) -> Iterator[tuple[ArrowTable, list[EventRow]]]:
    """Results of the tasks in their own order, whatever the number of processes."""
    if processes <= 1 or len(tasks) <= 1:
        yield from map(feeder_task, tasks)
        return
    # spawn: the same on every system, and no copy of the caller's threads.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        ahead = 4 * processes
        waiting = [pool.submit(feeder_task, task) for task in tasks[:ahead]]
        for k in range(len(tasks)):
            yield waiting[k].result()
            waiting[k] = None  # type: ignore[call-overload] # frees the table that was written
            if k + ahead < len(tasks):
                waiting.append(pool.submit(feeder_task, tasks[k + ahead]))


def write_rows(path: Path, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """A small CSV file with Unix line ends."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


class ReadingsFile:
    """readings.parquet, or readings.csv: row groups of one feeder each."""

    def __init__(self, folder: Path, form: str) -> None:
        path = str(folder / f"readings.{form}")
        for other in {"csv", "parquet"} - {form}:
            # Of an earlier feed in this folder: left there, it would be read beside this one.
            (folder / f"readings.{other}").unlink(missing_ok=True)
        self.rows = 0
        self._writer: Any
        if form == "csv":
            self._writer = pa_csv.CSVWriter(path, READINGS_SCHEMA)
            self._options: dict[str, int] = {}
        else:
            self._writer = pq.ParquetWriter(
                path, READINGS_SCHEMA, compression="zstd", compression_level=1
            )
            self._options = {"row_group_size": 64 * 1024 * 1024}

    def add(self, table: ArrowTable) -> None:
        """Append a feeder's rows, as one row group."""
        self.rows += table.num_rows
        self._writer.write_table(table, **self._options)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def write_feed(
    scenario: Scenario,
    folder: Path,
    *,
    processes: int | None = None,
    form: str = "parquet",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FeedSummary:
    """Write a scenario as files of the interchange formats.

    Parameters
    ----------
    folder : Path
        Made if it is missing; files of the same names are replaced, and so are readings in the
        other form.
    processes : int, optional
        All cores without it. The files do not depend on it.
    form : str
        `parquet` or `csv` for the readings; the other files are CSV.
    progress : callable
        Called with feeders done and in all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan = build_plan(scenario)
    faults = plan_faults(plan)
    rows = [tuple(row.values()) for row in assets_rows(plan)]
    write_rows(folder / "assets.csv", ASSET_COLUMNS, rows)
    truth = truth_rows(plan, faults)
    write_rows(folder / "truth.csv", TRUTH_COLUMNS, [*truth])
    write_rows(folder / "maintenance.csv", MAINTENANCE_COLUMNS, [*maintenance_rows(plan, faults)])
    tasks = [(scenario, feeder, faults[feeder.name]) for feeder in plan.feeders]
    file, events = ReadingsFile(folder, form), list[EventRow]()
    try:
        for done, (table, told) in enumerate(results(tasks, processes or os.cpu_count() or 1)):
            file.add(table)
            events += told
            progress(done + 1, len(tasks))
        if plan.counters:
            write_counts(plan, folder, file)
    finally:
        file.close()
    events.sort(key=lambda e: (e.received_ms, e.device_id, e.event, bool(e.active)))
    write_rows(
        folder / "events.csv",
        EVENT_COLUMNS,
        [
            (
                e.device_id,
                stamp(e.time_ms),
                stamp(e.received_ms),
                e.event,
                "" if e.active is None else "true" if e.active else "false",
                e.info,
            )
            for e in events
        ],
    )
    return FeedSummary(
        str(folder), plan.device_count, file.rows, len(events), len({r[0] for r in truth}),
        len({r[5] for r in truth}),
    )  # fmt: skip


def write_counts(plan: CityPlan, folder: Path, file: ReadingsFile) -> None:
    """Footfall: into the readings, and hour by hour into counts.csv."""
    scenario = plan.scenario
    rows = count_rows(scenario, plan.counters, scenario.start_ms // DAY_MS, scenario.scenario.days)
    file.add(counts_table(tuple(c.device_id for c in plan.counters), rows))
    hour = (rows.true_ms - 1 - scenario.start_ms) // 3_600_000
    hours = scenario.scenario.days * 24
    key = rows.counter.astype(np.int64) * hours + hour
    order, first = np.unique(key, return_inverse=True)
    people = np.rint(np.bincount(first, weights=rows.inwards + rows.outwards)).astype(np.int64)
    full = np.bincount(first) == 3600 // scenario.footfall.interval_s
    write_rows(
        folder / "counts.csv",
        ("site", "time", "count"),
        [
            (
                plan.counters[int(k) // hours].site,
                stamp(scenario.start_ms + int(k) % hours * 3_600_000),
                int(n),
            )
            for k, n, whole in zip(order, people, full, strict=True)
            if whole
        ],
    )
