"""Rows of counts become days and hours; what was left out is written down."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from api.errors import BadInputError
from api.planning.counts import counts_from_table, without_faults
from api.planning.holiday_calendar import classes_of, country_of, special_days
from api.tables import Table

STOCKHOLM = ZoneInfo("Europe/Stockholm")


def table(rows, names=("site", "time", "count")):
    return Table("t.csv", {name: [row[i] for row in rows] for i, name in enumerate(names)})


def hours(first, n, site="A", count=5):
    begin = datetime.fromisoformat(first)
    return [[site, str(begin + timedelta(hours=i)), count] for i in range(n)]


def read(rows, **more):
    return counts_from_table(table(rows), zone=STOCKHOLM, **more)


def test_the_same_row_twice_is_one_row():
    rows = hours("2026-05-01", 48)
    once, twice = read(rows), read([*rows, *rows[5:9]])
    assert twice.hours == pytest.approx(once.hours, nan_ok=True)
    assert twice.quality["A"].repeated_rows == 4
    assert twice.quality["A"].steps_missing == 0


def test_a_correction_replaces_what_stood_there():
    rows = hours("2026-05-01", 24)
    found = read([*rows, ["A", "2026-05-01 10:00", 99]])
    assert found.hours[0, 10, 0] == 99
    assert found.quality["A"].conflicting_rows == 1


def test_missing_hours_stay_missing_and_zeros_stay_zeros():
    rows = [r for r in hours("2026-05-01", 24) if not r[1].endswith("07:00:00")]
    rows[3][2] = 0
    found = read(rows)
    assert np.isnan(found.hours[0, 7, 0])
    assert found.hours[0, 3, 0] == 0
    assert found.quality["A"].steps_missing == 1


def test_the_hour_skipped_in_spring_is_missing_and_its_neighbours_stand():
    found = read(hours("2026-03-29", 24))
    assert np.isnan(found.hours[0, 2, 0])
    assert found.hours[0, [1, 3], 0].tolist() == [5, 5]
    assert found.quality["A"].skipped_hour_rows == 1
    assert found.quality["A"].steps_expected == 23
    assert found.quality["A"].steps_missing == 0


def test_a_lone_row_for_the_hour_that_came_twice_is_missing():
    found = read(hours("2026-10-25", 24))
    assert np.isnan(found.hours[0, 2, 0])
    quality = found.quality["A"]
    assert (quality.lone_repeated_rows, quality.steps_expected, quality.steps_missing) == (1, 25, 2)


def test_two_rows_for_the_hour_that_came_twice_are_two_hours():
    rows = [*hours("2026-10-25", 24), ["A", "2026-10-25 02:00", 9]]
    found = read(rows)
    assert found.hours[0, 2, 0] == 7.0
    assert found.quality["A"].repeated_hours == 1
    assert found.quality["A"].steps_missing == 0


def test_two_equal_rows_for_that_hour_are_one_and_so_nobody_knows_which():
    rows = [*hours("2026-10-25", 24), ["A", "2026-10-25 02:00", 5]]
    found = read(rows)
    assert np.isnan(found.hours[0, 2, 0])
    assert found.quality["A"].repeated_rows == 1
    assert found.quality["A"].lone_repeated_rows == 1


def test_times_with_their_zone_leave_nothing_in_doubt():
    begin = datetime(2026, 10, 24, 22, tzinfo=UTC)
    rows = [["A", (begin + timedelta(hours=i)).isoformat(), i] for i in range(25)]
    found = read(rows)
    assert found.hours.shape == (1, 24, 1)
    assert found.hours[0, 2, 0] == 2.5
    assert found.quality["A"].steps_missing == 0


def test_quarter_hours_make_an_hour_with_three_of_four():
    begin = datetime.fromisoformat("2026-05-01")
    rows = [["A", str(begin + timedelta(minutes=15 * i)), 3] for i in range(96)]
    del rows[40]  # one quarter of 10-11
    del rows[43:45]  # two quarters of 11-12
    found = read(rows)
    assert found.step_s == 900
    assert found.hours[0, 9, 0] == 12
    assert found.hours[0, 10, 0] == 12
    assert np.isnan(found.hours[0, 11, 0])


def test_days_stay_days_through_the_clock_changes():
    rows = [["A", str(date(2026, 3, 1) + timedelta(days=i)), i] for i in range(250)]
    found = read(rows)
    assert found.hours is None
    assert found.days[:, 0].tolist() == list(range(250))
    assert found.quality["A"].skipped_hour_rows == 0


def test_rows_without_a_site_a_count_or_with_an_impossible_one_are_counted():
    rows = [*hours("2026-05-01", 24), ["", "2026-05-01 03:00", 4], ["A", "", 4]]
    rows[4][2], rows[5][2] = "", -7
    found = read(rows)
    assert found.rows_without_site == 2
    assert found.quality["A"].empty_rows == 1
    assert found.quality["A"].impossible_rows == 1
    assert np.isnan(found.hours[0, 4:6, 0]).all()


def test_running_totals_become_counts_of_the_hour_before():
    rows = [["A", f"2026-05-01 {h:02}:00", 100 + 10 * h] for h in range(24)]
    rows[12][2] = 0  # a counter that fell
    found = read(rows, totals=True)
    assert found.hours[0, 5, 0] == 10
    assert np.isnan(found.hours[0, 11, 0])
    assert found.hours[0, 12, 0] == 230
    assert found.quality["A"].fell == 1


def test_weeks_between_rows_and_centuries_of_dates_are_refused():
    with pytest.raises(BadInputError, match="days apart"):
        read([["A", str(date(2026, 1, 1) + timedelta(weeks=i)), 1] for i in range(9)])
    with pytest.raises(BadInputError, match="stray date"):
        read([*hours("2026-05-01", 24), ["A", "1826-05-01 00:00", 1]])
    with pytest.raises(BadInputError, match="no row"):
        read([["", "2026-05-01", 1]])
    with pytest.raises(BadInputError, match="no row with a count"):
        read([["A", "2026-05-01", ""]])


def test_a_table_of_one_place_needs_no_site_column():
    found = counts_from_table(
        table([["2026-05-01 10:00", 4], ["2026-05-01 11:00", 5]], ("time", "count")), zone=STOCKHOLM
    )
    assert found.sites == ["all"]


def test_dead_hours_are_left_out_and_written_down():
    rng = np.random.default_rng(0)
    rows = hours("2026-05-04", 24 * 42)
    for i, row in enumerate(rows):
        row[2] = 0 if 500 <= i < 560 else int(rng.poisson(80))
    found = without_faults(read(rows), "none")
    assert np.isnan(found.hours.reshape(-1)[500:560]).all()
    assert found.quality["A"].dead == 60
    assert found.quality["A"].steps_missing == 60
    assert np.isnan(found.days[21, 0])


def test_a_site_is_found_whatever_its_capitals():
    found = read(hours("2026-05-01", 24, site="Söder"))
    assert found.column("söder") == 0
    with pytest.raises(BadInputError, match="There are: Söder"):
        found.column("Norr")


@pytest.mark.data
def test_the_cameras_of_leeds_are_read_as_they_are(data_dir):
    from api.tables import read_table

    found = counts_from_table(
        read_table(data_dir / "footfall" / "leeds_hourly_2009_2011.parquet"),
        zone=ZoneInfo("Europe/London"),
        site_column="sensor",
        time_column="local_time",
    )
    assert len(found.sites) == 8
    quality = found.quality["Briggate"]
    assert (quality.skipped_hour_rows, quality.lone_repeated_rows) == (3, 3)
    assert (quality.steps_expected, quality.steps_missing) == (26_280, 6)
    spring, autumn = found.row(date(2009, 3, 29)), found.row(date(2009, 10, 25))
    assert np.isnan(found.hours[[spring, autumn], 1]).all()


@pytest.mark.data
def test_exact_times_and_local_times_of_melbourne_agree(data_dir):
    from api.tables import read_table

    found = counts_from_table(
        read_table(data_dir / "footfall" / "melbourne_tsibble_2015_2016.parquet"),
        zone=ZoneInfo("Australia/Melbourne"),
        site_column="sensor",
        time_column="utc_time",
    )
    missing = [found.quality[s].steps_missing for s in found.sites]
    assert missing == [2978, 2, 26, 5]
    assert found.hours[0, 0, 0] == 1630


# -- holidays ------------------------------------------------------------------------------------


def by_rule(year):
    """Sweden's holidays by the rules of the law, and the three eves everybody keeps."""
    from analytics.calendar import easter_sunday

    easter = date(year, *easter_sunday(year))
    fixed = {(1, 1), (1, 6), (5, 1), (6, 6), (12, 25), (12, 26), (12, 24), (12, 31)}
    days = {date(year, m, d) for m, d in fixed}
    days |= {easter + timedelta(days=n) for n in (-2, 0, 1, 39, 49)}
    midsummer = next(d for d in (date(year, 6, n) for n in range(20, 27)) if d.weekday() == 5)
    saints = next(
        d for d in (date(year, 10, 31) + timedelta(days=n) for n in range(7)) if d.weekday() == 5
    )
    return days | {midsummer, midsummer - timedelta(days=1), saints}


