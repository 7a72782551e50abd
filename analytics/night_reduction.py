"""One night of readings reduced to a row of numbers per luminaire."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analytics.asked import asked_of
from analytics.burning import TWILIGHT_DEG, burn
from analytics.daylight import TWILIGHT_FROM_DEG, daylight, seen_saturated
from analytics.dimming import Expectation
from analytics.equal_runs import Run, equal_runs
from analytics.grid import SLOT_MS, SLOTS, Bools, Floats, Ints, count, last_time
from analytics.habits import Habit
from analytics.light_course import told_since
from analytics.nights import Known, Night
from analytics.street import Street
from analytics.watts import share_of_rated, watts

__all__ = ["reduce_night"]


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
        burn(
            out, lux, valid, rows, columns, expected, group, start_ms, known, asked, at_night,
            street.resolution_lx,
        )  # fmt: skip
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
