"""Day and night together: what a sensor loses it loses twice; leaves move the whole town."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import lighting_loops as loops

from analytics.day_and_night import course_of_leaves, daylight_per_night
from analytics.sensor_faults import in_one_step

NIGHTS = 30
nightly = st.one_of(st.just(math.nan), st.floats(-2, 2, width=32, allow_subnormal=False))
some_nights = arrays(np.float32, (3, 14), elements=nightly)


@given(some_nights, some_nights, arrays(np.float32, 14, elements=nightly))
@settings(max_examples=200)
def test_daylight_per_night_is_that_of_the_loop(levels, responses, leaves):
    got = daylight_per_night(levels, responses, leaves)
    for i in range(3):
        expected = loops.daylight_per_night(
            levels[i].tolist(), responses[i].tolist(), leaves.tolist()
        )
        if math.isnan(expected[0]) or expected[1] > 1:
            assert math.isnan(got[0][i]) == math.isnan(expected[0])
            continue
        np.testing.assert_allclose([g[i] for g in got], expected, rtol=2e-2, atol=2e-2)


@given(some_nights, st.sampled_from([-1.0, -0.3, 0.2, 0.8]))
@settings(max_examples=200)
def test_a_step_is_that_of_the_loop(levels, change):
    # No two nights are alike to the last digit, so that "the largest" is one night.
    levels = levels + np.random.default_rng(3).uniform(0, 0.01, levels.shape).astype(np.float32)
    step, before = in_one_step(levels, np.full(3, change, np.float32))
    for i in range(3):
        expected = loops.in_one_step(levels[i].tolist(), float(np.float32(change)))
        assert (bool(step[i]), int(before[i])) == expected


def ramp(from_night, to):
    return np.interp(np.arange(NIGHTS), [from_night, NIGHTS - 1], [0, to]).astype(np.float32)


def test_a_fading_lamp_leaves_daylight_alone_and_a_drifting_sensor_does_not():
    rng = np.random.default_rng(5)
    fall = ramp(10, -0.5)
    noise = rng.normal(0, 0.03, (2, NIGHTS)).astype(np.float32)
    levels = np.stack([fall, fall])
    responses = np.stack([0 * fall, fall]) + noise
    factor, error, _ = daylight_per_night(levels, responses, np.zeros(NIGHTS, np.float32))
    assert factor[0] < 0.3
    assert factor[1] > 0.7
    assert (error < 0.4).all()


def test_leaves_that_fall_all_over_town_are_no_drift():
    rng = np.random.default_rng(6)
    fall, leaves = ramp(16, -0.4), ramp(0, 0.4)
    noise = rng.normal(0, 0.02, (2, NIGHTS)).astype(np.float32)
    responses = np.stack([fall + leaves, leaves]) + noise
    factor, _, foliage = daylight_per_night(np.stack([fall, fall]), responses, leaves)
    assert factor[0] > 0.6
    assert factor[1] < 0.4
    assert foliage[1] > 0.2


def test_without_a_word_from_either_nothing_is_said():
    empty = np.full((2, NIGHTS), np.nan, np.float32)
    factor, error, foliage = daylight_per_night(empty, empty, empty[0])
    assert np.isnan(factor).all()
    assert np.isnan(error).all()
    assert (foliage == 0).all()


def test_the_town_s_leaves_are_the_distance_between_leafy_and_open_streets():
    response = np.r_[np.zeros(20), np.full(20, 0.3)].astype(np.float32)
    assert course_of_leaves(response, np.ones(40, bool)) == np.float32(0.3)
    assert np.isnan(course_of_leaves(response, np.zeros(40, bool)))


def test_a_fall_in_one_night_is_a_step_and_one_of_weeks_is_none():
    at_once = np.r_[np.zeros(20), np.full(10, -0.5)].astype(np.float32)
    slowly = ramp(5, -0.5)
    step, before = in_one_step(np.stack([at_once, slowly]), np.full(2, -0.5, np.float32))
    assert step.tolist() == [True, False]
    assert before[0] in (18, 19)


def test_a_gap_in_the_nights_hides_no_step():
    level = np.r_[np.zeros(15), np.full(6, np.nan), np.full(9, -0.6)].astype(np.float32)
    step, _ = in_one_step(level[None, :], np.full(1, -0.6, np.float32))
    assert step[0]


def test_back_from_a_shop_window_s_light_is_no_fall_of_the_lamp():
    level = np.r_[np.zeros(10), np.full(10, 0.3), np.full(10, -0.2)].astype(np.float32)
    step, before = in_one_step(level[None, :], np.full(1, -0.2, np.float32))
    assert not (step[0] and before[0] >= 15)


def test_a_loss_of_supply_that_is_over_is_not_how_a_later_change_came():
    level = np.r_[np.zeros(8), np.full(3, -4.2), np.zeros(12), np.full(7, -0.6)].astype(np.float32)
    step, before = in_one_step(level[None, :], np.full(1, -0.6, np.float32))
    assert step[0]
    assert before[0] in (21, 22, 23)
