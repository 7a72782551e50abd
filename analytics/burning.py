"""How the lamps burned in one night: levels, dark counts, switching, what the night ended with."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analytics.asked import Asked
from analytics.dimming import Expectation
from analytics.grid import SLOT_MS, Bools, Floats, Ints, any_slot, count, row_quantiles
from analytics.habits import DAY_MIN, dimmed_stretch
from analytics.light_course import dark_ending, switching_elevations, transitions, twilight_seen
from analytics.nights import Known, Night
from analytics.sun import LAMP_OUTSHINES_DEG
from analytics.watts import on_and_off

__all__ = ["DARK_BELOW", "LEAST_LIT_LX", "TWILIGHT_DEG", "burn"]

MOTION_DARK_BELOW = 0.7  # of the low level of a motion window
OUT_BELOW = 0.45  # of the night's own level: lamps that cycle go out ...
BACK_ABOVE = 0.7  # ... and come back
DARK_BELOW = 0.5  # of the own lit level: a dead lamp between lit ones reads 0.05-0.3 of it
LEAST_LIT_LX = 1.0
TWILIGHT_DEG = -1.0  # no lamp of a street burns before
SLOTS_AN_HOUR = 6
COARSE = 0.02  # step over level, from which on a median jumps by more than a lamp does in a night


def burn(
    out: Night,
    lux: Floats,
    valid: Bools,
    rows: npt.NDArray[np.intp] | slice,
    columns: slice,
    expected: Sequence[Expectation],
    group: Ints,
    start_ms: int,
    known: Known,
    asked: Asked,
    drawn: Floats | None,
    resolution_lx: Floats,
) -> None:
    """Levels, dark counts and switching of the rows whose night lies in these columns."""
    g = group[rows]
    x, there = lux[rows, columns], valid[rows, columns]
    lit_wanted = np.stack([e.judged[columns] for e in expected])
    own = np.maximum(known.own_lx[rows], LEAST_LIT_LX)
    limit = least_right(asked, own, np.maximum(known.own_dim_lx[rows], LEAST_LIT_LX / 2))
    wanted = lit_wanted[g] & (asked.level > 0)
    seen = wanted & there
    with np.errstate(invalid="ignore"):
        black = (x < DARK_BELOW * limit) & np.isfinite(own)[:, None]
    dark = seen & black
    # By day a tunnel's portal sees the sky, which adds light and takes none: darkness is proved
    # there, and light is not.
    by_day = np.stack([(e.lit & ~e.judged)[columns] for e in expected])
    if by_day.any():
        black &= by_day[g] & there & (asked.level > 0)
        dark |= black
        seen |= black

    out.n_lit[rows] = count(wanted)
    # Where light is switched off on purpose the limit is 0; nothing is expected there.
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = (x / limit).astype(np.float32, copy=False)
    dark_times(out, rows, dark, seen, relative, start_ms + columns.start * SLOT_MS)

    note_ends(out, rows, x, limit, columns, expected, g, known, asked, drawn)
    at_full = np.where(asked.full, x, np.float32(np.nan))
    out.n_full[rows] = count(np.isfinite(at_full))
    middle, out.lux_high[rows] = row_quantiles(at_full, 0.5, 0.8)
    step = step_of(at_full, resolution_lx[rows])
    out.lux_full[rows] = between_steps(at_full, middle, step)
    steady = seen & ~asked.motion
    tonight = np.minimum(np.nan_to_num(out.lux_high[rows] / own, nan=1), 1)
    # Two limits, so that a level that happens to lie on one of them is no coming and going.
    usual = limit * tonight[:, None]
    note_changes(out, rows, x, usual, steady, wanted, drawn)
    # Twilight columns hold nothing that is judged: without them, as far as the night goes.
    night = np.flatnonzero(lit_wanted.any(axis=0))
    if len(night):
        within = slice(int(night[0]), int(night[-1]) + 1)
        minute = expected[0].minute[columns][within]
        course, heard = x[:, within], (seen & ~asked.motion)[:, within]
        if drawn is not None:
            # Without a light sensor the watts tell what is dimmed.
            sightless = ~any_slot(there)[:, None]
            course = np.where(sightless, drawn[:, within], course)
            by_watts = (wanted & ~asked.motion & np.isfinite(drawn))[:, within]
            heard = np.where(sightless, by_watts, heard)
        note_habit(out, rows, course, heard, minute)
    small_hours = np.stack([e.late[columns] for e in expected])
    used = np.flatnonzero(small_hours.any(axis=0))
    # Where people's comings and goings set the light, the small hours say nothing of the lamp.
    still = small_hours[:, used][g] & ~asked.motion[:, used]
    at_late = np.where(still, x[:, used], np.float32(np.nan))
    (late,) = row_quantiles(at_late, 0.5)
    late = between_steps(at_late, late, step)
    out.lux_late[rows] = np.where(count(np.isfinite(at_late)) >= 4, late, np.float32(np.nan))
    if asked.dimmed.any():
        at_dim = np.where(asked.dimmed, x, np.float32(np.nan))
        out.n_dim[rows] = count(np.isfinite(at_dim))
        middle, high = row_quantiles(at_dim, 0.5, 0.9)
        middle = between_steps(at_dim, middle, step)
        out.lux_dim[rows] = np.where(asked.by_motion, high, middle)
        out.dim_level[rows] = asked.dim_level


def step_of(x: Floats, resolution_lx: Floats) -> Floats:
    """Steps of the sensors [lx], float32 (n,): whole numbers are steps of 1 lx in any registry."""
    whole = ((x == np.round(x)) | np.isnan(x)).all(axis=1)
    return np.maximum(np.nan_to_num(resolution_lx), np.where(whole, 1, 0)).astype(np.float32)


def between_steps(x: Floats, middle: Floats, step: Floats) -> Floats:
    """Medians of coarse sensors taken between their steps, float32 (n,).

    Light that wanders by less than a step shows on one step or the next: their mean follows it,
    their median jumps.

    Parameters
    ----------
    x : float32 (n, s)
        NaN where not to be counted.
    middle : float32 (n,)
        Medians of the rows.
    step : float32 (n,)
    """
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero(step > COARSE * middle)
    near = np.abs(x[rows] - middle[rows, None]) <= step[rows, None]
    mean = np.where(near, x[rows], np.float32(0)).sum(axis=1) / np.maximum(count(near), 1)
    out = middle.astype(np.float32)
    out[rows] = np.where(near.any(axis=1), mean, middle[rows])
    return out


def least_right(asked: Asked, own: Floats, own_dim: Floats) -> Floats:
    """Light that each slot should have at least [lx], float32 (n, s)."""
    motion = asked.motion & asked.dimmed
    # Where the dimmed level was learned it says more than the programme; never above it, though.
    # Low motion levels stand near what a dead lamp still gets from its neighbours: a closer limit.
    limit = asked.level * own[:, None]
    if motion.any():
        limit[motion & (asked.level < 0.5)] *= MOTION_DARK_BELOW / DARK_BELOW
    if asked.dimmed.any():
        # A level that was told changes from night to night; a programme's does not.
        near = np.abs(asked.level - asked.dim_level[:, None]) < 0.05
        learned = asked.dimmed & ~motion & near & np.isfinite(own_dim)[:, None]
        limit = np.where(learned, np.minimum(own_dim[:, None], own[:, None]), limit)
    return limit


def note_ends(
    out: Night,
    rows: npt.NDArray[np.intp] | slice,
    x: Floats,
    limit: Floats,
    columns: slice,
    expected: Sequence[Expectation],
    g: Ints,
    known: Known,
    asked: Asked,
    drawn: Floats | None,
) -> None:
    """By which sun the rows were switched on and off, by their light or, better, their watts."""
    elevation = np.stack([e.elevation[columns] for e in expected])
    with np.errstate(invalid="ignore"):
        reached = x >= DARK_BELOW * limit
        beyond_sky = x - twilight_seen(known.share[rows], elevation, g) >= DARK_BELOW * limit
    # What a controller said before it switched off on purpose is carried on: the programme knows.
    burning = (asked.level > 0) & np.stack([e.level[columns] > 0 for e in expected])[g]
    asked_for = np.isfinite(x) & burning & np.isfinite(known.own_lx[rows])[:, None]
    lit = asked_for & beyond_sky & (elevation < LAMP_OUTSHINES_DEG)[g]
    unlit = asked_for & ~reached & (elevation < TWILIGHT_DEG)[g]
    if drawn is not None:
        # Watts know of no twilight.
        told, draws = on_and_off(drawn)
        lit = np.where(told, burning & draws, lit)
        unlit = np.where(told, burning & ~draws & (elevation < TWILIGHT_DEG)[g], unlit)
    ends = switching_elevations(lit, unlit, elevation, g)
    out.first_deg[rows], out.last_deg[rows], out.late_deg[rows], out.early_deg[rows] = ends
    if not burning.all():
        below = (elevation < LAMP_OUTSHINES_DEG)[g]
        forget_unasked_ends(out, rows, burning & below, elevation, g)


def note_changes(
    out: Night,
    rows: npt.NDArray[np.intp] | slice,
    x: Floats,
    usual: Floats,
    steady: Bools,
    wanted: Bools,
    drawn: Floats | None,
) -> None:
    """How often the rows went out and came back.

    `steady` are readings of light that no motion explains, `usual` what they are at tonight.
    """
    low = steady & (x < OUT_BELOW * usual)
    back = steady & (x > BACK_ABOVE * usual)
    if drawn is not None:
        # A driver that is out takes nothing, whatever level is asked of it, and by motion too.
        told, draws = on_and_off(drawn)
        told &= wanted
        steady, low, back = steady | told, np.where(told, ~draws, low), np.where(told, draws, back)
    out.falls[rows], out.rises[rows] = transitions(low, low | back)
    out.n_steady[rows], out.n_low[rows] = count(steady), count(low)


def forget_unasked_ends(
    out: Night, rows: npt.NDArray[np.intp] | slice, asked: Bools, elevation: Floats, group: Ints
) -> None:
    """Where no light is asked for at dawn (or at dusk), nothing is switched by that sun."""
    lowest = np.argmin(elevation, axis=1)[group]
    later = np.arange(asked.shape[1]) > lowest[:, None]
    nan = np.float32(np.nan)
    evening, morning = any_slot(asked & ~later), any_slot(asked & later)
    for feature, there in (
        (out.first_deg, evening),
        (out.late_deg, evening),
        (out.last_deg, morning),
        (out.early_deg, morning),
    ):
        feature[rows] = np.where(there, feature[rows], nan)


def note_habit(
    out: Night, rows: npt.NDArray[np.intp] | slice, x: Floats, seen: Bools, minute: Floats
) -> None:
    """The stretch of the night with less light, in local minutes after noon."""
    start, stop, level = dimmed_stretch(x, seen)
    step = np.float32(SLOT_MS / 60_000)
    out.less_from_min[rows] = minute[0] - step / 2 + start * step
    ended = stop < x.shape[1]
    out.less_until_min[rows] = np.where(ended, minute[0] - step / 2 + stop * step, DAY_MIN)
    out.less_until_min[rows] = np.where(np.isfinite(level), out.less_until_min[rows], np.nan)
    out.less_level[rows] = level


def dark_times(
    out: Night,
    rows: npt.NDArray[np.intp] | slice,
    dark: Bools,
    seen: Bools,
    relative: Floats,
    start_ms: int,
) -> None:
    """How much of the night was dark, at which end, and since when.

    `relative` is each reading over what was expected; the columns begin at `start_ms`.
    """
    bright = seen & ~dark & np.isfinite(relative)
    out.n_known[rows] = count(seen)
    out.n_dark[rows] = count(dark)
    width = dark.shape[1]
    index = np.arange(width, dtype=np.int16)
    any_bright = any_slot(bright)
    first = np.where(any_bright, np.argmax(bright, axis=1), width)
    last = np.where(any_bright, width - 1 - np.argmax(bright[:, ::-1], axis=1), -1)
    out.lead[rows] = np.where(any_bright, count(dark & (index < first[:, None])), 0)
    out.trail[rows] = np.where(any_bright, count(dark & (index > last[:, None])), 0)
    out.first_lit_ms[rows] = np.where(any_bright, start_ms + first * SLOT_MS, 0)
    out.last_lit_ms[rows] = np.where(any_bright, start_ms + last * SLOT_MS, 0)

    begun, n_after, out.dark_before[rows] = dark_ending(dark, seen)
    ends_dark = (n_after > 0) & any_bright
    last_dark = width - 1 - np.argmax(dark[:, ::-1], axis=1)
    out.tail_h[rows] = np.where(ends_dark, (last_dark - begun + 1) / SLOTS_AN_HOUR, 0)
    out.n_tail[rows] = np.where(ends_dark, n_after, 0)
    out.dark_since_ms[rows] = np.where(ends_dark, start_ms + begun * SLOT_MS, 0)
    in_tail = dark & (index >= begun[:, None])
    depth = np.where(in_tail, relative, np.float32(0)).sum(axis=1) / np.maximum(count(in_tail), 1)
    out.tail_level[rows] = np.where(ends_dark, depth, np.nan)
