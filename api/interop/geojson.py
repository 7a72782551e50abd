"""GeoJSON (RFC 7946): luminaires by state, work orders, and the situation map."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from api.assets import Asset
from api.interop.csv_export import SITUATION_TIMES
from api.interop.open311 import stamp
from api.operations.states import LuminaireStatus

__all__ = ["luminaires", "point", "situation_map", "work_orders"]


def point(lat: float, lon: float, properties: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """A Feature; longitude comes first (RFC 7946, 3.1.1)."""
    return {
        "type": "Feature",
        "id": name,
        "geometry": {"type": "Point", "coordinates": [round(lon, 7), round(lat, 7)]},
        "properties": dict(properties),
    }


def luminaires(assets: Iterable[Asset], states: Mapping[str, LuminaireStatus]) -> dict[str, Any]:
    """Every luminaire with a known position, with its state."""
    features: list[dict[str, Any]] = []
    for asset in assets:
        if asset.lat is None or asset.lon is None:
            continue
        status = states.get(asset.device_id)
        properties = {
            "device_id": asset.device_id,
            "luminaire_id": asset.luminaire_id,
            "kind": asset.kind.value,
            "site": asset.site,
            "segment": asset.segment,
            "segment_order": asset.segment_order,
            "feeder": asset.feeder,
            "cabinet": asset.cabinet,
            "state": status.state.value if status else "unknown",
            "since": stamp(status.since_ms) if status and status.since_ms else None,
            "reason": status.reason if status else "",
        }
        features.append(point(asset.lat, asset.lon, properties, name=asset.device_id))
    return {"type": "FeatureCollection", "features": features}


def work_orders(orders: Iterable[Any]) -> dict[str, Any]:
    """Work orders whose place is known."""
    features = [
        point(
            order.lat,
            order.lon,
            {
                "id": order.id,
                "state": order.state.value,
                "kind": order.kind,
                "title": order.title,
                "priority": order.priority,
                "why": order.why,
                "members": order.members,
                "site": order.site,
                "due": stamp(order.due_ms),
            },
            name=str(order.id),
        )
        for order in orders
        if order.lat is not None and order.lon is not None
    ]
    return {"type": "FeatureCollection", "features": features}


def situation_map(columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The situation map's places (`csv_export.situation`) as points."""
    features: list[dict[str, Any]] = []
    for row in zip(*columns.values(), strict=True):
        place = dict(zip(columns, row, strict=True))
        lat, lon = place.pop("lat"), place.pop("lon")
        for name in SITUATION_TIMES:
            place[name] = stamp(place[name])
        if lat is not None and lon is not None:
            features.append(point(lat, lon, place, name=place["site"]))
    return {"type": "FeatureCollection", "features": features}
