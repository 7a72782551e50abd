"""Low activity: agreement with loops, holidays, silence, states, persistence, darkness."""

import numpy as np
import pytest
from oracles import footfall_loops

from analytics.activity import (
    State,
    compare,
    dark_and_empty,
    fit_cells,
    fold_into_weeks,
    low_activity,
)
from analytics.calendar import day_classes, easter_sunday, weekdays
from analytics.darkness import dark_at_midpoint, light_and_dark
from analytics.errors import AnalyticsError, BadArgumentError, ShapeMismatchError

BUSY = 200.0


def place(seed, n_days=56, n_sites=2, quiet=(1, 5)):
    """People by hour, hardly any between two hours of the night."""
    rng = np.random.default_rng(seed)
    mean = np.full((n_days, 24, n_sites), BUSY)
    mean[:, quiet[0] : quiet[1]] = 2.0
    return rng.negative_binomial(4, 4 / (4 + mean)).astype(float)


def test_every_cell_agrees_with_the_loops():
    hours = place(0, n_sites=3)
    rng = np.random.default_rng(1)
    hours[rng.random(hours.shape) < 0.1] = np.nan
    found = low_activity(hours, threshold=15.0)
    weeks = hours.reshape(8, 7, 24, 3).transpose(0, 1, 2, 3).reshape(8, 168, 3)
    for site in range(3):
        cells = [weeks[:, c, site] for c in range(168)]
        phi = footfall_loops.site_dispersion(cells)
        for c in range(0, 168, 5):
            mean, p = footfall_loops.cell(cells[c], phi, 15.0)
            p *= footfall_loops.no_burst(cells, mean, 15.0)
            assert found.expected[c, site] == pytest.approx(mean, nan_ok=True)
            assert found.p_low[c, site] == pytest.approx(p, abs=1e-8, nan_ok=True)


def test_quiet_hours_are_low_and_busy_hours_are_busy():
    found = low_activity(place(2))
    table = found.state[:, 0].reshape(7, 24)
    assert (table[:, 1:5] >= State.PROBABLE).all()
    assert (table[:, 6:] == State.BUSY).all()
    assert found.threshold[0] == 20.0


def test_silence_is_not_emptiness():
    hours = place(3)
    hours[:, :, 0] = np.nan
    found = low_activity(hours)
    assert (found.state[:, 0] == State.INSUFFICIENT).all()
    assert np.isnan(found.p_low[:, 0]).all()
    assert np.isnan(found.threshold[0])
    assert not found.persistent[:, 0].any()
    assert (found.state[:, 1] != State.INSUFFICIENT).all()


def test_a_counter_that_is_not_ok_says_nothing():
    found = low_activity(place(4), sensor_ok=[False, True])
    assert (found.state[:, 0] == State.INSUFFICIENT).all()
    assert (found.state[:, 1] > State.INSUFFICIENT).any()


def test_fewer_than_four_weeks_in_a_cell_are_too_few():
    hours = place(5)
    hours[:35, 3, 0] = np.nan
    found = low_activity(hours)
    assert (found.state[:, 0].reshape(7, 24)[:, 3] == State.INSUFFICIENT).all()
    assert found.n_weeks[:, 0].reshape(7, 24)[0, 3] == 3


def test_sixty_percent_of_the_hours_must_be_there():
    hours = place(6)
    hours[:, :10, 0] = np.nan
    found = low_activity(hours)
    assert found.share_present[0] == pytest.approx(14 / 24)
    assert (found.state[:, 0] == State.INSUFFICIENT).all()


def test_one_concert_does_not_move_a_cell():
    hours = place(7)
    plain = low_activity(hours)
    hours[10, 2, 0] = 30_000
    shaken = low_activity(hours)
    at = (10 % 7) * 24 + 2
    assert shaken.state[at, 0] == plain.state[at, 0]


