"""The before/after evaluation: agreement with loops, refusals, properties, known effects."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import footfall_loops

from analytics.bands import BANDS, band_series, contrast_series, masked_band_series
from analytics.before_after import Refusal, Verdict, effect
from analytics.controls import Exclusion
from analytics.errors import AnalyticsError, BadArgumentError, ShapeMismatchError
from analytics.side_by_side import (
    effects_by_band,
    holm,
    on_off_on,
    planned_effect,
    screen,
    spill_over,
)

N_PRE, N_POST = 112, 56


def street(seed, n_days=N_PRE + N_POST, n_sites=9, level=400.0):
    """Counts with weekdays, common weather and slow drift of each site's own."""
    rng = np.random.default_rng(seed)
    week = np.array([1, 1, 1, 1.05, 1.2, 1.3, 0.8])[np.arange(n_days) % 7]
    common = np.exp(0.15 * rng.standard_normal(n_days))
    drift = np.exp(np.cumsum(0.01 * rng.standard_normal((n_days, n_sites)), axis=0))
    size = level * np.exp(rng.standard_normal(n_sites))
    return rng.poisson(week[:, None] * common[:, None] * drift * size).astype(float)


@pytest.mark.parametrize("n_sites", [6, 7, 12])
@pytest.mark.parametrize("n_pre", [56, 112, 364])
def test_the_closed_form_agrees_with_one_regression_for_each_placebo(n_sites, n_pre):
    counts = street(n_sites + n_pre, n_pre + N_POST, n_sites)
    found = effect(counts, 0, n_pre)
    shift, half = footfall_loops.before_after(counts, n_pre)
    assert found.log_ratio == pytest.approx(shift, abs=1e-9)
    assert found.half_width == pytest.approx(half, rel=1e-6)
    assert found.n_controls == n_sites - 1


def test_the_treated_column_may_stand_anywhere():
    counts = street(1)
    moved = np.roll(counts, 4, axis=1)
    assert effect(moved, 4, N_PRE).log_ratio == pytest.approx(effect(counts, 0, N_PRE).log_ratio)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), treated=st.integers(0, 8), n_pre=st.integers(56, 180))
def test_the_order_of_controls_does_not_matter(seed, treated, n_pre):
    counts = street(seed, n_pre + 60)
    rng = np.random.default_rng(seed)
    order = rng.permutation(9)
    one = effect(counts, treated, n_pre)
    two = effect(counts[:, order], int(np.flatnonzero(order == treated)[0]), n_pre)
    assert two.log_ratio == pytest.approx(one.log_ratio, abs=1e-9)
    assert two.half_width == pytest.approx(one.half_width, rel=1e-9)
    assert {order[c] for c in two.controls} == {*one.controls}


def test_a_common_shock_leaves_the_answer_as_it_was():
    counts = street(2, level=50_000.0)
    shaken = counts.copy()
    shaken[N_PRE:] *= 0.3
    assert effect(shaken, 0, N_PRE).log_ratio == pytest.approx(
        effect(counts, 0, N_PRE).log_ratio, abs=0.005
    )


@pytest.mark.parametrize("share", [-0.5, -0.3, 0.5, 1.0])
def test_a_large_effect_is_found_with_its_sign_and_size(share):
    counts = street(3)
    counts[N_PRE:, 0] = np.round(counts[N_PRE:, 0] * (1 + share))
    before = effect(street(3), 0, N_PRE)
    found = effect(counts, 0, N_PRE)
    assert found.log_ratio - before.log_ratio == pytest.approx(np.log1p(share), abs=0.01)
    assert found.verdict is (Verdict.INCREASE if share > 0 else Verdict.DECREASE)
    assert found.low < np.log1p(share) < found.high
    assert found.half_width == pytest.approx(before.half_width, rel=1e-9)


def test_a_narrow_interval_around_nothing_says_no_measurable_change():
    found = effect(np.random.default_rng(5).poisson(900, (200, 12)).astype(float), 3, 140)
    assert found.verdict is Verdict.NO_MEASURABLE_CHANGE
    assert found.low < 0 < found.high
    assert 0 < found.half_width < found.minimum_detectable


def test_the_level_sets_the_width_and_the_p_value_agrees_with_the_interval():
    counts = street(6)
    narrow, usual = effect(counts, 0, N_PRE, alpha=0.2), effect(counts, 0, N_PRE)
    assert narrow.half_width < usual.half_width
    edge = effect(counts, 0, N_PRE, alpha=usual.p_value)
    assert edge.half_width == pytest.approx(abs(edge.log_ratio), rel=1e-6)


