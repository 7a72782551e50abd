"""Sun, moon, calendar and weather of the simulator."""

from datetime import UTC, date, datetime, timedelta

import holidays as holidays_package
import numpy as np
import pytest

from analytics import sun as analytics_sun
from firmware_sim.scenario import Scenario, Weather
from firmware_sim.sky import cloud_light, leaf_cover, sky_table, snow_day
from firmware_sim.sun import clear_sky_lx, moonlight_lx, sun_position
from firmware_sim.swedish_calendar import day_class, easter, holidays, utc_offset_ms

LAT, LON = 56.05, 12.69


def ms(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp() * 1000


def test_the_sun_stands_where_the_detectors_sun_stands() -> None:
    time_ms = ms(2026, 1, 1) + np.arange(0, 365 * 24, 7) * 3_600_000.0
    ours, _ = sun_position(time_ms, LAT, LON)
    theirs = analytics_sun.sun_elevation(time_ms / 1000, LAT, LON)

    np.testing.assert_allclose(ours, theirs, atol=0.02)


def test_midsummer_nights_in_helsingborg_are_never_darker_than_ten_and_a_half_degrees() -> None:
    night = ms(2026, 6, 21, 18) + np.arange(720) * 60_000.0
    elevation, _ = sun_position(night, LAT, LON)

    assert elevation.min() == pytest.approx(-10.5, abs=0.1)


def test_the_sun_is_south_at_noon_and_east_in_the_morning() -> None:
    _, azimuth = sun_position(np.array([ms(2026, 3, 20, 11, 16), ms(2026, 3, 20, 5, 30)]), LAT, LON)

    assert azimuth[0] == pytest.approx(180, abs=3)
    assert azimuth[1] == pytest.approx(90, abs=10)


@pytest.mark.parametrize(
    ("elevation", "low", "high"),
    [(0, 410, 585), (-6, 2, 3.5), (-12, 0.007, 0.009), (-18, 5e-4, 7e-4)],
)
def test_twilight_is_as_bright_as_the_glossary_says(
    elevation: float, low: float, high: float
) -> None:
    assert low <= clear_sky_lx(np.array([float(elevation)]))[0] <= high


def test_the_full_moon_gives_a_quarter_of_a_lux_and_the_new_moon_nothing() -> None:
    year = ms(2026, 1, 1) + np.arange(365 * 24) * 3_600_000.0
    light = moonlight_lx(year, LAT, LON)
    # Full moon on 2026-01-03 at 10:03 UTC, new moon on 2026-02-17 at 12:01 UTC.
    around_full = light[(year > ms(2026, 1, 2, 12)) & (year < ms(2026, 1, 4, 12))]
    around_new = light[(year > ms(2026, 2, 17)) & (year < ms(2026, 2, 18))]

    assert light.max() < 0.3
    assert around_full.max() > 0.15
    assert around_new.max() < 0.002


def test_holidays_are_those_of_the_holidays_package() -> None:
    for year in range(2010, 2041):
        theirs = holidays_package.country_holidays(
            "SE",
            years=year,
            categories=("public", "de_facto"),
            include_sundays=False,
            language="sv",
        )
        easter_eve, whitsun_eve = (easter(year) + timedelta(days=n) for n in (-1, 48))

        assert holidays(year) == frozenset(theirs) | {easter_eve, whitsun_eve}


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 11, 23), 0),  # a Monday
        (date(2026, 11, 27), 1),  # a Friday
        (date(2026, 11, 28), 2),
        (date(2026, 11, 29), 3),
        (date(2026, 12, 24), 3),  # a Thursday, and Christmas Eve
    ],
)
def test_days_have_a_class(day: date, expected: int) -> None:
    assert day_class(day) == expected


def test_local_time_follows_the_end_of_summer_time_to_the_hour() -> None:
    before, after = int(ms(2026, 10, 25, 0, 59)), int(ms(2026, 10, 25, 1))

    offsets = utc_offset_ms(np.array([before, after]), "Europe/Stockholm")

    assert offsets.tolist() == [7_200_000, 3_600_000]


def test_trees_are_bare_in_winter_and_full_in_summer() -> None:
    cover = leaf_cover(np.array([ms(2026, 1, 15), ms(2026, 7, 1), ms(2026, 12, 1)]))

    assert (cover > 0.9).tolist() == [False, True, False]
    assert cover[0] < 0.02


def test_the_sky_of_a_day_is_the_same_alone_and_within_a_week() -> None:
    scenario = Scenario(weather=Weather(snow_days=0.5))
    week, day = sky_table(scenario, 20_780, 7), sky_table(scenario, 20_783, 1)
    at = int(day.time_ms[0] - week.time_ms[0]) // 60_000
    stretch = slice(at, at + len(day.time_ms))

    for name in ("clear_lx", "cover", "thick", "rain", "snow", "glow_lx", "local_minute"):
        np.testing.assert_array_equal(getattr(day, name), getattr(week, name)[stretch])
    light, _ = cloud_light(scenario, week, 56.06, 12.7)
    np.testing.assert_array_equal(cloud_light(scenario, day, 56.06, 12.7)[0], light[stretch])


def test_neighbours_share_their_clouds_and_the_far_end_of_the_city_does_not() -> None:
    scenario = Scenario()
    table = sky_table(scenario, 20_700, 10)
    here = np.log(cloud_light(scenario, table, 56.05, 12.69)[0])
    next_door = np.log(cloud_light(scenario, table, 56.0503, 12.6903)[0])
    far = np.log(cloud_light(scenario, table, 56.02, 12.76)[0])

    assert np.corrcoef(here, next_door)[0, 1] > 0.98
    assert np.corrcoef(here, far)[0, 1] < np.corrcoef(here, next_door)[0, 1] - 0.02


def test_snow_falls_in_winter_alone_and_on_about_as_many_days_as_asked() -> None:
    scenario = Scenario(weather=Weather(snow_days=0.4))
    winter = range(20_788, 20_788 + 120)  # from 1 December 2026
    summer = range(20_605, 20_605 + 90)

    assert 0.2 < np.mean([snow_day(scenario, day)[0] for day in winter]) < 0.6
    assert not any(snow_day(scenario, day)[0] for day in summer)
