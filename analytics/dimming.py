"""When and how brightly a luminaire should burn: dimming programmes against sun and local time."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analytics.grid import SLOTS, Bools, Floats
from analytics.sun import CIVIL_DARK_DEG

__all__ = ["DimWindow", "Expectation", "Programme", "expectation", "parse_programme"]

WINDOW = re.compile(
    r"(?P<motion>motion:)?(?P<h0>\d{1,2})[:.](?P<m0>\d{2})\s*-\s*(?P<h1>\d{1,2})[:.](?P<m1>\d{2})"
    r"\s*@\s*(?P<level>\d+(?:[.,]\d+)?)\s*%?",
    re.IGNORECASE,
)
LEAST_NIGHT_SLOTS = 9
SMALL_HOURS = (30, 390)
EDGE_MIN = 10  # readings within ten minutes of a change of level say nothing about either level


@dataclass(frozen=True, slots=True)
class DimWindow:
    """A span of local time with a lower level.

    Attributes
    ----------
    start_min, stop_min : int
        Minutes after local midnight; a stop before the start lies on the next day.
    level : float
        Share of full light, 0..1; 0 = switched off on purpose.
    motion : bool
        Whether passers-by bring full light back for a while.
    """

    start_min: int
    stop_min: int
    level: float
    motion: bool


Programme = tuple[DimWindow, ...]


def parse_programme(text: str) -> Programme:
    """Read `22:00-05:00@40;motion:00:00-04:00@30`; what cannot be read is left out.

    Examples
    --------
    >>> parse_programme("22:00-05:00@40")
    (DimWindow(start_min=1320, stop_min=300, level=0.4, motion=False),)
    """
    windows: list[DimWindow] = []
    for part in text.split(";"):
        found = WINDOW.search(part)
        if found is None:
            continue
        start = (int(found["h0"]) % 24) * 60 + int(found["m0"])
        stop = (int(found["h1"]) % 24) * 60 + int(found["m1"])
        level = min(float(found["level"].replace(",", ".")) / 100, 1.0)
        windows.append(DimWindow(start, stop, level, found["motion"] is not None))
    return tuple(windows)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a group of luminaires should do in each slot of one window.

    Attributes
    ----------
    elevation : float32 (144,)
        Of the sun at slot centres [degrees].
    night : bool (144,)
        Darker than civil twilight.
    lit : bool (144,)
        Light is expected, at whatever level; edges of switched-off windows are left out.
    full, dimmed : bool (144,)
        Full light and reduced light are expected, edges left out.
    level : float32 (144,)
        Least share of full light that is right; the low level in motion windows.
    motion : bool (144,)
        Anything between `level` and full is right.
    late : bool (144,)
        Light is expected in the small hours (00:30-06:30 local), when shops and festive lights are
        off.
    judged : bool (144,)
        Part of `lit` that the noon round judges by: the night, in tunnels too, where by day only
        darkness is believed.
    minute : float32 (144,)
        Local minutes after noon at slot centres.
    """

    elevation: Floats
    night: Bools
    lit: Bools
    full: Bools
    dimmed: Bools
    level: Floats
    motion: Bools
    late: Bools
    judged: Bools
    minute: Floats


def inside(minutes: npt.NDArray[np.float64], window: DimWindow, widen_min: float) -> Bools:
    """Which local times lie in a window widened (or narrowed, below 0) on both sides."""
    length = (window.stop_min - window.start_min) % 1440 or 1440
    after = (minutes - window.start_min + widen_min) % 1440
    return after < length + 2 * widen_min


def expectation(
    elevation: Floats,
    local_min: npt.NDArray[np.float64],
    programme: Programme,
    *,
    always: bool,
) -> Expectation:
    """What should be seen in each slot.

    Parameters
    ----------
    elevation : float32 (144,)
        Of the sun at slot centres [degrees].
    local_min : float64 (144,)
        Local minutes after midnight at slot centres, daylight saving resolved.
    programme : Programme
    always : bool
        Lit round the clock, as tunnels are.
    """
    dark_sky = elevation < CIVIL_DARK_DEG
    # A tunnel's portal sees the sky by day, so its lamps are measured at night too, where there is
    # one.
    night = np.ones(SLOTS, dtype=bool) if always else dark_sky
    measured = dark_sky if dark_sky.sum() >= LEAST_NIGHT_SLOTS else night
    level = np.ones(SLOTS, dtype=np.float32)
    touched = np.zeros(SLOTS, dtype=bool)
    within = np.zeros(SLOTS, dtype=bool)
    motion = np.zeros(SLOTS, dtype=bool)
    off = np.zeros(SLOTS, dtype=bool)
    for window in programme:
        wide, narrow = inside(local_min, window, EDGE_MIN), inside(local_min, window, -EDGE_MIN)
        level[wide] = np.minimum(level[wide], window.level)
        touched |= wide
        within |= narrow
        motion |= wide & window.motion
        if window.level == 0:
            off |= wide
    lit = night & ~off
    return Expectation(
        elevation,
        night,
        lit,
        lit & ~touched & measured,
        lit & within & measured,
        level,
        motion & lit,
        lit & measured & (local_min >= SMALL_HOURS[0]) & (local_min < SMALL_HOURS[1]),
        lit & measured,
        ((local_min - 720) % 1440).astype(np.float32),
    )