@pytest.mark.parametrize("n_pre", [56, 57, 63, 90, 365, 800])
@pytest.mark.parametrize("n_post", [28, 33, 56, 100])
def test_whole_weeks_are_used_and_at_most_a_year_before(n_pre, n_post):
    found = effect(street(7, n_pre + n_post), 2, n_pre)
    assert found.refused is None
    assert found.n_pre == min(n_pre // 7 * 7, 364)
    assert found.n_post == n_post // 7 * 7
    assert found.first_row == n_pre - found.n_pre
    assert len(found.gap) == found.n_pre + found.n_post


def test_the_treated_site_is_no_control_of_its_own():
    counts = street(8)
    found = effect(counts, 4, N_PRE)
    assert 4 not in found.controls
    assert len(found.controls) == found.n_controls == 8


# -- refusals: every code -----------------------------------------------------------------------


def refused(counts, treated=0, start=N_PRE, **options):
    found = effect(counts, treated, start, **options)
    if found.refused is not None:
        assert np.isnan([found.log_ratio, found.low, found.high, found.p_value]).all()
        assert found.verdict is None
    return found.refused


def test_fewer_than_five_controls_refuse():
    assert refused(street(9, n_sites=5)) is Refusal.TOO_FEW_CONTROLS
    assert refused(street(9, n_sites=6)) is None
    assert refused(street(9, n_sites=1)) is Refusal.TOO_FEW_CONTROLS


def test_less_than_eight_weeks_before_refuse():
    assert refused(street(9), start=55) is Refusal.HISTORY_TOO_SHORT
    assert refused(street(9), start=0) is Refusal.HISTORY_TOO_SHORT
    assert refused(street(9), start=56) is None


def test_less_than_four_weeks_after_refuse():
    assert refused(street(9), start=N_PRE + N_POST - 27) is Refusal.FOLLOWUP_TOO_SHORT
    assert refused(street(9), start=N_PRE + N_POST) is Refusal.FOLLOWUP_TOO_SHORT
    assert refused(street(9), start=N_PRE + N_POST - 28) is None


def test_a_changed_counter_at_the_site_refuses():
    assert refused(street(9), device_changes=[(0, 60)]) is Refusal.DEVICE_CHANGED
    assert refused(street(9), device_changes=[(0, 0)]) is None


def test_failed_lighting_refuses():
    assert refused(street(9), lighting_failed=(0.0, 0.11)) is Refusal.LIGHTING_FAILED
    assert refused(street(9), lighting_failed=(0.1, 0.1)) is None


def test_missing_days_at_the_site_refuse_before_and_after():
    for rows in (slice(N_PRE - 20, N_PRE), slice(N_PRE, N_PRE + 20)):
        counts = street(9)
        counts[rows, 0] = np.nan
        assert refused(counts) is Refusal.DATA_GAP
    assert refused(np.full((168, 9), np.nan)) is Refusal.DATA_GAP


def test_a_site_that_mostly_counts_nobody_refuses():
    counts = street(9)
    counts[: N_PRE - 60 : 2, 0] = 0
    counts[:40, 0] = 0
    assert refused(counts) is Refusal.TOO_MANY_ZEROS


def test_a_chosen_control_that_was_treated_itself_refuses():
    assert refused(street(9), controls=[1, 2, 3, 4, 5, 6], also_treated=[3]) is (
        Refusal.CONTROL_TREATED
    )
    assert refused(street(9), controls=[0, 1, 2, 3, 4, 5]) is Refusal.CONTROL_TREATED
    assert refused(street(9), also_treated=[3]) is None


# -- controls -----------------------------------------------------------------------------------


def test_each_excluded_site_is_named_with_its_reason():
    counts = street(10, n_sites=14)
    counts[N_PRE + 7 : N_PRE + 14, 1] = 0
    counts[N_PRE - 20 : N_PRE - 2 : 1, 2] = np.nan
    found = effect(
        counts, 0, N_PRE, exclude=[3], nearby=[4], also_treated=[5], device_changes=[(6, 50)]
    )
    assert dict(found.excluded) == {
        1: Exclusion.SILENT_WEEK,
        2: Exclusion.SILENT_WEEK,
        3: Exclusion.NAMED,
        4: Exclusion.NEARBY,
        5: Exclusion.TREATED,
        6: Exclusion.DEVICE_CHANGED,
    }
    assert found.controls == tuple(range(7, 14))


def test_more_than_a_hundred_controls_keep_the_most_alike():
    counts = street(11, n_sites=131)
    found = effect(counts, 0, N_PRE)
    assert found.n_controls == 100
    assert sum(why is Exclusion.LESS_ALIKE for _, why in found.excluded) == 30


def test_a_control_that_strays_is_named_and_a_hacked_one_is_left_out():
    counts = street(12)
    clean = effect(counts, 0, N_PRE)
    counts[N_PRE:, 5] *= 4
    found = effect(counts, 0, N_PRE)
    assert "outlying_control:5" in found.warnings
    assert found.half_width > clean.half_width
    counts[N_PRE:, 5] *= 10
    found = effect(counts, 0, N_PRE)
    assert (5, Exclusion.IMPLAUSIBLE) in found.excluded
    assert found.half_width < 2 * clean.half_width


def test_a_fifth_of_the_days_missing_still_gives_an_answer():
    counts = street(13, n_pre := 420, 24)
    counts[np.random.default_rng(0).random(counts.shape) < 0.15] = np.nan
    found = effect(counts, 0, n_pre - 56)
    assert found.refused is None
    assert 0.1 < found.share_missing < 0.2
    assert found.n_controls >= 10


def test_columns_may_come_as_arrays():
    counts = street(21)
    found = effect(
        counts, np.int64(0), np.int64(N_PRE), controls=np.arange(1, 8), exclude=np.array([7])
    )
    assert found.controls == (1, 2, 3, 4, 5, 6)
    assert effect(counts, np.array([0]), N_PRE, controls=np.array([], int)).refused is (
        Refusal.TOO_FEW_CONTROLS
    )


# -- several series -----------------------------------------------------------------------------


def test_pooled_sites_are_judged_together_and_more_sharply():
    counts = street(14, n_sites=20)
    counts[N_PRE:, :3] *= 1.25
    pooled = effect(counts, [0, 1, 2], N_PRE)
    alone = [effect(counts, s, N_PRE, also_treated=[0, 1, 2]) for s in range(3)]
    assert pooled.log_ratio == pytest.approx(np.mean([a.log_ratio for a in alone]), abs=0.05)
    assert pooled.half_width < max(a.half_width for a in alone)
    assert {0, 1, 2}.isdisjoint(pooled.controls)


def test_pooling_one_site_is_that_site():
    counts = street(15)
    assert effect(counts, [2], N_PRE).log_ratio == effect(counts, 2, N_PRE).log_ratio


def test_holm_multiplies_the_smallest_the_most():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, np.nan, 0.9])[[0, 2]] == pytest.approx([1.0, 1.0])
    assert np.isnan(holm([np.nan])).all()
    assert holm([]).shape == (0,)


