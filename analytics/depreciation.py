"""Light that has become less: by a step (a string or a driver) or slowly (age, dirt)."""

import numpy as np

from analytics.grid import Bools, Floats
from analytics.levels import first_nights, last_median
from analytics.memory import Memory
from analytics.nights import Night
from analytics.rules import Rules
from analytics.sensor_faults import Verdict
from analytics.street import Street

__all__ = ["additive", "below_own_scatter", "explained_by_neighbour", "in_one_step", "slow_loss"]

DAYLIGHT_SHARE = 0.5  # all of C would add its noise; half of it measured best over fourteen nights


def below_own_scatter(change: Floats, scatter: Floats, least: float) -> Bools:
    """Changes downwards beyond the limit and beyond four times the luminaire's own scatter."""
    with np.errstate(invalid="ignore"):
        return change < np.minimum(-least, -4 * scatter)


def in_one_step(levels: Floats, change: Floats) -> Bools:
    """Whether at least half of the change came in a single night.

    Parameters
    ----------
    levels : float32 (n, nights)
        A', newest last; nights without a value are bridged.
    change : float32 (n,)
        The whole change.
    """
    n, nights = levels.shape
    at = np.maximum.accumulate(
        np.where(np.isfinite(levels), np.arange(nights, dtype=np.int16), np.int16(-1)), axis=1
    )
    filled = np.take_along_axis(levels, np.maximum(at, 0), 1)
    moves = np.diff(filled, axis=1)
    # A night that is crossed (half of it before the fault) spreads a step over two nights.
    two = filled[:, 2:] - filled[:, :-2]
    largest = np.nanmin(
        np.concatenate([moves, two, np.full((n, 1), np.inf, dtype=np.float32)], axis=1), axis=1
    )
    with np.errstate(invalid="ignore"):
        return (change < 0) & (largest <= 0.5 * change)


def explained_by_neighbour(change: Floats, street: Street) -> Bools:
    """Whether a cable neighbour lost so much more that this loss is its missing light."""
    padded = np.append(change, np.float32(np.nan))
    with np.errstate(invalid="ignore"):
        worst = np.fmin(padded[street.left], padded[street.right])
        return (worst < -0.3) & (worst < 1.6 * change) & (change > -0.55)


def slow_loss(memory: Memory, verdict: Verdict, street: Street, rules: Rules) -> tuple[Bools, Floats]:
    """Loss over fourteen nights beyond weather, sensor and neighbours.

    Returns
    -------
    lost : bool (n,)
    loss : float32 (n,)
        D, log; NaN with fewer than eight nights.
    """
    level = last_median(memory.levels, 14, 8)
    response = np.nan_to_num(last_median(memory.responses, 14, 6))
    loss = level - DAYLIGHT_SHARE * response - np.nan_to_num(first_nights(memory.ref_level))
    with np.errstate(invalid="ignore"):
        still = (verdict.change < -0.6 * rules.slow_loss) & (np.abs(verdict.change) > 0.5 * np.abs(loss))
        lost = still & (loss < -rules.slow_loss) & memory.frozen & (np.abs(response) < 0.6 * np.abs(loss))
    return lost & verdict.lamp & ~street.tunnel, loss.astype(np.float32)


def additive(memory: Memory, night: Night) -> Bools:
    """Whether full and reduced light lost the same lux: a neighbour's shop window, not the lamp.

    What multiplies (lamp, dirt, sensor) takes less lux from reduced light; what adds takes the same.
    """
    full = night.lux_full - memory.own_lx
    dim = night.lux_dim - memory.own_dim_lx
    with np.errstate(invalid="ignore", divide="ignore"):
        level = memory.own_dim_lx / memory.own_lx
        ratio = dim / full
        return (level < 0.7) & (ratio > 0.5 * (1 + level)) & (ratio < 1.6) & (full < 0)
