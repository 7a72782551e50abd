"""On and off told by watts, and by light that no twilight sky explains."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import lighting_loops as loops

from analytics.light_course import twilight_seen
from analytics.memory import Memory
from analytics.nights import Night
from analytics.street import padded_groups
from analytics.sun import degrees_a_minute
from analytics.switching import judge_switching, with_mates
from analytics.watts import on_and_off, share_of_rated

N = 8
OCTOBER = 20_736
DEG_A_MINUTE = float(degrees_a_minute(OCTOBER, np.array([56.0]))[0])


@given(
    arrays(np.float32, 3, elements=st.one_of(st.just(np.nan), st.floats(-8, 0, width=32))),
    arrays(np.float32, (1, 9), elements=st.floats(-25, 40, width=32)),
)
@settings(max_examples=200)
def test_twilight_is_what_the_loop_says(share, elevation):
    found = twilight_seen(share, elevation, np.zeros(3, np.int32))
    expected = [loops.twilight_seen(s, elevation[0].tolist()) for s in share.tolist()]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@given(
    arrays(np.float32, 9, elements=st.one_of(st.just(np.nan), st.integers(-20, 60))),
    arrays(np.int32, 9, elements=st.integers(0, 1)),
)
@settings(max_examples=200)
def test_what_a_street_shares_is_what_the_loop_says(minutes, peers):
    found = with_mates(minutes, padded_groups(peers), peers)
    np.testing.assert_allclose(found, loops.with_mates(minutes.tolist(), peers.tolist()))


def test_a_driver_on_standby_is_off_and_silence_is_neither():
    drawn = share_of_rated(
        np.array([[40, 0.5, 12, np.nan]] * 2, np.float32), np.array([40, np.nan], np.float32)
    )
    told, draws = on_and_off(drawn)
    assert told.tolist() == [[True, True, True, False], [False] * 4]
    assert draws.tolist() == [[True, False, True, False], [False] * 4]


def evening(first: Any, late: Any) -> Any:
    """Whether eight lamps of one street, all used to -4.5 degrees, came on late tonight."""
    night, memory = Night.empty(N), Memory.fresh(N, np.full(N, 20, np.float32))
    night.n_known[:] = 80
    night.first_deg, night.late_deg = np.float32(first), np.float32(late)
    night.last_deg[:] = -4.5
    memory.ref_first[:] = memory.ref_last[:] = memory.best_first[:] = memory.best_last[:] = -4.5
    memory.pace_min[:] = 10
    street: Any = SimpleNamespace(
        n=N,
        tunnel=np.zeros(N, bool),
        clouds=np.zeros(N, bool),
        mains=np.ones(N, bool),
        feeder_switched=np.zeros(N, bool),
        interval_s=np.full(N, 600, np.float32),
        peers=np.zeros(N, np.int32),
        cells=[(56.0, 12.7)],
        cell=np.zeros(N, np.int32),
    )
    wrong, _, _, minutes, _ = judge_switching(night, memory, street, OCTOBER)
    return wrong, minutes


def after(minutes: Any) -> Any:
    """The sun so many minutes after it passed -4.5 degrees."""
    return -4.5 - DEG_A_MINUTE * np.asarray(minutes, dtype=float)


def test_one_lamp_that_comes_on_forty_minutes_late_is_late():
    wrong, minutes = evening(after([40] + [0] * 7), after([30] + [-10] * 7))
    assert wrong.tolist() == [True] + [False] * 7
    assert minutes[0] == pytest.approx(40, abs=2)


def test_a_dark_reading_must_prove_it_by_itself():
    # Not heard of for half an hour: it may have come on ten minutes after the dark reading.
    wrong, _ = evening(after([40] + [0] * 7), after([4] + [-10] * 7))
    assert not wrong.any()


def test_a_table_of_a_week_moves_the_whole_street_and_is_no_error_of_one():
    shared = 18
    wrong, _ = evening(after([24] + [shared] * 7), after([16] + [shared - 8] * 7))
    assert not wrong.any()
    wrong, _ = evening(after([58] + [shared] * 7), after([48] + [shared - 8] * 7))
    assert wrong.tolist() == [True] + [False] * 7


def test_a_whole_street_forty_minutes_late_shares_an_error():
    wrong, _ = evening(after([40] * N), after([30] * N))
    assert wrong.all()
