"""How far a failure reaches: in a row, contiguous in an area, a place fully or partly dark."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.findings import CauseKind, FindingKind
from api.assets import Asset, AssetKind
from api.operations.sla import ControlScope, Facts

__all__ = ["DARK_KINDS", "Extent", "Surroundings", "distance_m", "runs"]

# A luminaire with one of these gives no light; only these count in a row.
DARK_KINDS = frozenset({FindingKind.LAMP_FAILURE, FindingKind.SUPPLY_LOSS})
EARTH_M = 6_371_008.8
# Luminaires further apart than this are no neighbours, however wide their segment is spaced.
NEIGHBOUR_LIMIT_M = 120.0


def distance_m(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Great-circle distance [m]."""
    a, b = math.radians(lat), math.radians(other_lat)
    h = (
        math.sin((b - a) / 2) ** 2
        + math.cos(a) * math.cos(b) * math.sin(math.radians(other_lon - lon) / 2) ** 2
    )
    return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(h)))


def runs(
    state: npt.NDArray[np.int8], segment: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Stretches out in a row, on luminaires sorted by segment and by their order in it.

    Parameters
    ----------
    state : int8 (n,)
        1 = out for certain, 0 = bridge (unknown, or dark on purpose), -1 = lit.
    segment : int64 (n,)

    Returns
    -------
    run, out, bridges : int64 (n,), (n_runs,), (n_runs,)
        The run each luminaire belongs to; how many are out in each run; how many bridges lie
        between its first and its last one out. Silence is not darkness: bridges are counted apart.
    """
    if not len(state):
        empty = np.zeros(0, np.int64)
        return empty, empty, empty
    breaks = (state < 0) | np.r_[True, segment[1:] != segment[:-1]]
    run = np.cumsum(breaks) - 1
    n = int(run[-1]) + 1
    out = np.bincount(run, weights=state > 0, minlength=n).astype(np.int64)
    index = np.arange(len(state))
    first = np.full(n, len(state))
    last = np.full(n, -1)
    dark = state > 0
    np.minimum.at(first, run[dark], index[dark])
    np.maximum.at(last, run[dark], index[dark])
    between = (state == 0) & (index > first[run]) & (index < last[run])
    return run, out, np.bincount(run, weights=between, minlength=n).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Extent:
    """How far the dark around one luminaire reaches.

    Attributes
    ----------
    run_out, run_unknown : int
        Out in a row, and unknown ones between them. A run with more bridges than outs does not
        count as a row: `run_out` is 1 there.
    cluster_out : int
        Out and contiguous.
    """

    run_out: int
    run_unknown: int
    cluster_out: int


class Surroundings:
    """All luminaires that are out, and what that means for each.

    Parameters
    ----------
    assets : iterable of Asset
    out : collection of str
        Devices whose luminaire is out for certain.
    unknown : collection of str
        Devices whose luminaire's light is not known, or dark on purpose.
    """

    def __init__(
        self, assets: Iterable[Asset], *, out: Collection[str], unknown: Collection[str]
    ) -> None:
        self.assets: Mapping[str, Asset] = {a.device_id: a for a in assets}
        self.out = frozenset(out) & self.assets.keys()
        self.unknown = frozenset(unknown) - self.out
        self._extents = self._measure() if self.out else {}
        self._places: dict[str, list[str]] = defaultdict(list)
        for asset in self.assets.values():
            if asset.site and asset.kind is not AssetKind.COUNTER:
                self._places[asset.site].append(asset.device_id)

    def _measure(self) -> dict[str, Extent]:
        touched = {self.assets[d].segment for d in self.out} - {""}
        rows = sorted(
            (
                a
                for a in self.assets.values()
                if a.segment in touched and a.segment_order is not None
            ),
            key=lambda a: (a.segment, a.segment_order, a.device_id),
        )
        state = np.array([self._state(a.device_id) for a in rows], np.int8)
        names = {name: i for i, name in enumerate(sorted(touched))}
        run, out, bridges = runs(state, np.array([names[a.segment] for a in rows], np.int64))
        in_row = {a.device_id: i for i, a in enumerate(rows)}
        clusters = self._clusters(rows, run)
        found: dict[str, Extent] = {}
        for device in self.out:
            n_out, n_unknown = 1, 0
            if (i := in_row.get(device)) is not None:
                n_out, n_unknown = int(out[run[i]]), int(bridges[run[i]])
            if n_unknown > n_out:
                n_out = 1
            found[device] = Extent(n_out, n_unknown, clusters[device])
        return found

    def _state(self, device_id: str) -> int:
        if device_id in self.out:
            return 1
        return 0 if device_id in self.unknown else -1

    def _clusters(self, rows: Sequence[Asset], run: npt.NDArray[np.int64]) -> dict[str, int]:
        """Size of the contiguous group each luminaire that is out belongs to."""
        parent = {device: device for device in self.out}

        def root(device: str) -> str:
            while parent[device] != device:
                parent[device] = parent[parent[device]]
                device = parent[device]
            return device

        by_run: dict[int, str] = {}
        for asset, number in zip(rows, run.tolist(), strict=True):
            if asset.device_id in self.out:
                other = by_run.setdefault(number, asset.device_id)
                parent[root(asset.device_id)] = root(other)
        for a, b in self._near(self._reach(rows)):
            parent[root(a)] = root(b)
        sizes: dict[str, int] = defaultdict(int)
        for device in self.out:
            sizes[root(device)] += 1
        return {device: sizes[root(device)] for device in self.out}

    def _reach(self, rows: Sequence[Asset]) -> dict[str, float]:
        """1.5 x the median spacing of each segment [m], no more than the neighbour limit."""
        gaps: dict[str, list[float]] = defaultdict(list)
        for a, b in pairwise(rows):
            if a.segment == b.segment and (gap := between_m(a, b)) is not None:
                gaps[a.segment].append(gap)
        return {name: min(1.5 * median(found), NEIGHBOUR_LIMIT_M) for name, found in gaps.items()}

    def _near(self, reach: Mapping[str, float]) -> Iterable[tuple[str, str]]:
        """Pairs that are out and near each other, by cells as wide as the longest reach."""
        cells: dict[tuple[int, int], list[Asset]] = defaultdict(list)
        per_degree = math.pi * EARTH_M / 180
        for device in self.out:
            asset = self.assets[device]
            if asset.lat is None or asset.lon is None or asset.segment not in reach:
                continue
            x = asset.lon * per_degree * math.cos(math.radians(round(asset.lat, 1)))
            cell = (int(x // NEIGHBOUR_LIMIT_M), int(asset.lat * per_degree // NEIGHBOUR_LIMIT_M))
            for dx in (-1, 0, 1):
                for dy in (-1, 0, 1):
                    for other in cells.get((cell[0] + dx, cell[1] + dy), ()):
                        gap = between_m(asset, other)
                        if gap is not None and gap <= min(
                            reach[asset.segment], reach[other.segment]
                        ):
                            yield device, other.device_id
            cells[cell].append(asset)

    def extent(self, device_id: str) -> Extent:
        """How far the dark around a luminaire that is out reaches; nothing for one that is not."""
        return self._extents.get(device_id, Extent(0, 0, 0))

    def place_is_dark(self, sites: Collection[str]) -> bool | None:
        """Whether one of the places has no luminaire left that is known to be lit.

        Unknown luminaires are left out; None where nothing of any place is known.
        """
        answers: list[bool] = []
        for site in sites:
            there = [d for d in self._places.get(site, ()) if d not in self.unknown]
            if there:
                answers.append(all(device in self.out for device in there))
        return any(answers) if answers else None

    def facts(
        self,
        members: Collection[str],
        *,
        kind: FindingKind,
        crew: str,
        cause_kind: CauseKind,
        prioritised: bool,
        hazard: bool = False,
        exposure: float | None = None,
    ) -> Facts:
        """What a policy may ask about a work order with these members."""
        stands = [self.assets[d] for d in members if d in self.assets]
        dark = kind in DARK_KINDS
        widest = max((self.extent(d) for d in members), key=lambda e: e.run_out, default=None)
        scope = {
            CauseKind.FEEDER: ControlScope.FEEDER,
            CauseKind.CABINET: ControlScope.CABINET,
        }.get(cause_kind, ControlScope.NONE)
        return Facts(
            hazard=hazard,
            out=len(members) if dark else 0,
            run_out=widest.run_out if dark and widest else 0,
            run_unknown=widest.run_unknown if dark and widest else 0,
            cluster_out=max((self.extent(d).cluster_out for d in members), default=0)
            if dark
            else 0,
            place_kind=frozenset(a.place_kind for a in stands if a.place_kind),
            location_category=frozenset(a.location_category for a in stands if a.location_category),
            fully_dark=self.place_is_dark({a.site for a in stands if a.site}) if dark else None,
            control_scope=scope if crew == "lamp" else ControlScope.NONE,
            prioritised=prioritised,
            exposure=exposure,
            kind=kind.value,
            crew=crew,
            third_party=next((a.owner for a in stands if a.owner), ""),
        )


def between_m(a: Asset, b: Asset) -> float | None:
    """Distance between two luminaires [m]; None where a position is not known."""
    if a.lat is None or a.lon is None or b.lat is None or b.lon is None:
        return None
    return distance_m(a.lat, a.lon, b.lat, b.lon)