def hourly(seed, n_days=N_PRE + N_POST, n_sites=8):
    daily = street(seed, n_days, n_sites, level=2000)
    shape = np.exp(-0.5 * ((np.arange(24) - 14) / 4) ** 2)
    rng = np.random.default_rng(seed + 1)
    return rng.poisson(daily[:, None] * (shape / shape.sum())[:, None]).astype(float)


def test_an_evening_effect_is_found_in_its_band_and_not_by_day():
    hours = hourly(16)
    hours[N_PRE:, 18:, 0] = np.round(hours[N_PRE:, 18:, 0] * 1.6)
    series = {name: band_series(hours, *BANDS[name]) for name in ("day", "evening")}
    found = effects_by_band(series, 0, N_PRE)
    (day, _), (evening, p_holm) = found["day"], found["evening"]
    assert evening.verdict is Verdict.INCREASE
    assert day.verdict is not Verdict.INCREASE
    assert p_holm >= evening.p_value
    contrast = effect(contrast_series(hours), 0, N_PRE)
    assert contrast.low < np.log(1.6) < contrast.high


def test_spill_over_tests_the_neighbours_and_uses_none_of_them_as_controls():
    counts = street(17, n_sites=12)
    counts[N_PRE:, 0] *= 1.5
    counts[N_PRE:, 1] *= 0.6
    found = spill_over(counts, 0, N_PRE, [1, 2])
    assert {*found} == {1, 2}
    assert found[1].verdict is Verdict.DECREASE
    assert all({0, 1, 2}.isdisjoint(one.controls) for one in found.values())


