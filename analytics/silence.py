"""Devices and gateways that say nothing: a fault of its own, which opens and closes no other."""

import numpy as np

from analytics.grid import HOUR_MS, Bools, Floats, Times
from analytics.memory import Memory
from analytics.nights import Night
from analytics.rules import Rules
from analytics.street import Street

__all__ = ["expected_slots", "silent_devices", "silent_tonight"]


def expected_slots(street: Street, hours: float) -> Floats:
    """How many slots of a span of time each device would fill, by its interval."""
    return (hours * 3600 / np.maximum(street.interval_s, 600)).astype(np.float32)


def silent_tonight(night: Night, street: Street, hours: float = 24.0) -> Bools:
    """Whether hardly anything came in the window: at most a tenth of more than twelve slots."""
    due = expected_slots(street, hours)
    return (due > 12) & (night.n_heard <= 0.1 * due)


def silent_devices(
    memory: Memory, last_seen_ms: Times, street: Street, rules: Rules, now_ms: int
) -> Bools:
    """Devices without a reading for a day, or for six of their intervals where those are longer.

    Only devices that were heard before can fall silent; a device that never spoke is not yet there.
    Behind a switched feeder a mains-fed device is silent by day: it gets a day more, so that a
    whole second night must be missing.
    """
    limit_ms = np.maximum(
        rules.silent_h * HOUR_MS, 6000 * np.nan_to_num(street.interval_s, nan=600)
    )
    limit_ms = np.where(street.mains & street.feeder_switched, limit_ms + 24 * HOUR_MS, limit_ms)
    return (last_seen_ms > 0) & (now_ms - last_seen_ms >= limit_ms - 600_000)
