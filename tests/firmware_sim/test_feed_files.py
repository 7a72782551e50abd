"""A scenario as files: the same bytes every time, in the formats that were agreed."""

import csv
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from firmware_sim.city import build_plan
from firmware_sim.faults import plan_faults
from firmware_sim.feed import (
    ASSET_COLUMNS,
    TRUTH_COLUMNS,
    assets_rows,
    feeder_rows,
    stamp,
    truth_rows,
    write_feed,
)
from firmware_sim.scenario import Devices, Nuisances, PlacedFault, Scenario, load_scenario
from firmware_sim.sky import DAY_MS

EXPECTED = (56_001, 50_417, 60_852_797.0)
SMALL = load_scenario("hard").changed(luminaires=60, days=6)
SMALL = msgspec.structs.replace(
    SMALL, city=msgspec.structs.replace(SMALL.city, tunnels=2, counters=3)
)


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def small_feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("feed")
    write_feed(SMALL, folder, processes=1)
    return folder


@pytest.mark.slow
def test_the_files_do_not_depend_on_the_run_or_the_number_of_processes(
    small_feed: Path, tmp_path: Path
) -> None:
    write_feed(SMALL, tmp_path, processes=2)

    assert digests(tmp_path) == digests(small_feed)
    assert set(digests(small_feed)) == {
        "readings.parquet", "assets.csv", "maintenance.csv", "events.csv", "truth.csv",
        "counts.csv",
    }  # fmt: skip


PLAIN = """
import hashlib, sys
from pathlib import Path
from firmware_sim.feed import write_feed
from firmware_sim.scenario import load_scenario
folder = Path(sys.argv[1])
write_feed(load_scenario("hard").changed(luminaires=60, days=4), folder, processes=1)
print(hashlib.sha256(b"".join(p.read_bytes() for p in sorted(folder.iterdir()))).hexdigest())
"""


@pytest.mark.slow
def test_an_older_processor_writes_the_same_bytes(tmp_path: Path) -> None:
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    fast = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    if not fast:
        pytest.skip("this processor has nothing that could be switched off")
    digest = {}
    for name, disabled in (("as it is", ""), ("plain", " ".join(fast))):
        run = subprocess.run(
            [sys.executable, "-c", PLAIN, str(tmp_path / name)],
            env={**os.environ, "NPY_DISABLE_CPU_FEATURES": disabled},
            capture_output=True,
            text=True,
            check=True,
        )
        digest[name] = run.stdout.strip()

    assert digest["plain"] == digest["as it is"]
    assert len(digest["plain"]) == 64


def test_readings_do_not_change_from_one_release_to_the_next(small_feed: Path) -> None:
    # Not of the file (it names the writer's version), of what is in it.
    table = pq.read_table(small_feed / "readings.parquet")
    lux = table["illuminance_lx"].to_numpy().astype(np.float64)
    known = lux[np.isfinite(lux)]

    assert (table.num_rows, len(known), round(float(known.sum()), 0)) == EXPECTED


def test_another_seed_is_another_city(small_feed: Path, tmp_path: Path) -> None:
    write_feed(SMALL.changed(seed=32), tmp_path, processes=1)

    assert digests(tmp_path)["readings.parquet"] != digests(small_feed)["readings.parquet"]


def test_csv_holds_the_same_readings(small_feed: Path, tmp_path: Path) -> None:
    write_feed(SMALL, tmp_path, processes=1, form="csv")
    ours = pa_csv.read_csv(tmp_path / "readings.csv")
    theirs = pq.read_table(small_feed / "readings.parquet")

    assert ours.column_names == theirs.column_names
    assert ours.num_rows == theirs.num_rows
    np.testing.assert_allclose(
        ours["illuminance_lx"].to_numpy(), theirs["illuminance_lx"].to_numpy(), rtol=1e-6
    )


def test_readings_come_in_the_order_they_were_received(small_feed: Path) -> None:
    file = pq.ParquetFile(small_feed / "readings.parquet")
    for group in range(file.num_row_groups):
        received = file.read_row_group(group)["received_time"].to_numpy().astype(np.int64)
        assert (np.diff(received) >= 0).all()


def test_assets_and_truth_have_the_agreed_columns(small_feed: Path) -> None:
    for name, columns in (("assets", ASSET_COLUMNS), ("truth", TRUTH_COLUMNS)):
        with (small_feed / f"{name}.csv").open(encoding="utf-8") as file:
            assert next(csv.reader(file)) == list(columns)


def test_every_reading_and_every_truth_is_of_a_listed_device(small_feed: Path) -> None:
    with (small_feed / "assets.csv").open(encoding="utf-8") as file:
        known = {row["device_id"] for row in csv.DictReader(file)}
    table = pq.read_table(small_feed / "readings.parquet", columns=["device_id"])
    with (small_feed / "truth.csv").open(encoding="utf-8") as file:
        faulty = {row["device_id"] for row in csv.DictReader(file)}

    assert set(table["device_id"].unique().to_pylist()) <= known
    assert faulty <= known
    assert faulty


def test_a_luminaire_without_a_device_is_a_gap_in_its_segment() -> None:
    scenario = Scenario(devices=Devices(coverage=0.5)).changed(luminaires=200, days=1)
    rows = [r for r in assets_rows(build_plan(scenario)) if r["kind"] == "luminaire"]
    orders: dict[object, list[int]] = {}
    for row in rows:
        orders.setdefault(row["segment"], []).append(int(str(row["segment_order"])))

    assert 40 < len(rows) < 110
    assert any(np.diff(found).max() > 1 for found in orders.values() if len(found) > 1)


