"""Runs of equal readings, by which a stuck sensor shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analytics.dimming import Expectation
from analytics.grid import SLOT_MS, Bools, Floats, Ints, Times, count

__all__ = ["Run", "equal_runs"]


@dataclass(slots=True)
class Run:
    """The run of equal readings that each device was in when a window ended.

    Attributes
    ----------
    value : float32 (n,)
        NaN where there was none.
    count, day, night : int32 (n,)
        Readings in it, those with the sun above 3 degrees, those at night.
    since_ms : int64 (n,)
    """

    value: Floats
    count: Ints
    day: Ints
    night: Ints
    since_ms: Times


def equal_runs(
    lux: Floats,
    valid: Bools,
    expected: Sequence[Expectation],
    group: Ints,
    start_ms: int,
    run: Run,
) -> tuple[Run, Ints]:
    """Runs of equal consecutive readings, carried over from window to window.

    Parameters
    ----------
    lux : float32 (n, 144)
    valid : bool (n, 144)
    expected, group
        Whose sun is asked.
    start_ms : int
        Noon at which the window begins.
    run : Run
        Carried in from the window before.

    Returns
    -------
    ended : Run
        The one at the end.
    longest : int32 (n,)
        Longest run seen in this window, the one carried in included.
    """
    n, s = lux.shape
    index = np.arange(s, dtype=np.int16)
    at = np.maximum.accumulate(np.where(valid, index, np.int16(-1)), axis=1)
    before = np.concatenate([np.full((n, 1), -1, dtype=np.int16), at[:, :-1]], axis=1)
    previous = np.take_along_axis(lux, np.maximum(before, 0), 1)
    fresh = before < 0
    previous = np.where(fresh, run.value[:, None], previous)
    breaks = valid & ~(lux == previous)
    any_break = breaks.any(axis=1)
    start = np.where(any_break, s - 1 - np.argmax(breaks[:, ::-1], axis=1), 0)
    inside = valid & (index >= start[:, None])
    sun = np.stack([e.elevation > 3 for e in expected])[group]
    dark = np.stack([e.elevation < -6 for e in expected])[group]
    carried = ~any_break
    last = at[:, -1]
    value = np.take_along_axis(lux, np.maximum(last, 0)[:, None].astype(np.intp), 1)[:, 0]
    ended = Run(
        value=np.where(last >= 0, value, run.value).astype(np.float32),
        count=count(inside) + np.where(carried, run.count, 0).astype(np.int32),
        day=count(inside & sun) + np.where(carried, run.day, 0).astype(np.int32),
        night=count(inside & dark) + np.where(carried, run.night, 0).astype(np.int32),
        since_ms=np.where(carried, run.since_ms, start_ms + start * SLOT_MS).astype(np.int64),
    )
    # The longest normal run, for tunnels: counted in slots between breaks, which is what it spans.
    begun = np.maximum.accumulate(np.where(breaks, index, np.int16(0)), axis=1)
    spans = np.where(valid, index - begun + 1, 0).max(axis=1, initial=0)
    return ended, np.maximum(spans, ended.count).astype(np.int32)
