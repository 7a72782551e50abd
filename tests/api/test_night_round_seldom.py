"""A street whose devices speak once an hour, each at its own minute, and one of northern nights."""

import numpy as np
import pytest
from noons import after_all_noons
from street_of_lamps import Street

MIDSUMMER = 20_615  # 2026-06-11


def hourly(**kinds):
    """The street as told every sixth time, though the registry says every ten minutes."""
    street = Street(**kinds)
    slot = np.arange(street.heard.shape[1])
    street.heard[:] = slot % 6 == np.arange(street.n)[:, None] * 5 % 6
    return street


def said(street):
    """Kinds by luminaire after all noon rounds."""
    return sorted((f.luminaire_id, f.kind.value) for f in after_all_noons(street).findings)


def starts_after(street, day):
    """Columns in which the lamps come on, from a day on."""
    dusk = street.elevation < -5
    starts = np.flatnonzero(np.diff(dusk.astype(int)) == 1) + 1
    return starts[starts > street.at(day)]


@pytest.mark.slow
def test_a_healthy_street_that_speaks_hourly_raises_nothing():
    assert said(hourly(nights=24)) == []


@pytest.mark.slow
def test_devices_that_speak_hourly_tell_of_a_lamp_that_comes_on_late():
    street = hourly(nights=24)
    for start in starts_after(street, 14):
        street.lit[3, start : start + 8] = 0
    assert said(street) == [("L0-03", "switching_error")]


@pytest.mark.slow
def test_devices_that_speak_hourly_tell_of_a_lamp_that_goes_out_and_comes_back():
    street = hourly(nights=24)
    rng = np.random.default_rng(5)
    at = street.at(12)
    while at < street.lit.shape[1]:
        street.lit[3, at : at + 2] = 0
        at += 2 + int(rng.integers(2, 5))
    assert said(street) == [("L0-03", "cycling_failure")]


@pytest.mark.slow
def test_devices_that_speak_hourly_tell_a_blind_sensor_from_a_lamp():
    street = hourly(nights=24)
    street.gain[3, street.at(14) :] = 0.35
    assert said(street) == [("L0-03", "sensor_blind")]


@pytest.mark.slow
def test_a_lamp_that_comes_on_late_at_midsummer_is_found_though_the_night_is_lit():
    street = Street(nights=18, first_night=MIDSUMMER)
    for start in starts_after(street, 12):
        street.lit[3, start : start + 3] = 0
    assert said(street) == [("L0-03", "switching_error")]
