"""Levels of one night: between the steps of coarse sensors, beside stray light, after repairs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import lighting_loops as loops

from analytics.burning import between_steps, step_of
from analytics.depreciation import without_stray_light
from analytics.grid import row_quantiles
from analytics.memory import Memory
from analytics.repairs import note_maintenance, prove_repairs, unproved

NIGHT = 20_000
SLOTS = 60


@given(
    arrays(np.float32, (4, 9), elements=st.sampled_from([math.nan, 1, 2, 3, 4, 7, 20])),
    arrays(np.float32, 4, elements=st.sampled_from([math.nan, 0.01, 0.5, 1])),
)
def test_between_steps_is_that_of_the_loop(x, resolution):
    step = step_of(x, resolution)
    (middle,) = row_quantiles(x, 0.5)
    got = between_steps(x, middle, step)
    expected = loops.between_steps(x.tolist(), resolution.tolist())
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("level", [4.3, 4.4, 4.6, 4.7])
def test_a_coarse_sensor_is_read_between_its_steps(level):
    wander = np.random.default_rng(1).normal(0, 0.3, SLOTS)
    x = np.round(level + wander).astype(np.float32)[None, :]
    (middle,) = row_quantiles(x, 0.5)
    found = between_steps(x, middle, step_of(x, np.ones(1, np.float32)))
    assert abs(found[0] - level) < 0.2 < abs(middle[0] - level)


def test_what_has_no_steps_keeps_its_median():
    x = np.array([[9.9, 10.1, 10.2, 60]], dtype=np.float32)
    (middle,) = row_quantiles(x, 0.5)
    assert between_steps(x, middle, step_of(x, np.full(1, 0.01, np.float32))) == middle


@pytest.mark.parametrize(
    ("own", "late", "expected"),
    [
        (0.3, 0.0, 0.0),  # a shop window that shines in until midnight
        (0.3, -0.25, -0.25),  # and a lamp that fades behind it
        (-0.3, 0.0, 0.0),  # one that was learned with, and is gone
        (-0.3, -0.32, -0.3),
        (0.0, -0.3, 0.0),  # other dimming: the lamp at full light is what it was
    ],
)
def test_the_small_hours_stand_for_the_night_where_something_else_shone(own, late, expected):
    memory = Memory.fresh(1, np.full(1, 20, np.float32))
    memory.ref_late[:] = 20
    got = without_stray_light(np.full(1, own, np.float32), np.full(1, late, np.float32), memory)
    assert got[0] == pytest.approx(expected)


def repaired_memory(before=20.0):
    memory = Memory.fresh(1, np.full(1, before, np.float32))
    memory.ref_lux[:], memory.frozen[:], memory.levels[:] = before, True, -1.0
    note_maintenance(memory, {"repaired": np.array([True])}, NIGHT)
    return memory


def live_on(memory, levels):
    for number, level in enumerate(levels, NIGHT):
        memory.levels[:, :-1] = memory.levels[:, 1:]
        memory.levels[:, -1] = level
        prove_repairs(memory, number)


@pytest.mark.parametrize(("nights", "open_still"), [(2, True), (3, False)])
def test_a_repaired_lamp_that_is_as_before_stays_known(nights, open_still):
    memory = repaired_memory()
    live_on(memory, [-1.0, 0.02, 0.0, -0.01][: nights + 1])
    assert memory.frozen[0]
    assert bool(unproved(memory, NIGHT + nights)[0]) is open_still
    assert np.isfinite(memory.ref_lux).all()


@pytest.mark.parametrize("level", [0.3, -0.2])
def test_a_repaired_lamp_that_is_another_is_learned_anew(level):
    memory = repaired_memory()
    live_on(memory, [-1.0, level, level, level])
    assert not memory.frozen[0]
    assert np.isnan(memory.ref_lux).all()


def test_the_night_before_the_work_and_silent_nights_prove_nothing():
    memory = repaired_memory()
    live_on(memory, [-1.0, math.nan, 0.0, math.nan, 0.0])
    assert memory.frozen[0]
    assert unproved(memory, NIGHT + 4)[0]


def test_a_new_lamp_is_learned_anew_whatever_it_shows():
    memory = Memory.fresh(1, np.full(1, 20, np.float32))
    memory.ref_lux[:], memory.frozen[:] = 20, True
    note_maintenance(memory, {"lamp_swap": np.array([True])}, NIGHT)
    assert not memory.frozen[0]
