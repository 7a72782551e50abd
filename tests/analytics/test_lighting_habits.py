"""Programmes that nobody told, learned from light; levels that controllers report."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import lighting_loops as loops

from analytics.asked import asked_of
from analytics.dimming import expectation, parse_programme
from analytics.grid import SLOTS
from analytics.habits import DAY_MIN, Habit, dimmed_stretch, learned_habit, within_habit

lux = st.floats(0.25, 30, width=32)
nights = arrays(np.float32, (3, 24), elements=lux)
known = arrays(bool, (3, 24), elements=st.booleans())
LOCAL = (720 + 5 + 10 * np.arange(SLOTS)) % DAY_MIN
DARK = np.full(SLOTS, -20, np.float32)


def nothing(n):
    return Habit(*(np.full(n, np.nan, np.float32) for _ in range(3)))


@given(nights, known)
@settings(max_examples=200)
def test_the_dimmed_stretch_is_that_of_the_loop(values, seen):
    # No two readings are alike to the last digit, so that "the largest fall" is one place.
    values = values * np.random.default_rng(4).uniform(1, 1.1, values.shape).astype(np.float32)
    got = np.stack(dimmed_stretch(values, seen), axis=1)
    expected = [
        loops.dimmed_stretch(row.tolist(), mask.tolist())
        for row, mask in zip(values, seen, strict=True)
    ]
    np.testing.assert_allclose(got, np.array(expected), rtol=1e-4)


def test_a_night_that_is_dimmed_from_ten_to_five_shows_it():
    night = np.full((1, 90), 20, np.float32)
    night[0, 30:70] = 8
    start, stop, level = dimmed_stretch(night, np.ones((1, 90), bool))
    assert (start[0], stop[0]) == (30, 70)
    assert level[0] == np.float32(0.4)


def test_steady_light_and_silence_have_no_dimmed_stretch():
    night = np.full((2, 90), 20, np.float32)
    seen = np.ones((2, 90), bool)
    seen[1] = False
    assert np.isnan(dimmed_stretch(night, seen)[2]).all()


def test_what_comes_at_the_same_time_every_night_is_a_programme():
    same = np.full((1, 10), 600, np.float32)
    anyhow = np.linspace(300, 900, 10, dtype=np.float32)[None, :]
    share = np.full((1, 10), 0.4, np.float32)
    habit = learned_habit(np.r_[same, anyhow], np.r_[same + 420, same], np.r_[share, share])
    assert habit.level[0] == np.float32(0.4)
    assert np.isnan(habit.level[1])


def test_a_stretch_that_dawn_ends_lasts_as_long_as_the_night():
    until = np.linspace(900, 1100, 10, dtype=np.float32)[None, :]
    from_ten = np.full((1, 10), 600, np.float32)
    habit = learned_habit(from_ten, until, np.full((1, 10), 0.5, np.float32))
    assert habit.stop_min[0] == DAY_MIN


def test_edges_of_a_habit_belong_to_neither_level():
    habit = Habit(*(np.full(1, v, np.float32) for v in (600, 900, 0.5)))
    minute = np.array([585, 595, 605, 615, 895, 915], np.float32)
    assert within_habit(habit, minute, 10)[0].tolist() == [False, True, True, True, True, False]
    assert within_habit(habit, minute, -10)[0].tolist() == [False, False, False, True, False, False]


def test_a_learned_programme_stands_where_the_registry_has_none():
    habit = Habit(*(np.full(2, v, np.float32) for v in (600, 1020, 0.4)))
    plain = expectation(DARK, LOCAL.astype(float), (), always=False)
    told = expectation(DARK, LOCAL.astype(float), parse_programme("23:00-05:00@60"), always=False)
    asked = asked_of([plain, told], np.array([0, 1], np.int32), slice(0, SLOTS), habit, None)
    at_eleven = (23 - 12) * 6 + 3
    assert asked.level[:, at_eleven].tolist() == [np.float32(0.4), np.float32(0.6)]
    assert asked.full[:, at_eleven].tolist() == [False, False]
    assert asked.dimmed[:, at_eleven].tolist() == [True, True]


def test_a_controller_knows_best_and_nought_says_nothing():
    plain = expectation(DARK, LOCAL.astype(float), (), always=False)
    reported = np.full((2, SLOTS), np.nan, np.float32)
    reported[0, 60:80] = 30
    reported[1, 60:80] = 0
    asked = asked_of([plain], np.zeros(2, np.int32), slice(0, SLOTS), nothing(2), reported)
    assert asked.level[0, 70] == np.float32(0.3)
    assert asked.dimmed[0, 70]
    assert asked.level[1, 70] == 1
    assert asked.full[1, 70]
