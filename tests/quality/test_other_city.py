"""The second city: it is what it says, its files are read, and its faults are found."""

import ast
import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from quality.other_city import Plan
from quality.other_feed import generate, write
from quality.other_sky import MINUTES, SUNLIGHT, ground_light, local_minute, midnight, sun_position

SMALL = Plan("small", 40, "2026-10-20", days=9, lamps=40, each=1, groups=())


def test_it_shares_no_code_with_what_it_judges():
    for file in Path(__file__).parent.glob("other_*.py"):
        modules = {
            (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert not {m.split(".")[0] for m in modules} & {
            "ingest",
            "analytics",
            "firmware_sim",
            "api",
        }


def test_midsummer_in_helsingborg_is_never_darker_than_ten_and_a_half_degrees():
    minutes = midnight("2026-06-21").timestamp() + 60.0 * np.arange(MINUTES)
    altitude, azimuth = sun_position(minutes, 56.05, 12.69)
    assert altitude.min() == pytest.approx(-10.5, abs=0.05)
    assert azimuth[altitude.argmax()] == pytest.approx(180, abs=0.5)


def test_twilight_has_the_light_that_the_tables_tell():
    light = ground_light(np.array([0.0, -6.0, -12.0, -18.0]), SUNLIGHT)
    assert np.all(light > [410, 2.0, 0.007, 0.0005])
    assert np.all(light < [800, 3.5, 0.009, 0.0011])


def test_the_wall_clock_repeats_an_hour_in_october():
    wall, weekday = local_minute(midnight("2026-10-25"), 1, "Europe/Stockholm")
    assert [wall[0], wall[60], wall[120]] == [120, 120, 180]
    assert weekday[0] == 6


def test_the_same_plan_gives_the_same_feed_and_another_seed_another():
    first, events, _, faults, log = generate(SMALL)
    again, events_again, _, faults_again, log_again = generate(SMALL)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    assert (events, faults, log) == (events_again, faults_again, log_again)
    other, *_ = generate(dataclasses.replace(SMALL, seed=41))
    assert not np.array_equal(first["illuminance_lx"], other["illuminance_lx"], equal_nan=True)


def test_a_dead_lamp_leaves_its_street_dark_under_it():
    readings, _, town, faults, _ = generate(dataclasses.replace(SMALL, seed=3, each=2))
    dark = [s["dimming"] == "part_night" for s in town.segments]
    dead = [f for f in faults if f.kind == "lamp_failure" and town.lux[f.lamp] and f.start > 0]
    dead = [f for f in dead if not dark[town.seg[f.lamp]]]
    assert dead
    for f in dead:
        mine = (readings["lamp"] == f.lamp) & (readings["illuminance_lx"] >= 0)
        minute = readings["time"][mine] // 60_000
        lowest = [
            np.nanpercentile(readings["illuminance_lx"][mine][part], 10)
            for part in (minute < f.start, (minute > f.start) & (minute < f.end))
        ]
        assert lowest[1] < 0.7 * lowest[0]


def ljusvakt(*arguments):
    """What a command of the program answers, as JSON."""
    code = "import sys; from api.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
def test_most_of_a_small_foreign_city_is_found_with_few_orders_for_nothing(tmp_path):
    plan = Plan(
        "floor",
        50,
        "2026-09-05",
        days=26,
        lamps=70,
        watts=0.6,
        each=1,
        groups=("feeder",),
        trees=0.1,
    )
    write(plan, tmp_path)
    with (tmp_path / "truth.csv").open() as file:
        assert len({row["kind"] for row in csv.DictReader(file)}) == 12
    ljusvakt("backtest", tmp_path, "--out", tmp_path / "findings.csv")
    score = ljusvakt("score", "--findings", tmp_path)
    assert score["macro_f1"] > 0.5
    assert score["false_orders"] <= 3
