"""Lamps that burn by day, told from the sun by what they add in every slot and at dusk."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analytics.day_burning import judge_day_burning
from analytics.daylight import TWILIGHT_FROM_DEG, daylight, lamps_off
from analytics.memory import Memory
from analytics.nights import Night
from analytics.rules import Rules
from analytics.sun import clear_sky_log_lux

N = 6
SHARE, OWN_LX = 0.1, 20.0


def seen(lit: Any, elevation: Any, extra: Any = 0.0) -> Any:
    """Surplus, information and its lowest quarter of six sensors under one clear sky."""
    sky = np.exp(clear_sky_log_lux(elevation))
    lux = (SHARE * sky + OWN_LX * np.asarray(lit) + extra).astype(np.float32)
    found, _ = daylight(
        lux,
        elevation,
        np.arange(len(elevation)) < len(elevation) // 2,
        share=np.full(N, np.log(SHARE), np.float32),
        own_lx=np.full(N, OWN_LX, np.float32),
        resolution_lx=np.full(N, 0.1, np.float32),
        max_lx=np.full(N, 1e5, np.float32),
        members=np.arange(N, dtype=np.int32)[None],
        peers=np.zeros(N, dtype=np.int32),
    )
    return found


def day() -> Any:
    """A day in winter, ten minutes a slot, from dawn to dusk."""
    up = np.concatenate([np.arange(-2.9, 9, 1.1), np.full(12, 10.0)])
    return np.concatenate([up, up[::-1]]).astype(np.float32)


def test_a_lamp_left_on_shows_at_dusk_and_dawn_what_noon_drowns():
    elevation = day()
    lit = np.zeros((N, len(elevation)))
    lit[0] = 1
    found = seen(lit, elevation)
    ratio = found.surplus / found.information
    assert ratio[0] == pytest.approx(1, abs=0.1)
    assert np.abs(ratio[1:]).max() < 0.05
    assert found.least_surplus[0] > 0.8
    assert found.least_surplus[1:].max() < 0.1
    noon = elevation > 5
    assert found.information[0] > 10 * seen(lit[:, noon], elevation[noon]).information[0]


def test_dusk_in_which_the_peers_still_burn_tells_nothing():
    elevation = day()
    lit = np.broadcast_to(elevation < -0.8, (N, len(elevation))).astype(float)
    found = seen(lit, elevation)
    dark = seen(np.zeros((N, len(elevation))), elevation)
    assert (found.information < 0.7 * dark.information).all()
    assert np.abs(found.surplus / found.information).max() < 0.05


def test_peers_without_a_day_leave_twilight_out():
    elevation = np.linspace(TWILIGHT_FROM_DEG, 2, 9, dtype=np.float32)
    sky = np.zeros((1, 9), dtype=np.float32)
    off = lamps_off(sky, elevation, np.zeros(2, dtype=np.int32))
    assert (off == (elevation > -0.7)).all()


@pytest.mark.parametrize(("least", "burns"), [(0.7, True), (0.1, False), (np.nan, False)])
def test_light_that_is_there_now_and_then_is_the_sun(least, burns):
    memory = Memory.fresh(1, np.full(1, OWN_LX, np.float32))
    memory.frozen[:] = True
    memory.information[:] = 10
    memory.surplus[:] = 0.8 * 10
    memory.least_surplus[:] = least
    street: Any = SimpleNamespace(tunnel=np.zeros(1, dtype=bool))
    burning, _, known, ratio = judge_day_burning(Night.empty(1), memory, street, Rules())
    assert known[0]
    assert ratio[0] == pytest.approx(0.8)
    assert burning[0] == burns
