"""The kernels of the night against their loops, and what must hold for any street."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import lighting_loops as loops

from analytics.cause import sections
from analytics.clocks import clock_shift
from analytics.daylight import group_medians
from analytics.grid import (
    SLOT_MS,
    SLOTS,
    lay_out,
    night_of,
    row_quantiles,
    window_start,
)
from analytics.light_course import dark_ending, told_since, transitions
from analytics.street import cable_neighbours, padded_groups, peer_groups

NOON = window_start(20_000)
bools = st.booleans()
lux = st.one_of(
    st.just(float("nan")),
    st.sampled_from([0.0, 1.0, 12.5]),
    st.floats(0, 1e5, width=32, allow_subnormal=False),
)


@st.composite
def readings(draw, devices=4):
    m = draw(st.integers(0, 40))
    rows = draw(st.lists(st.integers(-1, devices - 1), min_size=m, max_size=m))
    slots = draw(st.lists(st.integers(-2, SLOTS + 1), min_size=m, max_size=m))
    seconds = draw(st.lists(st.integers(0, 599), min_size=m, max_size=m))
    values = draw(st.lists(lux, min_size=m, max_size=m))
    times = [NOON + s * SLOT_MS + x * 1000 for s, x in zip(slots, seconds, strict=True)]
    return rows, times, values


@given(readings())
@settings(max_examples=200)
def test_readings_are_laid_out_as_the_loop_does(given_readings):
    rows, times, values = given_readings
    grid = lay_out(
        np.array(rows, np.int32),
        np.array(times, np.int64),
        np.array(values, np.float64),
        n=4,
        start_ms=NOON,
    )
    expected = loops.lay_out(rows, times, values, n=4, start_ms=NOON)
    np.testing.assert_allclose(grid, np.array(expected, np.float32), rtol=1e-6)


@given(readings(), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_the_order_in_which_readings_come_does_not_matter(given_readings, random):
    order = list(range(len(given_readings[0])))
    random.shuffle(order)
    both = []
    for chosen in (range(len(order)), order):
        rows, times, values = ([column[i] for i in chosen] for column in given_readings)
        both.append(
            lay_out(
                np.array(rows, np.int32),
                np.array(times, np.int64),
                np.array(values, np.float64),
                n=4,
                start_ms=NOON,
            )
        )
    np.testing.assert_array_equal(*both)


def test_silence_is_not_darkness():
    grid = lay_out(
        np.array([0], np.int32), np.array([NOON], np.int64), np.array([7.0]), n=2, start_ms=NOON
    )
    assert grid[0, 0] == 7
    assert np.isnan(grid[1]).all()
    assert np.isnan(grid[0, 1:]).all()


def test_a_night_runs_from_noon_to_noon():
    assert night_of(NOON) == 20_000
    assert night_of(NOON - 1) == 19_999
    assert night_of(NOON + 86_399_999) == 20_000


@given(arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 12)), elements=lux))
def test_quantiles_of_rows_are_those_of_the_loop(values):
    for q, got in zip((0.5, 0.8), row_quantiles(values, 0.5, 0.8), strict=True):
        expected = [loops.quantile([float(v) for v in row], q) for row in values]
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-30)


night_of_bools = st.integers(1, 30).flatmap(
    lambda s: st.tuples(arrays(bool, (3, s), elements=bools), arrays(bool, (3, s), elements=bools))
)


@given(night_of_bools)
def test_transitions_skip_what_is_not_known(night):
    dark, known = night[0] & night[1], night[1]
    falls, rises = transitions(dark, known)
    for i in range(3):
        assert (falls[i], rises[i]) == loops.transitions(dark[i], known[i])


@given(night_of_bools)
def test_the_darkness_a_night_ends_with_is_that_of_the_loop(night):
    dark, seen = night[0] & night[1], night[1]
    first, readings_in_it, before = dark_ending(dark, seen)
    for i in range(3):
        start, n, share = loops.dark_ending(dark[i], seen[i])
        assert readings_in_it[i] == n
        if n:
            assert first[i] == start
        np.testing.assert_allclose(before[i], share, rtol=1e-5)


@given(
    arrays(np.float32, (3, 12), elements=st.sampled_from([np.nan, 0.0, 40.0, 100.0])),
    st.lists(st.integers(-3, 14), min_size=3, max_size=3),
)
def test_what_a_controller_said_in_the_dark_is_counted_as_the_loop_does(told, begun):
    since = np.array([NOON + b * SLOT_MS if b >= 0 else 0 for b in begun], dtype=np.int64)
    got = told_since(told, since, NOON)
    expected = [loops.told_since(told[i].tolist(), int(since[i]), NOON) for i in range(3)]
    assert got.tolist() == expected


@given(st.lists(bools, min_size=1, max_size=25), st.integers(1, 6))
def test_sections_are_those_of_the_loop(dead, least):
    assert sections(np.array(dead), least) == loops.sections(dead, least)


@given(
    arrays(np.float32, (7, 4), elements=lux),
    st.lists(st.integers(0, 2), min_size=7, max_size=7),
)
def test_medians_over_groups_are_those_of_the_loop(values, group):
    _, numbered = np.unique(group, return_inverse=True)
    members = padded_groups(numbered.astype(np.int32))
    got, count = group_medians(values, members)
    listed = [[int(m) for m in line if m >= 0] for line in members]
    expected, counts = loops.group_medians(values.astype(float).tolist(), listed)
    np.testing.assert_allclose(got, np.array(expected), rtol=1e-5, atol=1e-30)
    np.testing.assert_array_equal(count, np.array(counts))


def test_a_clock_that_is_an_hour_off_all_day_is_moved_back():
    time_ms = NOON + np.arange(0, 86_400_000, 600_000)
    row = np.zeros(len(time_ms), np.int32)
    shift = clock_shift(row, time_ms, time_ms + 3_600_000, n=1)
    assert shift[0] == 3_600_000


def test_a_buffer_that_is_sent_late_keeps_its_times():
    time_ms = NOON + np.arange(0, 86_400_000, 600_000)
    received = np.full(len(time_ms), NOON + 90_000_000)
    shift = clock_shift(np.zeros(len(time_ms), np.int32), time_ms, received, n=1)
    assert shift[0] == 0


def test_a_right_clock_is_left_alone():
    time_ms = NOON + np.arange(0, 86_400_000, 600_000)
    shift = clock_shift(np.zeros(len(time_ms), np.int32), time_ms, time_ms + 5_000, n=1)
    assert shift[0] == 0


def test_neighbours_stand_on_the_same_line_only():
    line = np.array([0, 0, 0, 1, 1, -1], np.int32)
    position = np.array([2, 1, 3, 1, 2, 1], np.int32)
    left, right = cable_neighbours(line, position)
    assert left.tolist() == [1, -1, 0, -1, 3, -1]
    assert right.tolist() == [2, 0, -1, 4, -1, -1]


@pytest.mark.parametrize("members", [3, 4, 24, 25, 60])
def test_peer_groups_are_neither_lonely_nor_endless(members):
    feeder = np.r_[np.zeros(members), np.ones(30), np.full(5, 2)].astype(np.int32)
    peers = peer_groups(feeder, np.zeros(len(feeder), bool))
    sizes = np.bincount(peers)
    assert sizes.max() <= 24
    assert sizes.min() >= 3
    if members >= 4:
        assert not set(peers[:members]) & set(peers[members:])
