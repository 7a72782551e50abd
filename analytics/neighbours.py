"""Light borrowed from the next lamp: who loses a neighbour loses the neighbour's share.

When a cable neighbour goes dark, the luminaire's own simultaneous step tells how much it borrowed.
The share is learned per pair, kept, and taken off as long as the neighbour is dark, the next time
from the first night. Until it is known the most that a neighbour usually gives is put back, so that
nobody is blamed for light that was borrowed.
"""

import numpy as np

from analytics.grid import Bools, Floats, row_quantiles
from analytics.levels import last_median
from analytics.memory import Memory
from analytics.street import Street

__all__ = ["without_neighbours"]

LEARN_NIGHTS = 3
DEEPEST = float(np.log(0.6))  # no neighbour gives more than two fifths of another's light
FAINT = 0.75  # a neighbour below this part of its own level is missed
USUAL_MOST = (
    0.18  # own light is 0.65-0.95 of what is measured; each side gives at most half the rest
)


def without_neighbours(
    own: Floats, raw: Floats, dead: Bools, blind: Bools, memory: Memory, street: Street
) -> Floats:
    """A' with the neighbours' missing light put back.

    Parameters
    ----------
    own, raw : float32 (n,)
        A' and A of tonight.
    dead : bool (n,)
        Dark tonight by the dark counts, whatever its level.
    blind : bool (n,)
        Its sensor is at fault: what it does not see may burn all the same.
    memory : Memory
        Its couplings are learned here.
    street : Street

    Returns
    -------
    float32 (n,)
        NaN where the level itself is not known.
    """
    strength = np.where(dead, 0, np.exp(np.minimum(np.nan_to_num(raw), 0)))
    strength = np.where(blind, 1, strength)
    strength = np.append(strength, 1).astype(np.float32)  # index -1: no neighbour, nothing missed
    corrected = own.copy()
    for side, neighbour in enumerate((street.left, street.right)):
        left = strength[neighbour]
        missing = left < FAINT
        out = left < 0.35
        share = memory.coupling[:, side]
        learning = out & np.isnan(share)
        begin = learning & (memory.coupling_nights[:, side] == 0)
        memory.coupling_before[begin, side] = last_median(memory.levels, 3, 1)[begin]
        memory.coupling_nights[learning, side] += 1
        memory.coupling_nights[~out, side] = 0
        place = np.clip(memory.coupling_nights[:, side] - 1, 0, LEARN_NIGHTS - 1)
        rows = np.flatnonzero(learning)
        memory.coupling_seen[rows, side, place[rows]] = own[rows]
        ready = learning & (memory.coupling_nights[:, side] >= LEARN_NIGHTS)
        (after,) = row_quantiles(memory.coupling_seen[:, side], 0.5)
        # Dark already while its own level was learned: then nothing of it is missed.
        step = np.clip(np.nan_to_num(after - memory.coupling_before[:, side]), DEEPEST, 0)
        memory.coupling[ready, side] = step[ready]
        share = memory.coupling[:, side]
        known = np.isfinite(share)
        borrowed = np.where(known, 1 - np.exp(share), USUAL_MOST)
        lost = np.log1p(-np.clip(borrowed * (1 - left), 0, 0.95))
        back = corrected - lost
        back = np.where(known, back, np.maximum(corrected, np.minimum(back, 0)))
        corrected = np.where(missing, back, corrected)
    return corrected.astype(np.float32)
