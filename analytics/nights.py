"""One night of readings reduced to a row of numbers per luminaire.

Everything later looks back over these rows only, so a round costs one night whatever the history.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.asked import Asked, asked_of
from analytics.daylight import TWILIGHT_FROM_DEG, daylight, seen_saturated
from analytics.dimming import Expectation
from analytics.equal_runs import Run, equal_runs
from analytics.grid import (
    SLOT_MS,
    SLOTS,
    Bools,
    Floats,
    Ints,
    Times,
    any_slot,
    count,
    last_time,
    row_quantiles,
)
from analytics.habits import DAY_MIN, Habit, dimmed_stretch
from analytics.light_course import (
    dark_ending,
    switching_elevations,
    told_since,
    transitions,
    twilight_seen,
)
from analytics.street import Street
from analytics.watts import on_and_off, share_of_rated, watts

__all__ = ["NIGHT_FEATURES", "Known", "Night", "blank", "reduce_night"]

MOTION_DARK_BELOW = 0.7  # of the low level of a motion window
OUT_BELOW = 0.45  # of the night's own level: lamps that cycle go out ...
BACK_ABOVE = 0.7  # ... and come back
DARK_BELOW = 0.5  # of the own lit level: a dead lamp between lit ones reads 0.05-0.3 of it
LEAST_LIT_LX = 1.0
TWILIGHT_DEG = -1.0  # no lamp of a street burns before
LAMP_OUTSHINES_DEG = -4.0  # above it a reading may be the sky's
SLOTS_AN_HOUR = 6


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
        Median at full and at reduced light [lx].
    lux_late : float32
        Median in the small hours [lx], when light that is not ours is mostly off.
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


def reduce_night(
    lux: Floats,
    *,
    street: Street,
    expected: Sequence[Expectation],
    group: Ints,
    start_ms: int,
    known: Known,
    run: Run,
    members: Ints,
    power: Floats | None = None,
    status: Floats | None = None,
    heard: Bools | None = None,
    dimming_pct: Floats | None = None,
) -> Night:
    """Reduce one window of readings.

    Parameters
    ----------
    lux : float32 (n, 144)
        NaN where silent.
    street : Street
    expected : sequence of Expectation
        One per group of luminaires with the same sun and programme.
    group : int32 (n,)
        Index into `expected`.
    start_ms : int
        Noon at which the window begins.
    known : Known
    run : Run
        Run of equal readings carried in from the window before.
    members : int32 (n_groups, largest)
        `street.padded_groups(street.peers)`.
    power, status : float32 (n, 144), optional
    heard : bool (n, 144), optional
        Slots in which anything arrived; those with illuminance where not given.
    dimming_pct : float32 (n, 144), optional
        What controllers say they were told.

    Returns
    -------
    Night
    """
    out = Night.empty(len(lux))
    valid = np.isfinite(lux)
    heard = valid if heard is None else heard
    out.n_lux = count(valid)
    out.n_heard = count(heard)
    out.last_seen_ms = last_time(heard, start_ms)
    out.own_lx = known.own_lx.astype(np.float32)
    for rows, columns in blocks(expected, group):
        habit = known.habit
        own_habit = Habit(habit.start_min[rows], habit.stop_min[rows], habit.level[rows])
        told = None if dimming_pct is None else dimming_pct[rows, columns]
        asked = asked_of(expected, group[rows], columns, own_habit, told)
        drawn = None if power is None else share_of_rated(power[rows], street.rated_w[rows])
        at_night = None if drawn is None else drawn[:, columns]
        burn(out, lux, valid, rows, columns, expected, group, start_ms, known, asked, at_night)
        if told is not None:
            first_ms = start_ms + columns.start * SLOT_MS
            out.n_told[rows] = told_since(told, out.dark_since_ms[rows], first_ms)
        if drawn is not None:
            found = watts(drawn, rows, columns, expected, group, asked)
            out.power_night[rows], out.power_dark[rows] = found.night, found.dark
            out.power_last[rows], out.power_day[rows] = found.last, found.day
    sunlight(out, lux, street, expected, group, known, members)
    ended, out.equal_longest = equal_runs(lux, valid, expected, group, start_ms, run)
    out.equal_value, out.equal_count = ended.value, ended.count
    out.equal_day, out.equal_night = ended.day, ended.night
    out.equal_since_ms = ended.since_ms
    if power is not None:
        out.n_power = count(np.isfinite(power))
    if status is not None:
        status_bits(out, status)
    return out


def blocks(
    expected: Sequence[Expectation], group: Ints
) -> list[tuple[npt.NDArray[np.intp] | slice, slice]]:
    """Rows that share a night, with the columns it spans: those lit round the clock go apart."""
    whole = np.array([e.night.all() for e in expected], dtype=bool)
    out: list[tuple[npt.NDArray[np.intp] | slice, slice]] = []
    for always in (False, True):
        chosen = [e for e, w in zip(expected, whole, strict=True) if w == always and e.judged.any()]
        if not chosen:
            continue
        dusk = np.any([e.judged | e.night | (e.elevation < TWILIGHT_DEG) for e in chosen], axis=0)
        night = np.flatnonzero(dusk)
        of_kind = whole[group] == always
        rows = slice(None) if of_kind.all() else np.flatnonzero(of_kind)
        if of_kind.any():
            out.append((rows, slice(int(night[0]), int(night[-1]) + 1)))
    return out


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
    out.lux_full[rows], out.lux_high[rows] = row_quantiles(at_full, 0.5, 0.8)
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
    at_late = np.where(small_hours[:, used][g], x[:, used], np.float32(np.nan))
    (late,) = row_quantiles(at_late, 0.5)
    out.lux_late[rows] = np.where(count(np.isfinite(at_late)) >= 4, late, np.float32(np.nan))
    if asked.dimmed.any():
        at_dim = np.where(asked.dimmed, x, np.float32(np.nan))
        out.n_dim[rows] = count(np.isfinite(at_dim))
        middle, high = row_quantiles(at_dim, 0.5, 0.9)
        out.lux_dim[rows] = np.where(asked.by_motion, high, middle)
        out.dim_level[rows] = asked.dim_level


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


def sunlight(
    out: Night,
    lux: Floats,
    street: Street,
    expected: Sequence[Expectation],
    group: Ints,
    known: Known,
    members: Ints,
) -> None:
    """Daylight response and surplus light by day; tunnels see no sky and keep NaN."""
    elevation = np.stack([e.elevation for e in expected])
    columns = np.flatnonzero((elevation > TWILIGHT_FROM_DEG).any(axis=0))
    if not len(columns):
        return
    x = lux[:, columns]
    one_sun = bool(np.ptp(elevation, axis=0).max() < 0.2)
    sun = elevation[0, columns] if one_sun else elevation[:, columns][group]
    if street.tunnel.any():
        x = np.where(street.tunnel[:, None], np.float32(np.nan), x)
    if not one_sun:
        x = np.where(sun > TWILIGHT_FROM_DEG, x, np.float32(np.nan))
    found, out.share = daylight(
        x,
        sun,
        columns >= SLOTS // 2,
        share=known.share,
        own_lx=known.own_lx,
        resolution_lx=street.resolution_lx,
        max_lx=np.minimum(street.max_lx, seen_saturated(x)),
        members=members,
        peers=street.peers,
    )
    out.response_am, out.response_pm = found.response_am, found.response_pm
    out.n_am, out.n_pm = found.n_am, found.n_pm
    out.surplus, out.information = found.surplus, found.information
    out.least_surplus = found.least_surplus


def status_bits(out: Night, status: Floats) -> None:
    """Bits that the lamp controller reported, and how often."""
    there = np.isfinite(status)
    bits = np.where(there, status, 0).astype(np.int32)
    out.status = np.bitwise_or.reduce(bits, axis=1).astype(np.int32)
    out.n_status = count(there)
    out.n_failed = count((bits & 3) > 0)
    out.last_gasp = count((bits & 128) > 0)
