"""Luminaires that come on late or go off early, alone or with their whole feeder."""

import numpy as np

from analytics.cause import Section, Whole
from analytics.feeder_clock import as_the_city, same_clock
from analytics.findings import CauseKind, FindingKind
from analytics.grid import Bools, Floats
from analytics.judge import Judge
from analytics.levels import first_nights
from analytics.memory import Memory
from analytics.nights import Night
from analytics.street import Street

DEG_PER_MIN = 0.13

__all__ = ["judge_switching", "one_clock", "settle_switching"]


def judge_switching(
    night: Night, memory: Memory, street: Street, whole: Whole | None = None
) -> tuple[Bools, Bools, Floats]:
    """Lamps that come on late or go off early, against their own habit, measured by the sun.

    With `whole`, a feeder that as one differs from all others is held against the others' habit.

    The habit is the sun's elevation at the first and the last lit reading: it follows the seasons
    by itself. The sun sinks by about 0.13 degrees a minute here; one lost reading is not yet an
    error, and a lamp's own photocell follows the clouds by some minutes. Anything below twenty
    minutes stays hidden.

    Returns
    -------
    late, right : bool (n,)
    excess : float32 (n,)
        Minutes beyond the habit, at the worse end.
    """
    known = (night.n_known > 10) & ~street.tunnel & (night.falls + night.rises <= 4)
    share = night.n_dark / np.maximum(night.n_known, 1)
    interval = np.maximum(np.nan_to_num(street.interval_s, nan=600), 600) / 60
    patience = DEG_PER_MIN * interval * 1.4 + 0.2 + np.where(street.clouds, 0.7, 0.0)
    with np.errstate(invalid="ignore"):
        first, last = first_nights(memory.ref_first), first_nights(memory.ref_last)
        if whole is not None:
            asked = ~street.clouds & ~street.tunnel & memory.frozen
            first, last = (as_the_city(habit, whole, asked) for habit in (first, last))
        on = first - night.first_deg
        off = last - night.last_deg
        # Dark readings must show it: a lamp that was merely not heard of at dusk is not late.
        late = (on > patience) & (night.lead >= 1) & (night.lead <= 20)
        early = (off > patience) & (night.trail >= 1) & (night.trail <= 20)
        right = known & (on < patience / 2) & (off < patience / 2)
    flag = known & (share < 0.7) & (late | early)
    worst = np.fmax(np.where(late, on, 0), np.where(early, off, 0)) / DEG_PER_MIN
    return flag, right, worst.astype(np.float32)


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
    late, right, excess = judge_switching(judge.night, judge.memory, judge.street, judge.whole)
    late &= ~judge.taken & judge.memory.frozen
    known = (judge.night.n_known > 10) & ~judge.held
    shared = one_clock(late, known, judge.street)
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