def test_a_holiday_is_judged_as_the_sunday_it_resembles():
    hours = np.full((56, 24, 1), 100.0)
    weekday = np.arange(56) % 7
    hours[weekday == 6] = 5.0
    holiday = np.zeros(56, dtype=bool)
    holiday[[2, 9, 16, 23]] = True  # four Wednesdays
    hours[holiday] = 5.0
    classes = day_classes(weekday, as_sunday=holiday)
    with_calendar = low_activity(hours, day_class=classes)
    without = low_activity(hours)
    assert with_calendar.expected[2 * 24 + 12, 0] == pytest.approx(100.05)
    assert without.expected[2 * 24 + 12, 0] < 60
    assert with_calendar.n_weeks[6 * 24 + 12, 0] == 12


def test_the_eve_of_a_holiday_is_a_saturday_from_two_in_the_afternoon():
    classes = day_classes([3, 4], half_day=[True, False])
    assert classes[0].tolist() == [3] * 14 + [5] * 10
    assert classes[1].tolist() == [4] * 24


def test_persistence_needs_three_of_four_windows():
    hours = place(8, n_days=4 * 56)
    found = low_activity(hours)
    assert found.n_fits == 4
    assert found.persistent[:, 0].reshape(7, 24)[:, 2].all()
    hours[:112, 1:5] = BUSY
    assert not low_activity(hours).persistent.any()
    assert low_activity(hours[-56:]).n_fits == 1


def test_only_the_last_window_is_fitted():
    hours = place(9, n_days=112)
    changed = hours.copy()
    changed[:56] *= 3
    assert low_activity(hours).expected == pytest.approx(low_activity(changed).expected)


def test_sites_and_units_follow_their_columns():
    hours = place(10, n_sites=4)
    order = [2, 0, 3, 1]
    one, two = low_activity(hours), low_activity(hours[:, :, order])
    assert two.p_low == pytest.approx(one.p_low[:, order])
    assert two.state.tolist() == one.state[:, order].tolist()


def test_flat_rows_of_hours_are_the_same_as_days_of_hours():
    hours = place(11)
    assert low_activity(hours.reshape(-1, 2)).p_low == pytest.approx(low_activity(hours).p_low)
    weeks = hours.reshape(8, 168, 2)
    assert low_activity(weeks).p_low == pytest.approx(low_activity(hours).p_low)


def test_days_have_seven_cells():
    days = place(12).sum(axis=1)[:, None]
    found = low_activity(days, absolute=480.0)
    assert found.expected.shape == (7, 2)
    assert (found.state == State.BUSY).all()


def test_two_periods_of_the_same_kind_do_not_differ_and_half_does():
    one, two = place(14, 84), place(15, 84)
    same = compare(one, two)
    assert same.changed.mean() < 0.05
    halved = compare(one, np.floor(two * 0.2))
    assert halved.changed[np.arange(168) % 24 > 6].mean() > 0.9
    assert np.nanmedian(halved.ratio[10]) == pytest.approx(0.2, abs=0.1)
    empty = two.copy()
    empty[:, 12:15] = 0
    assert compare(one, empty).became_low[:, 0].reshape(7, 24)[:, 12:15].all()


def test_nothing_at_all_is_answered_with_nothing():
    for n_days in (0, 3):
        found = low_activity(np.full((n_days, 24, 2), np.nan))
        assert found.p_low.shape == (168, 2)
        assert (found.state == State.INSUFFICIENT).all()


def test_wrong_shapes_and_values_are_named():
    with pytest.raises(ShapeMismatchError):
        low_activity(np.zeros((5, 23, 1)))
    with pytest.raises(BadArgumentError):
        low_activity(np.full((56, 24, 1), -1.0))
    with pytest.raises(BadArgumentError):
        low_activity(np.zeros((56, 24, 1)), day_class=np.full(56, 7))
    with pytest.raises(ShapeMismatchError):
        low_activity(np.zeros((56, 24, 1)), day_class=np.zeros(55))
    with pytest.raises(BadArgumentError):
        low_activity(np.zeros((56, 24, 1)), window_days=21)


def test_weeks_keep_every_hour_once():
    hours = np.arange(21 * 24, dtype=float).reshape(21, 24, 1)
    weeks = fold_into_weeks(hours, np.repeat((np.arange(21) % 7)[:, None], 24, axis=1))
    assert sorted(weeks[np.isfinite(weeks)]) == sorted(hours.reshape(-1))
    assert fit_cells(weeks).n.min() == 3


# -- darkness -----------------------------------------------------------------------------------

