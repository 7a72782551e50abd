"""What darkness costs, and whether that changed."""

import numpy as np
import pytest

from analytics.after_dark import DarkRefusal, case_hours, change, control_hours, odds_ratio
from analytics.darkness import light_and_dark
from analytics.errors import BadArgumentError

LAT, LON = 56.05, 12.69
YEAR = 364


def hour_starts(n_days):
    return np.datetime64("2024-01-01").astype("M8[s]").astype(np.int64) + 3600 * np.arange(
        n_days * 24
    ).reshape(n_days, 24)


@pytest.fixture(scope="module")
def sun():
    return light_and_dark(hour_starts(2 * YEAR), LAT, LON)


def people(seed, sun, n_sites=9, deters=1.0):
    """Counts that fall by a factor when it is dark."""
    _, dark = sun
    rng = np.random.default_rng(seed)
    mean = np.full((2 * YEAR, 24, n_sites), 300.0)
    mean *= np.exp(0.03 * rng.standard_normal((2, n_sites))).repeat(YEAR, axis=0)[:, None]
    mean = np.where(dark[:, :, None], mean / deters, mean)
    return rng.poisson(mean).astype(float)


def test_case_hours_follow_from_the_latitude(sun):
    light, dark = sun
    assert case_hours(light, dark).tolist() == [3, 4, 5, 16, 17, 18]  # in UTC
    assert control_hours(light, around=12).tolist() == [9, 10, 11, 12, 13]
    assert 0 in control_hours(dark, around=0)


def test_there_are_no_case_hours_at_the_equator():
    light, dark = light_and_dark(hour_starts(YEAR), 0.0, 0.0)
    assert len(case_hours(light, dark)) == 0


def test_darkness_that_keeps_half_away_has_an_odds_ratio_of_two(sun):
    light, dark = sun
    hours = people(0, sun, deters=2.0)
    found = odds_ratio(hours, light, dark, case_hours(light, dark), [10, 11, 12])
    assert found == pytest.approx(np.full(9, 2.0), rel=0.05)


def test_darkness_that_does_not_matter_has_an_odds_ratio_of_one(sun):
    light, dark = sun
    found = odds_ratio(people(1, sun), light, dark, case_hours(light, dark), [10, 11, 12])
    assert found == pytest.approx(np.ones(9), rel=0.05)


def test_days_without_the_control_hours_are_passed_over(sun):
    light, dark = sun
    hours = people(2, sun)
    hours[50:90, 11, 0] = np.nan
    hours[50:90, 17, 0] = 9e5
    found = odds_ratio(hours, light, dark, case_hours(light, dark), [10, 11, 12])
    assert found[0] == pytest.approx(1.0, rel=0.05)


def test_better_light_shows_as_a_fall_and_nothing_shows_as_nothing(sun):
    light, dark = sun
    hours = people(3, sun, deters=2.0)
    quiet = change(hours, light, dark, 0, YEAR)
    assert quiet.refused is None
    assert quiet.low <= 0 <= quiet.high
    lit = hours.copy()
    mask = np.zeros_like(dark)
    mask[YEAR:] = dark[YEAR:]
    lit[:, :, 0] = np.where(mask, 2 * lit[:, :, 0], lit[:, :, 0])
    found = change(lit, light, dark, 0, YEAR)
    assert found.log_ratio - quiet.log_ratio == pytest.approx(-np.log(2), abs=0.03)
    assert found.high < 0
    assert found.p_value < 0.05
    assert found.before == pytest.approx(2, rel=0.1)
    assert found.after == pytest.approx(1, rel=0.1)


def test_every_refusal_has_its_reason(sun):
    light, dark = sun
    hours = people(5, sun)

    def why(start=YEAR, H=hours, up=light, down=dark, **more):
        found = change(H, up, down, 0, start, **more)
        assert np.isnan(found.low)
        return found.refused

    assert why(YEAR - 1) is DarkRefusal.HISTORY_TOO_SHORT
    assert why(YEAR + 1) is DarkRefusal.FOLLOWUP_TOO_SHORT
    assert why(H=hours[:, :, :5]) is DarkRefusal.TOO_FEW_CONTROLS
    assert why(exclude=[1, 2, 3, 4]) is DarkRefusal.TOO_FEW_CONTROLS
    assert why(down=np.zeros_like(dark)) is DarkRefusal.NO_CASE_HOURS
    sometimes = dark.copy()
    sometimes[3] = False
    assert why(down=sometimes, against="dark") is DarkRefusal.NO_CONTROL_HOURS
    gap = hours.copy()
    gap[:YEAR, :, 0] = np.nan
    assert why(H=gap) is DarkRefusal.DATA_GAP


def test_garbage_is_named(sun):
    light, dark = sun
    hours = people(6, sun, n_sites=1)
    for more in ({"treated": 1}, {"start": -1}, {"alpha": 0.0}, {"against": "moon"}):
        arguments = {"treated": 0, "start": YEAR, **more}
        with pytest.raises(BadArgumentError):
            change(hours, light, dark, **arguments)
