"""Daylight, surplus light and runs of equal readings against their loops."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import lighting_loops as loops

from analytics.daylight import clipped_mean, daylight, seen_saturated, surplus_light
from analytics.dimming import Expectation
from analytics.equal_runs import Run, equal_runs
from analytics.grid import SLOTS, window_start

DEVICES = 3
known = st.one_of(st.just(float("nan")), st.floats(0.125, 64, width=32))


def no_expectation():
    none = np.zeros(SLOTS, dtype=bool)
    elevation = np.linspace(30, -30, SLOTS, dtype=np.float32)
    return Expectation(
        elevation,
        none,
        none,
        none,
        none,
        np.ones(SLOTS, np.float32),
        none,
        none,
        none,
        np.zeros(SLOTS, np.float32),
    )


NOON = window_start(20_000)


def runs_of(lux, value, count, start_ms=NOON):
    zeros = np.zeros(len(lux), dtype=np.int32)
    run = Run(value, count, zeros, zeros, np.zeros(len(lux), dtype=np.int64))
    ended, _ = equal_runs(lux, np.isfinite(lux), [no_expectation()], zeros, start_ms, run)
    return ended


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float32, (DEVICES, SLOTS), elements=st.sampled_from([np.nan, 1.0, 2.0])),
    arrays(np.float32, DEVICES, elements=st.sampled_from([1.0, 2.0])),
    arrays(np.int32, DEVICES, elements=st.integers(1, 500)),
)
def test_runs_of_equal_readings_are_those_of_the_loop(lux, value, count):
    out = runs_of(lux, value, count)
    for i in range(DEVICES):
        expected = loops.last_run(lux[i], (value[i], count[i]))
        assert (out.value[i], out.count[i]) == expected


def test_a_run_counts_the_same_on_any_day():
    lux = np.full((1, SLOTS), 3.0, dtype=np.float32)
    nothing = np.full(1, np.nan, np.float32), np.zeros(1, np.int32)
    first = runs_of(lux, *nothing)
    later = runs_of(lux, *nothing, start_ms=window_start(20_007))
    assert first.count[0] == later.count[0] == SLOTS
    assert later.since_ms[0] - first.since_ms[0] == 7 * 86_400_000


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, (DEVICES, 12), elements=known),
    arrays(np.float32, (DEVICES, 12), elements=st.floats(0, 6, width=32)),
    arrays(np.float32, DEVICES, elements=st.floats(-3, -1, width=32)),
    arrays(np.float32, DEVICES, elements=st.floats(0.5, 40, width=32)),
)
def test_surplus_light_is_that_of_the_loop(lux, sky, share, own):
    top = np.full(DEVICES, 60, dtype=np.float32)
    surplus, information, least = surplus_light(lux, sky, share, own, top)
    predicted = np.exp(share[:, None] + sky)
    margin = 1 / (0.2 * predicted / own[:, None].clip(1) + 0.1) ** 2
    assume((np.abs(margin - 1) > 1e-3).all())
    for i in range(DEVICES):
        total, weights, quarter = loops.surplus_light(lux[i], sky[i], share[i], own[i], top[i])
        if abs(total / max(weights, 1) - 0.3) > 1e-3:
            np.testing.assert_allclose(least[i], quarter, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(information[i], weights, rtol=2e-4)
        np.testing.assert_allclose(surplus[i], total, rtol=2e-3, atol=2e-3 * weights + 1e-6)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, (DEVICES, 9), elements=known),
    arrays(np.float32, (DEVICES, 9), elements=st.floats(1, 1000, width=32)),
    arrays(np.bool_, 9),
    st.integers(2, 5),
)
def test_the_answer_to_daylight_is_that_of_the_loop(seen, weight, use, least):
    mean, n = clipped_mean(seen, weight, use, least=least)
    for i in range(DEVICES):
        expected, used = loops.clipped_mean(seen[i], weight[i], use, least)
        assert n[i] == used
        np.testing.assert_allclose(mean[i], expected, rtol=1e-4)


def test_surplus_light_does_not_depend_on_the_unit_of_light():
    lux = np.array([[30, 42, 55]], dtype=np.float32)
    sky = np.log(np.array([[100, 200, 300]], dtype=np.float32))
    share, own, top = (np.array([v], dtype=np.float32) for v in (np.log(0.1), 20, 1000))
    one, weight, least = surplus_light(lux, sky, share, own, top)
    ten, same, as_low = surplus_light(
        10 * lux, sky + np.float32(np.log(10)), share, 10 * own, 10 * top
    )
    np.testing.assert_allclose(ten / same, one / weight, rtol=1e-4)
    np.testing.assert_allclose(as_low, least, rtol=1e-4)


def test_a_sensor_that_ends_early_is_asked_by_the_low_sun():
    # Six sensors that see a tenth of the same rising sky; the first one ends at 40 lx.
    elevation = np.linspace(0.5, 8, 10, dtype=np.float32)
    sky = np.exp(np.linspace(5.5, 9, 10))
    lux = np.tile(0.1 * sky, (6, 1)).astype(np.float32)
    top = np.array([40, *[50_000] * 5], dtype=np.float32)
    lux[0] *= 0.5  # half blind
    lux = np.minimum(lux, top[:, None])
    names = ("share", "own_lx", "resolution_lx", "max_lx")
    values = (np.full(6, np.log(0.1)), np.full(6, 10), np.full(6, 0.1), top)
    known_before = {n: np.asarray(v, np.float32) for n, v in zip(names, values, strict=True)}
    members, peers = np.arange(6, dtype=np.int32)[None], np.zeros(6, dtype=np.int32)
    groups = {"members": members, "peers": peers}
    found, _ = daylight(lux, elevation, np.ones(10, dtype=bool), **known_before, **groups)
    assert found.n_am[0] < 4
    np.testing.assert_allclose(found.response_am[0] - found.response_am[1], np.log(0.5), atol=0.02)


def test_a_sensor_that_ends_lower_than_the_registry_says_is_seen_to():
    day = np.array([[300, 1000, 1000, 1000, 1000], [300, 900, 1000, 950, 800]], dtype=np.float32)
    np.testing.assert_array_equal(seen_saturated(day), [1000, np.inf])


def test_a_sensor_that_never_spoke_ends_nowhere():
    assert np.isinf(seen_saturated(np.full((1, 9), np.nan, dtype=np.float32))).all()
