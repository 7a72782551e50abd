"""How many pass at each place by hour: from its own counter, or as at the nearest similar place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from analytics.exposure import nearest_profile
from analytics.grid import DAY_MS
from api.assets import Asset, AssetKind
from api.planning.stored_counts import stored_counts
from api.watch.window_readings import ReadingSource
from ingest.stores import SeriesStore

__all__ = ["Passages", "counted_by_site", "passages_by_site"]

COUNTED_DAYS = 28
LEAST_DAYS = 3  # of an hour, before its mean says anything
METRES_A_DEGREE = 111_320.0


@dataclass(frozen=True, slots=True)
class Passages:
    """Expected passages of a place.

    Attributes
    ----------
    by_hour : float64 (24,)
        A day, by local hour; NaN where an hour was not counted.
    borrowed : bool
        From the nearest similar place: whoever shows it must say so.
    """

    by_hour: npt.NDArray[np.float64]
    borrowed: bool = False


def counted_by_site(
    store: ReadingSource, assets: Sequence[Asset], *, zone: ZoneInfo, now_ms: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Mean passages by local hour over the last four weeks, of every place that was counted."""
    # Nothing is written: columns are all that is asked for.
    counts = stored_counts(
        cast("SeriesStore", store),
        assets,
        zone=zone,
        start_ms=now_ms - COUNTED_DAYS * DAY_MS,
        stop_ms=now_ms,
    )
    if counts is None or counts.hours is None:
        return {}
    known = np.isfinite(counts.hours)
    enough = known.sum(axis=0) >= LEAST_DAYS
    total = np.where(known, counts.hours, 0).sum(axis=0)
    mean = np.where(enough, total / np.maximum(known.sum(axis=0), 1), np.nan)
    return {
        site: mean[:, i] for i, site in enumerate(counts.sites) if np.isfinite(mean[:, i]).any()
    }


def passages_by_site(
    counted: Mapping[str, npt.NDArray[np.float64]], assets: Sequence[Asset]
) -> dict[str, Passages]:
    """Passages of every place with luminaires, where they are counted or a similar place is.

    Similar is a place of the same kind: a tunnel, or the same `location_category`.
    """
    there: dict[str, list[Asset]] = {}
    for asset in assets:
        if asset.site:
            there.setdefault(asset.site, []).append(asset)
    sites = sorted(there)
    if not counted or not sites:
        return {}
    kinds = sorted({kind_of(there[s]) for s in sites})
    positions = np.array([middle_of(there[s]) for s in sites])
    profiles = np.full((len(sites), 24), np.nan)
    for i, site in enumerate(sites):
        if site in counted:
            profiles[i] = counted[site]
    # A place of unknown position is near to nobody.
    placed = np.isfinite(positions).all(axis=1)
    category = np.array([kinds.index(kind_of(there[s])) for s in sites], dtype=np.int32)
    category = np.where(placed, category, -1 - np.arange(len(sites))).astype(np.int32)
    at = np.nan_to_num(positions)
    x_m = at[:, 1] * METRES_A_DEGREE * np.cos(np.deg2rad(np.median(at[:, 0])))
    filled, borrowed = nearest_profile(profiles, x_m, at[:, 0] * METRES_A_DEGREE, category)
    return {
        site: Passages(filled[i], bool(borrowed[i]))
        for i, site in enumerate(sites)
        if np.isfinite(filled[i]).any()
    }


def kind_of(assets: Sequence[Asset]) -> str:
    """What sort of place it is: a tunnel, or what the registry calls most of it."""
    if any(a.kind is AssetKind.TUNNEL for a in assets):
        return "tunnel"
    named = [a.location_category for a in assets if a.location_category]
    return max(sorted(set(named)), key=named.count) if named else ""


def middle_of(assets: Sequence[Asset]) -> tuple[float, float]:
    """Mean of the positions; NaN where none is known."""
    known = [(a.lat, a.lon) for a in assets if a.lat is not None and a.lon is not None]
    if not known:
        return float("nan"), float("nan")
    return sum(lat for lat, _ in known) / len(known), sum(lon for _, lon in known) / len(known)
