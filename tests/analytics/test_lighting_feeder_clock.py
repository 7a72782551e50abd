"""A feeder whose clock was wrong from the first day is told by the other feeders."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from oracles.feeder_clock_loops import as_the_city as in_loops

from analytics.feeder_clock import as_the_city, same_clock
from analytics.findings import CauseKind, FindingKind
from analytics.memory import KIND_AT, KINDS

MEMBERS, FEEDERS = 7, 8
N = MEMBERS * FEEDERS
FEEDER_ROWS = np.arange(N, dtype=np.int32).reshape(FEEDERS, MEMBERS)
WHOLE: Any = SimpleNamespace(feeder=FEEDER_ROWS)


@given(
    st.lists(st.integers(-20, -8), min_size=FEEDERS, max_size=FEEDERS),
    st.lists(st.sampled_from([0.0, 0.0, 0.5, -1.0, np.nan]), min_size=N, max_size=N),
    st.lists(st.booleans(), min_size=N, max_size=N),
)
def test_habits_are_put_right_as_the_loop_puts_them(levels, scatter, asked):
    habit = (np.repeat(np.array(levels) / 2, MEMBERS) + np.array(scatter)).astype(np.float32)
    got = as_the_city(habit, WHOLE, np.array(asked))
    expected = in_loops(habit.tolist(), FEEDER_ROWS.tolist(), asked)
    np.testing.assert_allclose(got, np.array(expected, dtype=np.float32), rtol=1e-6)


def test_one_feeder_that_always_came_on_late_is_held_against_the_others():
    habit = np.full(N, -5.0, dtype=np.float32)
    habit[:MEMBERS] = -11.0
    everybody = np.ones(N, dtype=bool)
    assert (as_the_city(habit, WHOLE, everybody) == -5.0).all()
    mixed = np.repeat(np.linspace(-12, -5, FEEDERS), MEMBERS).astype(np.float32)
    assert (as_the_city(mixed, WHOLE, everybody) == mixed).all(), "no city to compare with"
    alone = np.full(N, -5.0, dtype=np.float32)
    alone[0] = -11.0
    assert (as_the_city(alone, WHOLE, everybody) == alone).all(), "one lamp is no feeder"


def test_unknown_habits_stay_unknown():
    habit = np.full(N, np.nan, dtype=np.float32)
    assert np.isnan(as_the_city(habit, WHOLE, np.ones(N, dtype=bool))).all()


def judge(lead: Any, hits: Any) -> Any:
    n = len(lead)
    counted = np.zeros((n, len(KINDS)), dtype=np.uint8)
    counted[:, KIND_AT[FindingKind.SWITCHING_ERROR]] = hits
    return SimpleNamespace(
        street=SimpleNamespace(clouds=np.zeros(n, bool), feeder=np.zeros(n, dtype=np.int32)),
        night=SimpleNamespace(lead=np.array(lead), trail=np.full(n, 1)),
        memory=SimpleNamespace(hits=counted),
        start_ms=0,
    )


def test_lamps_of_a_feeder_that_switch_wrongly_by_the_same_minutes_are_one_matter():
    late = np.ones(4, dtype=bool)
    minutes = np.array([50, 55, 60, 52], dtype=np.float32)
    (found,) = same_clock(judge([4, 4, 5, 0], [2, 2, 2, 2]), late, minutes)
    assert (found.cause_kind, found.rows.tolist()) == (CauseKind.FEEDER, [0, 1, 2])
    assert same_clock(judge([4, 0], [2, 2]), late[:2], minutes[:2]) == [], "other ends"
    assert same_clock(judge([4, 4], [2, 0]), late[:2], minutes[:2]) == [], "tonight only"
