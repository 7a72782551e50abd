"""The score, on cases small enough to count by hand."""

import csv
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from api.cli import app
from api.errors import BadInputError, LjusvaktError
from firmware_sim.errors import TableError
from firmware_sim.score import (
    DAY_MS,
    OPEN_MS,
    Fault,
    Order,
    Run,
    as_facts,
    below_limits,
    binomial_bounds,
    noons_after,
    poisson_bounds,
    read_orders,
    read_run,
    read_truth,
    score_runs,
)
from firmware_sim.urgent import Lit, first_dark

START_MS = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp() * 1000)
HOUR_MS = 3_600_000


def at(day: float) -> int:
    return START_MS + round(day * DAY_MS)


def fault(kind: str, device: str, start: float, end: float | None = None, **more: str) -> Fault:
    span = (at(start), OPEN_MS if end is None else at(end))
    severity = more.get("severity", "major")
    return Fault(f"{device}:{kind}", kind, "luminaire", device, severity, {device: span})


def order(kind: str, devices: str | list[str], raised: float, incident: str = "") -> Order:
    names = [devices] if isinstance(devices, str) else devices
    spans = {name: (at(raised) - HOUR_MS, OPEN_MS) for name in names}
    label = incident or f"{kind}:{names[0]}:{raised}"
    kinds = dict.fromkeys(names, kind)
    return Order(label, kind, "luminaire", names[0], at(raised), kinds, spans)


def run_of(faults: list[Fault], orders: list[Order], lamp_nights: float = 1000.0) -> Run:
    in_time = sorted(orders, key=lambda o: o.raised_ms)
    return Run("run", faults, in_time, START_MS, at(30), lamp_nights)


def scored(faults: list[Fault], orders: list[Order], lamp_nights: float = 1000.0) -> dict[str, Any]:
    return as_facts(score_runs([run_of(faults, orders, lamp_nights)]))


def test_a_fault_that_was_found_under_its_name() -> None:
    facts = scored([fault("lamp_failure", "L-1", 10.9)], [order("lamp_failure", "L-1", 11.5)])

    assert facts["macro_f1"] == 1
    assert facts["false_orders"] == 0
    assert facts["kinds"]["lamp_failure"]["nights_median"] == 1
    assert facts["kinds"]["lamp_failure"]["by_first_noon"]["value"] == 1


def test_an_order_where_nothing_is_broken_is_false() -> None:
    facts = scored([fault("lamp_failure", "L-1", 10)], [order("lamp_failure", "L-2", 11.5)])

    assert facts["false_orders"] == 1
    assert facts["false_per_1000_lamp_nights"]["value"] == pytest.approx(1)
    assert facts["false_per_1000_lamp_years"]["value"] == pytest.approx(365.25)
    assert facts["kinds"]["lamp_failure"]["f1"] == 0


def test_an_order_before_the_fault_is_false() -> None:
    facts = scored([fault("lamp_failure", "L-1", 10)], [order("lamp_failure", "L-1", 9.5)])

    assert facts["false_orders"] == 1


@pytest.mark.parametrize(("raised", "false"), [(13.9, 0), (14.1, 1)])
def test_an_order_may_come_up_to_two_days_after_the_repair(raised: float, false: int) -> None:
    facts = scored([fault("lamp_failure", "L-1", 10, 12)], [order("lamp_failure", "L-1", raised)])

    assert facts["false_orders"] == false


def test_a_wrong_name_is_no_false_order_but_counts_against_both_kinds() -> None:
    facts = scored([fault("lamp_failure", "L-1", 10)], [order("cycling_failure", "L-1", 11.5)])

    assert facts["false_orders"] == 0
    assert facts["wrong_kind"] == [
        {"truth": "lamp_failure", "named": "cycling_failure", "orders": 1}
    ]
    assert facts["any_fault_recall"]["value"] == 1
    assert facts["kinds"]["lamp_failure"]["recall"]["value"] == 0
    assert facts["kinds"]["cycling_failure"]["precision"]["value"] == 0
    assert facts["macro_f1"] == 0