def test_a_test_switched_on_and_off_again_opposes():
    counts = street(18, 112 + 70 + 63)
    counts[112:182, 0] *= 1.6
    on, off, opposed = on_off_on(counts, 0, 112, 182)
    assert on.log_ratio > 0 > off.log_ratio
    assert opposed
    _, off, opposed = on_off_on(counts, 0, 112, 150)
    assert off.refused is Refusal.HISTORY_TOO_SHORT
    assert not opposed


def test_the_plan_knows_what_can_be_found_before_anything_is_done():
    counts = street(19, 420, 12)
    plan = planned_effect(counts, 0)
    assert plan.n_post == 56
    assert plan.minimum_detectable == pytest.approx(effect(counts, 0, 364).minimum_detectable)
    fall, rise = plan.minimum_detectable_percent
    assert fall < 0 < rise


def test_screening_finds_the_one_site_that_changed():
    counts = street(20, n_sites=40)
    counts[N_PRE:, 7] *= 2
    found = screen(counts, N_PRE)
    assert found.sites[np.argmin(found.p_value)] == 7
    assert found.log_ratio[7] == pytest.approx(effect(counts, 7, N_PRE).log_ratio, abs=0.05)
    assert len(screen(counts[:, :5], N_PRE).sites) == 0
    assert len(screen(counts, 20).sites) == 0


# -- bands --------------------------------------------------------------------------------------


def test_a_band_over_midnight_belongs_to_the_evening_it_began():
    hours = np.zeros((3, 24, 1))
    hours[1, 2, 0] = 12.0
    assert band_series(hours, 17, 5)[:2, 0].tolist() == [12.0, 0.0]
    assert band_series(hours, 0, 5)[:, 0].tolist() == [0.0, 12.0, 0.0]


def test_a_gap_is_never_filled_with_nobody():
    hours = np.full((2, 24, 1), 10.0)
    hours[0, 18, 0] = np.nan
    hours[1, 18:21, 0] = np.nan
    series = band_series(hours, 18, 24)
    assert series[0, 0] == 60.0
    assert np.isnan(series[1, 0])


def test_dark_hours_are_summed_date_by_date():
    hours = np.full((2, 24, 1), 3.0)
    dark = np.zeros((2, 24), dtype=bool)
    dark[0, 20:] = True
    series = masked_band_series(hours, dark)
    assert series[0, 0] == 12.0
    assert np.isnan(series[1, 0])


# -- garbage ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "treated", "start", "kind"),
    [
        (np.zeros(5), 0, 2, ShapeMismatchError),
        (np.zeros((5, 2, 2)), 0, 2, ShapeMismatchError),
        ([["a", "b"]], 0, 0, BadArgumentError),
        (np.full((200, 9), -1.0), 0, 100, BadArgumentError),
        (np.full((200, 9), np.inf), 0, 100, BadArgumentError),
        (np.ones((200, 9)), 9, 100, BadArgumentError),
        (np.ones((200, 9)), -1, 100, BadArgumentError),
        (np.ones((200, 9)), [], 100, BadArgumentError),
        (np.ones((200, 9)), 0, 201, BadArgumentError),
        (np.ones((200, 9)), 0, -1, BadArgumentError),
    ],
)
def test_garbage_is_named(counts, treated, start, kind):
    with pytest.raises(kind):
        effect(counts, treated, start)


def test_a_level_outside_zero_and_one_is_named():
    for alpha in (0.0, 1.0, -1.0, 2.0):
        with pytest.raises(BadArgumentError, match="alpha"):
            effect(street(1), 0, N_PRE, alpha=alpha)


def test_constant_counts_are_counters_that_are_stuck():
    found = effect(np.full((168, 9), 30.0), 0, N_PRE)
    assert found.refused is Refusal.COUNTER_STUCK
    assert np.isnan(found.half_width)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(0, 150), st.integers(1, 9)),
    start=st.integers(0, 150),
    missing=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_whatever_the_table_it_answers_or_says_why_not(shape, start, missing, seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, shape).astype(float)
    counts[rng.random(shape) < missing] = np.nan
    if start > shape[0]:
        with pytest.raises(BadArgumentError):
            effect(counts, 0, start)
        return
    found = effect(counts, 0, start)
    assert (found.refused is None) == np.isfinite(found.log_ratio)
    if found.refused is None:
        assert found.low <= found.log_ratio <= found.high
        assert 0 <= found.p_value <= 1


