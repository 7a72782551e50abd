"""The same three nights, written as people write them: the same lamp is found out."""

import csv
import json
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from street_of_lamps import Street
from typer.testing import CliRunner

import api.watch.feed_tables
from analytics.rules import Rules
from api.cli import app
from api.watch.backtest import run_backtest
from api.watch.feed import read_feed
from ingest.reading import Quantity

SUMMER = timezone(timedelta(hours=2))
STREET = Street(feeders=1, lamps=6, nights=3)
STREET.lit[2, STREET.at(1, 8) :] = 0


def rows():
    """(device, time, received, lux) of everything heard."""
    lux = STREET.lux()
    for row, asset in enumerate(STREET.assets):
        for k, time_ms in enumerate(STREET.time_ms):
            if np.isfinite(lux[row, k]):
                yield asset.device_id, int(time_ms), int(time_ms) + 1000, float(lux[row, k])


def moment(time_ms, zone=UTC):
    return datetime.fromtimestamp(time_ms / 1000, tz=zone)


def plain(folder):
    with (folder / "readings.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["device_id", "time", "received_time", "illuminance_lx"])
        out.writerows([d, moment(t).isoformat(), moment(r).isoformat(), v] for d, t, r, v in rows())


def csv_with_offsets(folder):
    with (folder / "readings.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["device_id", "time", "illuminance_lx"])
        out.writerows([d, moment(t, SUMMER).isoformat(), v] for d, t, _, v in rows())


def json_lines_with_offsets(folder):
    with (folder / "readings.jsonl").open("w") as file:
        for d, t, r, v in rows():
            row = {"device_id": d, "time": moment(t, SUMMER).isoformat(), "illuminance_lx": v}
            if t % 3 == 0:  # some tell when they came, some do not
                row["received_time"] = moment(r).isoformat()
            file.write(json.dumps(row) + "\n")


def swedish_spreadsheet(folder):
    lines = ["device_id;time;illuminance_lx;plats"]
    for d, t, _, v in rows():
        text = f"{v:.1f}".replace(".", ",")
        lines.append(f"{d};{moment(t):%Y-%m-%d %H:%M:%S};{text};Ängelholmsvägen")
    (folder / "readings.csv").write_bytes("\r\n".join(lines).encode("cp1252"))


def long_form(folder):
    with (folder / "readings.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["device", "time_ms", "quantity", "value"])
        out.writerows([d, t, "illuminance_lx", v] for d, t, _, v in rows())


def street_as_csv(folder, street):
    with (folder / "assets.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(
            ["device_id", "segment", "segment_order", "feeder", "supply", "nominal_illuminance_lx"]
        )
        out.writerows(
            [a.device_id, a.segment, a.segment_order, a.feeder, "battery", 20]
            for a in street.assets
        )


FORMS = [plain, csv_with_offsets, json_lines_with_offsets, swedish_spreadsheet, long_form]


def found(folder):
    """What is said about which luminaire, and when it began."""
    feed = read_feed(folder)
    return {
        (f.device_id, f.kind.value, f.start_ms)
        for f in run_backtest(feed, Rules(), tz="Europe/Stockholm").findings
    }


@pytest.mark.parametrize("write", FORMS, ids=lambda f: f.__name__)
def test_the_same_nights_find_the_same_lamp_however_they_are_written(tmp_path, write):
    write(tmp_path)
    street_as_csv(tmp_path, STREET)
    ((device, kind, start_ms),) = found(tmp_path)
    assert (device, kind) == ("L0-02", "lamp_failure")
    assert abs(start_ms - STREET.moment(1, 8)) <= 1_200_000


@pytest.mark.parametrize("write", FORMS, ids=lambda f: f.__name__)
def test_a_large_file_is_read_in_pieces_to_the_same_readings(tmp_path, write, monkeypatch):
    write(tmp_path)

    def everything():
        lux = read_feed(tmp_path).source.columns(Quantity.ILLUMINANCE, start_ms=0, stop_ms=2**60)
        return lux.device.tolist(), lux.time_ms.tolist(), lux.value.tolist()

    whole = everything()
    assert len(whole[0]) == STREET.n * len(STREET.time_ms)
    monkeypatch.setattr(api.watch.feed_tables, "PIECE_BYTES", 4096)
    assert everything() == whole


def test_fault_reports_alone_find_a_lamp_without_any_reading(tmp_path):
    (tmp_path / "events.csv").write_text(
        "device_id,time,event,active\n"
        f"A,{moment(STREET.moment(0, 8)).isoformat()},lamp_failure,true\n"
        f"B,{moment(STREET.moment(0, 8)).isoformat()},lamp_failure,true\n"
        f"B,{moment(STREET.moment(0, 8.5)).isoformat()},lamp_failure,false\n"
        f"C,{moment(STREET.moment(1, 3)).isoformat()},cabinet_door_open,true\n"
    )
    out = tmp_path / "findings.jsonl"
    run = CliRunner().invoke(app, ["backtest", str(tmp_path), "--out", str(out), "--json"])
    assert run.exit_code == 0, run.output
    said = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(f["device_id"], f["kind"]) for f in said] == [("A", "lamp_failure")]


def test_empty_cells_and_rows_that_are_no_readings_are_left_out_and_told(tmp_path):
    (tmp_path / "readings.csv").write_text(
        "device_id,time,illuminance_lx\n"
        "A,2026-09-24T12:00:00Z,1.5\n"
        ",2026-09-24T12:10:00Z,2\n"
        "A,,3\n"
        "A,2026-09-24T12:20:00Z,\n"
    )
    feed = read_feed(tmp_path)
    assert feed.source.count == 1
    assert any("without a usable time or device" in remark for remark in feed.remarks)


def test_light_rounds_run_on_a_feed_as_well(tmp_path):
    street = Street(feeders=3, lamps=6, nights=2)
    street.lit[:6, street.at(1, 8) :] = 0
    lux = street.lux()
    with (tmp_path / "readings.jsonl").open("w") as file:
        for row, asset in enumerate(street.assets):
            for k, t in enumerate(street.time_ms):
                file.write(
                    json.dumps(
                        {
                            "device_id": asset.device_id,
                            "time": moment(t).isoformat(),
                            "illuminance_lx": lux[row, k],
                        }
                    )
                    + "\n"
                )
    street_as_csv(tmp_path, street)
    result = run_backtest(read_feed(tmp_path), Rules(), live=True)
    assert result.light_rounds > 200
    assert len({f.incident for f in result.findings}) == 1
    after = (min(f.raised_ms for f in result.findings) - street.moment(1, 8)) / 60_000
    assert after <= 45
