"""What leaves as a table: columns for CSV (formulas guarded by `api.tables`) and Parquet."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from api.assets import Asset
from api.operations.states import LuminaireStatus

__all__ = [
    "ORDER_TIMES",
    "SITUATION_TIMES",
    "TRUTH_TIMES",
    "asset_columns",
    "cost_columns",
    "order_columns",
    "situation",
    "situation_slot_ms",
    "truth_columns",
]

Columns = dict[str, list[Any]]
ORDER_TIMES = (
    "detected",
    "created",
    "first_action_due",
    "repaired_due",
    "first_action",
    "done",
    "closed",
)
TRUTH_TIMES = ("start", "end")


def order_columns(orders: Iterable[Any]) -> Columns:
    """Work orders; columns of `ORDER_TIMES` are [ms, UTC]."""
    plain = (
        "id",
        "state",
        "priority",
        "rule_id",
        "why",
        "kind",
        "cause_kind",
        "cause_id",
        "title",
        "members",
        "area",
        "site",
        "lat",
        "lon",
        "assignee",
        "crew",
        "budget_account",
        "cost",
        "verification",
        "rejection",
        "owner",
        "duplicate_of",
        "times_reopened",
        "simulated",
    )
    given = list(orders)
    found: Columns = {name: [text_of(getattr(o, name)) for o in given] for name in plain}
    return found | {name: [getattr(o, f"{name}_ms") for o in given] for name in ORDER_TIMES}


def cost_columns(orders: Iterable[Any]) -> Columns:
    """What work cost, by budget account and area: `orders`, how many are `priced`, their `cost`.

    Parameters
    ----------
    orders : iterable of WorkOrder
        Duplicates, rejected and simulated ones are left out; cost [SEK].

    Notes
    -----
    A sum over no priced order is not known, which is not the same as nothing.
    """
    groups: dict[tuple[str, str], list[float | None]] = {}
    for order in orders:
        if order.simulated or order.state.value in {"duplicate", "rejected"}:
            continue
        key = (text_of(order.budget_account), order.area)
        groups.setdefault(key, []).append(order.cost)
    found = sorted(groups.items())
    priced = [[cost for cost in costs if cost is not None] for _, costs in found]
    return {
        "budget_account": [account for (account, _), _ in found],
        "area": [area for (_, area), _ in found],
        "orders": [len(costs) for _, costs in found],
        "priced": [len(costs) for costs in priced],
        "cost": [round(sum(costs), 2) if costs else None for costs in priced],
    }


def asset_columns(assets: Iterable[Asset]) -> Columns:
    """Assets in the interchange format; what is not known is empty."""
    given = list(assets)
    return {f.name: [text_of(getattr(a, f.name)) for a in given] for f in fields(Asset)}


def text_of(value: Any) -> Any:
    """An enum's own word; all else as it is."""
    return getattr(value, "value", value)


def truth_columns(details: Iterable[Any]) -> Columns:
    """Closed orders as truth, so that findings of the same time can be scored against them.

    A proved repair says the fault was there from the finding's start until the light came back or
    the crew was done; a rejection as no fault, or as intended, says it was not, and gives no row;
    nor does a luminaire whose finding later data took back.

    Parameters
    ----------
    details : iterable of WorkOrderDetail
        Of orders that are closed, duplicates left out.
    """
    rows: list[dict[str, Any]] = []
    for detail in details:
        order = detail.order
        if order.state.value != "verified":
            continue
        evidence = {e.device_id: e for e in detail.evidence if not e.withdrawn}
        taken_back = {e.device_id for e in detail.evidence if e.withdrawn} - evidence.keys()
        for member in detail.members:
            if member.device_id in taken_back:
                continue
            told = evidence.get(member.device_id)
            end_ms = member.end_ms or order.done_ms or order.closed_ms
            rows.append(
                {
                    "fault_id": f"wo-{order.id}-{member.device_id}",
                    "kind": member.kind,
                    "device_id": member.device_id,
                    "start": told.start_ms if told else member.start_ms,
                    "end": end_ms,
                    "incident": f"wo-{order.id}",
                    "cause_kind": order.cause_kind,
                    "cause_id": order.cause_id,
                    "severity": told.severity.value if told else "major",
                }
            )
    names = ("fault_id", "kind", "device_id", "start", "end", "incident", "cause_kind", "cause_id")
    return {name: [row[name] for row in rows] for name in (*names, "severity")}


def situation_slot_ms(
    now_ms: int, *, zone: ZoneInfo, days: Collection[int], hour: int, step: int = 0
) -> int:
    """A moment at which a situation map is due [ms, UTC].

    Parameters
    ----------
    days : collection of int
        Weekdays, 0 = Monday.
    hour : int
        Local hour. One that daylight saving skips is an hour later on the clock, one that comes
        twice is the first.
    step : int
        0 the last one at or before now, 1 the next after it.
    """
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    first: date = now.astimezone(zone).date() - timedelta(days=8)
    slots = [
        datetime.combine(day, time(hour), zone).astimezone(UTC)
        for day in (first + timedelta(days=n) for n in range(18))
        if day.weekday() in days
    ]
    last = bisect_right(slots, now) - 1
    return int(slots[last + step].timestamp() * 1000)


def situation(
    assets: Iterable[Asset],
    states: Mapping[str, LuminaireStatus],
    *,
    quiet_hours: Mapping[str, int],
    cut_off_ms: int,
    made_ms: int | None = None,
) -> Columns:
    """The situation map ("lägesbild"): one row a place, unlit luminaires and low-activity hours.

    Parameters
    ----------
    quiet_hours : mapping of site to int
        Low-activity hours a week, where footfall is measured.
    cut_off_ms : int
        What it was due for [ms, UTC].
    made_ms : int, optional
        As of when the states are [ms, UTC]; the cut-off, where it was made in time.

    Returns
    -------
    dict of str to list
        `cut_off, site, area, lat, lon, luminaires, unlit, unknown, planned, low_activity_hours,
        made`; `low_activity_hours` is None where nobody is counted or too few pass to say.
    """
    places: dict[str, list[Asset]] = {}
    for asset in assets:
        if asset.site:
            places.setdefault(asset.site, []).append(asset)
    found: Columns = {name: [] for name in SITUATION}
    for site, stands in sorted(places.items()):
        lamps = [a for a in stands if a.kind.value != "counter"]
        words = [
            states[a.device_id].state.value if a.device_id in states else "unknown" for a in lamps
        ]
        lats = [a.lat for a in stands if a.lat is not None]
        lons = [a.lon for a in stands if a.lon is not None]
        row = {
            "cut_off": cut_off_ms,
            "site": site,
            "area": next((a.area for a in stands if a.area), ""),
            "lat": round(sum(lats) / len(lats), 6) if lats else None,
            "lon": round(sum(lons) / len(lons), 6) if lons else None,
            "luminaires": len(lamps),
            "unlit": words.count("faulty"),
            "unknown": words.count("unknown"),
            "planned": words.count("planned"),
            "low_activity_hours": quiet_hours.get(site),
            "made": cut_off_ms if made_ms is None else made_ms,
        }
        for name in SITUATION:
            found[name].append(row[name])
    return found


SITUATION = (
    "cut_off",
    "site",
    "area",
    "lat",
    "lon",
    "luminaires",
    "unlit",
    "unknown",
    "planned",
    "low_activity_hours",
    "made",
)
SITUATION_TIMES = ("cut_off", "made")
