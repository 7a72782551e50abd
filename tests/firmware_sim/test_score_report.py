"""The score's page shows every miss and every false order, however many, and stays usable."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from firmware_sim.report import write_report
from firmware_sim.score import DAY_MS, OPEN_MS, Fault, Order, Run, as_facts, score_runs
from firmware_sim.tables import traces

START_MS = int(datetime(2026, 10, 1, 12, tzinfo=UTC).timestamp() * 1000)
DAYS = 12


def feed(path: Path, devices: list[str]) -> Path:
    """Readings every ten minutes: noisy light by night, the sun by day."""
    time_ms = START_MS + np.arange(DAYS * 144) * 600_000
    hour = time_ms / 3_600_000 % 24
    noise = np.random.default_rng(7).normal(1, 0.02, (len(devices), len(time_ms)))
    lux = np.where(abs(hour - 12) < 6, 20_000 * np.cos((hour - 12) * np.pi / 13), 20.0) * noise
    columns = {
        "device_id": np.repeat(devices, len(time_ms)),
        "time": pa.array(np.tile(time_ms, len(devices)), pa.timestamp("ms", "UTC")),
        "illuminance_lx": lux.ravel(),
    }
    if path.suffix == ".csv":
        pa_csv.write_csv(pa.table(columns), path)
    else:
        pq.write_table(pa.table(columns), path)
    return path


def fault(device: str, kind: str = "lamp_failure") -> Fault:
    span = (START_MS + 3 * DAY_MS, OPEN_MS)
    return Fault(device, kind, "luminaire", device, "major", {device: span})


def order(device: str, kind: str = "misaimed") -> Order:
    raised = START_MS + 5 * DAY_MS
    span = (raised - DAY_MS, OPEN_MS)
    return Order(device, kind, "luminaire", device, raised, {device: kind}, {device: span})


def page_of(path: Path, run: Run) -> str:
    score = score_runs([run])
    write_report(path, score, as_facts(score), {})
    return path.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_each_of_hundreds_of_misses_and_false_orders_has_its_picture(
    tmp_path: Path, form: str
) -> None:
    missed, false = [f"M-{k}" for k in range(230)], [f"X-{k}" for k in range(215)]
    readings = feed(tmp_path / f"readings.{form}", missed + false)
    run = Run(
        "run",
        [fault(d, "lamp_failure" if k % 2 else "sensor_stuck") for k, d in enumerate(missed)],
        [order(d) for d in false],
        START_MS,
        START_MS + DAYS * DAY_MS,
        5000.0,
        readings,
    )
    page = page_of(tmp_path / "score.html", run)
    figures = page.split("<figure>")[1:]

    assert len(figures) == len(missed) + len(false)
    assert [d for d in missed + false if f" on {d}, " not in page] == []
    assert all('stroke="var(--lamp)"' in figure for figure in figures)
    assert page.count("<details>") == 3  # folded, one for each kind of each sort
    assert len(page) < 9_500 * len(figures)  # a thousand in less than ten megabytes
    assert "http" not in page


def test_a_few_pictures_stand_open_and_none_is_said(tmp_path: Path) -> None:
    readings = feed(tmp_path / "readings.parquet", ["M-1"])
    run = Run("run", [fault("M-1")], [], START_MS, START_MS + DAYS * DAY_MS, 9.0, readings)
    page = page_of(tmp_path / "score.html", run)

    assert "<details open><summary>lamp_failure (1)</summary>" in page
    assert "<h2>False orders (0)</h2><p>None.</p>" in page


def test_what_people_wrote_is_text_in_the_page(tmp_path: Path) -> None:
    run = Run("<b>run</b>", [fault("M-<1>&")], [], START_MS, START_MS + DAY_MS, 1.0)
    page = page_of(tmp_path / "score.html", run)

    assert "lamp_failure on M-&lt;1&gt;&amp;" in page
    assert "<b>" not in page


def test_a_device_without_readings_has_a_picture_of_what_was_expected(tmp_path: Path) -> None:
    readings = feed(tmp_path / "readings.parquet", ["L-1"])
    run = Run("run", [fault("M-1")], [], START_MS, START_MS + DAYS * DAY_MS, 9.0, readings)
    page = page_of(tmp_path / "score.html", run)

    assert 'aria-label="M-1"' in page
    assert 'stroke="var(--lamp)"' not in page


def test_traces_are_each_device_s_own_by_time_without_sentinels(tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    path.write_text(
        "device_id;time;illuminance_lx\n"
        "B;2026-10-01T12:10:00Z;2,5\n"
        "A;2026-10-01T12:20:00Z;65535\n"
        "B;;9\n"
        "A;2026-10-01T12:00:00Z;1\n"
        "C;2026-10-01T12:00:00Z;7\n"
        "B;2026-10-01T12:00:00Z;\n",
        "utf-8",
    )
    found = traces(path, {"A", "B", "D"})

    assert sorted(found) == ["A", "B"]
    np.testing.assert_array_equal(found["A"][0], [START_MS, START_MS + 1_200_000])
    np.testing.assert_array_equal(found["A"][1], [1, np.nan])
    np.testing.assert_array_equal(found["B"][0], [START_MS, START_MS + 600_000])
    np.testing.assert_array_equal(found["B"][1], [np.nan, 2.5])
