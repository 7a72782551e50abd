"""Tables as people have them, and what is said where they cannot be read."""

import json
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import BadInputError
from api.local_time import LocalTime, time_zone
from api.tables import (
    csv_text,
    identifying_columns,
    json_lines,
    read_table,
    refuse_identifiers,
    rfc3339,
    write_table,
)

STOCKHOLM = ZoneInfo("Europe/Stockholm")


def file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_a_csv_is_read_whatever_its_bytes_and_delimiter(tmp_path, encoding, delimiter):
    rows = [["plats", "tid", "antal"], ["Söder", "2026-05-01 13:00", "12"]]
    text = "\r\n".join(delimiter.join(row) for row in rows)
    table = read_table(file(tmp_path, "räkning åäö.csv", text.encode(encoding)))
    assert table.texts("plats") == ["Söder"]
    assert table.numbers("antal").tolist() == [12.0]


def test_swedish_numbers_have_commas_and_spaces(tmp_path):
    table = read_table(file(tmp_path, "a.csv", "n;m\n1 234,5;\xa01\xa0000\n-3,25;\n"))
    assert table.numbers("n").tolist() == [1234.5, -3.25]
    assert table.numbers("m")[0] == 1000
    assert np.isnan(table.numbers("m")[1])


def test_excels_own_delimiter_line_is_understood(tmp_path):
    table = read_table(file(tmp_path, "a.csv", "sep=;\nsite;count\nA;1\n"))
    assert table.texts("site") == ["A"]


def test_a_cell_that_is_no_number_is_named_with_its_line(tmp_path):
    path = file(tmp_path, "a.csv", "site,count\nA,1\nB,tolv\n")
    with pytest.raises(BadInputError, match=r"line 3.*tolv"):
        read_table(path).numbers("count")


@pytest.mark.parametrize("text", ["inf", "1_000", "0x10", "1e999"])
def test_what_python_would_take_for_a_number_is_none(tmp_path, text):
    with pytest.raises(BadInputError):
        read_table(file(tmp_path, "a.csv", f"site,count\nA,{text}\n")).numbers("count")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("a,a\n1,2\n", "twice"),
        ("a,b\n1,2,3\n", "line 2"),
        (b"PK\x03\x04rubbish", "not text"),
        (b"\x00\x01\x02", "not text"),
    ],
)
def test_a_file_that_is_no_table_says_why(tmp_path, content, said):
    with pytest.raises(BadInputError, match=said):
        read_table(file(tmp_path, "a.csv", content))


@pytest.mark.parametrize("name", ["a.parquet", "a.xlsx", "a.jsonl"])
def test_a_file_that_is_not_what_its_name_says_is_named(tmp_path, name):
    with pytest.raises(BadInputError):
        read_table(file(tmp_path, name, "site,count\n"))


