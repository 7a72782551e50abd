"""Luminaires that went dark in the same moment and place, whatever the registry says.

Registries without feeders, or with wrong ones, must not turn one cabinet's outage into an order a
lamp. Lamps that lose their supply together are black, since their neighbours are dark too; some go
silent where others go dark; and they stand near each other.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analytics.cause import COMMON_ONSET_MS, Section, moment, together
from analytics.findings import CauseKind
from analytics.grid import Bools, Ints, Times
from analytics.street import Street

__all__ = ["one_matter", "same_moment"]

LEAST = 5
NEAR_M = 400.0
MOST_GROUPS = 20  # in one night
OF_CITY = 0.02


def same_moment(
    dark: Bools, silent: Bools, onset_ms: Times, earliest: Times, street: Street
) -> list[Section]:
    """Groups that went at once and hang together by place.

    Silence alone is a gateway's as likely as a cabinet's: two of a group must have been seen dark.
    Where places are not known, five must have gone at a known moment, or a part of the city.

    Parameters
    ----------
    dark, silent : bool (n,)
        Black tonight; silent though mains-fed. No other finding's.
    onset_ms, earliest : int64 (n,)
        Latest and earliest moment at which each can have gone.
    street : Street

    Returns
    -------
    list of Section
        Each stands under its first luminaire: nobody named what feeds it.
    """
    found: list[Section] = []
    rest = np.flatnonzero(dark | silent).astype(np.int32)
    slow = 1300 * float(np.nanmedian(street.interval_s)) if street.n else 0.0
    within = int(max(COMMON_ONSET_MS, slow))
    for _ in range(MOST_GROUPS):
        if len(rest) < LEAST:
            break
        agree = together(onset_ms[rest], LEAST, within, earliest=earliest[rest])
        if not agree.any():
            break
        for rows in near_each_other(rest[agree], street):
            known = np.count_nonzero(earliest[rows] == onset_ms[rows])
            placed = bool(np.isfinite(street.north_m[rows]).all())
            sure = placed or known >= LEAST or len(rows) >= max(LEAST, OF_CITY * street.n)
            if len(rows) >= LEAST and dark[rows].sum() >= 2 and sure:
                start, since = moment(rows, onset_ms, earliest)
                cause = int(rows.min())
                found.append(Section(np.sort(rows), CauseKind.LUMINAIRE, cause, start, since))
        rest = rest[~agree]
    return found


def near_each_other(rows: Ints, street: Street) -> list[Ints]:
    """Rows in groups that hang together by steps of at most 400 m; all as one without places."""
    x = np.stack([street.north_m[rows], street.east_m[rows]], axis=1).astype(np.float64)
    if not np.isfinite(x).all():
        return [rows]
    apart = np.hypot(*(x[:, None, :] - x[None, :, :]).transpose(2, 0, 1))
    linked = apart <= NEAR_M
    label: npt.NDArray[np.intp] = np.arange(len(rows))
    while True:
        # Each takes the lowest label among those it is linked with, until nothing changes.
        lower = np.where(linked, label[None, :], len(rows)).min(axis=1)
        if (lower == label).all():
            break
        label = lower
    return [rows[label == k] for k in np.unique(label)]


def one_matter(found: Sequence[Section], street: Street) -> list[Section]:
    """Sections that went in the same moment and hang together, put into one each.

    Two causes within the hour on one feeder or cabinet, or side by side where the registry does not
    say what feeds them, are far rarer than one cause that the registry draws in parts.
    """
    label = list(range(len(found)))
    for a, one in enumerate(found):
        for b in range(a):
            if label[a] != label[b] and at_once(one, found[b]) and linked(one, found[b], street):
                old, new = max(label[a], label[b]), min(label[a], label[b])
                label = [new if k == old else k for k in label]
    groups = [
        [s for s, k in zip(found, label, strict=True) if k == wanted] for wanted in set(label)
    ]
    return [parts[0] if len(parts) == 1 else merged(parts, street) for parts in groups]


def at_once(one: Section, other: Section) -> bool:
    """Whether two sections can have gone in the same moment."""
    begun = max(one.earliest_ms, other.earliest_ms)
    return begun - min(one.start_ms, other.start_ms) <= COMMON_ONSET_MS


def linked(one: Section, other: Section, street: Street) -> bool:
    """Whether two sections share a feeder or cabinet, or stand side by side and none is named."""
    for of in (street.feeder, street.cabinet):
        ours, theirs = of[one.rows], of[other.rows]
        if np.intersect1d(ours[ours >= 0], theirs).size:
            return True
    named = bool((street.cabinet[np.r_[one.rows, other.rows]] >= 0).all())
    unregistered = CauseKind.LUMINAIRE in (one.cause_kind, other.cause_kind)
    if named and not unregistered:
        return False
    return len(near_each_other(np.concatenate([one.rows, other.rows]), street)) == 1


def merged(parts: Sequence[Section], street: Street) -> Section:
    """Several sections as one, under what they have in common."""
    rows = np.unique(np.concatenate([p.rows for p in parts])).astype(np.int32)
    largest = max(parts, key=lambda p: len(p.rows))
    exact = [p.start_ms for p in parts if p.since_ms in (None, p.start_ms)]
    start = int(np.median(exact or [p.start_ms for p in parts]))
    since = start if exact else min(p.earliest_ms for p in parts)
    kind, cause = largest.cause_kind, largest.cause
    if any((p.cause_kind, p.cause) != (kind, cause) for p in parts):
        registered = np.concatenate(
            [p.rows for p in parts if p.cause_kind is not CauseKind.LUMINAIRE] or [largest.rows]
        )
        kind, cause = in_common(registered, largest, street)
    return Section(rows, kind, cause, start, since)


def in_common(rows: Ints, largest: Section, street: Street) -> tuple[CauseKind, int]:
    """The smallest thing that feeds these all; the first of them where none is known."""
    for kind, of in ((CauseKind.FEEDER, street.feeder), (CauseKind.CABINET, street.cabinet)):
        if of[rows[0]] >= 0 and (of[rows] == of[rows[0]]).all():
            return kind, int(of[rows[0]])
    if largest.cause_kind in (CauseKind.FEEDER, CauseKind.CABINET):
        return largest.cause_kind, largest.cause
    return CauseKind.LUMINAIRE, int(rows.min())
