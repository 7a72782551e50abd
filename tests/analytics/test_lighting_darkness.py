"""When a dark end of the night is a lamp that failed, and when it may be a clock."""

from types import SimpleNamespace

import numpy as np
import pytest

from analytics.lamp_failure import just_mended, unmoved
from analytics.levels import Levels
from analytics.memory import Memory
from analytics.nights import Night
from analytics.outage import judge_darkness
from analytics.reference import weigh_registry
from analytics.rules import Rules


def dark_end(readings, told, *, rises=0, frozen=True, power_last=np.nan, always=False):
    """One lamp that burned at its own level and was dark for the last readings of its night."""
    night = Night.empty(1)
    night.n_known[:], night.n_dark[:] = 70, readings
    night.tail_h[:], night.n_tail[:] = readings / 6, readings
    night.tail_level[:], night.dark_before[:] = 0.1, 0.0
    night.n_told[:], night.rises[:] = told, rises
    night.power_last[:] = power_last
    night.power_dark[:] = np.nan if np.isnan(power_last) else readings / 70
    memory = Memory.fresh(1, np.array([20.0], dtype=np.float32))
    memory.frozen[:] = frozen
    normal = np.zeros(1, dtype=np.float32)
    levels = Levels(normal, normal, normal, normal, normal)
    return bool(judge_darkness(night, levels, memory, Rules(), np.array([always])).out[0])


@pytest.mark.parametrize(
    ("readings", "told", "failed"),
    [(12, 0, True), (11, 0, False), (3, 0, False), (3, 3, True), (2, 2, True), (1, 1, False)],
)
def test_a_lamp_still_asked_to_burn_has_failed_however_late_in_the_night(readings, told, failed):
    assert dark_end(readings, told) is failed


def test_a_lamp_asked_to_burn_for_part_of_its_dark_end_may_have_been_switched_off():
    assert not dark_end(6, 3)


def test_a_lamp_that_is_never_switched_off_has_failed_however_late_in_the_night():
    assert dark_end(2, 0, always=True)
    assert not dark_end(1, 0, always=True)
    assert not dark_end(3, 0, always=True, rises=1)
    assert not dark_end(3, 0, always=True, frozen=False)


def test_a_lamp_that_came_back_once_tonight_may_cycle():
    assert not dark_end(3, 3, rises=1)


def test_before_its_own_level_is_learned_a_short_dark_end_says_nothing():
    assert not dark_end(3, 3, frozen=False)


def test_a_lamp_that_still_takes_its_watts_has_not_failed():
    assert not dark_end(3, 3, power_last=0.95)
    assert dark_end(3, 3, power_last=0.03)


def judge_of(night, *, tunnel=False, learn_from=0, number=100):
    """As much of a night being judged as the question needs."""
    memory = Memory.fresh(1, np.array([20.0], dtype=np.float32))
    memory.learn_from[:] = learn_from
    street = SimpleNamespace(tunnel=np.array([tunnel]))
    return SimpleNamespace(night=night, memory=memory, street=street, number=number)


@pytest.mark.parametrize(
    ("by_day", "by_night", "tunnel", "same"),
    [(6, 30, False, True), (0, 30, False, False), (30, 2, False, False), (6, 30, True, False)],
)
def test_one_value_through_darkness_and_day_is_no_word_about_the_lamp(
    by_day, by_night, tunnel, same
):
    night = Night.empty(1)
    night.equal_day[:], night.equal_night[:] = by_day, by_night
    assert bool(unmoved(judge_of(night, tunnel=tunnel))[0]) is same


@pytest.mark.parametrize(("learn_from", "mended"), [(101, True), (100, False), (0, False)])
def test_the_darkness_of_a_window_with_work_on_the_lamp_is_that_of_before(learn_from, mended):
    assert bool(just_mended(judge_of(Night.empty(1), learn_from=learn_from))[0]) is mended


def dark_night(*, blamed, response, seen_before=True):
    """One lamp that was dark all night, under a sensor that was blamed for it the night before."""
    night = Night.empty(1)
    night.n_known[:], night.n_dark[:], night.n_lit[:] = 70, 70, 70
    memory = Memory.fresh(1, np.array([20.0], dtype=np.float32))
    memory.frozen[:], memory.sensor_blamed[:] = True, blamed
    if seen_before:
        memory.responses[:, -3:] = 1.0
    level = np.full(1, -1.4, dtype=np.float32)
    answer = np.full(1, response, dtype=np.float32)
    # C was as it is for a week, so it took no step lately.
    levels = Levels(level, level, level, answer, 0 * answer)
    return judge_darkness(night, levels, memory, Rules(), np.array([False]))


def test_a_sensor_that_was_blamed_stays_blamed_while_the_days_are_too_short_to_tell():
    judged = dark_night(blamed=True, response=np.nan)
    assert judged.sensor_side[0]
    assert not judged.out[0]


def test_a_sensor_that_was_blamed_stays_blamed_when_its_daylight_has_long_been_otherwise():
    assert not dark_night(blamed=True, response=0.3).out[0]
    assert dark_night(blamed=False, response=0.3).out[0]


def test_daylight_as_ever_clears_the_sensor_and_accuses_the_lamp():
    assert dark_night(blamed=True, response=0.02).out[0]


def test_without_daylight_for_weeks_nobody_stays_blamed():
    assert dark_night(blamed=True, response=np.nan, seen_before=False).out[0]


def first_night(level, brightest, *, word=0.25, known=70):
    """One lamp in its first night, measured against the registry."""
    night = Night.empty(1)
    night.n_known[:], night.n_dark[:], night.n_lit[:] = known, known, 70
    night.lux_high[:] = 20 * brightest
    memory = Memory.fresh(1, np.array([20.0], dtype=np.float32))
    memory.word[:] = word
    own = np.full(1, np.log(level), dtype=np.float32)
    nothing = np.full(1, np.nan, dtype=np.float32)
    levels = Levels(own, own, own, nothing, nothing)
    return bool(judge_darkness(night, levels, memory, Rules(), np.array([False])).out[0])


def test_in_its_first_night_a_lamp_is_out_by_the_registry_s_word_only_if_black_all_night():
    assert first_night(0.2, 0.22)
    assert not first_night(0.2, 0.6)  # reduced light that nobody declared
    assert first_night(0.2, 0.22, known=30)


def test_a_registry_with_wrong_levels_is_believed_of_what_is_black_alone():
    assert not first_night(0.2, 0.22, word=0.15)
    assert first_night(0.12, 0.14, word=0.15)
    assert not first_night(0.12, 0.14, word=0.15, known=30)  # half a night may be all reduced
    assert first_night(0.05, 0.06, word=0.15, known=30)


def test_lamps_brighter_than_they_can_be_make_the_registry_doubtful():
    memory = Memory.fresh(40, np.full(40, 20.0, dtype=np.float32))
    own = np.zeros(40, dtype=np.float32)
    own[0] = 0.5
    weigh_registry(memory, own)
    assert (memory.word == np.float32(0.25)).all()
    own[1] = 0.5
    weigh_registry(memory, own)
    assert (memory.word == np.float32(0.15)).all()


def test_a_lamp_that_was_learned_says_nothing_about_the_registry():
    memory = Memory.fresh(40, np.full(40, 20.0, dtype=np.float32))
    memory.frozen[:] = True
    weigh_registry(memory, np.full(40, 0.5, dtype=np.float32))
    assert (memory.word == np.float32(0.25)).all()
