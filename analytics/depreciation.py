"""Light that has become less: by a step (a string or a driver) or slowly (age, dirt)."""

import numpy as np

from analytics.grid import Bools, Floats
from analytics.levels import first_nights, last_median, spread
from analytics.memory import Memory
from analytics.nights import Night
from analytics.sensor_faults import Verdict
from analytics.street import Street

__all__ = [
    "additive",
    "all_night",
    "below_own_scatter",
    "explained_by_neighbour",
    "slow_loss",
    "without_stray_light",
]

LATE_SCATTER = 0.06  # of the small hours over the nights learned from, log
BRIGHTER = 0.1  # log
STRAY = 0.06  # the evening must differ from the small hours by more than that
RISE = 0.03
DAYLIGHT_SHARE = 0.5  # all of C would add its noise; half of it measured best over fourteen nights


def below_own_scatter(change: Floats, scatter: Floats, least: Floats) -> Bools:
    """Changes downwards beyond the limit and beyond four times the luminaire's own scatter."""
    with np.errstate(invalid="ignore"):
        return change < np.minimum(-least, -4 * scatter)


def explained_by_neighbour(change: Floats, street: Street) -> Bools:
    """Whether a cable neighbour lost so much more that this loss is its missing light."""
    padded = np.append(change, np.float32(np.nan))
    with np.errstate(invalid="ignore"):
        worst = np.fmin(padded[street.left], padded[street.right])
        return (worst < -0.3) & (worst < 1.6 * change) & (change > -0.55)


def slow_loss(
    memory: Memory, verdict: Verdict, street: Street, least: Floats
) -> tuple[Bools, Floats]:
    """Loss over fourteen nights beyond weather, sensor and neighbours.

    Parameters
    ----------
    least : float32 (n,)
        Loss that counts (log, above 0).

    Returns
    -------
    lost : bool (n,)
    loss : float32 (n,)
        D, log; NaN with fewer than eight nights.
    """
    level = last_median(memory.levels, 14, 8)
    response = np.nan_to_num(last_median(memory.responses, 14, 6)) - verdict.foliage
    # Daylight that rose explains no loss: it is leaves that were not known as such.
    told = DAYLIGHT_SHARE * np.minimum(response, RISE)
    loss = level - told - np.nan_to_num(first_nights(memory.ref_level))
    with np.errstate(invalid="ignore"):
        still = (verdict.change < -0.6 * least) & (np.abs(verdict.change) > 0.5 * np.abs(loss))
        scatter = np.nan_to_num(spread(memory.ref_level))
        lost = (
            still
            & (loss < -np.maximum(least, 3 * scatter))
            & memory.frozen
            & (np.abs(response) < 0.6 * np.abs(loss))
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        late = last_median(memory.late_levels, 14, 6) / level
        lost &= np.isnan(late) | (late > 0.6)
    return lost & verdict.lamp & ~street.tunnel, loss.astype(np.float32)


def without_stray_light(own: Floats, late: Floats, memory: Memory) -> Floats:
    """Tonight's level, from the small hours where these changed less than the whole night.

    Shop windows and festive lights that start or stop change the evening; lamp and sensor change
    every hour. No lamp burns brighter by itself: an evening that is brighter than the small hours
    is never the lamp's. Where the small hours scatter by themselves (coarse steps) they are not
    asked.

    Parameters
    ----------
    own, late : float32 (n,)
        A' of the night and of its small hours.
    """
    with np.errstate(invalid="ignore"):
        steady = spread(np.log(np.maximum(memory.ref_late, 0.01))) < LATE_SCATTER
        less = np.abs(late) + STRAY < np.abs(own)
        added = (own > BRIGHTER) & (late + STRAY < own)
    return np.where(steady & (less | added), late, own).astype(np.float32)


def additive(memory: Memory, night: Night) -> Bools:
    """Whether full and reduced light lost the same lux: a neighbour's shop window, not the lamp.

    What multiplies (lamp, dirt, sensor) takes less lux from reduced light; what adds takes the
    same.
    """
    full = night.lux_full - memory.own_lx
    dim = night.lux_dim - memory.own_dim_lx
    with np.errstate(invalid="ignore", divide="ignore"):
        level = memory.own_dim_lx / memory.own_lx
        ratio = dim / full
        same_lux: Bools = (ratio > 0.5 * (1 + level)) & (ratio < 1.6)
        # Where the small hours already stand for the night, nothing of it is in the level.
        left_out: Bools = memory.levels[:, -1] == memory.late_levels[:, -1]
        found: Bools = same_lux & (level < 0.7) & (full < 0) & ~left_out
        return found


def all_night(memory: Memory, change: Floats) -> Bools:
    """Whether the small hours changed like the whole night; true where they were not seen.

    A shop window or festive light that started or stopped changes the evening alone. Lamp and
    sensor multiply, so that they change every hour by the same factor.
    """
    late = last_median(memory.late_levels, 3, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = late / change
        alike: Bools = (ratio > 0.6) & (ratio < 1.7)
        near: Bools = np.abs(late - change) < 0.05
    return alike | near | np.isnan(late)
