"""What each luminaire is like when well: learned from its first nights."""

import numpy as np

from analytics.daylight import group_medians
from analytics.grid import Bools, Floats
from analytics.habits import learned_habit
from analytics.levels import Levels, first_nights
from analytics.memory import Memory, remember, remember_best
from analytics.nights import Night
from analytics.pace import enough_for_a_level, interval_min, learn_pace, watched_long_enough
from analytics.street import Street, padded_groups

__all__ = ["learn", "weigh_registry"]

SLOTS_OF_TWO_DAYS = 288
PATIENCE = 5  # nights
WRONG_WORD = 0.15  # of the registry's level, below which a lamp is out
TOO_BRIGHT = 0.3  # log over nominal: no fault makes a lamp brighter
MANY_TOO_BRIGHT = 0.03  # of the city: such a registry has as many levels that are too high
OLDER_FAULT = 0.35  # of the nominal level: a dead lamp between lit ones reads 0.05-0.3 of its own


def learn(memory: Memory, night: Night, levels: Levels, suspect: Bools, street: Street) -> None:
    """Learn from a healthy night while the reference is open; never adapt it afterwards."""
    well = ~suspect & (night.n_known > 0)
    nan = np.float32(np.nan)
    with np.errstate(invalid="ignore"):
        # Until its level is known, only what is far below the registry's word is dark.
        level = night.lux_full / memory.own_lx
        dark = (night.n_dark > 0.5 * night.n_known) & (memory.frozen | ~(level > OLDER_FAULT))
    # Dark by the registry's word alone, night after night, and never found out: the word is wrong.
    dark &= memory.frozen | (memory.heard_nights <= PATIENCE) | ~on_the_word(memory)
    usable = well & ~dark
    # Without a light sensor watts tell a healthy night.
    by_watts = ~suspect & (night.n_lux == 0) & (night.power_dark < 0.1)
    learn_pace(memory, night, street)
    interval = interval_min(memory, street)
    full = usable & enough_for_a_level(night.n_full, interval)
    dimmed = usable & enough_for_a_level(night.n_dim, interval)
    remember(memory.ref_lux, np.where(full, night.lux_full, nan))
    remember(memory.ref_dim, np.where(dimmed, night.lux_dim, nan))
    remember(memory.ref_late, np.where(usable, night.lux_late, nan))
    remember(memory.ref_am, np.where(~suspect, night.response_am, nan))
    remember(memory.ref_pm, np.where(~suspect, night.response_pm, nan))
    remember(memory.ref_power, np.where(usable | by_watts, night.power_night, nan))
    watched = watched_long_enough(night.n_known, interval)
    watched |= (night.n_lux == 0) & watched_long_enough(night.n_steady, interval)
    switched = (usable | by_watts) & watched
    remember(memory.ref_first, np.where(switched, night.first_deg, nan))
    remember(memory.ref_last, np.where(switched, night.last_deg, nan))
    remember_best(memory.best_first, np.where(switched, night.first_deg, nan))
    remember_best(memory.best_last, np.where(switched, night.last_deg, nan))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(night.information > 15, night.surplus / night.information, np.nan)
    remember(memory.ref_surplus, np.where(~suspect, np.clip(ratio, -1, 1), nan).astype(np.float32))
    fresh = np.isnan(memory.share)
    memory.share = np.where(fresh, night.share, memory.share).astype(np.float32)
    learn_habit(memory, night, watched)
    settle_reference(memory, street, night.dim_level)
    remember(memory.ref_level, np.where(usable & memory.frozen, levels.own, nan))
    normal = (night.equal_longest <= SLOTS_OF_TWO_DAYS) & (memory.heard_nights <= 10)
    memory.longest_run = np.where(
        normal & (night.n_lux > 0),
        np.maximum(memory.longest_run, night.equal_longest),
        memory.longest_run,
    ).astype(np.int32)
    memory.run_value, memory.run_count = night.equal_value, night.equal_count
    memory.run_day, memory.run_night = night.equal_day, night.equal_night
    memory.run_since_ms = night.equal_since_ms


