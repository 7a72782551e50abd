"""When suspicion becomes a finding, and when a finding is over: counted in nights, not in hopes."""

from dataclasses import dataclass

import numpy as np

from analytics.findings import FindingKind
from analytics.grid import Bools, Ints, Times
from analytics.memory import KIND_AT, Memory

__all__ = ["PATIENCE", "Patience", "count_night"]


@dataclass(frozen=True, slots=True)
class Patience:
    """How many nights a kind needs.

    Attributes
    ----------
    hits : int
        Nights with a flag before it is raised.
    gap : int
        Nights without a flag that are bridged while it is only a suspicion.
    clear : int
        Nights that must look right, on a tighter limit, before it ends.
    """

    hits: int
    gap: int
    clear: int


PATIENCE = {
    FindingKind.LAMP_FAILURE: Patience(1, 1, 1),
    FindingKind.DIMMING_FAILURE: Patience(2, 3, 3),
    FindingKind.DEPRECIATION: Patience(3, 3, 3),
    FindingKind.CYCLING_FAILURE: Patience(2, 3, 3),
    FindingKind.LAMP_UNEXPECTED_ON: Patience(3, 0, 2),
    FindingKind.SWITCHING_ERROR: Patience(3, 1, 2),
    FindingKind.SUPPLY_LOSS: Patience(1, 2, 1),
    FindingKind.SENSOR_STUCK: Patience(1, 1, 1),
    FindingKind.SENSOR_BLIND: Patience(3, 3, 3),
    FindingKind.SENSOR_DRIFT: Patience(3, 3, 3),
    FindingKind.MISAIMED: Patience(2, 2, 3),
    FindingKind.COMMUNICATION_FAILURE: Patience(1, 0, 1),
}


def count_night(
    memory: Memory,
    kind: FindingKind,
    flag: Bools,
    known: Bools,
    clear: Bools,
    onset_ms: Times,
    *,
    need: Ints | int | None = None,
) -> tuple[Ints, Ints]:
    """Move one kind's counters by one night.

    A night about which nothing is known moves no counter: silence neither raises nor clears.

    Parameters
    ----------
    memory : Memory
        Its counters are changed.
    kind : FindingKind
    flag : bool (n,)
        Looks like this fault tonight.
    known : bool (n,)
        Whether tonight says anything about this kind.
    clear : bool (n,)
        Looks right, by the tighter limit.
    onset_ms : int64 (n,)
        When it would have begun, if it began tonight.
    need : int or int32 (n,), optional
        Hits needed where they differ from `PATIENCE`.

    Returns
    -------
    raised, ended : int32 (...)
        Rows that were raised and that ended tonight.
    """
    k, patience = KIND_AT[kind], PATIENCE[kind]
    hits, misses, clears = memory.hits[:, k], memory.misses[:, k], memory.clears[:, k]
    raised = memory.raised[:, k]
    on, off = flag & known, ~flag & known
    first = on & (hits == 0)
    memory.onset_ms[first & ~raised, k] = onset_ms[first & ~raised]
    hits[on] += 1
    misses[on] = 0
    misses[off] += 1
    forgotten = off & ~raised & (misses > patience.gap)
    hits[forgotten] = 0
    clears[on] = 0
    right = clear & off & raised
    clears[right] += 1
    wanted = patience.hits if need is None else need
    new = on & ~raised & (hits >= wanted)
    ended = right & (clears >= patience.clear)
    raised[new] = True
    raised[ended] = False
    hits[ended] = misses[ended] = clears[ended] = 0
    return np.flatnonzero(new).astype(np.int32), np.flatnonzero(ended).astype(np.int32)