def test_swedish_holidays_follow_the_law_for_thirty_years():
    for year in range(2010, 2041):
        as_sunday, _ = special_days(date(year, 1, 1), 365, "SE")
        found = {date(year, 1, 1) + timedelta(days=int(i)) for i in np.flatnonzero(as_sunday)}
        wanted = {d for d in by_rule(year) if (d - date(year, 1, 1)).days < 365}
        assert wanted <= found
        extra = {d.weekday() for d in found - wanted}
        assert extra <= {5, 6}  # Easter Eve, Whitsun Eve and Whit Sunday itself


def test_no_country_has_no_holidays_and_an_unknown_one_is_named():
    as_sunday, half = special_days(date(2026, 1, 1), 365, "none")
    assert not as_sunday.any()
    assert not half.any()
    with pytest.raises(BadInputError, match="XX"):
        special_days(date(2026, 1, 1), 365, "XX")


def test_the_country_follows_the_zone_where_that_is_beyond_doubt():
    assert country_of("Europe/Stockholm", None) == "SE"
    assert country_of("Europe/London", None) == "GB"
    assert country_of("Europe/London", "none") == "none"
    assert country_of("Australia/Melbourne", None) == "none"
    assert country_of("Europe/London", "GB") == "GB"


def test_the_first_of_may_is_a_sunday_and_walpurgis_eve_half_a_saturday():
    classes = classes_of(date(2026, 4, 30), 2, "SE")
    assert classes[0].tolist() == [3] * 14 + [5] * 10
    assert classes[1].tolist() == [6] * 24
