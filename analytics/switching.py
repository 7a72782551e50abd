"""Luminaires that come on late or go off early, alone or with their whole feeder."""

import numpy as np

from analytics.grid import Bools, Floats
from analytics.memory import Memory
from analytics.nights import Night
from analytics.levels import first_nights
from analytics.street import Street

__all__ = ["judge_switching", "one_clock"]


def judge_switching(night: Night, memory: Memory, street: Street) -> tuple[Bools, Bools, Floats]:
    """Lamps that are dark at an end of the night, against their own habit.

    Slots of ten minutes and photocells that scatter by five hide anything below twenty minutes.

    Returns
    -------
    late, right : bool (n,)
    excess : float32 (n,)
        Ten-minute slots beyond the habit, at the worse end.
    """
    known = (night.n_known > 10) & ~street.tunnel & (night.falls + night.rises <= 4)
    share = night.n_dark / np.maximum(night.n_known, 1)
    lead = night.lead - np.nan_to_num(first_nights(memory.ref_lead))
    trail = night.trail - np.nan_to_num(first_nights(memory.ref_trail))
    patience = np.where(street.clouds, 3, 2)
    late = (lead >= patience) & (night.lead <= 20)
    early = (trail >= patience) & (night.trail <= 17)
    flag = known & (share < 0.7) & (late | early)
    right = known & (lead <= 1) & (trail <= 1)
    return flag, right, np.maximum(lead, trail).astype(np.float32)


def one_clock(flag: Bools, known: Bools, street: Street) -> Bools:
    """Luminaires whose feeder has most of its members (of at least six) switching wrongly tonight."""
    f = street.feeder
    inside = f >= 0
    size = int(f.max(initial=-1)) + 1
    members = np.bincount(f[inside & known], minlength=size)
    wrong = np.bincount(f[inside & known & flag], minlength=size)
    shared = (members >= 6) & (wrong > 0.5 * members)
    return inside & flag & shared[np.maximum(f, 0)] if size else np.zeros(len(f), dtype=bool)
