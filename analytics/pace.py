"""How often a device speaks, and how much light its readings stand for.

What has to last for an hour is an hour for every device: six readings of one that speaks every ten
minutes, one of one that speaks hourly. What has to be seen more than once is counted in readings.
"""

import numpy as np

from analytics.grid import SLOT_MS, SLOTS, Bools, Floats, Ints
from analytics.memory import Memory
from analytics.nights import Night
from analytics.street import Street

__all__ = [
    "SELDOM_MIN",
    "SLOT_MIN",
    "enough_for_a_level",
    "interval_min",
    "learn_pace",
    "watched_long_enough",
]

SLOT_MIN = SLOT_MS / 60_000
SELDOM_MIN = 16.0  # between two readings: beyond it a device speaks seldom
LEVEL_MIN = 60  # of light that a level is taken from ...
LEVEL_READINGS = 3  # ... in so many readings at least, so that one that is wrong does not decide

NIGHT_MIN = 110  # of a night that say how it went ...
NIGHT_READINGS = 4  # ... in so many readings at least


def interval_min(memory: Memory, street: Street) -> Floats:
    """Minutes between two readings of each device, no less than a slot.

    As seen, where a whole day was; else what the registry says, else ten minutes.
    """
    told = np.nan_to_num(street.interval_s, nan=600) / 60
    seen = np.where(np.isfinite(memory.pace_min), memory.pace_min, told)
    return np.maximum(seen, SLOT_MIN).astype(np.float32)


def learn_pace(memory: Memory, night: Night, street: Street) -> None:
    """Keep the shortest interval that a day has shown: lost readings only make it longer.

    Behind a switched feeder mains-fed devices are silent by day: the registry's word stands there.
    """
    awake = (night.n_lux > 0) & ~(street.mains & street.feeder_switched)
    tonight = np.where(awake, SLOTS * SLOT_MIN / np.maximum(night.n_lux, 1), np.nan)
    memory.pace_min = np.fmin(memory.pace_min, tonight).astype(np.float32)


def enough_for_a_level(readings: Ints, interval: Floats) -> Bools:
    """Whether so many readings are a level: an hour of light, seen three times."""
    enough: Bools = (readings >= LEVEL_READINGS) & (readings * interval >= LEVEL_MIN)
    return enough


def watched_long_enough(readings: Ints, interval: Floats) -> Bools:
    """Whether a night was seen well enough to tell how the light came and went."""
    enough: Bools = (readings >= NIGHT_READINGS) & (readings * interval >= NIGHT_MIN)
    return enough