def test_a_sensor_order_for_a_lamp_sends_the_wrong_crew() -> None:
    faults = [fault("lamp_failure", "L-1", 10), fault("misaimed", "L-2", 10)]
    orders = [order("sensor_blind", "L-1", 11.5), order("lamp_failure", "L-2", 11.5)]

    assert scored(faults, orders)["right_crew"]["value"] == 0.5


def grouped(devices: list[str]) -> Fault:
    spans = {d: (at(10), OPEN_MS) for d in devices}
    return Fault("F-1:out", "supply_loss", "feeder", "F-1", "urgent", spans)


def test_one_order_for_a_feeder_is_right_and_two_are_not() -> None:
    devices = ["L-1", "L-2", "L-3"]
    one = scored([grouped(devices)], [order("supply_loss", devices, 10.02)])
    two = scored(
        [grouped(devices)],
        [order("supply_loss", devices[:2], 10.02), order("lamp_failure", "L-3", 10.5)],
    )

    assert one["grouped_with_one_order"]["value"] == 1
    assert one["urgent"]["feeder_not_told"]["exactly_one_order"]["value"] == 1
    assert two["grouped_with_one_order"]["value"] == 0
    assert two["orders_per_grouped_fault"] == 2
    assert two["repeated_orders"] == 1


def lit(*, mains: bool, always: bool = False, tunnel: bool = False) -> Lit:
    return Lit(mains, always, tunnel, 56.05, 12.69)


def urgent(lamps: dict[str, Lit], raised: list[float | None]) -> dict[str, Any]:
    """Urgent facts of equal faults, each in a run of its own, raised so many days into it."""
    runs = [
        replace(
            run_of([grouped(list(lamps))], [order("supply_loss", "L-1", d) for d in [day] if d]),
            lit=lamps,
        )
        for day in raised
    ]  # fmt: skip
    found: dict[str, Any] = as_facts(score_runs(runs))["urgent"]
    return found


def test_urgent_delay_is_counted_in_minutes_where_sensors_fall_silent() -> None:
    found = urgent({"L-1": lit(mains=True), "L-2": lit(mains=True)}, [10 + 70 / 1440] * 19 + [11.0])

    assert set(found) == {"feeder_silent", "all_silent"}
    assert found["feeder_silent"]["n"] == 20
    assert found["feeder_silent"]["bound_minutes"] == 75
    assert found["feeder_silent"]["p95_minutes"] == pytest.approx(70)
    assert found["feeder_silent"]["within_bound"]["hits"] == 19
    assert found["feeder_silent"]["met"]


def test_where_darkness_is_seen_the_bound_is_shorter() -> None:
    always = lit(mains=False, always=True, tunnel=True)
    found = urgent({"L-1": always, "L-2": lit(mains=True)}, [10 + 70 / 1440])

    assert set(found) == {"feeder_dark", "all_dark"}
    assert found["feeder_dark"]["bound_minutes"] == 45
    assert not found["feeder_dark"]["met"]


def test_an_urgent_fault_never_found_has_no_95th_percentile() -> None:
    found = urgent({"L-1": lit(mains=True)}, [10.01, None])

    assert found["all_silent"]["p95_minutes"] is None
    assert not found["all_silent"]["met"]
    assert found["all_silent"]["found"]["value"] == 0.5


def test_by_day_the_clock_of_darkness_waits_for_the_evening() -> None:
    noon = at(10) + DAY_MS // 2
    dark, silent = first_dark({"L-1": lit(mains=False)}, noon, None)
    always, _ = first_dark({"L-1": lit(mains=False, always=True)}, noon, None)

    assert not silent
    assert noon + 2 * 3_600_000 < dark < noon + 9 * 3_600_000
    assert always == noon


