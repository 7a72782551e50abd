"""What is raised beside something bigger that began in the same moment: one matter, one order.

A section is seen in parts: a lamp that answers late, a device whose last readings were lost, or one
that the detectors name otherwise. What they share is the cable and the moment.
"""

import numpy as np

from analytics.cause import COMMON_ONSET_MS, LOST_READINGS_MS
from analytics.coincidence import NEAR_M
from analytics.findings import CauseKind, FindingKind
from analytics.grid import HOUR_MS, Bools, Ints
from analytics.memory import Episode, Memory
from analytics.street import Street

__all__ = ["clock_beside", "matter_beside"]

GONE = (FindingKind.SUPPLY_LOSS, FindingKind.COMMUNICATION_FAILURE, FindingKind.LAMP_FAILURE)
MANY = 3
RECENT_MS = 60 * HOUR_MS
BY_DAY_MS = 12 * HOUR_MS


def matter_beside(
    memory: Memory, street: Street, rows: Ints, kind: FindingKind, start_ms: int, noon_ms: int
) -> str:
    """Incident of a group on the same cable that began when these did; empty where there is none.

    Parameters
    ----------
    memory : Memory
    street : Street
    rows : int32 (m,)
        What is about to be raised.
    kind : FindingKind
    start_ms : int
        When it began.
    noon_ms : int
        The noon before the night judged: what began then was found so at dusk.
    """
    if kind is FindingKind.COMMUNICATION_FAILURE and not street.mains[rows].any():
        return ""  # a battery does not fall silent with the cable
    low, high = could_begin(kind, start_ms, noon_ms)
    groups: dict[str, list[Episode]] = {}
    for episode in [*memory.open.values(), *memory.closed[-200:]]:
        if episode.kind in GONE and abs(episode.start_ms - start_ms) < RECENT_MS:
            groups.setdefault(episode.incident, []).append(episode)
    for incident, members in groups.items():
        first = members[0]
        lone = first.kind is FindingKind.LAMP_FAILURE and unordered(first.row, rows, street)
        if (max(len(members), len(rows)) < MANY and not lone) or is_gateways(members):
            continue
        begun = could_begin(first.kind, first.start_ms, noon_ms)
        together = max(low, begun[0]) - min(high, begun[1]) <= COMMON_ONSET_MS
        if together and on_one_cable(rows, np.array([e.row for e in members]), street):
            return incident
    return ""


def clock_beside(memory: Memory, street: Street, rows: Ints) -> str:
    """Incident of an open clock error of the same feeder; empty where there is none."""
    feeders = set(street.feeder[rows].tolist()) - {-1}
    clocks = (
        e.incident
        for e in memory.open.values()
        if e.kind is FindingKind.SWITCHING_ERROR
        and e.cause_kind is CauseKind.FEEDER
        and e.cause in feeders
    )
    return min(clocks, default="")


def is_gateways(members: list[Episode]) -> bool:
    """Whether a gateway is to blame, which takes no light."""
    return members[0].cause_kind is CauseKind.GATEWAY


def unordered(row: int, rows: Ints, street: Street) -> bool:
    """Whether lamps hang on one feeder of which nobody knows the order: they may be neighbours."""
    same = street.feeder[row] >= 0 and (street.feeder[rows] == street.feeder[row]).any()
    return bool(same and street.segment[row] < 0)


def could_begin(kind: FindingKind, start_ms: int, noon_ms: int) -> tuple[int, int]:
    """Between when something can have begun that is said to have begun then."""
    if kind is FindingKind.COMMUNICATION_FAILURE:
        return start_ms, start_ms + LOST_READINGS_MS  # its last readings may be lost
    if start_ms % (24 * HOUR_MS) == noon_ms % (24 * HOUR_MS):
        return start_ms - BY_DAY_MS, start_ms + BY_DAY_MS  # dark at dusk: went by day
    return start_ms, start_ms


def on_one_cable(rows: Ints, others: Ints, street: Street) -> bool:
    """Whether some of two groups share a feeder, or a cabinet; places where none is known."""
    for of in (street.feeder, street.cabinet):
        if shared(of[rows], of[others]):
            return True
    if (street.feeder[rows] >= 0).all() and (street.feeder[others] >= 0).all():
        return False
    if shared(street.segment[rows], street.segment[others]):
        return True
    apart = np.hypot(
        street.north_m[rows][:, None] - street.north_m[others],
        street.east_m[rows][:, None] - street.east_m[others],
    )
    near: Bools = apart <= NEAR_M / 2
    return bool(near.any())


def shared(ours: Ints, theirs: Ints) -> bool:
    """Whether a known number is in both."""
    return bool(np.intersect1d(ours[ours >= 0], theirs).size)
