"""What power says about a night: against the commanded level, and by day."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analytics.asked import Asked
from analytics.dimming import Expectation
from analytics.grid import Bools, Floats, Ints, count, row_quantiles

__all__ = ["Watts", "on_and_off", "share_of_rated", "watts"]

DEAD_POWER = 0.06  # of the rated power: drivers on standby take less


@dataclass(slots=True)
class Watts:
    """Power of one night over the rated power; NaN where too little was received.

    Attributes
    ----------
    night : float32 (n,)
        Median at full light.
    dark : float32 (n,)
        Share of readings without power while light was expected.
    last : float32 (n,)
        Median of the night's last three readings.
    day : float32 (n,)
        By day.
    """

    night: Floats
    dark: Floats
    last: Floats
    day: Floats


def watts(
    relative: Floats,
    rows: npt.NDArray[np.intp] | slice,
    columns: slice,
    expected: Sequence[Expectation],
    group: Ints,
    asked: Asked,
) -> Watts:
    """Power of these rows over the rated one, against the commanded level at night, and by day."""
    g = group[rows]
    night = relative[:, columns]
    lit = np.stack([e.judged[columns] for e in expected])
    there = np.isfinite(night) & lit[g]
    with np.errstate(invalid="ignore"):
        dead = there & (night < DEAD_POWER)
    n = count(there)
    share = count(dead) / np.maximum(n, 1)
    # At full light, so that no driver's curve need be known.
    (at_full,) = row_quantiles(np.where(asked.full, night, np.float32(np.nan)), 0.5)
    sunny = np.stack([(e.elevation > 5) & ~e.night for e in expected])
    used = sunny.any(axis=0)
    low, n_by_day = np.full(len(g), np.nan, dtype=np.float32), np.zeros(len(g), dtype=np.int32)
    if used.any():
        by_day = np.where(sunny[:, used][g], relative[:, used], np.float32(np.nan))
        (low,) = row_quantiles(by_day, 0.4)
        n_by_day = count(np.isfinite(by_day))
    return Watts(
        dark=np.where(n >= 4, share, np.nan).astype(np.float32),
        night=at_full,
        last=last_readings(np.where(lit[g], night, np.float32(np.nan))),
        day=np.where(n_by_day >= 6, low, np.nan).astype(np.float32),
    )


def share_of_rated(power: Floats, rated_w: Floats) -> Floats:
    """Power over the rated power, float32 (n, 144); NaN where either is not known."""
    relative: Floats = (power / rated_w[:, None]).astype(np.float32, copy=False)
    return relative


def on_and_off(relative: Floats) -> tuple[Bools, Bools]:
    """Where power was heard of, and where it was more than a driver on standby takes.

    Returns
    -------
    told, draws : bool (n, s)
        Both false where silent.
    """
    with np.errstate(invalid="ignore"):
        draws: Bools = relative >= DEAD_POWER
    return np.isfinite(relative), draws


def last_readings(values: Floats, number: int = 3) -> Floats:
    """Median of the last few values of each row; NaN with fewer than that."""
    there = np.isfinite(values)
    from_end = np.cumsum(there[:, ::-1], axis=1, dtype=np.int16)[:, ::-1]
    (middle,) = row_quantiles(
        np.where(there & (from_end <= number), values, np.float32(np.nan)), 0.5
    )
    return np.where(from_end[:, 0] >= number, middle, np.float32(np.nan))
