"""Small counts withheld, and an attack that tries to get them back from the totals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from analytics.errors import BadArgumentError, ShapeMismatchError
from analytics.privacy import below, publish, suppress


def table(seed, shape=(4, 7)):
    rng = np.random.default_rng(seed)
    return (rng.negative_binomial(1, 0.03, shape) * (rng.random(shape) > 0.2)).astype(float)


def bounds(shown, i, j, base):
    """The least and the most a withheld cell can be, given all that is published."""
    n, m = shown.cells.shape
    rows, values = [], []

    def know(mask, value):
        if np.isfinite(value):
            rows.append(mask.ravel())
            values.append(value)

    for a in range(n):
        mask = np.zeros((n, m))
        mask[a] = 1
        know(mask, shown.row_totals[a])
        for b in range(m):
            mask = np.zeros((n, m))
            mask[a, b] = 1
            know(mask, shown.cells[a, b])
    for b in range(m):
        mask = np.zeros((n, m))
        mask[:, b] = 1
        know(mask, shown.column_totals[b])
    know(np.ones((n, m)), shown.total)
    A = np.array(rows)
    G = np.vstack([A, -A])
    h = np.concatenate([np.array(values) + base / 2, base / 2 - np.array(values)])
    goal = np.zeros((n, m))
    goal[i, j] = 1
    least = linprog(goal.ravel(), A_ub=G, b_ub=h, bounds=(0, None))
    most = linprog(-goal.ravel(), A_ub=G, b_ub=h, bounds=(0, None))
    return least.fun, (-most.fun if most.status == 0 else np.inf)


@pytest.mark.slow
def test_no_withheld_cell_is_bounded_tighter_than_k_by_linear_programming():
    for seed in range(12):
        shown = suppress(table(seed))
        for i, j in np.argwhere(shown.withheld):
            least, most = bounds(shown, i, j, 5)
            assert most - least >= 10, (seed, i, j)


def test_withholding_alone_would_be_undone_by_a_subtraction():
    basis = np.array([[3.0, 200.0, 300.0], [250.0, 260.0, 270.0], [280.0, 290.0, 310.0]])
    shown = suppress(basis)
    assert shown.withheld[0, 0]
    for line in (*shown.withheld, *shown.withheld.T):
        assert line.sum() != 1


def test_empty_cells_are_withheld_too():
    shown = suppress(np.array([[0.0, 500.0, 500.0], [500.0] * 3, [500.0] * 3]))
    assert shown.withheld[0, 0]
    assert np.isnan(shown.cells[0, 0])


def test_what_is_large_enough_is_published_rounded():
    shown = suppress(np.array([[101.0, 203.0], [302.4, 48.0]]))
    assert shown.cells.tolist() == [[100.0, 205.0], [300.0, 50.0]]
    assert not shown.withheld.any()
    assert shown.total == 655.0


def test_what_was_never_counted_is_not_called_withheld():
    shown = suppress(np.array([[np.nan, 100.0], [100.0, 100.0]]))
    assert np.isnan(shown.cells[0, 0])
    assert not shown.withheld[0, 0]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 6), m=st.integers(1, 8), k=st.integers(1, 20))
def test_no_line_gives_a_withheld_cell_away(seed, n, m, k):
    basis = table(seed, (n, m))
    shown = suppress(basis, k=k)
    assert not (np.isfinite(shown.cells) & (basis < k)).any()
    assert (shown.cells[np.isfinite(shown.cells)] % 5 == 0).all()
    for axis, totals in ((1, shown.row_totals), (0, shown.column_totals)):
        hidden = shown.withheld.sum(axis=axis)
        people = np.where(shown.withheld, basis, 0).sum(axis=axis)
        lone = (hidden == 1) | ((hidden > 0) & (people < k))
        # Where a line had nothing more to withhold, its total is withheld with it.
        assert np.isnan(totals[lone]).all()


def test_means_are_published_from_their_persons():
    means = np.full((3, 3), 13.0)
    means[0, 0] = 0.5
    mean, withheld = publish(means, np.full((3, 3), 8.0))
    assert withheld[0, 0]
    assert mean[2, 2] == pytest.approx(105 / 8)


def test_a_planner_sees_that_a_cell_is_small():
    assert below([0.0, 4.9, 5.0, np.nan]).tolist() == [True, True, False, False]


def test_garbage_is_named():
    with pytest.raises(ShapeMismatchError):
        suppress(np.zeros(3))
    with pytest.raises(BadArgumentError):
        suppress(np.array([[-1.0]]))
    with pytest.raises(BadArgumentError):
        suppress(np.ones((2, 2)), k=0)
    with pytest.raises(ShapeMismatchError):
        publish(np.ones((2, 2)), np.ones((2, 3)))