HELSINGBORG = (56.05, 12.69)


def local_hours(day, n_days=1):
    """Hours from midnight UTC of a date."""
    start = np.datetime64(day).astype("M8[s]").astype(np.int64)
    return start + 3600 * np.arange(24 * n_days, dtype=np.int64).reshape(n_days, 24)


def test_midsummer_night_is_dark_for_four_hours_and_midwinter_for_fifteen():
    summer = dark_at_midpoint(local_hours("2026-06-20", 2), *HELSINGBORG)
    winter = dark_at_midpoint(local_hours("2026-12-21"), *HELSINGBORG)
    assert summer.sum() == 8  # 21:03-01:19 UTC, twice
    assert winter.sum() in {15, 16}


def test_twilight_is_neither_light_nor_dark():
    light, dark = light_and_dark(local_hours("2026-03-20"), *HELSINGBORG)
    assert not (light & dark).any()
    assert (~light & ~dark).sum() in {3, 4}


def test_dark_and_empty_needs_both():
    p_low = np.full((168, 1), np.nan)
    p_low[:24, 0] = 0.95
    classes = np.repeat(np.arange(2)[:, None], 24, axis=1)
    dark = np.zeros((2, 24), dtype=bool)
    dark[:, :3] = True
    found = dark_and_empty(p_low, classes, dark)
    assert found[0].sum() == 3
    assert found[1].sum() == 0


def test_easter_is_where_the_church_has_it():
    assert [easter_sunday(y) for y in (2024, 2025, 2026, 2038)] == [
        (3, 31), (4, 20), (4, 5), (4, 25),
    ]  # fmt: skip


def test_the_first_of_january_1970_was_a_thursday():
    assert weekdays(0, 4).tolist() == [3, 4, 5, 6]


def test_a_place_where_nobody_ever_comes_is_low_and_not_busy():
    found = low_activity(np.zeros((70, 24, 1)))
    assert found.threshold[0] == 1
    assert (found.state == State.CERTAIN).all()


def test_what_a_mask_hides_is_missing():
    hidden = np.ma.masked_array(np.full((70, 24, 1), 30.0), mask=True)
    assert (low_activity(hidden).state == State.INSUFFICIENT).all()


@pytest.mark.parametrize(
    ("counts", "more", "kind"),
    [
        ([["a"]], {}, BadArgumentError),
        (np.ones((70, 24, 2)), {"threshold": [1.0, 2.0, 3.0]}, ShapeMismatchError),
        (np.ones((70, 24, 2)), {"day_class": [float("nan")] * 70}, BadArgumentError),
        (np.ones((70, 24, 2)), {"window_days": 30.5}, BadArgumentError),
    ],
)
def test_what_cannot_be_used_is_named(counts, more, kind):
    with pytest.raises(kind):
        low_activity(counts, **more)


def test_a_place_with_bursts_is_less_surely_low():
    hours = place(11)
    plain = low_activity(hours)
    rng = np.random.default_rng(12)
    for day in rng.choice(56, 6, replace=False):
        hours[day, int(rng.integers(1, 5)), 0] = 400.0
    shaken = low_activity(hours)
    quiet = np.arange(168) % 24 == 2
    assert (plain.state[quiet, 0] == State.CERTAIN).all()
    assert (shaken.state[quiet, 0] == State.PROBABLE).all()
    assert shaken.p_low[quiet, 1] == pytest.approx(plain.p_low[quiet, 1])


@pytest.mark.parametrize(
    ("counts", "more"),
    [
        (np.zeros((56, 24, 0)), {}), (np.zeros((0, 168, 0)), {}), ("many", {}), (None, {}),
        (np.full((56, 24, 1), 1e300), {}), (np.full((56, 24, 1), -1.0), {}),
        (np.zeros((56, 24, 1)), {"threshold": "low"}),
        (np.zeros((56, 24, 1)), {"absolute": np.nan}),
        (np.zeros((56, 24, 1)), {"first_weekday": "Monday"}),
        (np.zeros((56, 24, 1)), {"day_class": np.full(56, np.nan)}),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_said(counts, more):
    with pytest.raises(AnalyticsError):
        low_activity(counts, **more)
