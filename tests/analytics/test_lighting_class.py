"""P classes, nights until a class is lost, and people in the dark."""

import numpy as np
import pytest

from analytics.exposure import dark_passages, nearest_profile
from analytics.lighting_class import P_CLASSES, meets_class, nights_until_below
from analytics.sun import sun_elevation


@pytest.mark.parametrize("name", sorted(P_CLASSES))
def test_the_least_light_of_a_p_class_is_a_fifth_of_the_average(name):
    asked = P_CLASSES[name]
    assert asked.least_lx == pytest.approx(asked.average_lx / 5)


def test_average_least_and_evenness_are_judged_apart():
    level = np.array([12, 8, 1.5, np.nan], np.float32)
    verdict = meets_class(level, np.ones(4, np.float32), P_CLASSES["P3"])
    assert verdict.average_lx == pytest.approx(21.5 / 3)
    assert verdict.meets_average is False
    assert verdict.meets_least is True
    assert verdict.even is True


def test_only_silence_says_nothing_about_a_class():
    verdict = meets_class(np.full(3, np.nan, np.float32), np.ones(3, np.float32), P_CLASSES["P1"])
    assert verdict.meets_average is None


def test_a_lamp_that_loses_a_thousandth_a_night_meets_its_limit_when_arithmetic_says():
    nights = np.arange(60)
    level = (10 * np.exp(-0.001 * nights)).astype(np.float32)[None]
    soonest, likely, latest = nights_until_below(level, 9.0)
    # ln(10/9)/0.001 nights from the first; the present level is that of six nights ago.
    assert likely[0] == pytest.approx(105.4 - 52.5, abs=2)
    assert soonest[0] <= likely[0] <= latest[0]


def test_a_steady_lamp_never_gets_there_and_a_dim_one_is_there():
    level = np.array([[10.0] * 30, [5.0] * 30, [np.nan] * 30], np.float32)
    _, likely, _ = nights_until_below(level, 9.0)
    assert likely[0] == np.inf
    assert likely[1] == 0
    assert np.isnan(likely[2])


def test_people_in_the_dark_are_those_of_the_dark_hours():
    passages = np.zeros((1, 24))
    passages[0, 22] = 30
    passages[0, 12] = 500
    dark = np.zeros(24)
    dark[22] = 0.5
    out = dark_passages(
        passages, dark, np.array([0, 0, -1], np.int32), np.array([1, 0.5, 1], np.float32)
    )
    np.testing.assert_allclose(out[:2], [15, 7.5])
    assert np.isnan(out[2])


def test_a_place_without_a_counter_borrows_from_the_nearest_of_its_kind_and_says_so():
    passages = np.full((3, 24), np.nan)
    passages[0], passages[1] = 5, 9
    out, borrowed = nearest_profile(
        passages, np.array([0.0, 10, 1]), np.zeros(3), np.array([0, 1, 1], np.int32)
    )
    assert borrowed.tolist() == [False, False, True]
    assert out[2, 0] == 9


def test_the_sun_stands_where_the_almanac_says():
    # Helsingborg at midsummer noon: 90 - 56.05 + 23.44 degrees; midnight: 56.05 + 23.44 - 90 below.
    day = np.arange(1_782_000_000, 1_782_000_000 + 86_400, 60, dtype=np.float64)
    height = sun_elevation(day, 56.05, 12.69)
    assert height.max() == pytest.approx(57.39, abs=0.1)
    assert height.min() == pytest.approx(-10.5, abs=0.1)
