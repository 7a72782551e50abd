"""Luminaires that went dark in the same moment and place, whatever the registry says.

Registries without feeders, or with wrong ones, must not turn one cabinet's outage into an order a
lamp. Lamps that lose their supply together are black, since their neighbours are dark too; some go
silent where others go dark; and they stand near each other.
"""

import numpy as np
import numpy.typing as npt

from analytics.cause import COMMON_ONSET_MS, Section, moment, together
from analytics.findings import CauseKind
from analytics.grid import Bools, Ints, Times
from analytics.street import Street

__all__ = ["joined_with_sections", "same_moment"]

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
                start = moment(rows, onset_ms, earliest)
                cause = int(rows.min())
                found.append(Section(np.sort(rows), CauseKind.LUMINAIRE, cause, start))
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


def joined_with_sections(
    found: list[Section], extra: list[Section], street: Street
) -> list[Section]:
    """Sections with what went in the same moment nearby put into them; each group one matter.

    Parameters
    ----------
    found : list of Section
        By the registry.
    extra : list of Section
        By `same_moment`, of those that no section holds.
    """
    out = list(found)
    for group in extra:
        for section in out:
            rows = np.concatenate([section.rows, group.rows])
            near = abs(section.start_ms - group.start_ms) <= COMMON_ONSET_MS
            if near and len(near_each_other(rows, street)) == 1:
                section.rows = np.sort(rows)
                break
        else:
            out.append(group)
    return out