def test_one_counter_under_two_names_is_one_control():
    counts = street(5)
    twice = np.column_stack([counts, counts[:, 3], counts[:, 0]])
    found = effect(twice, 0, N_PRE)
    n_sites = counts.shape[1]
    assert found.excluded == (
        (n_sites, Exclusion.SAME_COUNTS),
        (n_sites + 1, Exclusion.SAME_COUNTS),
    )
    assert found.log_ratio == effect(counts, 0, N_PRE).log_ratio


def test_controls_that_are_all_one_counter_refuse_instead_of_being_certain():
    counts = street(5)
    found = effect(np.column_stack([counts[:, :1], *[counts[:, 1:2]] * 8]), 0, N_PRE)
    assert found.refused is Refusal.TOO_FEW_CONTROLS
    assert found.n_controls == 1


def test_days_before_the_first_count_are_no_history():
    counts = street(6)
    late = np.concatenate([np.full((100, counts.shape[1]), np.nan), counts])
    found = effect(late, 0, 100 + N_PRE)
    assert found.log_ratio == pytest.approx(effect(counts, 0, N_PRE).log_ratio, abs=0.02)
    assert N_PRE <= found.n_pre < N_PRE + 7
    assert found.share_missing < 0.05
    late[: 100 + N_PRE - 40, 0] = np.nan
    assert effect(late, 0, 100 + N_PRE).refused is Refusal.HISTORY_TOO_SHORT


def test_what_a_mask_hides_is_missing():
    counts = street(7)
    hidden = np.zeros(counts.shape, dtype=bool)
    hidden[20:30, 2] = True
    missing = np.where(hidden, np.nan, counts)
    masked = np.ma.masked_array(counts, mask=hidden)
    assert effect(masked, 0, N_PRE).log_ratio == effect(missing, 0, N_PRE).log_ratio


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"start": float("nan")}, "start"),
        ({"start": None}, "start"),
        ({"start": 50.5}, "start"),
        ({"treated": None}, "treated"),
        ({"treated": "a"}, "treated"),
        ({"treated": float("nan")}, "treated"),
        ({"alpha": "x"}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"lighting_failed": (float("nan"), 0.0)}, "lighting_failed"),
        ({"lighting_failed": (0.0, 1.5)}, "lighting_failed"),
        ({"lighting_failed": 0.2}, "lighting_failed"),
        ({"counts": np.ones((200, 9), dtype=complex)}, "counts"),
        ({"counts": np.zeros((200, 9), dtype="datetime64[D]")}, "counts"),
        ({"counts": [["a"] * 9] * 200}, "counts"),
    ],
)
def test_what_is_no_number_is_named_by_its_argument(more, word):
    call = {"counts": street(8), "treated": 0, "start": N_PRE, **more}
    with pytest.raises(BadArgumentError, match=word):
        effect(call.pop("counts"), call.pop("treated"), call.pop("start"), **call)


def stuck_street(treated=None):
    """Ten streets of sixty weeks, of which the last nine, or the first, show one number."""
    counts = np.random.default_rng(3).poisson(200, (420, 10)).astype(float)
    if treated is None:
        counts[:, 1:] = np.arange(50, 59)
    else:
        counts[364:, treated] = 180.0
    return counts


def test_counters_that_show_one_number_every_day_are_no_controls():
    found = effect(stuck_street(), 0, 364)
    assert found.refused is Refusal.TOO_FEW_CONTROLS
    assert {why for _, why in found.excluded} == {Exclusion.STUCK}
    assert not len(screen(stuck_street(), 364).sites)


def test_a_treated_counter_that_is_stuck_gets_no_answer():
    assert effect(stuck_street(treated=0), 0, 364).refused is Refusal.COUNTER_STUCK


def test_one_counter_under_many_names_is_screened_once():
    one = np.random.default_rng(4).poisson(200, (420, 1)).astype(float)
    assert not len(screen(np.repeat(one, 10, axis=1), 364).sites)


@pytest.mark.parametrize(
    "counts", [np.zeros((420, 0)), np.zeros(420), [[1.0], [1.0, 2.0]], [["a"]], [[-1.0]], None]
)
def test_what_is_no_table_of_counts_is_said(counts):
    for work in (lambda: effect(counts, 0, 60), lambda: screen(counts, 60)):
        with pytest.raises(AnalyticsError):
            work()
