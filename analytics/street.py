"""The street as arrays: which luminaires hang on which cable, in which order."""

from dataclasses import dataclass

import numpy as np

from analytics.dimming import Programme
from analytics.grid import Bools, Floats, Ints

__all__ = ["NOBODY", "Street", "cable_neighbours", "padded_groups", "peer_groups"]

NOBODY = -1


@dataclass(frozen=True, slots=True)
class Street:
    """Luminaires by row. An index of -1 means "not known", NaN likewise.

    Attributes
    ----------
    names : list of str (n,)
        Device ids.
    tunnel : bool (n,)
        Stands where no daylight reaches; lit round the clock.
    line, position : int32 (n,)
        The ordered stretch of cable (a segment of a feeder) and the place on it.
    left, right : int32 (n,)
        Rows of the cable neighbours.
    feeder, cabinet, gateway, place, segment : int32 (n,)
    nominal_lx, rated_w, max_lx, resolution_lx, interval_s : float32 (n,)
    mains : bool (n,)
        Falls silent with its feeder.
    feeder_switched : bool (n,)
        The feeder itself is switched: silence by day is normal for mains-fed devices.
    clouds : bool (n,)
        Has its own photocell, so clouds move its switching.
    programme : int32 (n,)
        Index into `programmes`.
    cell : int32 (n,)
        Index into `cells`: places that share a sun.
    peers : int32 (n,)
        Group whose members see the same sky.
    east_m, north_m : float32 (n,)
        Place on a plane [m]; NaN where not known.
    """

    names: list[str]
    tunnel: Bools
    line: Ints
    position: Ints
    left: Ints
    right: Ints
    feeder: Ints
    cabinet: Ints
    gateway: Ints
    place: Ints
    segment: Ints
    nominal_lx: Floats
    rated_w: Floats
    max_lx: Floats
    resolution_lx: Floats
    interval_s: Floats
    mains: Bools
    feeder_switched: Bools
    clouds: Bools
    programme: Ints
    programmes: list[Programme]
    cell: Ints
    cells: list[tuple[float, float]]
    peers: Ints
    east_m: Floats
    north_m: Floats

    @property
    def n(self) -> int:
        """Number of luminaires."""
        return len(self.names)


def cable_neighbours(line: Ints, position: Ints) -> tuple[Ints, Ints]:
    """Rows of the nearest luminaires on the same line, before and after each; -1 at the ends.

    Parameters
    ----------
    line, position : int32 (n,)
        -1 in either means the place on the cable is not known.
    """
    n = len(line)
    left, right = (np.full(n, NOBODY, dtype=np.int32) for _ in range(2))
    order = np.lexsort((position, line)).astype(np.int32)
    order = order[(line[order] >= 0) & (position[order] >= 0)]
    together = line[order[1:]] == line[order[:-1]]
    right[order[:-1][together]] = order[1:][together]
    left[order[1:][together]] = order[:-1][together]
    return left, right


def peer_groups(feeder: Ints, tunnel: Bools, *, least: int = 4, most: int = 24) -> Ints:
    """Groups that see the same weather: the feeder, or a pool of what stands on small feeders.

    Long feeders are cut in parts of at most `most`, so that padded matrices stay small. Tunnels
    form groups among themselves.

    Returns
    -------
    int32 (n,)
        Group numbers from 0.
    """
    n = len(feeder)
    base = feeder.astype(np.int64)
    size = np.bincount(base[base >= 0], minlength=1) if n else np.zeros(1, dtype=np.int64)
    outdoor = np.bincount(base[(base >= 0) & ~tunnel], minlength=len(size))
    small = (base < 0) | (outdoor[np.maximum(base, 0)] < least)
    base = np.where(small, -1, base)
    base = np.where(tunnel, -2, base)
    _, group = np.unique(base, return_inverse=True)
    count = np.bincount(group) if n else np.zeros(0, dtype=np.int64)
    order = np.argsort(group, kind="stable")
    first = np.cumsum(np.r_[0, count[:-1]]) if n else np.zeros(0, dtype=np.int64)
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n) - first[group[order]]
    parts = np.maximum(-(-count // most), 1) if n else count
    part = rank * parts[group] // np.maximum(count[group], 1) if n else rank
    _, peers = np.unique(group * (parts.max(initial=0) + 1) + part, return_inverse=True)
    return peers.astype(np.int32)


def padded_groups(group: Ints) -> Ints:
    """Rows of each group's members, padded with -1: int32 (n_groups, largest)."""
    keep = np.flatnonzero(group >= 0)
    if not len(keep):
        return np.zeros((0, 0), dtype=np.int32)
    order = keep[np.argsort(group[keep], kind="stable")]
    g = group[order]
    count = np.bincount(g)
    first = np.cumsum(np.r_[0, count[:-1]])
    out = np.full((len(count), int(count.max())), NOBODY, dtype=np.int32)
    out[g, np.arange(len(g)) - first[g]] = order
    return out
