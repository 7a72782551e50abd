"""What each luminaire was asked for, slot by slot.

The programme of the registry says it for groups; where there is none, a learned habit does for each
luminaire; and a controller that reports its dimming level knows best.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics.dimming import EDGE_MIN, Expectation
from analytics.grid import Bools, Floats, Ints, any_slot, row_quantiles
from analytics.habits import Habit, within_habit

__all__ = ["Asked", "asked_of"]

CARRIED = 18  # slots for which a reported level stands: a controller may report every few hours
STEADY = 0.02
OFF_BELOW = 0.12  # what is left of full light when the programme switches it off


@dataclass(slots=True)
class Asked:
    """Light asked of some rows in some columns of a window.

    Attributes
    ----------
    level : float32 (n, s)
        Least share of full light that is right.
    full, dimmed : bool (n, s)
        Full light and reduced light are asked for, edges left out.
    motion : bool (n, s)
        Anything between `level` and full is right.
    dim_level : float32 (n,)
        Usual reduced level; NaN without one, or with motion.
    by_motion : bool (n,)
    """

    level: Floats
    full: Bools
    dimmed: Bools
    motion: Bools
    dim_level: Floats
    by_motion: Bools


def asked_of(
    expected: Sequence[Expectation],
    group: Ints,
    columns: slice,
    habit: Habit,
    reported_pct: Floats | None,
) -> Asked:
    """Programme, habit and report of some luminaires put together.

    Parameters
    ----------
    expected : sequence of Expectation
    group : int32 (n,)
        Index into `expected` of each row.
    columns : slice
    habit : Habit
        Of the same rows.
    reported_pct : float32 (n, s) or None
        Dimming level that the controllers reported [%]; NaN where none came.
    """
    level = np.stack([e.level[columns] for e in expected])
    full = np.stack([e.full[columns] for e in expected])
    dimmed = np.stack([e.dimmed[columns] for e in expected])
    motion = np.stack([e.motion[columns] for e in expected])
    by_motion = any_slot(motion & dimmed)
    at_level = np.where(dimmed, level, np.float32(np.nan)).astype(np.float32)
    (usual,) = row_quantiles(at_level, 0.5)
    usual = np.where(by_motion, np.float32(np.nan), usual)
    out = Asked(
        level[group], full[group], dimmed[group], motion[group], usual[group], by_motion[group]
    )
    plain = ~np.array([(e.level < 1).any() for e in expected], dtype=bool)
    by_habit = np.flatnonzero(plain[group] & np.isfinite(habit.level))
    if len(by_habit):
        apply_habit(out, expected, group, columns, habit, by_habit)
    if reported_pct is not None:
        apply_reports(out, expected, group, columns, reported_pct)
    return out


def apply_habit(
    out: Asked,
    expected: Sequence[Expectation],
    group: Ints,
    columns: slice,
    habit: Habit,
    rows: np.ndarray,
) -> None:
    """Put the learned programme where the registry has none."""
    lit = np.stack([(e.full | e.dimmed)[columns] for e in expected])[group[rows]]
    minute = expected[0].minute[columns]
    own = Habit(habit.start_min[rows], habit.stop_min[rows], habit.level[rows])
    wide, narrow = within_habit(own, minute, EDGE_MIN), within_habit(own, minute, -EDGE_MIN)
    off = own.level < OFF_BELOW
    left = np.where(off, 0, own.level)
    out.level[rows] = np.where(wide, left[:, None], out.level[rows])
    out.full[rows] = lit & ~wide
    out.dimmed[rows] = lit & narrow & ~off[:, None]
    out.dim_level[rows] = np.where(off, np.nan, left)


def apply_reports(
    out: Asked,
    expected: Sequence[Expectation],
    group: Ints,
    columns: slice,
    reported_pct: Floats,
) -> None:
    """Let controllers say what was asked of them; 0 says nothing, it may be the fault itself."""
    with np.errstate(invalid="ignore"):
        said = reported_pct > 0
    rows = np.flatnonzero(any_slot(said))
    if not len(rows):
        return
    lit = np.stack([(e.lit & e.judged)[columns] for e in expected])[group[rows]]
    slot = np.arange(said.shape[1], dtype=np.int16)
    at = np.maximum.accumulate(np.where(said[rows], slot, np.int16(-1)), axis=1)
    known = (at >= 0) & (slot - at <= CARRIED)
    level = np.take_along_axis(reported_pct[rows], np.maximum(at, 0).astype(np.intp), 1) / 100
    level = np.where(known, np.minimum(level, 1), out.level[rows]).astype(np.float32)
    # Readings beside a change of level say nothing about either.
    moved = np.zeros_like(known)
    moved[:, 1:] = np.abs(np.diff(level, axis=1)) > STEADY
    edge = moved.copy()
    edge[:, :-1] |= moved[:, 1:]
    full = known & lit & ~edge & (level >= 1 - STEADY)
    dimmed = known & lit & ~edge & (level < 1 - STEADY)
    out.level[rows] = level
    out.full[rows] = np.where(known, full, out.full[rows])
    out.dimmed[rows] = np.where(known, dimmed, out.dimmed[rows])
    out.motion[rows] &= ~known
    (usual,) = row_quantiles(np.where(out.dimmed[rows], level, np.float32(np.nan)), 0.5)
    out.dim_level[rows] = np.where(any_slot(known), usual, out.dim_level[rows])
    out.by_motion[rows] &= ~any_slot(known)
