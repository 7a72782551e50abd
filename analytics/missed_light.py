"""Whether the lamps beside a dark one miss its light: where no daylight comes, who tells.

What a sensor still sees when all its lamp's light is gone is the lamps beside it; and as they light
its place, so its lamp lit theirs. A lamp that goes out takes from each of them about what each
gives it. A sensor that fails takes nothing.
"""

import numpy as np

from analytics.grid import Bools, Floats
from analytics.levels import last_median
from analytics.memory import Memory
from analytics.nights import Night
from analytics.street import Street

__all__ = ["not_missed"]

MOSTLY = 0.75  # of the known night dark: what the lamps beside lost shows in their night's level
WAS_LIT = -0.22  # last night, log
BESIDE_LIT = -0.35
LEFT = (0.05, 0.5)  # of its own level, still seen: with less the lamps beside would lose too little
TELLING = (
    -0.05
)  # what they would lose, log: several times what a steady lamp moves from night to night
UNMOVED = 0.35  # of that; less is no lamp that went out


def not_missed(own: Floats, night: Night, memory: Memory, street: Street) -> Bools:
    """Tunnel lamps that went dark tonight and are not missed by the lamps beside them.

    Parameters
    ----------
    own : float32 (n,)
        A' of tonight.
    night : Night
    memory : Memory
        After the night before.
    street : Street

    Returns
    -------
    bool (n,)
        False where nobody beside can tell, and where watts can.
    """
    before = last_median(memory.levels, 3, 2)
    lost = np.append(own - before, np.float32(np.nan))
    with np.errstate(invalid="ignore"):
        lost[:-1][~(own > BESIDE_LIT)] = np.nan
        beside = np.stack([lost[street.left], lost[street.right]])
        there = np.isfinite(beside)
        sides = np.count_nonzero(there, axis=0)
        mean = np.where(there, beside, 0).sum(axis=0) / np.maximum(sides, 1)
        left = np.exp(own)
        asked = street.tunnel & memory.frozen & np.isnan(night.power_dark) & (sides > 0)
        asked &= night.n_dark > MOSTLY * night.n_known
        asked &= (memory.levels[:, -1] > WAS_LIT) & (left > LEFT[0]) & (left < LEFT[1])
        expected = np.log1p(-np.clip(left / np.maximum(sides, 1), 0, 0.9))
        found: Bools = asked & (expected < TELLING) & (mean > UNMOVED * expected)
    return found
