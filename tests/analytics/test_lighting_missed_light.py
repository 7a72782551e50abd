"""Whether the lamps beside a dark one miss its light."""

import math
from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import lighting_loops as loops

from analytics.memory import Memory
from analytics.missed_light import not_missed
from analytics.nights import Night

ROWS = 5
levels = st.one_of(
    st.just(math.nan),
    st.sampled_from([-2.0, -1.5, -1.2]),  # dark
    st.floats(-0.5, 0.125, width=32, allow_subnormal=False),  # lit
)
flags = arrays(bool, ROWS)


def street(tunnel, left, right):
    return SimpleNamespace(tunnel=tunnel, left=np.array(left), right=np.array(right))


def in_a_row():
    return [-1, *range(ROWS - 1)], [*range(1, ROWS), -1]


@given(
    arrays(np.float32, ROWS, elements=levels),
    arrays(np.float32, (ROWS, 3), elements=levels),
    arrays(np.int32, ROWS, elements=st.sampled_from([0, 60, 80])),
    arrays(np.float32, ROWS, elements=st.sampled_from([math.nan, math.nan, 1.0])),
    flags,
    flags,
)
@settings(max_examples=300)
def test_what_is_not_missed_is_that_of_the_loop(own, before, dark, power, tunnel, frozen):
    # Sums of float32 and of float64 part ways at a limit; no level lies that near to one.
    own, before = np.round(own, 2) - 0.003, np.round(before, 2)
    night, memory = Night.empty(ROWS), Memory.fresh(ROWS, np.full(ROWS, 20, np.float32))
    night.n_known[:], night.n_dark[:], night.power_dark[:] = 80, dark, power
    memory.levels[:, -3:], memory.frozen[:] = before, frozen
    left, right = in_a_row()
    got = not_missed(own, night, memory, street(tunnel, left, right))
    expected = loops.not_missed(
        own.tolist(),
        before.tolist(),
        dark.tolist(),
        [80] * ROWS,
        power.tolist(),
        tunnel,
        frozen,
        left,
        right,
    )
    assert got.tolist() == expected


def one_dark(beside, *, tunnel=True, left_over=0.2):
    """Five lamps of which the middle one went dark while those beside it fell to `beside`."""
    night, memory = Night.empty(ROWS), Memory.fresh(ROWS, np.full(ROWS, 20, np.float32))
    night.n_known[:], night.n_dark[2] = 80, 80
    memory.levels[:, -3:], memory.frozen[:] = 0, True
    own = np.log(np.array([1, beside, left_over, beside, 1], np.float32))
    kinds = np.full(ROWS, tunnel)
    return bool(not_missed(own, night, memory, street(kinds, *in_a_row()))[2])


def test_lamps_beside_that_stay_as_bright_do_not_miss_it():
    assert one_dark(1.0)
    assert not one_dark(0.9)


def test_where_too_little_is_left_nobody_can_tell():
    assert not one_dark(1.0, left_over=0.04)


def test_under_the_sky_daylight_is_asked_instead():
    assert not one_dark(1.0, tunnel=False)
