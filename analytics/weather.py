"""Who answers the weather: sensors that look down at the street see wet asphalt and snow.

They fall together in a wet night and are back in the next dry one. Who did so more than once is
measured against its like from then on.
"""

import numpy as np

from analytics.grid import Bools, Floats
from analytics.memory import Memory
from analytics.rules import Rules

__all__ = ["learn_answers"]

FELL = -0.15  # of A against the night before, log
DEEPEST = -0.7  # deeper than that is no rain
FEW = 5
MOST = 4


def learn_answers(memory: Memory, raw: Floats, outdoor: Bools, rules: Rules) -> None:
    """Count for each luminaire how often it fell in a night in which many did; others forget.

    Parameters
    ----------
    memory : Memory
        Its counts are changed.
    raw : float32 (n,)
        A of tonight, before anything common is taken off; NaN where not known.
    outdoor : bool (n,)
        Under the sky, without a finding, seen tonight.
    rules : Rules
    """
    with np.errstate(invalid="ignore"):
        move = raw - memory.raw_before
        fell = outdoor & (move < FELL) & (raw > DEEPEST)
        stayed = outdoor & (move > FELL / 2)
    if fell.sum() > max(rules.weather_share * int(outdoor.sum()), FEW):
        memory.answers[fell] = np.minimum(memory.answers[fell] + 1, MOST)
        memory.answers[stayed] = np.maximum(memory.answers[stayed] - 1, 0)
    memory.raw_before = np.where(np.isfinite(raw), raw, memory.raw_before).astype(np.float32)
