"""Footfall speed, as ratios within one run: nothing here asserts a time."""

import time

import numpy as np
import pandas as pd
import pytest
from oracles import footfall_loops

from analytics.activity import fit_cells, low_activity
from analytics.before_after import effect
from analytics.side_by_side import screen


def seconds(work, times=7):
    """Median of some runs."""
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        took.append(time.perf_counter() - begin)
    return float(np.median(took))


@pytest.fixture(scope="module")
def hundred():
    """A hundred sites for sixty weeks."""
    return np.random.default_rng(1).poisson(500, (420, 100)).astype(float)


def test_one_evaluation_against_the_loops(hundred):
    ours = seconds(lambda: effect(hundred, 0, 364))
    loops = seconds(lambda: footfall_loops.before_after(hundred.copy(), 364), times=1)
    assert effect(hundred, 0, 364).log_ratio == pytest.approx(
        footfall_loops.before_after(hundred.copy(), 364)[0]
    )
    print(f"\neffect, 100 sites: {ours * 1e3:.2f} ms, loops / ours {loops / ours:.0f}")


def test_a_hundred_sites_screened_against_one_evaluation(hundred):
    ratio = seconds(lambda: screen(hundred, 364)) / seconds(lambda: effect(hundred, 0, 364))
    assert len(screen(hundred, 364).sites) == 100
    print(f"\nscreen of 100 sites / effect at one of them: {ratio:.1f}")


def test_moments_of_every_cell_against_a_pandas_groupby():
    weeks = np.random.default_rng(2).poisson(30, (104, 168, 50)).astype(np.float64)
    frame = pd.DataFrame(
        {
            "cell": np.tile(np.repeat(np.arange(168), 50), 104),
            "site": np.tile(np.arange(50), 104 * 168),
            "count": weeks.reshape(-1),
        }
    )
    grouped = frame.groupby(["cell", "site"])["count"].agg(["mean", "var", "count"])
    pandas_s = seconds(
        lambda: frame.groupby(["cell", "site"])["count"].agg(["mean", "var", "count"]), times=3
    )
    mean, variance = weeks.mean(axis=0), weeks.var(axis=0, ddof=1)
    assert grouped["mean"].to_numpy() == pytest.approx(mean.reshape(-1))
    assert grouped["var"].to_numpy() == pytest.approx(variance.reshape(-1))
    numpy_s = seconds(lambda: (weeks.mean(axis=0), weeks.var(axis=0, ddof=1)))
    whole_s = seconds(lambda: fit_cells(weeks), times=3)
    print(
        f"\npandas / numpy moments {pandas_s / numpy_s:.1f}, / whole fit {pandas_s / whole_s:.1f}"
    )


def test_low_activity_grows_with_the_number_of_sites():
    hours = np.random.default_rng(3).poisson(30, (56, 24, 400)).astype(np.float64)
    few = seconds(lambda: low_activity(hours[:, :, :40]), times=3)
    many = seconds(lambda: low_activity(hours), times=3)
    assert low_activity(hours).p_low.shape == (168, 400)
    print(f"\nlow_activity: 400 sites / 40 sites {many / few:.1f}")
