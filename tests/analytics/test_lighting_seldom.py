"""Devices that speak once an hour: what an hour, a night and a habit are to them."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import lighting_loops as loops

from analytics.burning import forget_unasked_ends
from analytics.cycling import pooled_excess
from analytics.daylight import held_readings, reach_of
from analytics.light_course import switching_elevations
from analytics.memory import Memory, remember_best
from analytics.nights import Night
from analytics.pace import enough_for_a_level, interval_min, learn_pace, watched_long_enough
from analytics.sun import clear_sky_log_lux, degrees_a_minute, sun_elevation

SLOTS = 24
flags = arrays(bool, (3, SLOTS))
maybe = st.one_of(st.just(float("nan")), st.floats(-5, 5, width=32))


@given(flags, flags, arrays(np.float32, (1, SLOTS), elements=st.floats(-20, 5, width=32)))
@settings(max_examples=200)
def test_the_ends_of_a_night_are_found_as_the_loop_does(lit, dark, elevation):
    dark &= ~lit
    found = switching_elevations(lit, dark, elevation, np.zeros(3, np.int32))
    for row in range(3):
        expected = loops.switching_elevations(lit[row], dark[row], elevation[0])
        np.testing.assert_array_equal([part[row] for part in found], np.array(expected, np.float32))


@given(
    arrays(np.float32, (3, SLOTS), elements=maybe),
    arrays(np.int32, 3, elements=st.integers(0, 3)),
)
@settings(max_examples=200)
def test_readings_stand_for_the_slots_beside_them_as_the_loop_does(values, reach):
    held = held_readings(values, reach)
    for row in range(3):
        expected = loops.held_readings(values[row].tolist(), int(reach[row]))
        np.testing.assert_array_equal(held[row], np.array(expected, np.float32))


def test_a_night_without_light_asked_for_at_dawn_has_no_dawn():
    night = Night.empty(2)
    for feature in (night.first_deg, night.late_deg, night.last_deg, night.early_deg):
        feature[:] = -5
    elevation = np.concatenate([np.linspace(-4, -13, 12), np.linspace(-12, -4, 12)])
    asked = np.ones((2, SLOTS), dtype=bool)
    asked[1, 11:] = False  # switched off half an hour past midnight until day
    both = elevation[None].astype(np.float32)
    forget_unasked_ends(night, slice(None), asked, both, np.zeros(2, np.int32))
    assert night.first_deg.tolist() == night.late_deg.tolist() == [-5, -5]
    assert night.last_deg[0] == night.early_deg[0] == -5
    assert np.isnan([night.last_deg[1], night.early_deg[1]]).all()


def test_only_devices_that_speak_seldom_stand_for_more_than_their_own_slot():
    slots = np.arange(SLOTS)
    every = [slots >= 0, slots % 3 > 0, slots % 3 == 0, slots % 6 == 0, slots < 0]
    lux = np.where(np.stack(every), np.float32(1), np.float32("nan"))
    assert reach_of(lux).tolist() == [0, 0, 1, 2, 0]


@given(
    arrays(np.float32, (2, 6), elements=st.one_of(st.just(np.nan), st.integers(0, 9))),
    arrays(np.float32, (2, 6), elements=st.one_of(st.just(np.nan), st.integers(0, 40))),
    st.integers(1, 60),
)
@settings(max_examples=200)
def test_comings_and_goings_are_pooled_as_the_loop_does(excess, watched, readings):
    memory = Memory.fresh(2, np.full(2, np.nan, np.float32))
    memory.excess, memory.watched = excess, watched
    found = pooled_excess(memory, np.full(2, readings, np.int32))
    expected = [
        loops.pooled_excess(e.tolist(), w.tolist(), readings)
        for e, w in zip(excess, watched, strict=True)
    ]
    np.testing.assert_allclose(found, expected)


@given(st.lists(maybe, max_size=12))
def test_the_three_highest_are_remembered_in_any_order(values):
    buffer = np.full((1, 3), np.nan, np.float32)
    for value in values:
        remember_best(buffer, np.array([value], np.float32))
    there = sorted((v for v in np.array(values, np.float32) if np.isfinite(v)), reverse=True)[:3]
    kept = sorted((v for v in buffer[0] if np.isfinite(v)), reverse=True)
    assert kept == there


def test_an_hour_of_light_is_six_readings_of_some_and_three_of_others():
    readings = np.array([5, 6, 3, 4, 2, 3], np.int32)
    interval = np.array([10, 10, 15, 15, 60, 60], np.float32)
    assert enough_for_a_level(readings, interval).tolist() == [
        False, True, False, True, False, True,
    ]  # fmt: skip


def test_a_night_is_told_by_two_hours_and_four_readings_at_least():
    readings = np.array([10, 11, 7, 8, 3, 4], np.int32)
    interval = np.array([10, 10, 15, 15, 60, 60], np.float32)
    assert watched_long_enough(readings, interval).tolist() == [
        False, True, False, True, False, True,
    ]  # fmt: skip


def test_lost_readings_do_not_make_a_device_slow():
    street = SimpleNamespace(
        mains=np.ones(4, dtype=bool),
        interval_s=np.array([600, np.nan, 600, 600], np.float32),
        feeder_switched=np.array([False, False, False, True]),
    )
    memory = Memory.fresh(4, np.full(4, np.nan, np.float32))
    assert interval_min(memory, street).tolist() == [10, 10, 10, 10]
    for counts in ([144, 23, 24, 40], [20, 24, 10, 20], [0, 0, 0, 0]):
        night = Night.empty(4)
        night.n_lux = np.array(counts, np.int32)
        learn_pace(memory, night, street)
    # The last one is silent by day with its feeder: its registry is believed.
    assert interval_min(memory, street).tolist() == [10, 60, 60, 10]


def test_the_sun_sinks_as_fast_as_the_almanac_says():
    for lat in (40.0, 56.0, 59.0, 62.0):
        for date in ("2026-03-20", "2026-05-20", "2026-12-21"):
            night = int(np.datetime64(date, "D").astype(np.int64))
            t = night * 86400.0 + np.arange(43_200, 129_600, 60.0)
            high = sun_elevation(t, lat, 15.0)
            at = np.flatnonzero((high[:-1] > -4) & (high[1:] <= -4))[0]
            rate = degrees_a_minute(night, np.array([lat]))[0]
            assert abs(rate - (high[at] - high[at + 1])) < 0.003
    midsummer = int(np.datetime64("2026-06-21", "D").astype(np.int64))
    assert 0 < degrees_a_minute(midsummer, np.array([65.0]))[0] < 0.01


def test_a_clear_sky_grows_with_the_sun():
    lux = np.exp(clear_sky_log_lux(np.array([-6, -3, 0, 5, 30, 90], np.float32)))
    assert (np.diff(lux) > 0).all()
    assert 2 <= lux[0] <= 3.5  # AMS Glossary: end of civil twilight
    assert 410 <= lux[2] <= 585  # sunset
