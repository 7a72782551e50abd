"""How long one that lost its broker waits before it tries again: longer each time, never alike."""

import random
from collections.abc import Callable

__all__ = ["LONGEST_S", "pause_s"]

FIRST_S = 1.0
LONGEST_S = 60.0


def pause_s(failures: int, draw: Callable[[], float] = random.random) -> float:
    """The wait before the next attempt [s], drawn from all of a span that doubles ("full jitter").

    What is drawn is not fixed by a name or a number: gateways whose names are alike would come back
    in the same moment, and after a broker's restart ten thousand of them come at once as it is.

    Parameters
    ----------
    failures : int
        Attempts in a row that came to nothing; 0 when a connection that stood was lost.
    draw : callable
        A number in [0, 1).
    """
    return draw() * min(LONGEST_S, FIRST_S * 2.0 ** min(failures, 32))