def test_the_clock_begins_with_the_first_reading_that_came_in(tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    path.write_text(
        "device_id,time,received_time,illuminance_lx\n"
        "L-1,2026-10-11T00:20:00Z,2026-10-11T00:25:00Z,0\n"
        "L-2,2026-10-11T00:01:00Z,2026-10-11T00:01:00Z,0\n",
        encoding="utf-8",
    )
    lamps = {"L-1": lit(mains=False, always=True), "L-2": lit(mains=True)}

    assert first_dark(lamps, at(10), path) == (at(10) + 25 * 60_000, False)


def test_orders_on_broken_counters_are_neither_false_nor_judged_with_the_lamps() -> None:
    broken = replace(fault("sensor_stuck", "N-1", 10), cause_kind="counter")
    facts = scored(
        [broken, fault("lamp_failure", "L-1", 10)],
        [order("sensor_stuck", "N-1", 11), order("lamp_failure", "L-1", 10.5)],
    )
    unseen = scored([broken], [])

    assert facts["false_orders"] == 0
    assert facts["faults"] == facts["orders"] == 1
    assert facts["kinds"]["sensor_stuck"]["faults"] == facts["kinds"]["sensor_stuck"]["orders"] == 0
    assert facts["counter_faults_with_an_order"]["value"] == 1
    assert unseen["counter_faults_with_an_order"]["value"] == 0
    assert unseen["macro_f1"] is None


def test_a_fault_older_than_the_run_is_counted_from_its_first_day() -> None:
    facts = scored([fault("lamp_failure", "L-1", -40)], [order("lamp_failure", "L-1", 1.5)])

    assert facts["kinds"]["lamp_failure"]["nights_median"] == 2


def test_the_horizon_makes_late_finds_misses_and_spares_young_faults() -> None:
    faults = [fault("depreciation", "L-1", 5), fault("depreciation", "L-2", 25)]
    run = Run("run", faults, [order("depreciation", "L-1", 22.5)], START_MS, at(30), 1000.0)

    without = as_facts(score_runs([run]))["kinds"]["depreciation"]
    within = as_facts(score_runs([run], horizon_days=14))["kinds"]["depreciation"]

    assert (without["recall"]["hits"], without["recall"]["n"]) == (1, 2)
    assert (within["recall"]["hits"], within["recall"]["n"]) == (0, 1)


def test_runs_are_pooled() -> None:
    one = Run(
        "a", [fault("misaimed", "L-1", 5)], [order("misaimed", "L-1", 6.5)], START_MS, at(30), 500
    )
    two = Run(
        "b", [fault("misaimed", "L-1", 5)], [order("misaimed", "L-9", 6.5)], START_MS, at(30), 500
    )
    facts = as_facts(score_runs([one, two]))

    assert facts["lamp_nights"] == 1000
    assert facts["kinds"]["misaimed"]["recall"]["value"] == 0.5
    assert facts["false_orders"] == 1


@pytest.mark.parametrize(
    ("start", "raised", "noons"),
    [
        (10.9, 11.5, 1),
        (10.9, 11.2, 1),
        (10.9, 11.51, 2),
        (10.9, 12.5, 2),
        (10.4, 10.5, 1),
        (10.6, 13.5, 3),
    ],
)
def test_nights_are_counted_by_noon_rounds(start: float, raised: float, noons: int) -> None:
    assert noons_after(at(start), at(raised)) == noons


@settings(deadline=None)
@given(st.integers(0, 60), st.floats(0.1, 1e6))
def test_poisson_bounds_are_garwoods(count: int, exposure: float) -> None:
    low, high = poisson_bounds(count, exposure)
    expected = stats.chi2.ppf(0.025, 2 * count) / 2 / exposure if count else 0.0

    assert low == pytest.approx(expected, rel=1e-8)
    assert high == pytest.approx(stats.chi2.ppf(0.975, 2 * count + 2) / 2 / exposure, rel=1e-8)


@settings(deadline=None)
@given(st.integers(1, 200), st.data())
def test_share_bounds_are_clopper_and_pearsons(trials: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, trials))
    interval = stats.binomtest(hits, trials).proportion_ci(method="exact")

    low, high = binomial_bounds(hits, trials)
    assert low == pytest.approx(interval.low, abs=1e-9)
    assert high == pytest.approx(interval.high, abs=1e-9)


def test_nothing_at_all_is_not_a_perfect_score() -> None:
    facts = scored([], [])

    assert facts["macro_f1"] is None
    assert facts["any_fault_recall"] == {"value": None, "hits": 0, "n": 0, "low": 0.0, "high": 1.0}
    assert facts["false_per_1000_lamp_nights"]["value"] == 0
    assert facts["false_per_1000_lamp_nights"]["high"] == pytest.approx(-math.log(0.025))