def test_a_missing_file_and_a_missing_column_are_named(tmp_path):
    with pytest.raises(BadInputError, match="No such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(BadInputError, match="folder"):
        read_table(tmp_path)
    table = read_table(file(tmp_path, "a.csv", "Site ,count\nA,1\n"))
    assert table.texts("site") == ["A"]
    with pytest.raises(BadInputError, match="It has: Site, count"):
        table.column("tid")


@given(
    rows=st.lists(
        st.tuples(st.text("åäöABC;,'\"= ", max_size=8), st.integers(0, 10**6)), max_size=12
    )
)
def test_what_is_written_as_csv_is_read_again(tmp_path_factory, rows):
    columns = {"site": ["x", *(s for s, _ in rows)], "count": [1, *(n for _, n in rows)]}
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    write_table(path, columns)
    table = read_table(path)
    assert table.numbers("count").tolist() == columns["count"]
    # A spreadsheet must not run what a place is called, and spaces around it say nothing.
    guarded = [f"'{s}" if s[:1] == "=" else s for s in columns["site"]]
    assert table.texts("site") == [s.strip() for s in guarded]


@pytest.mark.parametrize("ending", ["csv", "xlsx", "parquet", "jsonl"])
def test_every_format_keeps_names_times_and_gaps(tmp_path, ending):
    path = tmp_path / f"counts.{ending}"
    write_table(
        path,
        {"site": ["Söder", "Höga"], "time": [1_780_000_000_000, 1_780_003_600_000],
         "count": [3.5, None]},
        times=("time",),
    )  # fmt: skip
    table = read_table(path)
    assert table.texts("site") == ["Söder", "Höga"]
    assert table.times("time", STOCKHOLM).utc_s.tolist() == [1_780_000_000, 1_780_003_600]
    assert table.numbers("count")[0] == 3.5
    assert np.isnan(table.numbers("count")[1])


def test_another_ending_is_refused_when_writing(tmp_path):
    with pytest.raises(BadInputError, match="txt"):
        write_table(tmp_path / "a.txt", {"a": [1]})


def test_text_that_looks_like_a_formula_does_not_run_and_numbers_stay_numbers():
    text = csv_text({"site": ["=1+1", "@x", "-3.2"], "n": [-3.2, 1, 2]})
    assert text.splitlines()[1:] == ["'=1+1,-3.2", "'@x,1", "'-3.2,2"]


def test_what_is_not_known_is_left_out_of_json_lines():
    assert json.loads(json_lines({"a": [None], "b": [1]})) == {"b": 1}


def test_a_workbook_is_read_by_sheet_with_dates_as_dates(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "tomt"
    sheet = book.create_sheet("räkning")
    sheet.append([None, None])
    sheet.append(["plats", "dag", "antal"])
    sheet.append(["A", datetime(2026, 5, 1, 13), 7])  # noqa: DTZ001 - a sheet has no zones
    book.save(tmp_path / "a.xlsx")
    table = read_table(tmp_path / "a.xlsx", sheet="räkning")
    assert (
        table.times("dag", STOCKHOLM).utc_s[0] == datetime(2026, 5, 1, 11, tzinfo=UTC).timestamp()
    )
    with pytest.raises(BadInputError, match="It has: tomt, räkning"):
        read_table(tmp_path / "a.xlsx", sheet="annat")


def test_parquet_times_are_local_without_a_zone_and_certain_with_one(tmp_path):
    moments = [datetime(2026, 7, 1, 12), datetime(2026, 1, 1, 12)]  # noqa: DTZ001 - local on purpose
    pq.write_table(
        pa.table(
            {
                "local": pa.array(moments, pa.timestamp("us")),
                "utc": pa.array(moments, pa.timestamp("us", tz="UTC")),
            }
        ),
        tmp_path / "a.parquet",
    )
    table = read_table(tmp_path / "a.parquet")
    local, utc = table.times("local", STOCKHOLM), table.times("utc", STOCKHOLM)
    assert (utc.utc_s - local.utc_s).tolist() == [7200, 3600]
    assert (utc.zoned, local.zoned) == (True, False)


@pytest.mark.parametrize(
    "text",
    ["2026-05-01 13:00", "2026-05-01T13:00:00", "2026/05/01 13.00", "01.05.2026 13:00",
     "1/5/2026 13:00:00", "2026-05-01T11:00:00Z", "2026-05-01 13:00+02:00",
     "2026-05-01T13:00+0200"],
)  # fmt: skip
def test_times_as_people_write_them_are_the_same_moment(tmp_path, text):
    table = read_table(file(tmp_path, "a.csv", f"time;n\n{text};1\n"))
    found = table.times("time", STOCKHOLM)
    assert found.utc_s[0] == datetime(2026, 5, 1, 11, tzinfo=UTC).timestamp()
    assert found.wall_s[0] - found.utc_s[0] == 7200


@pytest.mark.parametrize("text", ["i går", "13:00", "2026-13-01", "2026-02-30", "99999-01-01", "1"])
def test_what_is_no_time_is_named_with_its_line(tmp_path, text):
    table = read_table(file(tmp_path, "a.csv", f"time;n\n2026-05-01;1\n{text};1\n"))
    with pytest.raises(BadInputError, match="line 3"):
        table.times("time", STOCKHOLM)


def test_times_half_with_and_half_without_a_zone_are_refused(tmp_path):
    table = read_table(file(tmp_path, "a.csv", "time\n2026-05-01T11:00Z\n2026-05-01 12:00\n"))
    with pytest.raises(BadInputError, match="some times have a zone"):
        table.times("time", STOCKHOLM)


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("mac", "x"),
        ("device_mac", "x"),
        ("IMSI", "x"),
        ("reg_nr", "x"),
        ("id", "aa:bb:cc:dd:ee:ff"),
    ],
)
def test_identifiers_of_people_are_refused_and_not_shown(tmp_path, header, cell):
    table = read_table(
        file(tmp_path, "a.csv", f"site,time,count,{header}\nA,2026-05-01,1,{cell}\n")
    )
    assert identifying_columns(table) == [header]
    with pytest.raises(BadInputError, match=header) as caught:
        refuse_identifiers(table)
    assert "bb:cc" not in str(caught.value)