def learn_habit(memory: Memory, night: Night, seen: Bools) -> None:
    """Learn a dimming programme that the registry does not know; then the levels once more."""
    remember(memory.ref_changes, np.where(seen, night.falls + night.rises, np.nan))
    remember(memory.ref_from, np.where(seen, night.less_from_min, np.nan))
    remember(memory.ref_until, np.where(seen, night.less_until_min, np.nan))
    remember(memory.ref_less, np.where(seen, night.less_level, np.nan))
    unknown = np.isnan(memory.habit_level)
    if not unknown.any():
        return
    found = learned_habit(memory.ref_from, memory.ref_until, memory.ref_less)
    new = unknown & np.isfinite(found.level) & np.isnan(night.dim_level)
    memory.habit_from = np.where(new, found.start_min, memory.habit_from)
    memory.habit_until = np.where(new, found.stop_min, memory.habit_until)
    memory.habit_level = np.where(new, found.level, memory.habit_level)
    again = (memory.ref_lux, memory.ref_dim, memory.ref_late, memory.ref_level, memory.ref_power)
    for buffer in again:
        buffer[new] = np.nan
    for history in (memory.levels, memory.late_levels):
        history[new] = np.nan
    memory.frozen[new] = False


def on_the_word(memory: Memory) -> Bools:
    """Luminaires of whose level there is nothing but the registry's word."""
    few: Bools = np.isnan(memory.ref_lux[:, 2]) & np.isnan(memory.ref_dim[:, 2])
    return few & ~memory.frozen


def weigh_registry(memory: Memory, own: Floats) -> None:
    """Believe the registry's levels less where several lamps are brighter than they can be.

    Parameters
    ----------
    memory : Memory
        Its `word` is changed.
    own : float32 (n,)
        A' of tonight; asked only of those that are still measured against the registry.
    """
    level = own[on_the_word(memory) & np.isfinite(own)]
    if np.count_nonzero(level > TOO_BRIGHT) > MANY_TOO_BRIGHT * len(level):
        memory.word[:] = WRONG_WORD


def settle_reference(memory: Memory, street: Street, dim_level: Floats) -> None:
    """Own level: the registry's while too little was seen, then the median of what was.

    A level below a third of the nominal one is a fault older than the feed: the nominal one stands.
    Between a third and half a wrong registry is much likelier than an old fault.
    """
    open_rows = ~memory.frozen
    seen = first_nights(memory.ref_lux, least=3)
    # Nights so short that full light is never asked for: reduced light over its level, or, with
    # motion, the brightest tenth, which full light is at least.
    from_dim = first_nights(memory.ref_dim, least=3) / np.nan_to_num(dim_level, nan=1.0)
    seen = np.where(np.isfinite(seen), seen, from_dim).astype(np.float32)
    # The registry's nominal values may all be off by the same factor; what peers read corrects
    # them.
    nominal = street.nominal_lx * np.exp(peers_over_nominal(seen, street))
    with np.errstate(invalid="ignore"):
        believed = np.isfinite(seen) & (
            ~(seen < OLDER_FAULT * nominal)
            | ((memory.heard_nights > PATIENCE + 2) & (seen > WRONG_WORD * nominal))
        )
        own = np.where(believed, seen, nominal)
    own = np.where(np.isfinite(own), own, seen)
    memory.own_lx = np.where(open_rows, own, memory.own_lx).astype(np.float32)
    dim = first_nights(memory.ref_dim, least=3)
    memory.own_dim_lx = np.where(open_rows, dim, memory.own_dim_lx).astype(np.float32)
    learned = np.isfinite(memory.ref_lux).all(axis=1) | np.isfinite(memory.ref_dim).all(axis=1)
    memory.frozen = memory.frozen | learned


def peers_over_nominal(seen: Floats, street: Street) -> Floats:
    """Log of what a luminaire's peers read over their nominal levels; 0 with fewer than four."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(seen / street.nominal_lx)
    middle, n = group_medians(ratio[:, None], padded_groups(street.peers))
    return np.where(n >= 4, middle, 0)[:, 0][street.peers].astype(np.float32)
