"""How light came and went in a night: on and off, there and back, and the dark end of it."""

import numpy as np

from analytics.grid import SLOT_MS, Bools, Floats, Ints, Times, any_slot, count
from analytics.sun import clear_sky_log_lux

__all__ = [
    "dark_ending",
    "switching_elevations",
    "told_since",
    "transitions",
    "twilight_seen",
]

TWILIGHT_MAY_BE = 2.0  # of a clear one's light: clouds, and a share learned on a dull day


def transitions(dark: Bools, known: Bools) -> tuple[Ints, Ints]:
    """How often light fell and rose; slots without a reading are skipped, they are not dark.

    Parameters
    ----------
    dark, known : bool (n, s)

    Returns
    -------
    falls, rises : int32 (n,)
    """
    n, s = dark.shape
    if s == 0:
        return np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int32)
    at = np.maximum.accumulate(np.where(known, np.arange(s, dtype=np.int16), np.int16(-1)), axis=1)
    now = np.take_along_axis(dark, np.maximum(at, 0), 1)
    both = at[:, :-1] >= 0
    falls = np.count_nonzero(both & ~now[:, :-1] & now[:, 1:], axis=1)
    rises = np.count_nonzero(both & now[:, :-1] & ~now[:, 1:], axis=1)
    return falls.astype(np.int32), rises.astype(np.int32)


def dark_ending(dark: Bools, seen: Bools) -> tuple[Times, Ints, Floats]:
    """The darkness that a night ended with.

    It is the longest stretch up to the last reading of which five sixths are dark and which begins
    and ends dark.

    Returns
    -------
    first : int64 (n,)
        Slot in which it begins.
    readings : int32 (n,)
        Known readings in it; 0 where the night ended lit.
    before : float32 (n,)
        Share of dark readings before it; NaN where there is none.
    """
    n_dark = np.cumsum(dark[:, ::-1], axis=1, dtype=np.int16)[:, ::-1]
    n_seen = np.cumsum(seen[:, ::-1], axis=1, dtype=np.int16)[:, ::-1]
    last_two = (n_seen <= 2) & seen
    ends_dark = ~np.any(last_two & ~dark, axis=1) & seen.any(axis=1)
    fits = dark & (6 * n_dark >= 5 * n_seen) & ends_dark[:, None]
    some = fits.any(axis=1)
    first = np.where(some, np.argmax(fits, axis=1), 0).astype(np.int32)
    rows = np.arange(len(dark))
    readings = np.where(some, n_seen[rows, first], 0).astype(np.int32)
    earlier_seen = n_seen[:, 0] - readings
    earlier_dark = n_dark[:, 0] - np.where(some, n_dark[rows, first], 0)
    before = np.where(earlier_seen > 0, earlier_dark / np.maximum(earlier_seen, 1), np.nan)
    return first.astype(np.int64), readings, before.astype(np.float32)


def told_since(told_pct: Floats, since_ms: Times, first_ms: int) -> Ints:
    """How often a controller said that it was asked to burn, in a darkness it is in.

    Parameters
    ----------
    told_pct : float32 (n, s)
        Level that it said it was told [%]; NaN where it said nothing.
    since_ms : int64 (n,)
        When the darkness began; 0 where there is none.
    first_ms : int
        Start of the first slot.
    """
    at_ms = first_ms + np.arange(told_pct.shape[1], dtype=np.int64) * SLOT_MS
    with np.errstate(invalid="ignore"):
        asked = told_pct > 0
    within = (since_ms > 0)[:, None] & (at_ms >= since_ms[:, None])
    return count(asked & within)


def switching_elevations(
    lit: Bools, dark: Bools, elevation: Floats, group: Ints
) -> tuple[Floats, Floats, Floats, Floats]:
    """Elevation of the sun on either side of the evening's and of the morning's switching.

    Parameters
    ----------
    lit, dark : bool (n, s)
        Readings that were lit, and that were dark though light is asked for at night. Twilight may
        be taken for the lamp above -4 degrees, so lit is only what lies below; it never hides that
        a lamp is dark.
    elevation : float32 (groups, s)
        Of the sun [degrees].
    group : int32 (n,)

    Returns
    -------
    first_lit, last_lit : float32 (n,)
        NaN where no reading was lit.
    last_dark, first_dark : float32 (n,)
        The last dark reading before the first lit one, and the first after the last; NaN without.
    """
    n, s = lit.shape
    nothing = np.full(n, np.nan, dtype=np.float32)
    if s == 0:
        return nothing, nothing.copy(), nothing.copy(), nothing.copy()
    index = np.arange(s, dtype=np.int16)
    some = any_slot(lit)
    first = np.argmax(lit, axis=1).astype(np.int16)
    last = (s - 1 - np.argmax(lit[:, ::-1], axis=1)).astype(np.int16)
    before = dark & (index < first[:, None])
    after = dark & (index > last[:, None])
    last_dark = s - 1 - np.argmax(before[:, ::-1], axis=1)
    first_dark = np.argmax(after, axis=1)

    def at(slot: Ints, there: Bools) -> Floats:
        return np.where(there, elevation[group, slot], np.float32(np.nan)).astype(np.float32)

    return (
        at(first, some),
        at(last, some),
        at(last_dark, any_slot(before) & some),
        at(first_dark, any_slot(after) & some),
    )


def twilight_seen(share: Floats, elevation: Floats, group: Ints) -> Floats:
    """The most that each sensor sees of a twilight sky [lx]: no more than that is not the lamp.

    Parameters
    ----------
    share : float32 (n,)
        Log share of the sky; NaN where not known.
    elevation : float32 (groups, s)
        Of the sun [degrees].
    group : int32 (n,)

    Returns
    -------
    float32 (n, s)
        0 where the share is not known.
    """
    sky = (TWILIGHT_MAY_BE * np.exp(clear_sky_log_lux(elevation))).astype(np.float32)
    seen: Floats = np.exp(np.nan_to_num(share, nan=-np.inf))[:, None] * sky[group]
    return seen
