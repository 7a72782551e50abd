"""Luminaires that come on late or go off early, alone or with their whole feeder."""

import numpy as np

from analytics.cause import Section, Whole
from analytics.daylight import group_medians
from analytics.feeder_clock import as_the_city, same_clock
from analytics.findings import CauseKind, FindingKind
from analytics.grid import Bools, Floats, Ints
from analytics.judge import Judge
from analytics.levels import first_nights
from analytics.memory import KIND_AT, Memory
from analytics.nights import Night
from analytics.pace import SELDOM_MIN, SLOT_MIN, interval_min, watched_long_enough
from analytics.street import Street, padded_groups
from analytics.sun import degrees_a_minute

__all__ = ["judge_switching", "one_clock", "settle_switching"]

CERTAIN_MIN = 15.0  # slots of ten minutes and a lamp's own scatter hide less
CLOUDS_MIN = 5.0  # a photocell of its own follows the clouds
SHOWS_RIGHT_MIN = 35.0  # a lit reading so soon after the habit denies any error worth an order
LONGEST_MIN = 210.0
PROVED_MIN = 8.0  # by which a dark reading has to lie beyond the habit
COMMON_MIN = 25.0  # that all on one clock may be off by for reasons of their own
FEW_MATES = 4


def judge_switching(
    night: Night, memory: Memory, street: Street, number: int, whole: Whole | None = None
) -> tuple[Bools, Bools, Bools, Floats, Bools]:
    """Lamps that come on late or go off early, against their own habit, measured by the sun.

    The habit is the sun's elevation at the first and the last lit reading: it follows the seasons
    by itself. Late is who was first seen lit later than its interval and its scatter explain. Who
    speaks seldom is late, too, when one reading is dark with the sun lower than it was lit by
    before; a night in which it spoke at no telling moment says nothing. Dark readings must prove it
    by some minutes of their own, and beyond what the lamps beside it share. With `whole`, a feeder
    that as one differs from all others is held against the others' habit.

    Parameters
    ----------
    night, memory, street
    number : int
        The night's number: how fast the sun sinks depends on the season.
    whole : Whole, optional

    Returns
    -------
    wrong, right, known : bool (n,)
        Nights that show an error, that deny one, and that say either.
    excess : float32 (n,)
        Minutes beyond the habit, at the worse end.
    odd : bool (n,)
        Held against the others' habit.
    """
    interval = interval_min(memory, street)
    # Where there is no light sensor the watts tell, which count as steady readings.
    watched = np.maximum(night.n_known, night.n_steady)
    seen = watched_long_enough(watched, interval) & ~street.tunnel
    seen &= night.falls + night.rises <= 4
    rate = sinking(street, number)
    slack = CERTAIN_MIN + np.where(street.clouds, CLOUDS_MIN, 0)
    sure = slack + 1.4 * (interval - SLOT_MIN)
    seldom = interval > SELDOM_MIN
    odd = np.zeros(street.n, dtype=bool)
    members = padded_groups(street.peers)
    ends = []
    for habit, high, lit_deg, dark_deg, dark in (
        (memory.ref_first, memory.best_first, night.first_deg, night.late_deg, night.lead),
        (memory.ref_last, memory.best_last, night.last_deg, night.early_deg, night.trail),
    ):
        own = first_nights(habit)
        usual = own if whole is None else as_the_city(own, whole, ~street.tunnel)
        best = high.min(axis=1)  # lit three times with the sun so high, or higher
        with np.errstate(invalid="ignore"):
            odd |= usual > own
            best = np.where(usual > own, np.fmax(usual, best), best)
            by_lit = (usual - lit_deg) / rate
            by_dark = (best - dark_deg) / rate
            shared = with_mates(np.where(seen, by_lit, np.nan), members, street.peers)
            # Dark readings must show it: a lamp that was merely not heard of at dusk is not late.
            proved = (usual - dark_deg) / rate
            wrong = (by_lit - shared > sure) & (proved - shared > PROVED_MIN)
            wrong |= seldom & (by_dark > slack)
            # Who was last heard of hours before its time says nothing of the end of the night.
            wrong &= (dark * interval <= LONGEST_MIN) & ~(by_lit > LONGEST_MIN)
            soon = (best - lit_deg) / rate
            right = np.where(seldom, soon < SHOWS_RIGHT_MIN, by_lit < sure / 2) & ~wrong
        ends.append((wrong, right, np.fmax(by_lit, by_dark)))
    (late, on_time, by_on), (early, to_time, by_off) = ends
    share = night.n_dark / np.maximum(night.n_known, 1)
    wrong = seen & (share < 0.7) & (late | early)
    right = seen & on_time & to_time
    known = seen & (wrong | right | ~seldom)
    worst = np.fmax(np.where(late, by_on, 0), np.where(early, by_off, 0))
    return wrong, right, known, worst.astype(np.float32), odd