def test_ordinary_columns_are_no_identifiers(tmp_path):
    path = file(tmp_path, "a.csv", "site,machine,time,count,tagged\nA,m,2026-05-01,4,no\n")
    table = read_table(path)
    assert identifying_columns(table) == []


def test_moments_are_written_in_utc():
    assert rfc3339(1_780_000_000_123) == "2026-05-28T20:26:40.123Z"
    assert rfc3339(None) == ""


# -- local time ----------------------------------------------------------------------------------


def wall(*parts):
    return np.array([int(datetime(*parts, tzinfo=UTC).timestamp())])


@pytest.fixture
def year_2026():
    return LocalTime(STOCKHOLM, int(wall(2026, 1, 1)[0]), int(wall(2026, 12, 31)[0]))


def test_the_hour_lost_in_spring_is_skipped(year_2026):
    assert year_2026.skipped(wall(2026, 3, 29, 2, 30)).all()
    assert not year_2026.skipped(wall(2026, 3, 29, 1, 59)).any()
    assert not year_2026.skipped(wall(2026, 3, 29, 3, 0)).any()


def test_the_hour_won_in_autumn_comes_twice(year_2026):
    twice = wall(2026, 10, 25, 2, 30)
    assert year_2026.repeated(twice).all()
    first = year_2026.to_utc(twice)
    second = year_2026.to_utc(twice, second=np.array([True]))
    assert (second - first).tolist() == [3600]
    assert year_2026.to_wall(first).tolist() == year_2026.to_wall(second).tolist()


@given(day=st.dates(date(1995, 1, 1), date(2036, 12, 31)), hour=st.integers(0, 23))
@pytest.mark.parametrize("name", ["Europe/Stockholm", "Australia/Melbourne", "Asia/Kolkata", "UTC"])
def test_arrays_agree_with_the_zone_itself(name, day, hour):
    zone = ZoneInfo(name)
    reading = wall(day.year, day.month, day.day, hour)
    clock = LocalTime(zone, int(reading[0]), int(reading[0]))
    naive = datetime(day.year, day.month, day.day, hour)  # noqa: DTZ001 - a wall clock reading
    moments = {int(naive.replace(tzinfo=zone, fold=f).timestamp()) for f in (0, 1)}
    exists = any(datetime.fromtimestamp(m, zone).replace(tzinfo=None) == naive for m in moments)
    assert bool(clock.skipped(reading)[0]) is not exists
    if exists:
        assert int(clock.to_utc(reading)[0]) == min(moments)
        assert bool(clock.repeated(reading)[0]) is (len(moments) == 2)


def test_a_zone_that_does_not_exist_is_named():
    with pytest.raises(BadInputError, match="Europe/Stockholm"):
        time_zone("Sverige")
    with pytest.raises(BadInputError):
        time_zone("../etc/passwd")


def test_yes_and_no_are_written_as_programs_read_them() -> None:
    assert csv_text({"a": [True, False, None], "b": [1, "=x", 0.5]}) == (
        "a,b\ntrue,1\nfalse,'=x\n,0.5\n"
    )
