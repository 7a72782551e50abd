"""Feeds as people have them are read; what cannot be used is told."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from analytics.rules import RANGES, Rules
from api.cli import app
from api.errors import BadInputError
from api.watch.feed import read_feed
from api.watch.rules_file import load_rules
from ingest.reading import Quantity

NOON = 1_790_251_200_000  # 2026-09-24T12:00Z


def lux_of(feed):
    found = feed.source.columns(Quantity.ILLUMINANCE, start_ms=0, stop_ms=2**60)
    return [
        (found.device_ids[d], int(t), float(v))
        for d, t, v in zip(found.device, found.time_ms, found.value, strict=True)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "device_id,time,illuminance_lx\nA,2026-09-24T12:00:00Z,1.5\n",
        "device_id,time,illuminance_lx\nA,2026-09-24T14:00:00+02:00,1.5\n",
        "device_id;time;illuminance_lx\nA;2026-09-24 12:00:00;1,5\n",
        "device_id,time,illuminance_lx\nA,1790251200000,1.5\n",
        "device_id,time,illuminance_lx\nA,1790251200,1.5\n",
        "DEVICE_ID,Time,illuminance_lx,colour\nA,2026-09-24T12:00:00Z,1.5,blue\n",
        "device_id,time,illuminance_lx\nA,2026-09-24T12:00:00Z,1.5\nA,2026-09-24T12:10:00Z,\n",
    ],
)
def test_one_reading_is_read_however_it_is_written(tmp_path, text):
    (tmp_path / "readings.csv").write_text(text)
    assert lux_of(read_feed(tmp_path)) == [("A", NOON, 1.5)]


def test_many_files_in_folders_are_one_feed(tmp_path):
    for day, name in enumerate("ab"):
        where = tmp_path / "readings" / f"day={day}"
        where.mkdir(parents=True)
        table = pa.table(
            {
                "device_id": ["A"],
                "time": pa.array([NOON + day], pa.timestamp("ms", "UTC")),
                "illuminance_lx": [float(day)],
            }
        )
        pq.write_table(table, where / f"{name}.parquet")
    assert lux_of(read_feed(tmp_path)) == [("A", NOON, 0.0), ("A", NOON + 1, 1.0)]


def test_the_last_write_of_a_reading_wins_and_keeps_the_first_arrival(tmp_path):
    (tmp_path / "readings.csv").write_text(
        "device_id,time,received_time,illuminance_lx\n"
        "A,2026-09-24T12:00:00Z,2026-09-24T12:00:09Z,2\n"
        "A,2026-09-24T12:00:00Z,2026-09-24T12:00:01Z,1\n"
    )
    feed = read_feed(tmp_path)
    assert lux_of(feed) == [("A", NOON, 2.0)]
    found = feed.source.columns(Quantity.ILLUMINANCE, start_ms=0, stop_ms=2**60)
    assert found.received_ms.tolist() == [NOON + 1000]


def test_a_clock_in_1970_takes_the_time_of_arrival(tmp_path):
    (tmp_path / "readings.csv").write_text(
        "device_id,time,received_time,illuminance_lx\n"
        "A,1970-01-01T00:00:10Z,2026-09-24T12:00:00Z,1\n"
    )
    assert lux_of(read_feed(tmp_path)) == [("A", NOON, 1.0)]


def test_an_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises(BadInputError, match="no readings"):
        read_feed(tmp_path)


def test_a_file_that_is_not_what_it_says_is_one_clear_line(tmp_path):
    (tmp_path / "readings.parquet").write_bytes(b"not parquet")
    with pytest.raises(BadInputError, match=r"readings\.parquet"):
        read_feed(tmp_path)


def test_windows_are_half_open(tmp_path):
    (tmp_path / "readings.csv").write_text(
        "device_id,time,illuminance_lx\nA,2026-09-24T12:00:00Z,1\nA,2026-09-24T12:10:00Z,2\n"
    )
    source = read_feed(tmp_path).source
    found = source.columns(Quantity.ILLUMINANCE, start_ms=NOON, stop_ms=NOON + 600_000)
    np.testing.assert_array_equal(found.value, [1.0])


def test_rules_are_read_by_name_and_wrong_ones_are_refused(tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text("silent_h = 36\n")
    assert load_rules(rules).silent_h == 36
    assert load_rules(rules).row == Rules().row
    rules.write_text("quiet = 36\n")
    with pytest.raises(BadInputError, match="quiet"):
        load_rules(rules)


@pytest.mark.parametrize("line", ["silent_h = -1", "dark_share = 75", "row = 4.5", "tail_h = nan"])
def test_a_threshold_that_makes_no_sense_is_refused_with_its_range(tmp_path, line):
    rules = tmp_path / "rules.toml"
    rules.write_text(line + "\n")
    with pytest.raises(BadInputError, match=line.split()[0]) as refused:
        load_rules(rules)
    assert "from" in refused.value.remedy


def test_every_threshold_has_a_range_and_its_default_lies_in_it():
    for name in Rules.__slots__:
        least, most = RANGES[name]
        assert least <= getattr(Rules(), name) <= most


def test_the_command_writes_findings_and_a_summary(tmp_path):
    (tmp_path / "readings.csv").write_text(
        "device_id,time,illuminance_lx\nA,2026-09-24T12:00:00Z,1\n"
    )
    out = tmp_path / "findings.csv"
    result = CliRunner().invoke(app, ["backtest", str(tmp_path), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    assert '"findings": 0' in result.output
    assert out.read_text().startswith(
        "kind,device_id,incident,cause_kind,cause_id,start,end,raised_at"
    )
