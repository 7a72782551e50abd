"""Dirty counts: dead, stuck and one-eyed counters, peaks, resets, moved counters."""

import numpy as np
import pytest

from analytics.count_quality import (
    counts_from_totals,
    faults,
    level_shift,
    one_direction_lost,
    run_sums,
)
from analytics.errors import BadArgumentError, ShapeMismatchError


def place(seed, n_days=84, n_sites=1):
    rng = np.random.default_rng(seed)
    mean = np.full((n_days, 24, n_sites), 80.0)
    mean[:, 1:5] = 0.4
    return rng.negative_binomial(4, 4 / (4 + mean)).astype(float)


def classes(n_days=84):
    return np.repeat((np.arange(n_days) % 7)[:, None], 24, axis=1)


def test_a_healthy_counter_has_no_faults():
    found = faults(place(0, n_sites=5), classes())
    assert found.any.sum() == 0


def test_a_dead_counter_is_silence_and_empty_nights_are_not():
    hours = place(1)
    hours[20:23] = 0.0
    found = faults(hours, classes())
    assert found.dead[20:23, 6:22].all()
    assert found.dead.sum() <= 3 * 24 + 10
    assert not found.dead[40:].any()


def test_a_gap_inside_a_dead_run_does_not_hide_it():
    hours = place(2)
    hours[20:23] = 0.0
    hours[21, 5:9] = np.nan
    found = faults(hours, classes())
    assert found.dead[20, 12]
    assert found.dead[22, 12]
    assert not found.dead[21, 5:9].any()


def test_a_stuck_counter_repeats_itself():
    hours = place(3)
    hours[30, 7:17] = 61.0
    found = faults(hours, classes())
    assert found.stuck[30, 7:17].all()
    assert found.stuck.sum() == 10
    assert found.hours_by_kind()["stuck"].tolist() == [10]


def test_an_impossible_peak_is_a_counter_and_not_a_crowd():
    hours = place(4)
    hours[30, 12] = 1e6
    found = faults(hours, classes())
    assert found.peak[30, 12, 0]
    assert found.peak.sum() == 1


def test_nothing_counted_has_no_faults():
    assert not faults(np.full((14, 24, 2), np.nan), classes(14)).any.any()
    assert faults(np.zeros((0, 24, 2)), classes(0)).any.shape == (0, 24, 2)


def test_run_sums_end_with_their_run():
    member = np.array([[1, 0], [1, 1], [0, 1], [1, 1]], dtype=bool)
    total, length = run_sums(member, np.arange(8.0).reshape(4, 2))
    assert total[:, 0].tolist() == [2.0, 2.0, 0.0, 6.0]
    assert total[:, 1].tolist() == [0.0, 15.0, 15.0, 15.0]
    assert length[:, 1].tolist() == [0, 3, 3, 3]


def test_a_counter_that_lost_one_way_is_named():
    rng = np.random.default_rng(5)
    people_in, people_out = rng.poisson(30, (200, 1)) + 0.0, rng.poisson(30, (200, 1)) + 0.0
    assert not one_direction_lost(people_in, people_out).any()
    people_out[100:140] = 0
    lost = one_direction_lost(people_in, people_out)[:, 0]
    assert lost[100:140].all()
    assert lost.sum() == 40


def test_a_quiet_hour_one_way_is_no_loss():
    assert not one_direction_lost(np.array([[1.0]] * 8), np.array([[0.0]] * 8)).any()


def test_totals_become_counts_and_a_fall_is_not_known():
    counts, fell = counts_from_totals([5.0, 9.0, 9.0, 2.0, 6.0])
    assert counts[1:].tolist() == pytest.approx([4, 0, np.nan, 4], nan_ok=True)
    assert fell.tolist() == [False, False, False, True, False]
    assert np.isnan(counts[0])


def test_a_declared_reset_begins_at_nothing():
    counts, fell = counts_from_totals([50.0, 7.0], reset=[False, True])
    assert counts[1] == 7.0
    assert not fell.any()


def test_a_counter_rolls_over_at_its_modulus():
    counts, fell = counts_from_totals([65_530.0, 4.0], modulus=65_536, most_per_step=1000)
    assert counts[1] == 10.0
    assert not fell.any()
    counts, fell = counts_from_totals([40_000.0, 4.0], modulus=65_536, most_per_step=1000)
    assert np.isnan(counts[1])
    assert fell[1]


def test_a_gap_in_the_totals_is_a_gap_in_the_counts():
    counts, _ = counts_from_totals([1.0, np.nan, 9.0, 12.0])
    assert counts.tolist() == pytest.approx([np.nan, np.nan, np.nan, 3.0], nan_ok=True)


def test_a_moved_counter_stands_out_from_all_others():
    rng = np.random.default_rng(6)
    daily = rng.poisson(500, (280, 6)).astype(float)
    daily[140:, 2] *= 0.3
    row, shift = level_shift(daily)
    assert row[2] == 140
    assert shift[2] == pytest.approx(np.log(0.3), abs=0.05)
    assert (np.delete(row, 2) == -1).all()


def test_wrong_shapes_are_named():
    with pytest.raises(ShapeMismatchError):
        faults(np.zeros((3, 3)), classes(3))
    with pytest.raises(ShapeMismatchError):
        one_direction_lost(np.zeros((3, 1)), np.zeros((4, 1)))
    with pytest.raises(BadArgumentError):
        counts_from_totals([1.0], modulus=-1)
