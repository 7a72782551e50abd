"""How bright each luminaire was against its own normal, with weather and sensor told apart.

`A` is the night's level, `A'` the same without what the whole feeder had in common (rain, voltage,
snow on the ground), `C` the answer to daylight. All are natural logs of ratios to the luminaire's
own normal.
"""

from dataclasses import dataclass

import numpy as np

from analytics.daylight import group_medians
from analytics.grid import Bools, Floats, any_slot, row_quantiles
from analytics.memory import Memory
from analytics.nights import Night
from analytics.pace import enough_for_a_level, interval_min
from analytics.street import Street, padded_groups

__all__ = ["Levels", "derive_levels", "first_nights", "last_median", "spread"]

FLOOR_LX = 0.3  # a city's sky is never darker than this
LIT_LATE = 0.2  # of the own level: less than motion, or a deep programme, leaves
SETTLED_NIGHTS = 3  # a step in C is taken against nights before these ...
BASE_NIGHTS = 10  # ... so many of them


@dataclass(slots=True)
class Levels:
    """One night's levels.

    Attributes
    ----------
    raw : float32 (n,)
        A.
    own : float32 (n,)
        A', the feeder's common change taken off.
    late : float32 (n,)
        A' in the small hours, against their own normal.
    response : float32 (n,)
        C: the morning after, or the afternoon before where there was none.
    response_step : float32 (n,)
        C beyond what it was some nights ago: leaves move C by as much as a fault, but in weeks.
    """

    raw: Floats
    own: Floats
    late: Floats
    response: Floats
    response_step: Floats


def derive_levels(night: Night, memory: Memory, street: Street) -> Levels:
    """Levels of one night against what was learned before it; NaN where nothing was seen."""
    floor = np.maximum(street.resolution_lx, FLOOR_LX)
    interval = interval_min(memory, street)
    seen_full = enough_for_a_level(night.n_full, interval)
    full = log_ratio(night.lux_full, memory.own_lx, floor, seen_full)
    own_dim = np.where(
        np.isfinite(memory.own_dim_lx), memory.own_dim_lx, night.dim_level * memory.own_lx
    )
    # Motion lets reduced light wander, and a coarse sensor cannot weigh it: neither is a level.
    fine = (own_dim >= 8 * street.resolution_lx) & np.isfinite(night.dim_level)
    seen_dim = enough_for_a_level(night.n_dim, interval)
    dim = log_ratio(night.lux_dim, own_dim, floor, seen_dim & fine)
    raw = np.where(np.isfinite(full), full, dim)
    normal_late = first_nights(memory.ref_late)
    late = log_ratio(night.lux_late, normal_late, floor, lit_late(normal_late, memory))
    faulty = any_slot(memory.raised)
    answers = memory.answers >= 2
    own = raw - common_mode(raw, faulty, answers, street)
    late = late - common_mode(late, faulty, answers, street)
    am = night.response_am - first_nights(memory.ref_am)
    pm = night.response_pm - first_nights(memory.ref_pm)
    response = np.where(np.isfinite(am), am, pm)
    before = last_median(memory.responses[:, :-SETTLED_NIGHTS], BASE_NIGHTS, 2)
    step = response - np.nan_to_num(before)
    return Levels(raw, own, late, response.astype(np.float32), step.astype(np.float32))


def lit_late(normal_late: Floats, memory: Memory) -> Bools:
    """Whether light was learned in the small hours at all: lamps off by then say nothing there."""
    with np.errstate(invalid="ignore"):
        lit: Bools = normal_late > LIT_LATE * memory.own_lx
    return lit


def log_ratio(lux: Floats, own: Floats, floor: Floats, enough: Bools) -> Floats:
    """Log of a level over the normal one, both held above what a city's night can be."""
    with np.errstate(invalid="ignore"):
        ratio = np.log(np.maximum(lux, floor) / np.maximum(own, floor))
    return np.where(enough, ratio, np.nan).astype(np.float32)


def common_mode(level: Floats, suspect: Bools, answers: Bools, street: Street) -> Floats:
    """The change that a luminaire's peers had tonight; 0 with fewer than four lit ones.

    Those that answer the weather are compared with their like, on the feeder or else in the city.

    Parameters
    ----------
    level : float32 (n,)
    suspect, answers : bool (n,)
        Under another finding; known to answer rain and snow (`analytics.weather`).
    street : Street
    """
    with np.errstate(invalid="ignore"):
        usable = (level > np.log(0.6)) & ~suspect
    values = np.where(usable, level, np.float32(np.nan))[:, None]
    kind = (answers & ~street.tunnel).astype(np.int32)
    near, n_near = group_medians(values, padded_groups(2 * street.peers + kind))
    near = np.where(n_near >= 4, near, np.nan)[:, 0]
    # Two groups of the whole city: numbers of empty groups are left out by the padding.
    like = np.float32(0)
    alike = np.isfinite(values[:, 0]) & (kind == 1)
    if alike.sum() >= 6:
        like = np.median(values[alike, 0])
    middle = near[2 * street.peers + kind]
    far = np.where(kind == 1, like, np.float32(0))
    return np.where(np.isfinite(middle), middle, far).astype(np.float32)


def first_nights(buffer: Floats, least: int = 3) -> Floats:
    """Median of the nights that were learned from; NaN with fewer than `least`."""
    (middle,) = row_quantiles(buffer, 0.5)
    enough = np.count_nonzero(np.isfinite(buffer), axis=1) >= least
    return np.where(enough, middle, np.float32(np.nan))


def last_median(history: Floats, nights: int, least: int) -> Floats:
    """Median of the newest columns; NaN with fewer than `least` values."""
    part = history[:, -nights:]
    (middle,) = row_quantiles(part, 0.5)
    enough = np.count_nonzero(np.isfinite(part), axis=1) >= least
    return np.where(enough, middle, np.float32(np.nan))


def spread(buffer: Floats, least: int = 5) -> Floats:
    """Robust standard deviation of the nights learned from; NaN with fewer than `least`."""
    (middle,) = row_quantiles(buffer, 0.5)
    (deviation,) = row_quantiles(np.abs(buffer - middle[:, None]), 0.5)
    enough = np.count_nonzero(np.isfinite(buffer), axis=1) >= least
    return np.where(enough, 1.48 * deviation, np.float32(np.nan)).astype(np.float32)
