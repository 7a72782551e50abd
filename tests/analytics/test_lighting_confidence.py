"""What a finding's confidence rests on."""

import pytest

from analytics.confidence import confidence_of
from analytics.findings import CauseKind, FindingKind

LAMP, SENSOR = CauseKind.LUMINAIRE, CauseKind.SENSOR


def lamp_out(**more):
    return confidence_of(FindingKind.LAMP_FAILURE, LAMP, {"dark_share": 1.0, "level": 0.1, **more})


def test_a_dark_lamp_is_surer_the_more_bears_witness():
    alone = lamp_out()
    in_rough_weather = lamp_out(daylight=1.0, rough=1.0)
    by_daylight = lamp_out(daylight=1.0)
    by_watts = lamp_out(power=0.03)
    assert alone <= in_rough_weather < by_daylight < by_watts <= 1


def test_watts_need_neither_daylight_nor_steady_weather():
    assert lamp_out(power=0.03, rough=1.0) == lamp_out(power=0.03, daylight=1.0)


def test_a_lamp_that_takes_less_power_lost_light_by_itself():
    kind, level = FindingKind.DIMMING_FAILURE, {"level": 0.6}
    by_light = confidence_of(kind, LAMP, {**level, "daylight": 1.0, "power": 0.99})
    assert confidence_of(kind, LAMP, {**level, "power": 0.6}) > by_light


def test_a_lamp_that_takes_its_power_is_no_surer_for_being_measured():
    assert lamp_out(power=0.9) == lamp_out()


@pytest.mark.parametrize(
    "kind",
    [
        FindingKind.DIMMING_FAILURE,
        FindingKind.DEPRECIATION,
        FindingKind.SENSOR_BLIND,
        FindingKind.SENSOR_DRIFT,
    ],
)
def test_a_change_of_level_is_surer_by_daylight_and_in_steady_weather(kind):
    blind = confidence_of(kind, SENSOR, {"level": 0.5})
    rough = confidence_of(kind, SENSOR, {"level": 0.5, "daylight": 0.5, "rough": 1.0})
    steady = confidence_of(kind, SENSOR, {"level": 0.5, "daylight": 0.5})
    assert blind < rough < steady


@pytest.mark.parametrize("kind", FindingKind)
@pytest.mark.parametrize("cause", CauseKind)
@pytest.mark.parametrize("evidence", [{}, {"dark_share": 1.0}, {"daylight": 1.0, "rough": 1.0}])
def test_confidence_is_a_probability_better_than_even(kind, cause, evidence):
    assert 0.5 < confidence_of(kind, cause, evidence) < 1
