"""RFC 3339 to the millisecond."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.wire.times import parse_rfc3339


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2022-07-18T09:34:15.775023242+00:00", 1_658_136_855_775),
        ("2022-07-18T09:34:15.775999999Z", 1_658_136_855_775),
        ("2022-07-18t11:34:15.7z", 1_658_144_055_700),
        ("2022-07-18T11:34:15.775+02:00", 1_658_136_855_775),
        ("2022-07-18 07:04:15-02:30", 1_658_136_855_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2016-12-31T23:59:60.9Z", 1_483_228_800_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_a_time_is_exact_to_the_millisecond(text: str, time_ms: int) -> None:
    assert parse_rfc3339(text) == time_ms


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2300, 1, 1)),  # noqa: DTZ001 - the zone comes apart
    st.integers(-1439, 1439),
)
def test_any_time_in_any_zone_is_what_the_library_says(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse_rfc3339(aware.isoformat()) == expected


@pytest.mark.parametrize(
    "text",
    ["", "2022-07-18", "2022-07-18T09:34:15", "2022-07-18T24:00:00Z", "2022-07-18T09:60:00Z",
     "2022-07-18T09:34:61Z", "2022-02-30T09:34:15Z", "2022-07-18T09:34:15.Z",
     "٢٠٢٢-07-18T09:34:15Z",
     "2022-07-18T09:34:15+24:00", "2022-07-18T09:34:15Zx", "1658136855775", "0000-01-01T00:00:00Z"],
)  # fmt: skip
def test_what_is_no_time_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_rfc3339(text)
