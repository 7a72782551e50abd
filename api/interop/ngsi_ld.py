"""NGSI-LD entities after the Smart Data Models: Streetlight and CrowdFlowObserved.

References
----------
smart-data-models/dataModel.Streetlighting (Streetlight), dataModel.Transportation
(CrowdFlowObserved); ETSI GS CIM 009 for the normalized and the simplified (keyValues) form.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from api.assets import Asset
from api.operations.states import LuminaireState, LuminaireStatus

__all__ = ["crowd_flow_observed", "key_values", "streetlight"]

MODELS = "https://raw.githubusercontent.com/smart-data-models"
LIGHTING = f"{MODELS}/dataModel.Streetlighting/master/context.jsonld"
TRANSPORT = f"{MODELS}/dataModel.Transportation/master/context.jsonld"
# The model knows no `unknown`, so the status is what was last known, with the time of then, and
# `truth` says what is known now. Kinds without a status of their own leave the lamp ok.
DEFECTIVE = frozenset({"lamp_failure", "supply_loss", "dimming_failure", "depreciation"})
CATEGORIES = {
    "bridge",
    "centralIsland",
    "facade",
    "garden",
    "park",
    "parking",
    "pedestrianPath",
    "playground",
    "road",
    "sidewalk",
    "tunnel",
}


def urn(kind: str, name: str) -> str:
    """An entity's name; what a URN cannot hold is percent-encoded."""
    return f"urn:ngsi-ld:{kind}:{quote(name, safe='')}"


def stamp(time_ms: int) -> str:
    """UTC with Z, to the second."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).isoformat().replace("+00:00", "Z")


def value(of: object, *, observed_ms: int | None = None) -> dict[str, Any]:
    """A Property."""
    found: dict[str, Any] = {"type": "Property", "value": of}
    if observed_ms is not None:
        found["observedAt"] = stamp(observed_ms)
    return found


def to(kind: str, name: str) -> dict[str, Any]:
    """A Relationship."""
    return {"type": "Relationship", "object": urn(kind, name)}


def streetlight(
    asset: Asset, status: LuminaireStatus, *, kinds: Iterable[str] = (), lit: bool | None = None
) -> dict[str, Any] | None:
    """A luminaire as a normalized Streetlight; None where its position is not known.

    Parameters
    ----------
    asset : Asset
    status : LuminaireStatus
    kinds : iterable of str
        Finding kinds that stand open for it.
    lit : bool, optional
        Whether it gives light now, where that is known.
    """
    if asset.lat is None or asset.lon is None:
        return None
    open_kinds = sorted(kinds)
    planned = status.state is LuminaireState.PLANNED
    known = status.state if status.state is not LuminaireState.UNKNOWN else status.last_known
    defective = known is LuminaireState.FAULTY and bool(DEFECTIVE & set(open_kinds))
    entity: dict[str, Any] = {
        "id": urn("Streetlight", asset.luminaire_id),
        "type": "Streetlight",
        "location": {
            "type": "GeoProperty",
            "value": {"type": "Point", "coordinates": [asset.lon, asset.lat]},
        },
        "status": value("defectiveLamp" if defective else "ok", observed_ms=status.observed_ms),
        "truth": value(status.state.value, observed_ms=status.since_ms or None),
    }
    if planned or lit is not None:
        entity["powerState"] = value("on" if lit and not planned else "off")
    if asset.location_category in CATEGORIES:
        entity["locationCategory"] = value(asset.location_category)
    if asset.feeder:
        entity["circuit"] = value(asset.feeder)
    if asset.cabinet:
        entity["refStreetlightControlCabinet"] = to("StreetlightControlCabinet", asset.cabinet)
    if asset.segment:
        entity["refStreetlightGroup"] = to("StreetlightGroup", asset.segment)
    entity["refDevice"] = {"type": "Relationship", "object": [urn("Device", asset.device_id)]}
    if open_kinds:
        entity["faultClass"] = value(open_kinds[0] if len(open_kinds) == 1 else open_kinds)
    entity["@context"] = [LIGHTING]
    return entity


def crowd_flow_observed(
    site: str,
    *,
    start_ms: int,
    stop_ms: int,
    people_count: int | None,
    people_in: int | None = None,
    people_out: int | None = None,
    lat: float | None = None,
    lon: float | None = None,
) -> dict[str, Any] | None:
    """Footfall of a place in `[start_ms, stop_ms)`; None where the count is suppressed or missing.

    A suppressed count is left out, never written as 0 or as "less than ten".
    """
    if people_count is None:
        return None
    begins, ends = stamp(start_ms), stamp(stop_ms)
    entity: dict[str, Any] = {
        "id": urn("CrowdFlowObserved", f"{site}:{begins}"),
        "type": "CrowdFlowObserved",
        "dateObserved": value(f"{begins}/{ends}"),
        "dateObservedFrom": value(begins),
        "dateObservedTo": value(ends),
        "peopleCount": value(people_count),
        "name": value(site),
    }
    if people_in is not None:
        entity["peopleCountTowards"] = value(people_in)
    if people_out is not None:
        entity["peopleCountAway"] = value(people_out)
    if lat is not None and lon is not None:
        entity["location"] = {
            "type": "GeoProperty",
            "value": {"type": "Point", "coordinates": [lon, lat]},
        }
    entity["@context"] = [TRANSPORT]
    return entity


def key_values(entity: Mapping[str, Any]) -> dict[str, Any]:
    """The simplified form (`options=keyValues`): plain values and plain names."""
    found: dict[str, Any] = {}
    for name, part in entity.items():
        if isinstance(part, Mapping) and "type" in part:
            found[name] = part.get("object") if part["type"] == "Relationship" else part["value"]
        else:
            found[name] = part
    return found
