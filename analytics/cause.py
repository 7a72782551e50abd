"""One cause, one incident: feeder, cabinet, segment, gateway and rows before single luminaires.

The key that groups findings into one work order is decided here and nowhere else.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from analytics.findings import CauseKind, FindingKind
from analytics.grid import Bools, Floats, Ints, Times
from analytics.rules import Rules
from analytics.street import Street

__all__ = [
    "Section",
    "Whole",
    "dark_rows",
    "dead_sections",
    "gateways_down",
    "incident_key",
    "lines_of",
    "sections",
    "share_of_feeder",
    "unnamed_gateways",
]

COMMON_ONSET_MS = 75 * 60_000  # slow sampling and lost readings spread one moment over an hour
LOST_READINGS_MS = 9 * 3_600_000  # a burst of lost readings before the last one that came


@dataclass(slots=True)
class Section:
    """Luminaires that went together.

    Attributes
    ----------
    rows : int32 (m,)
    cause_kind : CauseKind
    cause : int
        Number of the segment, feeder, cabinet or gateway.
    start_ms : int
        When the members went; where that is not known, when they had gone at the latest.
    since_ms : int, optional
        The earliest moment at which they can have gone, where `start_ms` is only the latest.
    """

    rows: Ints
    cause_kind: CauseKind
    cause: int
    start_ms: int
    since_ms: int | None = None

    @property
    def earliest_ms(self) -> int:
        """When the members can have gone at the earliest."""
        return self.start_ms if self.since_ms is None else self.since_ms


@dataclass(frozen=True, slots=True)
class Whole:
    """Members of every line, feeder, cabinet and gateway, padded with -1, by number."""

    line: Ints
    feeder: Ints
    cabinet: Ints
    gateway: Ints


def lines_of(street: Street) -> Ints:
    """Rows of each line in cable order, padded with -1: int32 (n_lines, longest)."""
    lines = int(street.line.max(initial=-1)) + 1
    keep = np.flatnonzero((street.line >= 0) & (street.position >= 0))
    order = keep[np.lexsort((street.position[keep], street.line[keep]))]
    count = np.bincount(street.line[order], minlength=lines) if lines else np.zeros(0, np.int64)
    out = np.full((lines, int(count.max(initial=0))), -1, dtype=np.int32)
    first = np.cumsum(np.r_[0, count[:-1]]) if lines else count
    out[street.line[order], np.arange(len(order)) - first[street.line[order]]] = order
    return out


def incident_key(kind: FindingKind, cause_kind: CauseKind, cause_name: str, start_ms: int) -> str:
    """Name of an incident: the same again whenever the same matter is judged again.

    Parameters
    ----------
    kind : FindingKind
    cause_kind : CauseKind
    cause_name : str
        Of the luminaire, segment, feeder, cabinet or gateway.
    start_ms : int
        When it began; only its night goes into the key.
    """
    night = datetime.fromtimestamp(start_ms / 1000 - 43_200, tz=UTC).date()
    return f"{cause_kind.value}/{cause_name}/{kind.value}/{night.isoformat()}"


def sections(dead: Bools, least: int = 4) -> list[tuple[int, int]]:
    """Ranges of adjacent dead luminaires along one cable; a single hole is bridged.

    Parameters
    ----------
    dead : bool (m,)
        In cable order.
    least : int
        Dead luminaires needed; bridged holes do not count.

    Returns
    -------
    list of (int, int)
        Half-open ranges of positions.

    Examples
    --------
    >>> sections(np.array([0, 1, 1, 0, 1, 1, 0, 0], dtype=bool))
    [(1, 6)]
    """
    bridged = dead.copy()
    bridged[1:-1] |= dead[:-2] & dead[2:]
    edges = np.flatnonzero(np.diff(np.r_[0, bridged.astype(np.int8), 0]))
    return [
        (int(a), int(b))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
        if dead[a:b].sum() >= least
    ]


def together(
    onset_ms: Times, least: int, within_ms: int = COMMON_ONSET_MS, *, earliest: Times | None = None
) -> npt.NDArray[np.bool_]:
    """Members whose onset lies near the most common one; none where fewer than `least` agree.

    Parameters
    ----------
    onset_ms : int64 (m,)
        The latest moment at which each can have gone.
    least : int
    within_ms : int
    earliest : int64 (m,), optional
        The earliest such moment; `onset_ms` where not given. Who was found dark at dusk may have
        gone at any time of the day.
    """
    low = np.sort(onset_ms if earliest is None else earliest)
    high = np.sort(onset_ms)
    # Of all spans [t, t + within], as many begin at somebody's latest moment as need be asked.
    begun = np.searchsorted(low, high + within_ms, side="right")
    over = np.searchsorted(high, high, side="left")
    best = int(high[np.argmax(begun - over)])
    agree = (onset_ms >= best) & ((onset_ms if earliest is None else earliest) <= best + within_ms)
    return agree if agree.sum() >= least else np.zeros(len(onset_ms), dtype=bool)


def dead_sections(
    dead: Bools,
    onset_ms: Times,
    usable: Bools,
    street: Street,
    whole: Whole,
    rules: Rules,
    *,
    earliest: Times | None = None,
    unheard: Bools | None = None,
) -> list[Section]:
    """Feeders without supply, and stretches of cable where the feeder is not the cause.

    A run of dead luminaires along a cable with a common onset is a section. When most of a feeder
    went together the feeder is the cause. What of these is one matter is told by
    `analytics.coincidence.one_matter`.

    Parameters
    ----------
    dead : bool (n,)
        Dark, or silent though mains-fed.
    onset_ms : int64 (n,)
        When each went; only read where dead.
    usable : bool (n,)
        Not planned, not judged by another finding; those that are not count neither way.
    street : Street
    whole : Whole
    rules : Rules
    earliest : int64 (n,), optional
        When each can have gone at the earliest, where `onset_ms` is only when it was found dark.
    unheard : bool (n,), optional
        Silent ones: readings that were lost can make them seem to have gone before the others.
    """
    dead = dead & usable
    earliest = onset_ms if earliest is None else earliest
    unheard = np.zeros(street.n, dtype=bool) if unheard is None else unheard
    feeder_dead = np.bincount(
        street.feeder[dead & (street.feeder >= 0)], minlength=len(whole.feeder)
    )
    found: list[Section] = []
    covered = np.zeros(street.n, dtype=bool)
    for feeder in np.flatnonzero(feeder_dead >= 3):
        members = whole.feeder[feeder]
        members = members[members >= 0]
        section = feeder_out(int(feeder), members, dead, onset_ms, earliest, usable, rules)
        if section is not None:
            covered[section.rows] = True
            found.append(section)
    rest = dead & ~covered
    line_dead = np.bincount(street.line[rest & (street.line >= 0)], minlength=len(whole.line))
    for line in np.flatnonzero(line_dead >= rules.section):
        members = whole.line[line]
        members = members[members >= 0]
        found += line_sections(members, rest, onset_ms, earliest, unheard, street, rules)
    return found


def feeder_out(
    feeder: int,
    members: Ints,
    dead: Bools,
    onset_ms: Times,
    earliest: Times,
    usable: Bools,
    rules: Rules,
) -> Section | None:
    """The feeder as one section, when four fifths of what is known of it went together."""
    known = members[usable[members]]
    gone = known[dead[known]]
    if len(gone) < min(rules.section, max(len(members), 3)) or len(gone) < 0.8 * len(known):
        return None
    agree = together(onset_ms[gone], max(3, int(np.ceil(0.6 * len(gone)))), earliest=earliest[gone])
    if not agree.any():
        return None
    start, since = moment(gone[agree], onset_ms, earliest)
    return Section(gone, CauseKind.FEEDER, feeder, start, since)


def moment(rows: Ints, onset_ms: Times, earliest: Times) -> tuple[int, int]:
    """When members went: the median of those whose moment is known, else of the latest ones.

    Returns
    -------
    start_ms, since_ms : int
        The latest and the earliest; the same where it is known.
    """
    exact = rows[earliest[rows] == onset_ms[rows]]
    if len(exact):
        start = int(np.median(onset_ms[exact]))
        return start, start
    return int(np.median(onset_ms[rows])), int(np.median(earliest[rows]))


def line_sections(
    members: Ints,
    dead: Bools,
    onset_ms: Times,
    earliest: Times,
    unheard: Bools,
    street: Street,
    rules: Rules,
) -> list[Section]:
    """Stretches of one line that went together, with the silent ones last heard before that."""
    out: list[Section] = []
    for a, b in sections(dead[members], rules.section):
        stretch = members[a:b]
        gone = stretch[dead[stretch]]
        agree = together(onset_ms[gone], rules.section, earliest=earliest[gone])
        if not agree.any():
            continue
        start, since = moment(gone[agree], onset_ms, earliest)
        before = start - onset_ms[gone]
        agree |= unheard[gone] & (before > 0) & (before <= LOST_READINGS_MS)
        rows = gone[agree]
        segment = int(street.segment[rows[0]])
        kind = CauseKind.SEGMENT if segment >= 0 else CauseKind.FEEDER
        cause = segment if segment >= 0 else int(street.feeder[rows[0]])
        out.append(Section(rows.astype(np.int32), kind, cause, start, since))
    return out


def gateways_down(
    silent: Bools, last_seen_ms: Times, heard_before: Bools, street: Street, whole: Whole
) -> list[Section]:
    """Gateways behind which nearly everybody fell silent: one matter, on the gateway.

    At least three devices must have gone, none of which was taken for a loss of supply before.
    """
    ours = silent & heard_before & (street.gateway >= 0)
    gone = np.bincount(street.gateway[ours], minlength=len(whole.gateway))
    found: list[Section] = []
    for gateway in np.flatnonzero(gone >= 3):
        members = whole.gateway[gateway]
        members = members[members >= 0]
        members = members[heard_before[members]]
        quiet = members[silent[members]]
        if len(quiet) < 0.85 * len(members):
            continue
        start = int(np.median(last_seen_ms[quiet]))
        found.append(Section(quiet.astype(np.int32), CauseKind.GATEWAY, int(gateway), start))
    return found


def unnamed_gateways(silent: Bools, last_seen_ms: Times, street: Street) -> list[Section]:
    """Devices whose gateway the registry does not name and that stopped together: one matter.

    Stops follow each other within twenty minutes; at least four devices must have stopped. The
    first device stands for the gateway.
    """
    rows = np.flatnonzero(silent & (street.gateway < 0))
    if not len(rows):
        return []
    rows = rows[np.argsort(last_seen_ms[rows], kind="stable")]
    cuts = np.flatnonzero(np.diff(last_seen_ms[rows]) > 1_200_000) + 1
    return [
        Section(
            np.sort(part).astype(np.int32),
            CauseKind.SENSOR,
            int(part.min()),
            int(np.median(last_seen_ms[part])),
        )
        for part in np.split(rows, cuts)
        if len(part) >= 4
    ]


def share_of_feeder(flag: Bools, onset_ms: Times, known: Bools, street: Street) -> Floats:
    """Share of each flagged luminaire's feeder that is flagged with an onset near its own.

    Returns
    -------
    float32 (n,)
        0 where not flagged or the feeder is not known.
    """
    out = np.zeros(street.n, dtype=np.float32)
    rows = np.flatnonzero(flag & (street.feeder >= 0))
    if not len(rows):
        return out
    size = int(street.feeder.max()) + 1
    members = np.bincount(street.feeder[known & (street.feeder >= 0)], minlength=size)
    order = rows[np.lexsort((onset_ms[rows], street.feeder[rows]))]
    # One number that orders by feeder, then time, so that a single search counts those nearby.
    key = street.feeder[order].astype(np.int64) * (1 << 44) + onset_ms[order]
    near = np.searchsorted(key, key + COMMON_ONSET_MS // 2, side="right")
    near -= np.searchsorted(key, key - COMMON_ONSET_MS // 2)
    out[order] = near / np.maximum(members[street.feeder[order]], 1)
    return out


def dark_rows(out: Bools, street: Street, whole: Whole, least: int) -> list[Ints]:
    """Luminaires out in a row on one line, whatever made each of them fail.

    Returns
    -------
    list of int32 arrays
        Members of each run of at least `least`; at most one hole in a place.
    """
    counts = np.bincount(street.line[out & (street.line >= 0)], minlength=len(whole.line))
    found: list[Ints] = []
    for line in np.flatnonzero(counts >= least):
        members = whole.line[line]
        members = members[members >= 0]
        for a, b in sections(out[members], least):
            stretch = members[a:b]
            found.append(stretch[out[stretch]])
    return found
