"""`ljusvakt activity` and `ljusvakt evaluate`, run as people run them."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from api.cli import app
from api.errors import BadInputError
from api.tables import write_table

RUNNER = CliRunner()


def run(*arguments):
    found = RUNNER.invoke(app, [str(a) for a in arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.fixture(scope="module")
def swedish_file(tmp_path_factory):
    """Ten places for 420 days from a Swedish spreadsheet; the first rises by half."""
    rng = np.random.default_rng(3)
    lines = ["Plats;Datum;Antal"]
    weather = np.exp(0.15 * rng.standard_normal(420))
    drift = np.exp(np.cumsum(0.004 * rng.standard_normal((420, 10)), axis=0))
    for d, day in enumerate(np.arange("2025-01-01", "2026-02-25", dtype="M8[D]")):
        for site in range(10):
            mean = 900 * weather[d] * drift[d, site] * (1.5 if site == 0 and d >= 364 else 1)
            lines.append(f"Torg {site} å;{day};{rng.poisson(mean)},0")
    path = tmp_path_factory.mktemp("se") / "räkning.csv"
    path.write_bytes("\r\n".join(lines).encode("cp1252"))
    return path


COLUMNS = ("--site-column", "plats", "--time-column", "datum", "--count-column", "antal")


def test_a_swedish_file_is_evaluated_as_it_is(swedish_file, tmp_path):
    report = tmp_path / "ut.html"
    arguments = ("evaluate", "--counts", swedish_file, *COLUMNS, "--site", "Torg 0 å",
                 "--date", "2025-12-31", "--report", report)  # fmt: skip
    said = json.loads(run(*arguments, "--json"))
    assert said["result"]["verdict"] == "increase"
    assert said["result"]["low_percent"] < 50 < said["result"]["high_percent"]
    assert said["result"]["n_controls"] == 9
    assert "ökade med" in report.read_text(encoding="utf-8")
    assert "ökade med" in run(*arguments)
    assert "rose by" in run(*arguments, "--lang", "en")


def test_several_sites_pool_and_controls_may_be_named(swedish_file):
    said = json.loads(
        run("evaluate", "--counts", swedish_file, *COLUMNS, "--site", "Torg 1 å", "--site",
            "Torg 2 å", "--date", "2025-12-31", "--before", "20w", "--after", "42d",
            "--controls", "Torg 3 å;Torg 4 å;Torg 5 å;Torg 6 å;Torg 7 å",
            "--controls", "Torg 8 å", "--exclude", "Torg 8 å", "--json")
    )  # fmt: skip
    assert said["sites"] == ["Torg 1 å", "Torg 2 å"]
    assert said["result"]["n_controls"] == 5
    assert said["result"]["before"]["days"] == 140
    assert said["result"]["after"]["days"] == 42
    assert said["result"]["excluded"] == [{"site": "Torg 8 å", "reason": "named_by_planner"}]


def test_activity_answers_for_daily_counts_too(swedish_file):
    said = json.loads(run("activity", "--counts", swedish_file, *COLUMNS, "--json"))
    assert said["cells"] == "days"
    assert len(said["sites"]) == 10
    assert said["sites"][0]["states"]["busy"] == 7
    assert "Torg 0 å" in run("activity", "--counts", swedish_file, *COLUMNS)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--site", "Nej", "--date", "2025-12-31"), "no site"),
        (("--site", "Torg 0 å", "--date", "31/12"), "not a date"),
        (("--site", "Torg 0 å", "--date", "2035-12-31"), "outside the counts"),
        (("--site", "Torg 0 å", "--date", "2025-12-31", "--before", "long"), "not a length"),
        (("--site", "Torg 0 å", "--date", "2025-12-31", "--band", "18-24"), "daily counts"),
        (("--site", "Torg 0 å", "--date", "2025-12-31", "--alpha", "2"), "alpha"),
        (("--site", "Torg 0 å", "--date", "2025-12-31", "--lang", "fr"), "sv or en"),
        (("--site", "Torg 0 å", "--date", "2025-12-31", "--lat", "56"), "--lon"),
        (("--site", "Torg 0 å", "--date", "2025-12-31", "--device-change", "x"), "PLACE=2026"),
        (("--site", "Torg 0 å", "--date", "2025-12-31", "--lighting-failed", "9"), "two shares"),
        (("--site", "Torg 0 å", "--date", "2025-12-31", "--tz", "Mars"), "time zone"),
        (("--site", "Torg 0 å", "--date", "2025-12-31", "--report", "/none/x.html"), "No such"),
    ],
)
def test_what_cannot_be_done_is_one_line(swedish_file, more, said):
    with pytest.raises(BadInputError, match=said) as caught:
        run("evaluate", "--counts", swedish_file, *COLUMNS, *more)
    assert "\n" not in str(caught.value)


def test_a_country_without_known_holidays_is_named(swedish_file):
    with pytest.raises(BadInputError, match="XX"):
        run("activity", "--counts", swedish_file, *COLUMNS, "--holidays", "XX")


def test_an_influence_zone_is_found_from_positions(swedish_file, tmp_path):
    where = tmp_path / "platser.csv"
    write_table(
        where,
        {
            "site": [f"Torg {n} å" for n in range(10)],
            "lat": [56.05] * 10,
            "lon": [12.70 + (0.001 if n == 1 else 0.01) * n for n in range(10)],
        },
    )
    said = json.loads(
        run("evaluate", "--counts", swedish_file, *COLUMNS, "--site", "Torg 0 å",
            "--date", "2025-12-31", "--locations", where, "--json")
    )  # fmt: skip
    assert {*said["spill_over"]} == {"Torg 1 å"}
    assert {"site": "Torg 1 å", "reason": "inside_influence_zone"} in said["result"]["excluded"]


@pytest.mark.data
@pytest.mark.slow
def test_all_eight_cameras_of_leeds_are_answered_and_copies_count_once(data_dir, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = data_dir / "footfall" / "leeds_hourly_2009_2011.parquet"
    table = pq.read_table(source)
    copies = tmp_path / "copies.parquet"
    pq.write_table(pa.concat_tables([table, table.slice(1000, 500)]), copies)
    arguments = ("--site-column", "sensor", "--time-column", "local_time", "--tz",
                 "Europe/London", "--json")  # fmt: skip
    one = json.loads(run("activity", "--counts", source, *arguments))
    two = json.loads(run("activity", "--counts", copies, *arguments))
    assert len(one["sites"]) == 8
    assert [s["states"]["insufficient"] for s in one["sites"]] == [0] * 8
    assert sum(s["quality"]["repeated_rows"] for s in two["sites"]) == 500
    assert [s["p_low"] for s in two["sites"]] == [s["p_low"] for s in one["sites"]]
    assert [s["quality"]["skipped_hour_rows"] for s in one["sites"]] == [3, 3, 3, 3, 2, 3, 3, 3]


@pytest.mark.data
@pytest.mark.slow
def test_zurichs_lockdown_is_a_fall_against_what_places_did_before(data_dir):
    # The lockdown struck every place: against the others a place may only stand out, not fall.
    said = json.loads(
        run("evaluate", "--counts", data_dir / "footfall" / "zurich_daily_foot_covid.parquet",
            "--site-column", "station", "--time-column", "date", "--tz", "Europe/Zurich",
            "--site", "FZS_LIMM", "--date", "2020-03-16", "--json")
    )  # fmt: skip
    assert said["result"]["refused"] is None
    assert said["result"]["before"]["days"] == 70
    assert said["result"]["high_percent"] > 0 > said["result"]["low_percent"]


def test_activity_speaks_swedish_and_english(swedish_file):
    swedish = run("activity", "--counts", swedish_file, *COLUMNS)
    assert " till " in swedish.splitlines()[0]
    assert "helgdagar: SE" in swedish
    assert "färre än" in swedish
    english = run("activity", "--counts", swedish_file, *COLUMNS, "--lang", "en")
    assert "holidays: SE" in english
    assert "probably or certainly" in english
    assert "probably" not in swedish


@pytest.mark.parametrize(
    "wrong", [("--below", "-1"), ("--below", "nan"), ("--below-share", "-0.5"), ("--lang", "de")]
)
def test_a_limit_below_nobody_is_refused(swedish_file, wrong):
    with pytest.raises(BadInputError):
        run("activity", "--counts", swedish_file, *COLUMNS, *wrong)


def test_a_cell_that_is_no_number_is_told_by_the_files_own_column(tmp_path):
    path = tmp_path / "fel.csv"
    path.write_text("Plats;Tid;Antal\nTorget;2026-05-01 10:00;många\n", encoding="utf-8")
    with pytest.raises(BadInputError, match="line 2, column 'Antal': 'många'"):
        run("activity", "--counts", path)