def test_limits_are_floors_for_shares_and_ceilings_for_false_orders() -> None:
    facts = scored(
        [fault("misaimed", "L-1", 5)], [order("misaimed", "L-1", 6.5), order("misaimed", "L-2", 7)]
    )

    assert below_limits(facts, {"macro_f1": 0.6, "false_per_1000_lamp_nights": 1.5}) == []
    assert len(below_limits(facts, {"macro_f1": 0.9, "false_per_1000_lamp_nights": 0.5})) == 2
    assert below_limits(facts, {"kinds.misaimed.recall": 1.0}) == []
    assert below_limits(facts, {"kinds.misaimed.nights_p90": 5}) == []
    assert len(below_limits(facts, {"kinds.misaimed.nights_p90": 1})) == 1
    assert below_limits(facts, {"kinds.sensor_stuck.recall": 0.1}) == [
        "kinds.sensor_stuck.recall is not known"
    ]


@pytest.mark.parametrize("name", ["kinds.unheard_of.recall", "kinds", "wrong_kind", "macro"])
def test_a_limit_on_what_is_no_number_is_refused(name: str) -> None:
    with pytest.raises(KeyError):
        below_limits(scored([fault("misaimed", "L-1", 5)], []), {name: 0.1})


def write_tables(folder: Path) -> None:
    """A run of one fault found, one missed, and one order for nothing."""
    folder.mkdir(exist_ok=True)
    truth = [
        ("a", "lamp_failure", "L-1", "2026-10-11T20:00:00Z", "", "a", "luminaire", "L-1", "major"),
        ("b", "sensor_stuck", "L-2", "2026-10-12T20:00:00Z", "", "b", "sensor", "L-2", "minor"),
    ]
    findings = [
        (
            "lamp_failure",
            "L-1",
            "x",
            "luminaire",
            "L-1",
            "2026-10-11T20:10:00Z",
            "",
            "2026-10-12T12:00:00Z",
        ),
        (
            "misaimed",
            "L-3",
            "y",
            "luminaire",
            "L-3",
            "2026-10-13T20:10:00Z",
            "",
            "2026-10-14T12:00:00Z",
        ),
    ]
    heads = {
        "truth": "fault_id kind device_id start end incident cause_kind cause_id severity",
        "findings": "kind device_id incident cause_kind cause_id start end raised_at",
        "assets": "device_id kind nominal_illuminance_lx dimming lat lon",
    }
    assets = [(f"L-{k}", "luminaire", "20", "22:00-05:00@40", "56.05", "12.69") for k in (1, 2, 3)]
    assets.append(("N-1", "counter", "", "", "56.05", "12.69"))
    for name, rows in (("truth", truth), ("findings", findings), ("assets", assets)):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([heads[name].split(), *rows])
    time_ms = START_MS + np.arange(20 * 144) * 600_000
    pq.write_table(
        pa.table(
            {
                "device_id": pa.array(["L-2", "L-3"] * len(time_ms)).sort(),
                "time": pa.array(np.tile(time_ms, 2), pa.timestamp("ms", "UTC")),
                "illuminance_lx": pa.array(np.full(2 * len(time_ms), 20.0), pa.float32()),
            }
        ),
        folder / "readings.parquet",
    )


def test_the_command_scores_a_folder_and_draws_misses_and_false_orders(tmp_path: Path) -> None:
    write_tables(tmp_path / "run")
    report = tmp_path / "report.html"
    result = CliRunner().invoke(
        app, ["score", "--findings", str(tmp_path / "run"), "--json", "--report", str(report)]
    )
    facts = json.loads(result.stdout)
    page = report.read_text("utf-8")

    assert result.exit_code == 0
    assert facts["lamp_nights"] == pytest.approx(60, abs=0.1)
    assert (facts["faults"], facts["orders"], facts["false_orders"]) == (2, 2, 1)
    assert page.count("<figure>") == page.count("<svg viewBox") == 2
    assert "sensor_stuck on L-2" in page
    assert "misaimed on L-3" in page
    assert "http" not in page


