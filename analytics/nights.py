"""What is kept of a night: a row of numbers per luminaire.

Everything later looks back over these rows only, so a round costs one night whatever the history.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.grid import Floats, Ints, Times
from analytics.habits import Habit

__all__ = ["NIGHT_FEATURES", "Known", "Night", "blank"]


@dataclass(slots=True)
class Known:
    """What was learned about each luminaire before this night.

    Attributes
    ----------
    own_lx, own_dim_lx : float32 (n,)
        Own lit level at full and at reduced light [lx]; NaN where not known.
    share : float32 (n,)
        Log share of the sky; NaN where not known.
    habit : Habit
        Dimming learned where the registry has no programme.
    """

    own_lx: Floats
    own_dim_lx: Floats
    share: Floats
    habit: Habit


@dataclass(slots=True)
class Night:
    """Features of one window, one entry a luminaire; NaN (or 0 counts) where nothing was received.

    Attributes
    ----------
    n_heard : int32
        Slots in which any quantity arrived.
    n_lux, n_power : int32
        Slots with illuminance, with power.
    n_lit, n_known, n_dark : int32
        Slots of the night with light expected; those with a reading; those that were dark. Dark
        slots of a tunnel by day are counted as readings, too.
    n_full, n_dim : int32
        Readings at full and at reduced light.
    lead, trail : int32
        Dark readings before the first and after the last lit one.
    n_steady, n_low : int32
        Readings outside motion windows, and those below half of the night's own level.
    falls, rises : int32
        How often those went from above it to below, and back.
    tail_h : float32
        Length of the darkness that the night ended with [h]; 0 when it ended lit, or was dark
        throughout.
        Headlights and a neighbour's light may interrupt it, for a sixth of its readings.
    n_tail : int32
        Readings in it.
    tail_level : float32
        Mean of its dark readings over what was expected.
    dark_before : float32
        Share of dark readings before it.
    n_told : int32
        Readings in it in which the controller said that it was asked to burn.
    power_last : float32
        Median of the night's last three power readings, over the rated power.
    first_lit_ms, last_lit_ms : int64
        0 where no light was seen.
    dark_since_ms : int64
        First reading of the darkness that the night ended with, or of the night when all dark; 0.
    last_seen_ms : int64
        Last slot in which anything arrived; 0 = silent all the window.
    first_deg, last_deg : float32
        Elevation of the sun when first and last seen lit.
    late_deg, early_deg : float32
        Elevation at the last dark reading before the first lit one, and at the first dark reading
        after the last lit one.
    lux_full, lux_dim : float32
        Median at full and at reduced light [lx], between the steps of coarse sensors.
    lux_late : float32
        The same in the small hours, when light that is not ours is mostly off; without those in
        which people's comings and goings dim it.
    dim_level : float32
        Share of full light that the programme asks for where light is reduced; NaN with motion.
    lux_high : float32
        0.8 quantile at full light [lx]: the night's own lit level.
    own_lx : float32
        The level the dark counts were made with.
    response_am, response_pm, surplus, information, least_surplus : float32
        See `analytics.daylight.Daylight`.
    n_am, n_pm : int32
    share : float32
        Log share of the sky that was used.
    less_from_min, less_until_min, less_level : float32
        Stretch of the night that burned lower, in local minutes after noon, and what was left.
    power_night, power_dark, power_day : float32
        Power over what the commanded level takes; share of dark-expected readings without power;
        share of rated power by day.
    equal_value : float32
        Of the run of equal readings at the end.
    equal_count, equal_day, equal_night : int32
    equal_since_ms : int64
    equal_longest : int32
        Longest run seen in this window, the one carried in included.
    status : int32
        All status bits seen, or-ed.
    n_failed, n_status : int32
        Status readings with a failure bit (1 or 2), and all.
    last_gasp : int32
        Status readings with bit 128.
    clock_shift_ms : int64
        What the device's clock was moved by [ms].
    """

    n_heard: Ints
    n_lux: Ints
    n_power: Ints
    n_lit: Ints
    n_known: Ints
    n_dark: Ints
    n_full: Ints
    n_dim: Ints
    lead: Ints
    trail: Ints
    n_steady: Ints
    n_low: Ints
    falls: Ints
    rises: Ints
    tail_h: Floats
    n_tail: Ints
    n_told: Ints
    tail_level: Floats
    dark_before: Floats
    power_last: Floats
    first_lit_ms: Times
    last_lit_ms: Times
    dark_since_ms: Times
    last_seen_ms: Times
    first_deg: Floats
    last_deg: Floats
    late_deg: Floats
    early_deg: Floats
    lux_full: Floats
    lux_dim: Floats
    lux_late: Floats
    dim_level: Floats
    lux_high: Floats
    own_lx: Floats
    response_am: Floats
    response_pm: Floats
    surplus: Floats
    information: Floats
    least_surplus: Floats
    n_am: Ints
    n_pm: Ints
    share: Floats
    less_from_min: Floats
    less_until_min: Floats
    less_level: Floats
    power_night: Floats
    power_dark: Floats
    power_day: Floats
    equal_value: Floats
    equal_count: Ints
    equal_day: Ints
    equal_night: Ints
    equal_since_ms: Times
    equal_longest: Ints
    status: Ints
    n_failed: Ints
    n_status: Ints
    last_gasp: Ints
    clock_shift_ms: Times

    @classmethod
    def empty(cls, n: int) -> "Night":
        """A night in which nobody said anything."""
        columns: dict[str, Any] = {name: blank(name, n) for name in NIGHT_FEATURES}
        return cls(**columns)


NIGHT_FEATURES = tuple(f.name for f in fields(Night))
KIND_OF_FEATURE = {f.name: f.type for f in fields(Night)}


def blank(name: str, n: int) -> npt.NDArray[np.generic]:
    """The column of a feature about which nothing is known."""
    kind = KIND_OF_FEATURE[name]
    if kind == Floats:
        return np.full(n, np.nan, dtype=np.float32)
    return np.zeros(n, dtype=np.int64 if kind == Times else np.int32)
