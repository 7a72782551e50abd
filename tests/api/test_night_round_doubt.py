"""A street where the registry is wrong, the weather rough, or little is learned yet."""

from dataclasses import replace

import numpy as np
import pytest
from noons import after_all_noons
from street_of_lamps import Street

from api.assets import AssetKind, Switching


def said(street):
    """Kinds by luminaire after all noon rounds, each once."""
    return sorted({(f.luminaire_id, f.kind.value) for f in after_all_noons(street).findings})


def turned_up(street, lamp, since, *, lamps_part=0.3, sky_part=2.5):
    """From then on a sensor sees less of its lamp and more of the sky."""
    dark = street.elevation[since:] < -5
    street.gain[lamp, since:] = np.where(dark, lamps_part, sky_part)


def nominal(street, **by_lamp):
    """Levels that the registry is wrong about [lx]."""
    street.assets = [
        replace(a, nominal_illuminance_lx=by_lamp.get(f"lamp{i}", a.nominal_illuminance_lx))
        for i, a in enumerate(street.assets)
    ]


@pytest.mark.parametrize("day", [5, 7])
def test_a_sensor_that_goes_blind_while_its_street_is_still_learned_is_found(day):
    street = Street(nights=day + 6)
    street.gain[3, street.at(day, 3) :] = 0.3
    assert said(street) == [("L0-03", "sensor_blind")]


def test_a_sensor_turned_to_the_sky_while_its_street_is_still_learned_is_found():
    street = Street(nights=12)
    turned_up(street, 3, street.at(6, 3))
    assert said(street) == [("L0-03", "misaimed")]


def test_wet_domes_do_not_hide_a_sensor_that_was_turned():
    street = Street(feeders=4, nights=19)
    turned_up(street, 3, street.at(13, 3))
    # Seven others are snowed on, night after night another seven.
    for night in range(13, 19):
        some = 5 + (np.arange(7) * 3 + night) % 19
        street.gain[some, street.at(night) : street.at(night + 1)] *= 0.5
    assert said(street) == [("L0-03", "misaimed")]


def test_snow_that_lies_on_many_domes_blinds_none():
    street = Street(feeders=4, nights=18)
    street.gain[1::3, street.at(13, 3) : street.at(16, 3)] *= 0.6
    assert said(street) == []


def test_a_level_that_the_registry_has_wrong_is_no_lamp_that_is_out():
    street = Street(nights=6)
    nominal(street, lamp3=95.0, lamp8=9.0)
    assert said(street) == []


def test_a_registry_that_is_right_tells_of_a_lamp_that_was_out_before():
    street = Street(nights=4)
    street.lit[3] = 0
    nominal(street, **{f"lamp{i}": 18.0 if i in (0, 5, 6, 11) else 20.0 for i in range(12)})
    assert said(street) == [("L0-03", "lamp_failure")]


def test_a_lamp_whose_level_the_registry_has_wrong_is_watched_by_what_was_learned():
    street = Street(nights=25)
    nominal(street, lamp3=70.0)
    street.lit[3, street.at(20, 3) :] *= 0.5
    assert said(street) == [("L0-03", "dimming_failure")]


def test_a_lamp_that_nobody_knew_sleeps_in_the_small_hours_hides_no_blind_sensor():
    street = Street(nights=18)
    hour = (street.time_ms / 3_600_000) % 24
    street.lit[:6, (hour >= 22) | (hour < 3)] = 0
    street.gain[3, street.at(13, 3) :] = 0.3
    assert ("L0-03", "sensor_blind") in said(street)


def tunnel(nights):
    """Four lamps of a tunnel that burn round the clock."""
    street = Street(nights=nights, sky_share=0.0)
    street.lit[:] = 1
    street.assets = [
        replace(a, kind=AssetKind.TUNNEL, switching=Switching.ALWAYS) for a in street.assets
    ]
    return street


def test_a_tunnel_sensor_that_sees_nothing_beside_a_burning_lamp_is_stuck():
    street = tunnel(13)
    street.held[3, street.at(12, 2) :] = 0.0
    assert said(street) == [("L0-03", "sensor_stuck")]


def test_a_tunnel_lamp_that_is_out_leaves_its_neighbours_light():
    street = tunnel(13)
    street.lit[3, street.at(12, 2) :] = 0
    assert said(street) == [("L0-03", "lamp_failure")]


def test_a_tunnel_lamp_that_its_neighbours_do_not_miss_burns_under_a_blind_sensor():
    street = tunnel(16)
    street.gain[3, street.at(12, 1) :] = 0.2
    assert said(street) == [("L0-03", "sensor_blind")]


def test_a_tunnel_lamp_that_its_neighbours_miss_is_out():
    street = tunnel(16)
    street.lit[3, street.at(12, 1) :] = 0
    assert said(street) == [("L0-03", "lamp_failure")]