def test_a_fault_found_under_another_name_alone_has_its_picture(tmp_path: Path) -> None:
    write_tables(tmp_path / "run")
    wrong = (
        (tmp_path / "run" / "findings.csv").read_text("utf-8").replace("lamp_failure", "misaimed")
    )
    (tmp_path / "run" / "findings.csv").write_text(wrong, "utf-8")
    report = tmp_path / "report.html"
    run_it = ["score", "--findings", str(tmp_path / "run"), "--report", str(report)]
    result = CliRunner().invoke(app, run_it)
    page = report.read_text("utf-8")
    named = page[page.index("Found under another name alone (1)") : page.index("False orders (")]

    assert result.exit_code == 0
    assert named.count("<figure>") == 1
    assert "lamp_failure on L-1" in named
    assert "named misaimed" in named


def test_the_command_fails_under_a_limit(tmp_path: Path) -> None:
    write_tables(tmp_path / "run")
    run = ["score", "--findings", str(tmp_path / "run"), "--days", "20", "--fail-under"]

    assert CliRunner().invoke(app, [*run, "macro_f1=0.4"]).exit_code == 0
    assert isinstance(CliRunner().invoke(app, [*run, "macro_f1=0.9"]).exception, LjusvaktError)
    for wrong in ("macro_f1", "macro_f1=nan", "macro=0.5"):
        assert isinstance(CliRunner().invoke(app, [*run, wrong]).exception, BadInputError)


def test_text_for_people_names_kinds_and_bounds(tmp_path: Path) -> None:
    write_tables(tmp_path / "run")
    result = CliRunner().invoke(app, ["score", "--findings", str(tmp_path / "run")])

    assert "lamp_failure" in result.stdout
    assert "[" in result.stdout


def test_an_unknown_exposure_is_said_and_not_guessed(tmp_path: Path) -> None:
    write_tables(tmp_path)

    with pytest.raises(TableError, match="--assets"):
        read_run(tmp_path / "findings.csv", tmp_path / "truth.csv")
    with pytest.raises(TableError, match="--days"):
        read_run(tmp_path / "findings.csv", tmp_path / "truth.csv", assets=tmp_path / "assets.csv")


def test_a_table_without_its_columns_is_named(tmp_path: Path) -> None:
    write_tables(tmp_path)

    with pytest.raises(TableError, match="raised_at"):
        read_run(tmp_path / "truth.csv", tmp_path / "truth.csv", lamp_nights=1)


TRUTH_ROWS: list[dict[str, str | None]] = [
    {"end": None, "start": "2026-10-11T22:00:00+02:00", "device_id": "L-1", "kind": "misaimed"},
    {
        "end": "2026-10-14 20:00:00Z",
        "start": "2026-10-12T20:00:00",
        "device_id": "Å-2",
        "kind": "sensor_stuck",
    },
]
SPANS = [
    {"L-1": (at(10) + 20 * HOUR_MS, OPEN_MS)},
    {"Å-2": (at(11) + 20 * HOUR_MS, at(13) + 20 * HOUR_MS)},
]