def with_mates(minutes: Floats, members: Ints, peers: Ints) -> Floats:
    """What the lamps beside each were late by tonight, where that is no error yet [min].

    Tables of a week and dull evenings move all of them.

    Parameters
    ----------
    minutes : float32 (n,)
        NaN where not known.
    members : int32 (n_groups, largest)
        Rows, padded with -1.
    peers : int32 (n,)
        Group of each.

    Returns
    -------
    float32 (n,)
        0 with fewer than four known ones, where they were early, or late enough for an error.
    """
    middle, n = group_medians(minutes[:, None], members)
    shared = np.where(n >= FEW_MATES, middle, 0)[:, 0][peers]
    return np.where((shared > 0) & (shared < COMMON_MIN), shared, 0).astype(np.float32)


def sinking(street: Street, number: int) -> Floats:
    """Degrees that the sun sinks in a minute at dusk, per luminaire."""
    lat = np.array([place[0] for place in street.cells], dtype=np.float64)
    return degrees_a_minute(number, lat).astype(np.float32)[street.cell]


def one_clock(flag: Bools, known: Bools, street: Street) -> Bools:
    """Luminaires on whose feeder most members (of at least six) switched wrongly tonight."""
    f = street.feeder
    inside = f >= 0
    size = int(f.max(initial=-1)) + 1
    members = np.bincount(f[inside & known], minlength=size)
    wrong = np.bincount(f[inside & known & flag], minlength=size)
    shared = (members >= 6) & (wrong > 0.5 * members)
    return inside & flag & shared[np.maximum(f, 0)] if size else np.zeros(len(f), dtype=bool)


def settle_switching(judge: Judge) -> None:
    """Lamps on late or off early; most of a feeder at once is the feeder's clock."""
    late, right, known, excess, odd = judge_switching(
        judge.night, judge.memory, judge.street, judge.number, judge.whole
    )
    by_watts = np.isfinite(judge.night.power_dark)  # which no weather takes
    learned = np.isfinite(judge.memory.ref_first).all(axis=1) & (judge.memory.lux_nights == 0)
    late &= ~judge.taken & (judge.memory.frozen | learned | odd)
    known &= by_watts | ~judge.held
    # Those who speak seldom do not all meet a telling moment on the same night.
    k = KIND_AT[FindingKind.SWITCHING_ERROR]
    suspected = (judge.memory.hits[:, k] > 0) & ~judge.memory.raised[:, k]
    shared = one_clock(late | suspected, known | suspected, judge.street)
    onset = np.full(judge.street.n, judge.start_ms, dtype=np.int64)
    whole_feeders = [
        Section(
            np.flatnonzero(shared & (judge.street.feeder == f)).astype(np.int32),
            CauseKind.FEEDER,
            int(f),
            judge.start_ms,
        )
        for f in np.unique(judge.street.feeder[shared])
    ]
    grouped = same_clock(judge, late & ~shared, excess) + whole_feeders
    need = np.where(shared, 2, 3).astype(np.int32)
    judge.settle(
        FindingKind.SWITCHING_ERROR,
        late,
        known,
        right,
        onset,
        need=need,
        takes=False,
        sections=grouped,
        evidence={"minutes": excess},
    )