def test_a_day_alone_is_the_day_within_the_month() -> None:
    plan = build_plan(SMALL)
    faults = plan_faults(plan)
    first = SMALL.start_ms // DAY_MS
    for feeder in plan.feeders:
        found = faults[feeder.name]
        whole, reports = feeder_rows(SMALL, feeder, found, first, 6)
        days = [feeder_rows(SMALL, feeder, found, first + k, 1) for k in range(6)]
        pieces = days[0][0]
        for piece, _ in days[1:]:
            pieces = pieces.joined(piece)
        order = np.lexsort((pieces.time_ms, pieces.device, pieces.received_ms))
        pieces = pieces.taken(order)

        np.testing.assert_array_equal(pieces.received_ms, whole.received_ms)
        np.testing.assert_array_equal(pieces.time_ms, whole.time_ms)
        np.testing.assert_array_equal(pieces.lux, whole.lux)
        np.testing.assert_array_equal(pieces.status, whole.status)
        assert [event for _, told in days for event in told] == reports


def test_a_fault_on_one_feeder_changes_no_reading_of_another(tmp_path: Path) -> None:
    base = load_scenario("demo").changed(luminaires=120, days=2)
    base = msgspec.structs.replace(base, fault=())
    struck = msgspec.structs.replace(
        base, fault=(PlacedFault(kind="feeder_out", feeder=2, at_day=0.2),)
    )
    groups = []
    for name, scenario in (("base", base), ("struck", struck)):
        write_feed(scenario, tmp_path / name, processes=1)
        file = pq.ParquetFile(tmp_path / name / "readings.parquet")
        groups.append([file.read_row_group(k) for k in range(file.num_row_groups)])
    changed = [k for k, (a, b) in enumerate(zip(*groups, strict=True)) if not a.equals(b)]

    assert changed == [2]


def test_more_luminaires_leave_the_first_feeders_as_they_are() -> None:
    small, large = (build_plan(Scenario().changed(luminaires=n, days=1)) for n in (900, 1740))
    names = {f.name: f for f in large.feeders}
    same = [f for f in small.feeders if f.size == names[f.name].size]

    assert len(same) > 40
    for feeder in same:
        np.testing.assert_array_equal(feeder.level_lx, names[feeder.name].level_lx)
        assert feeder.dimming == names[feeder.name].dimming


def test_truth_keeps_faults_older_than_the_feed_and_leaves_open_ends_empty() -> None:
    plan = build_plan(
        msgspec.structs.replace(SMALL, faults=msgspec.structs.replace(SMALL.faults, older=0.5))
    )
    rows = truth_rows(plan, plan_faults(plan))

    begins, ends = [row[3] for row in rows], [row[4] for row in rows]
    assert min(begins) < stamp(SMALL.start_ms)
    assert max(begins) < stamp(SMALL.stop_ms)
    assert "" in ends
    assert stamp(SMALL.start_ms) < min(filter(None, ends)) <= max(ends) < stamp(SMALL.stop_ms)


def test_counts_are_the_sums_of_the_readings(small_feed: Path) -> None:
    with (small_feed / "counts.csv").open(encoding="utf-8") as file:
        counted = sum(int(row["count"]) for row in csv.DictReader(file))
    table = pq.read_table(small_feed / "readings.parquet", columns=["people_in", "people_out"])
    people = [table[name].drop_null().to_numpy().sum() for name in table.column_names]

    assert 0.7 * sum(people) < counted <= sum(people)


NOISY = Nuisances(
    loss=0.02, duplicates=0.05, out_of_order=0.05, late_per_month=8, gateway_outages_per_month=8,
    gateway_keeps=0.5, clock_skew=0.3, local_clock=0.2, unset_clock_per_month=3, sentinels=0.02,
)  # fmt: skip


def test_nuisances_reach_the_feed() -> None:
    scenario = Scenario(nuisances=NOISY).changed(luminaires=200, days=8)
    plan = build_plan(scenario)
    rows = [feeder_rows(scenario, f, [], scenario.start_ms // DAY_MS, 8)[0] for f in plan.feeders]
    pieces = rows[0]
    for more in rows[1:]:
        pieces = pieces.joined(more)
    late = pieces.received_ms - pieces.true_ms
    skew = pieces.time_ms - pieces.true_ms
    values = set(pieces.lux[np.isfinite(pieces.lux)].tolist())

    assert (late > 3 * 3_600_000).mean() > 0.01
    assert ((late > 60_000) & (late < 30 * 60_000)).mean() > 0.02
    assert (pieces.time_ms < 1_577_836_800_000).any()
    assert (skew == 7_200_000).any()
    assert ((np.abs(skew) >= 20_000) & (np.abs(skew) < 1_300_000)).any()
    assert {-1.0, 65535.0} <= values


def test_duplicates_are_the_same_reading_received_again() -> None:
    scenario = Scenario(nuisances=NOISY).changed(luminaires=40, days=3)
    feeder = build_plan(scenario).feeders[0]
    rows, _ = feeder_rows(scenario, feeder, [], scenario.start_ms // DAY_MS, 3)
    key = rows.device.astype(np.int64) * 2**45 + rows.true_ms
    unique, counts = np.unique(key, return_counts=True)

    assert 0.02 < (counts > 1).mean() < 0.09
    for again in unique[counts > 1][:20]:
        same = np.flatnonzero(key == again)
        np.testing.assert_array_equal(rows.lux[same], rows.lux[same[0]])
        assert len(set(rows.received_ms[same].tolist())) == len(same)