def as_csv(separator: str, encoding: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        lines = [list(TRUTH_ROWS[0])] + [[v or "" for v in row.values()] for row in TRUTH_ROWS]
        text = "\r\n".join(separator.join(line) for line in lines)
        (folder / "truth.csv").write_bytes(text.encode(encoding))
        return folder / "truth.csv"

    return write


def as_json_lines(folder: Path) -> Path:
    rows = [{k: v for k, v in row.items() if v is not None} for row in TRUTH_ROWS]
    (folder / "truth.jsonl").write_text("\n\n".join(map(json.dumps, rows)), "utf-8")
    return folder / "truth.jsonl"


def as_parquet(text: Any, end: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        columns = {n: pa.array([row[n] for row in TRUTH_ROWS], text) for n in TRUTH_ROWS[0]}
        moments = [None, datetime(2026, 10, 14, 20, tzinfo=UTC)]
        columns["end"] = columns["end"] if pa.types.is_null(end) else pa.array(moments, end)
        pq.write_table(pa.table(columns), folder / "truth.parquet")
        return folder / "truth.parquet"

    return write


@pytest.mark.parametrize(
    "write",
    [
        as_csv(",", "utf-8-sig"),
        as_csv(";", "cp1252"),
        as_csv("\t", "utf-8"),
        as_json_lines,
        as_parquet(pa.string(), pa.timestamp("us", "Europe/Stockholm")),
        as_parquet(pa.large_string(), pa.timestamp("ns", "UTC")),
        as_parquet(pa.dictionary(pa.int32(), pa.string()), pa.timestamp("s", "UTC")),
        as_parquet(pa.string(), pa.null()),
    ],
    ids=["comma", "semicolon", "tab", "lines", "zoned", "large", "dictionary", "text"],
)
def test_truth_of_another_simulator_is_read_in_any_form(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    faults = read_truth(write(tmp_path))

    assert [f.spans for f in faults] == SPANS
    assert [f.kind for f in faults] == ["misaimed", "sensor_stuck"]


def test_rows_without_an_incident_are_no_common_one(tmp_path: Path) -> None:
    path = tmp_path / "findings.csv"
    path.write_text(
        "raised_at,device_id,kind,incident\n"
        "2026-10-12T14:00:00+02:00,L-1,misaimed,\n2026-10-13T12:00:00Z,L-2,misaimed,\n"
    )
    orders = read_orders(path)

    assert [(list(o.spans), o.raised_ms) for o in orders] == [
        (["L-1"], at(11.5)),
        (["L-2"], at(12.5)),
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("L-1,misaimed,yesterday\n", "row 1: raised_at 'yesterday' is no time"),
        ("L-1,misaimed,2026-10-12T12:00:00Z\nL-2,misaimed,\n", "row 2: raised_at is empty"),
    ],
)
def test_a_finding_without_a_usable_time_is_named(tmp_path: Path, rows: str, words: str) -> None:
    path = tmp_path / "findings.csv"
    path.write_text(f"device_id,kind,raised_at\n{rows}")

    with pytest.raises(TableError, match=words):
        read_orders(path)


def test_runs_with_readings_as_csv_are_pooled_and_drawn_each_with_its_own_street(
    tmp_path: Path,
) -> None:
    for run, nominal in (("a", "20"), ("b", "7")):
        folder = tmp_path / run / "feed"
        folder.parent.mkdir()
        write_tables(folder)
        readings = pq.read_table(folder / "readings.parquet")
        pa_csv.write_csv(readings, folder / "readings.csv")
        (folder / "readings.parquet").unlink()
        assets = (folder / "assets.csv").read_text().replace(",20,", f",{nominal},")
        (folder / "assets.csv").write_text(assets)
    report = tmp_path / "report.html"
    folders = [part for run in ("a", "b") for part in ("--findings", str(tmp_path / run / "feed"))]
    result = CliRunner().invoke(app, ["score", *folders, "--report", str(report), "--json"])
    page = report.read_text("utf-8")

    assert json.loads(result.stdout)["lamp_nights"] == pytest.approx(120, abs=0.2)
    figures = [part.split("</figure>")[0] for part in page.split("<figure>")[1:]]
    assert len(figures) == 4
    expected = [re.findall(r'd="([^"]+)"[^>]*dasharray', figure)[0] for figure in figures]
    assert all(expected)
    assert expected[0] != expected[1]


def test_an_order_with_a_wrong_name_is_about_all_it_covers_and_meant_for_the_most() -> None:
    row = Fault(
        "row", "supply_loss", "segment", "S", "urgent", {f"L-{k}": (at(5), OPEN_MS) for k in (1, 2)}
    )
    facts = scored(
        [fault("lamp_failure", "L-3", 5), row],
        [order("communication_failure", ["L-1", "L-2", "L-3"], 6)],
    )

    assert facts["any_fault_recall"]["hits"] == 2
    assert facts["grouped_with_one_order"]["hits"] == 1
    assert facts["wrong_kind"] == [
        {"truth": "supply_loss", "named": "communication_failure", "orders": 1}
    ]
