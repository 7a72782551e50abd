"""Tables of counts as people name their columns."""

import numpy as np
import pytest

from api.errors import BadInputError
from api.local_time import time_zone
from api.planning.count_columns import COUNT, SITE, TIME, with_known_columns
from api.planning.counts import counts_from_table
from api.tables import Table

STOCKHOLM = time_zone("Europe/Stockholm")
DAYS = [f"2026-05-{day:02}" for day in range(1, 4)]


def known(columns, **given):
    wanted = {"site": SITE, "time": TIME, "count": COUNT, **given}
    return with_known_columns(Table("räkning.csv", columns), **wanted)


@pytest.mark.parametrize(
    ("place", "when", "number"),
    [
        ("Plats", "Tid", "Antal"),
        ("Mätpunkt", "Datum", "Antal personer"),
        ("sensor", "local_time", "count"),
        ("station", "date", "count"),
        ("location", "Timestamp", "pedestrians"),
        ("site", "time", "count"),
    ],
)
def test_common_names_are_found(place, when, number):
    table = known({place: ["Kärnan"] * 3, when: DAYS, number: ["1", "2,0", ""]})
    counts = counts_from_table(table, zone=STOCKHOLM)
    assert counts.sites == ["Kärnan"]
    np.testing.assert_array_equal(counts.days[:2, 0], [1, 2])


def test_a_name_that_is_given_is_taken_though_another_would_be_found():
    columns = {"plats": ["A"], "kvarter": ["Söder"], "tid": DAYS[:1], "antal": [1], "barn": [7]}
    table = known(columns, site="kvarter", count="Barn")
    assert list(table.columns[SITE]) == ["Söder"]
    assert list(table.columns[COUNT]) == [7]


@pytest.mark.parametrize("hours", [[13, 14], ["13:00", "14:00"], ["kl 13", "14-15"], ["13.00", 14]])
def test_a_date_and_an_hour_of_their_own_are_one_time(hours):
    columns = {"Plats": ["A", "A"], "Datum": DAYS[:1] * 2, "Klockslag": hours, "Antal": [5, 6]}
    counts = counts_from_table(known(columns), zone=STOCKHOLM)
    np.testing.assert_array_equal(counts.hourly[0, 13:15, 0], [5, 6])


def test_an_hour_that_is_none_is_named_with_its_line():
    columns = {"Plats": ["A", "A"], "Datum": DAYS[:2], "Timme": [13, 27], "Antal": [5, 6]}
    with pytest.raises(BadInputError, match="line 3, column 'Timme'"):
        known(columns)


def test_one_column_for_each_place_is_read_as_rows():
    counts = counts_from_table(
        known({"Datum": DAYS, "Kärnan": ["1", "2", "3"], "Råå": ["4", "", "6"]}), zone=STOCKHOLM
    )
    assert counts.sites == ["Kärnan", "Råå"]
    np.testing.assert_array_equal(counts.days, [[1, 4], [2, np.nan], [3, 6]])


def test_what_cannot_be_found_says_what_there_is():
    with pytest.raises(BadInputError, match=r"no column 'time'.*Plats"):
        known({"Plats": ["A"], "Antal": [1]})
    with pytest.raises(BadInputError, match="'Torg A'"):
        known({"Datum": DAYS, "Kärnan": ["1", "Torg A", "3"]})
    with pytest.raises(BadInputError, match="no column 'gata'"):
        known({"Plats": ["A"], "Tid": DAYS[:1], "Antal": [1]}, site="gata")


def test_identifiers_are_refused_under_any_shape():
    with pytest.raises(BadInputError, match="identifiers"):
        known({"Datum": DAYS, "Kärnan": [1, 2, 3], "mac": [1, 2, 3]})
