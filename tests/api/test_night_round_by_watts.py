"""A street of which some lamps tell nothing but their watts, or see much of the sky."""

from dataclasses import replace

import numpy as np
from noons import after_all_noons
from street_of_lamps import Street

from ingest.reading import Quantity
from ingest.stores import Columns

LAMP = 3
RATED_W = 40.0


def said(street, *, by_watts=False):
    """Kinds by luminaire after all noon rounds; `by_watts` takes the lamp's light sensor away."""
    source = street.store()
    if by_watts:
        street.assets[LAMP] = replace(street.assets[LAMP], rated_power_w=RATED_W)
        power = RATED_W * np.where(street.lit[LAMP] > 0, 0.06 + 0.94 * street.lit[LAMP], 0.012)
        street.heard[LAMP] = False
        source = street.store()
        columns = Columns(
            np.zeros(len(power), np.int32),
            street.time_ms,
            power,
            street.time_ms + 1000,
            np.zeros(len(power), np.uint8),
            [street.assets[LAMP].device_id],
        )
        source.add(Quantity.POWER, columns)
    return sorted((f.luminaire_id, f.kind.value) for f in after_all_noons(street, source).findings)


def dusks_after(street, day):
    """Columns in which the lamps come on, from a day on."""
    starts = np.flatnonzero(np.diff((street.elevation < -5).astype(int)) == 1) + 1
    return starts[starts > street.at(day)]


def test_a_healthy_lamp_known_by_its_watts_alone_raises_nothing():
    assert said(Street(nights=14), by_watts=True) == []


def test_watts_alone_tell_of_a_lamp_that_goes_out_and_comes_back():
    street = Street(nights=14)
    slot = np.arange(street.lit.shape[1])
    street.lit[LAMP, (slot > street.at(10)) & (slot % 9 < 3)] = 0
    assert said(street, by_watts=True) == [("L0-03", "cycling_failure")]


def test_watts_alone_tell_of_a_lamp_that_comes_on_late():
    street = Street(nights=18)
    for start in dusks_after(street, 12):
        street.lit[LAMP, start : start + 5] = 0
    assert said(street, by_watts=True) == [("L0-03", "switching_error")]


def test_watts_alone_tell_of_a_driver_that_lost_a_string():
    street = Street(nights=16)
    street.lit[LAMP, street.at(12) :] *= 0.6
    assert said(street, by_watts=True) == [("L0-03", "dimming_failure")]


def test_drivers_that_halve_the_night_by_themselves_have_lost_no_string():
    street = Street(nights=20)
    hour = (street.time_ms / 3_600_000) % 24
    street.lit[LAMP, (hour > 21) | (hour < 3)] *= 0.6
    # Later only the dimmed hours are left of its night, as towards midsummer.
    short = (np.arange(len(hour)) > street.at(15)) & ~((hour > 21) | (hour < 3))
    street.lit[:, short] = 0
    assert ("L0-03", "dimming_failure") not in said(street, by_watts=True)


def test_the_last_light_of_the_sky_does_not_hide_a_lamp_that_comes_on_late():
    # Sensors that look up see the lamp's own level in the sky at the end of twilight.
    street = Street(nights=18, sky_share=0.9)
    for start in dusks_after(street, 12):
        street.lit[LAMP, start : start + 6] = 0
    assert said(street) == [("L0-03", "switching_error")]
