"""In which order luminaires stand along their way, from where they stand."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from api.assets import Asset, AssetKind

__all__ = ["InferredSegments", "infer_segments", "order_along"]

PER_DEGREE_M = 111_195.0
# A gap of more than this many median spacings, and of more than these metres, ends a segment.
GAP_FACTOR, GAP_M = 4.0, 90.0
# Luminaires no further than this from the line stand on the other side of the same way.
BESIDE_M = 25.0
MAX_GROUP = 1500

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class InferredSegments:
    """Assets with their segments, and what could not be ordered.

    Attributes
    ----------
    assets : list of Asset
    ordered : int
        How many got a place in an order they did not have.
    segments : int
        How many segments were made or filled.
    unordered : list of str
        Devices whose order is not known: no position, or nothing that says which way they belong
        to.
    """

    assets: list[Asset]
    ordered: int
    segments: int
    unordered: list[str]


def metres(lat: Sequence[float], lon: Sequence[float]) -> Points:
    """Positions on a plane around their middle [m]: float64 (n, 2)."""
    at: Points = np.column_stack([np.asarray(lon, np.float64), np.asarray(lat, np.float64)])
    at = (at - at.mean(axis=0)) * PER_DEGREE_M
    at[:, 0] *= math.cos(math.radians(float(np.mean(lat))))
    return at


def spanning_tree(at: Points) -> list[tuple[int, int, float]]:
    """Shortest tree that joins all points (Prim): (from, to, metres), nearest first from point 0.

    References
    ----------
    R. C. Prim, "Shortest connection networks and some generalizations", Bell System Technical
    Journal 36 (1957), doi:10.1002/j.1538-7305.1957.tb01515.x.
    """
    n = len(at)
    near = np.full(n, np.inf)
    parent = np.zeros(n, np.int64)
    inside = np.zeros(n, np.bool_)
    edges: list[tuple[int, int, float]] = []
    node = 0
    for _ in range(n - 1):
        inside[node] = True
        gap = np.hypot(at[:, 0] - at[node, 0], at[:, 1] - at[node, 1])
        closer = ~inside & (gap < near)
        near[closer], parent[closer] = gap[closer], node
        node = int(np.argmin(np.where(inside, np.inf, near)))
        edges.append((int(parent[node]), node, float(near[node])))
    return edges


def order_along(at: Points) -> list[list[int]]:
    """Points as paths: the longest way through their shortest tree, then what branches off it.

    Parameters
    ----------
    at : float64 (n, 2)
        Positions [m].

    Returns
    -------
    list of list of int
        Each path in the order one walks it; together they hold every point once. A path begins at
        its western end (its southern one where both are as far west). The tree is cut where a gap
        is more than four times the median spacing and more than 90 m.
    """
    if len(at) < 2:
        return [list(range(len(at)))] if len(at) else []
    edges = spanning_tree(at)
    gaps = [gap for _, _, gap in edges]
    limit = max(GAP_FACTOR * float(np.median(gaps)), GAP_M)
    near: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for a, b, gap in edges:
        if gap <= limit:
            near[a].append((b, gap))
            near[b].append((a, gap))
    left = set(range(len(at)))
    paths: list[list[int]] = []
    while left:
        start = min(left)
        far = farthest(start, near, left)[0]
        path = farthest(far, near, left)[1]
        if tuple(at[path[0]]) > tuple(at[path[-1]]):
            path.reverse()
        left -= set(path)
        beside = beside_path(path, near, left, at)
        left -= set(beside)
        paths.append(along(path, beside, at))
    return paths


def beside_path(
    path: list[int], near: dict[int, list[tuple[int, float]]], left: set[int], at: Points
) -> list[int]:
    """Points that branch off a path but stay beside it: the other side of the street.

    A branch of which any point is further away than `BESIDE_M` is a way of its own.
    """
    if len(path) < 2:
        return []
    found: list[int] = []
    seen: set[int] = set()
    for root in path:
        for first, _ in near.get(root, ()):
            if first not in left or first in seen:
                continue
            branch, stack = [], [first]
            seen.add(first)
            while stack:
                node = stack.pop()
                branch.append(node)
                for other, _ in near.get(node, ()):
                    if other in left and other not in seen:
                        seen.add(other)
                        stack.append(other)
            away = project(at[branch], at[path])[1]
            if float(away.max()) <= BESIDE_M:
                found += branch
    return found


def along(path: list[int], beside: list[int], at: Points) -> list[int]:
    """A path and the points beside it, by how far along the path they are."""
    if not beside:
        return path
    steps = np.hypot(*np.diff(at[path], axis=0).T)
    own = np.r_[0.0, np.cumsum(steps)]
    theirs = project(at[beside], at[path])[0]
    both = sorted(zip([*own.tolist(), *theirs.tolist()], [*path, *beside], strict=True))
    return [node for _, node in both]


def project(points: Points, line: Points) -> tuple[Points, Points]:
    """How far along a line of points each point is, and how far away from it [m]."""
    start, step = line[:-1], np.diff(line, axis=0)
    length = np.hypot(step[:, 0], step[:, 1])
    squared = np.maximum(length**2, 1e-9)
    offset = points[:, None, :] - start[None, :, :]
    share = np.clip((offset * step[None]).sum(axis=2) / squared, 0.0, 1.0)
    gap = offset - share[:, :, None] * step[None]
    away = np.hypot(gap[:, :, 0], gap[:, :, 1])
    best = away.argmin(axis=1)
    rows = np.arange(len(points))
    before = np.r_[0.0, np.cumsum(length)][:-1]
    return before[best] + share[rows, best] * length[best], away[rows, best]


def farthest(
    start: int, near: dict[int, list[tuple[int, float]]], left: set[int]
) -> tuple[int, list[int]]:
    """The point farthest from `start` along the tree, and the way to it."""
    before: dict[int, int] = {start: -1}
    best, best_m = start, 0.0
    stack = [(start, 0.0)]
    while stack:
        node, at_m = stack.pop()
        if at_m > best_m:
            best, best_m = node, at_m
        for other, gap in near.get(node, ()):
            if other in left and other not in before:
                before[other] = node
                stack.append((other, at_m + gap))
    path = [best]
    while before[path[-1]] >= 0:
        path.append(before[path[-1]])
    return best, path[::-1]


def infer_segments(assets: Iterable[Asset]) -> InferredSegments:
    """Give luminaires a segment and their order in it, where none is given.

    Those that share a `segment` (else a `feeder`) belong to one way. Orders that are given are
    left alone. A way that falls apart, or branches, becomes several segments: `A`, `A/2`, ...
    """
    given = list(assets)
    groups: dict[str, list[int]] = defaultdict(list)
    unordered: list[str] = []
    whole = {a.segment for a in given if a.segment and a.segment_order is None}
    for i, asset in enumerate(given):
        if asset.kind is AssetKind.COUNTER or (asset.segment and asset.segment not in whole):
            continue
        name = asset.segment or asset.feeder
        if not name or asset.lat is None or asset.lon is None:
            unordered.append(asset.device_id)
            continue
        groups[name].append(i)
    taken = {a.segment for a in given if a.segment} - set(groups)
    ordered = segments = 0
    for name, rows in sorted(groups.items()):
        if len(rows) > MAX_GROUP:
            unordered += [given[i].device_id for i in rows]
            continue
        rows.sort(key=lambda i: given[i].device_id)  # the same answer whatever the file's order
        places = [given[i] for i in rows]
        at = metres([a.lat or 0.0 for a in places], [a.lon or 0.0 for a in places])
        for number, path in enumerate(order_along(at), 1):
            label = free_label(name, number, taken)
            segments += 1
            for order, k in enumerate(path, 1):
                i = rows[k]
                ordered += given[i].segment_order is None
                given[i] = replace(given[i], segment=label, segment_order=order)
    return InferredSegments(given, ordered, segments, sorted(unordered))


def free_label(name: str, number: int, taken: set[str]) -> str:
    """Name of the n-th part of a way, not one that is taken."""
    label = name if number == 1 else f"{name}/{number}"
    while label in taken:
        number += 1
        label = f"{name}/{number}"
    taken.add(label)
    return label
