"""What the ledger knows of the light at a counted place: dark hours with failed light, repairs."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from analytics.darkness import dark_at_midpoint
from analytics.findings import FindingKind
from api.assets import Asset, AssetKind
from api.ledger import Ledger
from api.ledger.views import Evidence, OrderFilter, PlannedWork
from api.operations.work_orders import WorkOrderState
from api.street.places import distance_m

__all__ = ["FailedLight", "failed_light", "lighting_words", "luminaires_of", "repair_words"]

Bools = npt.NDArray[np.bool_]

REFERENCE_DAYS = 56  # the days before that the shift is taken against
REPAIR_DAYS = 364
NEAR_M = 50.0
DAY_MS = 86_400_000
KNOWN_SHARE = 0.5
# The light is not what it should be, or nobody knows whether it is. Slow dirt and light by day
# are left out: they do not take the light away.
FAILED = frozenset(
    {
        FindingKind.LAMP_FAILURE,
        FindingKind.DIMMING_FAILURE,
        FindingKind.CYCLING_FAILURE,
        FindingKind.SWITCHING_ERROR,
        FindingKind.SUPPLY_LOSS,
        FindingKind.SENSOR_STUCK,
        FindingKind.SENSOR_BLIND,
        FindingKind.COMMUNICATION_FAILURE,
    }
)


@dataclass(frozen=True, slots=True)
class FailedLight:
    """How the light of a place was over both periods.

    Attributes
    ----------
    before, after : float or None
        Share of the luminaires' dark hours in which they were faulty, unknown or planned off;
        None where the ledger knew fewer than half of those hours.
    luminaires : int
        That light the place.
    """

    before: float | None
    after: float | None
    luminaires: int

    @property
    def shares(self) -> tuple[float, float]:
        """For `effect`, which refuses above a tenth; what is not known refuses nothing."""
        return self.before or 0.0, self.after or 0.0


def luminaires_of(assets: Sequence[Asset], sites: Collection[str]) -> list[Asset]:
    """Luminaires of the places: by name, on the same segment, or else within fifty metres."""
    lamps = [a for a in assets if a.kind is not AssetKind.COUNTER]
    own = [a for a in assets if (a.site or a.device_id) in sites]
    segments = {a.segment for a in own if a.segment}
    by_name = [a for a in lamps if (a.site and a.site in sites) or a.segment in segments]
    if by_name:
        return by_name
    around = [(a.lat, a.lon) for a in own if a.lat is not None and a.lon is not None]
    return [
        a
        for a in lamps
        if a.lat is not None
        and a.lon is not None
        and any(distance_m((a.lat, a.lon), there) <= NEAR_M for there in around)
    ]


def failed_light(
    ledger: Ledger,
    assets: Sequence[Asset],
    sites: Collection[str],
    *,
    start: date,
    stop: date,
    zone: ZoneInfo,
    now_ms: int,
    position: tuple[float, float],
    simulated: bool = False,
) -> FailedLight:
    """Dark hours with failed light at the places, in the eight weeks before and until `stop`.

    Parameters
    ----------
    ledger : Ledger
    assets : sequence of Asset
        Of all that stands in the street.
    sites : collection of str
        Treated places.
    start, stop : date
        First day of the intervention; first day after its follow-up.
    zone : ZoneInfo
    now_ms : int
    position : (float, float)
        For the dark hours.
    simulated : bool
        Whether simulated findings count too.
    """
    lamps = luminaires_of(assets, sites)
    shares: list[float | None] = []
    known_since = {lamp.device_id: mounted_ms(ledger, lamp.device_id) for lamp in lamps}
    found = {
        lamp.device_id: [
            one
            for one in ledger.findings(device_id=lamp.device_id)
            if one.kind in FAILED and (simulated or not one.simulated)
        ]
        for lamp in lamps
    }
    works = ledger.planned_work()
    for first, last in ((start - timedelta(days=REFERENCE_DAYS), start), (start, stop)):
        hours = dark_hours(first, last, zone, position, now_ms)
        expected = known = failed = 0
        for lamp in lamps:
            since = known_since[lamp.device_id]
            seen = np.zeros(len(hours), np.bool_) if since is None else hours >= since
            bad = failed_hours(hours, found[lamp.device_id], planned_of(works, lamp))
            expected, known = expected + len(hours), known + int(seen.sum())
            failed += int((bad & seen).sum())
        enough = known > 0 and known >= KNOWN_SHARE * expected
        shares.append(failed / known if enough else None)
    return FailedLight(shares[0], shares[1], len(lamps))


def mounted_ms(ledger: Ledger, device_id: str) -> int | None:
    """Since when the ledger knows what sits on a luminaire."""
    return min((one.from_ms for one in ledger.device_history(device_id=device_id)), default=None)


def dark_hours(
    first: date, stop: date, zone: ZoneInfo, position: tuple[float, float], now_ms: int
) -> npt.NDArray[np.int64]:
    """Midpoints of the dark hours of whole local dates, at most up to now [ms, UTC]."""
    ends = [datetime(d.year, d.month, d.day, tzinfo=zone).timestamp() for d in (first, stop)]
    hours = np.arange(int(ends[0]), min(int(ends[1]), now_ms // 1000), 3600, dtype=np.int64)
    dark = hours[dark_at_midpoint(hours, *position)]
    return np.asarray(dark * 1000 + 1_800_000, dtype=np.int64)


def failed_hours(
    hours: npt.NDArray[np.int64], found: Iterable[Evidence], works: Iterable[PlannedWork]
) -> Bools:
    """In which of the hours a luminaire was faulty, unknown or planned off."""
    bad = np.zeros(len(hours), dtype=np.bool_)
    for one in found:
        bad |= (hours >= one.start_ms) & (True if one.end_ms is None else hours < one.end_ms)
    for work in works:
        bad |= (hours >= work.from_ms) & (hours < work.until_ms)
    return bad


def planned_of(works: Iterable[PlannedWork], lamp: Asset) -> list[PlannedWork]:
    """Planned work that concerns a luminaire."""
    names = {
        "luminaire": lamp.luminaire_id,
        "segment": lamp.segment,
        "feeder": lamp.feeder,
        "cabinet": lamp.cabinet,
        "site": lamp.site,
    }
    return [work for work in works if work.cause_id and names.get(work.cause_kind) == work.cause_id]


def share_words(share: float | None, lang: str) -> str:
    """How much of the dark hours the light worked."""
    if share is None:
        return "inte känt" if lang == "sv" else "not known"
    text = f"{100 * (1 - share):.0f}"
    return f"{text}\u00a0%" if lang == "sv" else f"{text}%"


def lighting_words(light: FailedLight) -> dict[str, Any]:
    """Factor 4 in both languages with its numbers; empty where nothing is known."""
    if light.before is None and light.after is None:
        return {}
    sv = [share_words(share, "sv") for share in (light.before, light.after)]
    en = [share_words(share, "en") for share in (light.before, light.after)]
    return {
        "failed_before": light.before,
        "failed_after": light.after,
        "luminaires": light.luminaires,
        "sv": f"{light.luminaires} armaturer lyste som de ska {sv[0]} av de mörka timmarna före, "
        f"{sv[1]} efter",
        "en": f"{light.luminaires} luminaires worked in {en[0]} of the dark hours before, "
        f"{en[1]} after",
    }


def repair_words(
    ledger: Ledger,
    assets: Sequence[Asset],
    sites: Collection[str],
    *,
    start: date,
    stop: date,
    zone: ZoneInfo,
    simulated: bool = False,
) -> dict[str, Any]:
    """Factor 1 by what stands in for it, the time to repair, a year before and until `stop`.

    Empty where nothing was repaired in either period.
    """
    names = {*sites, *(lamp.site for lamp in luminaires_of(assets, sites) if lamp.site)}
    edges = [
        int(datetime(d.year, d.month, d.day, tzinfo=zone).timestamp() * 1000)
        for d in (start - timedelta(days=REPAIR_DAYS), start, stop)
    ]
    days: tuple[list[float], list[float]] = ([], [])
    for name in sorted(names):
        for order in ledger.work_orders(OrderFilter(site=name), limit=1000).items:
            passed = order.state in {WorkOrderState.REJECTED, WorkOrderState.DUPLICATE}
            if order.done_ms is None or passed or (order.simulated and not simulated):
                continue
            for i in (0, 1):
                if edges[i] <= order.detected_ms < edges[i + 1]:
                    days[i].append((order.done_ms - order.detected_ms) / DAY_MS)
    if not (days[0] or days[1]):
        return {}
    sv, en = ([median_words(own, lang) for own in days] for lang in ("sv", "en"))
    return {
        "median_days_before": median(days[0]) if days[0] else None,
        "median_days_after": median(days[1]) if days[1] else None,
        "sv": f"närmevärde: tid till reparation {sv[0]} före, {sv[1]} efter",
        "en": f"stand-in: time to repair {en[0]} before, {en[1]} after",
    }


def median_words(days: list[float], lang: str) -> str:
    """A median with what it is of."""
    if not days:
        return "ingen lagning" if lang == "sv" else "no repair"
    text = f"{median(days):.1f}"
    if lang == "sv":
        return f"{text.replace('.', ',')} dygn (median av {len(days)})"
    return f"{text} days (median of {len(days)})"
