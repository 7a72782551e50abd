"""Open311 GeoReport v2: our words in its words and back, as JSON and as XML.

References
----------
GeoReport v2 (wiki.open311.org/GeoReport_v2); the request updates are FixMyStreet's extension.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from api.errors import BadInputError
from api.operations.reports import SERVICES, Service

__all__ = [
    "IncomingReport",
    "discovery",
    "error_items",
    "moment_ms",
    "parse_report",
    "request_item",
    "service_definition",
    "service_item",
    "services",
    "stamp",
    "to_xml",
    "update_item",
]

MAX_DESCRIPTION = 4000
ROOTS = {
    "services": "service",
    "service_requests": "request",
    "service_requests_updates": "request_update",
    "errors": "error",
    "attributes": "attribute",
    "values": "value",
    "endpoints": "endpoint",
    "formats": "format",
}
# XML 1.0 cannot hold these at all, escaped or not.
UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class IncomingReport:
    """A report as it came, checked; who sent it is not part of it."""

    service_code: str
    description: str
    lat: float | None
    lon: float | None
    address: str
    luminaire_id: str | None
    reference: str | None


def stamp(time_ms: int | None) -> str | None:
    """W3C date and time with zone, to the second."""
    if time_ms is None:
        return None
    return datetime.fromtimestamp(time_ms // 1000, UTC).isoformat().replace("+00:00", "Z")


def moment_ms(text: str) -> int:
    """A W3C date and time [ms, UTC]; one without zone is refused, since nobody knows when it is.

    Raises
    ------
    BadInputError
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise BadInputError(f"{text[:40]!r} has no zone.")
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise BadInputError(f"{text[:40]!r} is no date and time.") from error


def discovery(base_url: str, *, contact: str, changed: str) -> dict[str, Any]:
    """Where what is found; the specification requires it."""
    return {
        "changeset": changed,
        "contact": contact,
        "key_service": contact,
        "endpoints": [
            {
                "specification": "http://wiki.open311.org/GeoReport_v2",
                "url": f"{base_url.rstrip('/')}/open311/v2",
                "changeset": changed,
                "type": "production",
                "formats": ["application/json", "text/xml"],
            }
        ],
    }


def service_item(service: Service) -> dict[str, Any]:
    """A kind of report."""
    return {
        "service_code": service.code,
        "service_name": service.swedish,
        "description": service.english,
        "metadata": "true",
        "type": "realtime",
        "keywords": "belysning, lampa, street light",
        "group": "Belysning",
    }


def services() -> list[dict[str, Any]]:
    """Every kind of report."""
    return [service_item(service) for service in SERVICES.values()]


def service_definition(service: Service) -> dict[str, Any]:
    """What may be said with a report of this kind."""
    return {
        "service_code": service.code,
        "attributes": [
            {
                "variable": "true",
                "code": "luminaire",
                "datatype": "string",
                "required": "false",
                "datatype_description": "Numret på stolpen",
                "order": "1",
                "description": "Stolpnummer",
                "values": [],
            }
        ],
    }


def request_item(request: Any, *, extended: bool = False) -> dict[str, Any]:
    """A report as others see it; nothing in it says who reported.

    Parameters
    ----------
    request : ServiceRequest
        As the ledger gives it (any object with its attributes).
    extended : bool
        Whether to add FixMyStreet's extended status.
    """
    service = SERVICES[request.service_code]
    item = {
        "service_request_id": str(request.id),
        "status": request.status,
        "status_notes": request.status_notes or request.answer,
        "service_name": service.swedish,
        "service_code": service.code,
        "description": request.description,
        "agency_responsible": "drift",
        "service_notice": request.answer,
        "requested_datetime": stamp(request.requested_ms),
        "updated_datetime": stamp(request.updated_ms),
        "expected_datetime": stamp(request.expected_ms),
        "address": request.address,
        "address_id": "",
        "zipcode": "",
        "lat": request.lat,
        "long": request.lon,
        "media_url": "",
    }
    if extended:
        item["extended_attributes"] = {"open311:extended_status": request.extended_status}
    return item


def update_item(update: Any) -> dict[str, Any]:
    """A change of a report; `update_id` is the same for ever, so readers take it once."""
    return {
        "update_id": update.update_id,
        "service_request_id": str(update.request_id),
        "status": update.extended_status,
        "description": update.description,
        "updated_datetime": stamp(update.updated_ms),
        "media_url": "",
    }


def error_items(errors: Iterable[tuple[int, str]]) -> list[dict[str, Any]]:
    """Errors as the specification writes them."""
    return [{"code": code, "description": text} for code, text in errors]


def parse_report(form: Mapping[str, str]) -> IncomingReport:
    """A report from the fields of a form.

    Name, telephone, mail and device of whoever reports are not read: they stay in the city's case
    system.

    Raises
    ------
    BadInputError
        Naming the field that is missing or cannot be used.
    """
    code = form.get("service_code", "").strip()
    if not code:
        raise BadInputError("service_code was not provided.")
    if code not in SERVICES:
        raise BadInputError(f"service_code {code[:40]!r} is not known.")
    lat, lon = coordinate(form, "lat", 90), coordinate(form, "long", 180)
    if (lat is None) != (lon is None):
        raise BadInputError("lat and long belong together.")
    address = one_line(form.get("address_string", "") or form.get("address_id", ""))
    luminaire = one_line(form.get("attribute[luminaire]", ""))[:200] or None
    if lat is None and not address and luminaire is None:
        raise BadInputError("a location is needed: lat and long, address_string or the luminaire.")
    description = form.get("description", "")
    if len(description) > MAX_DESCRIPTION:
        raise BadInputError(f"description is longer than {MAX_DESCRIPTION} characters.")
    return IncomingReport(
        service_code=code,
        description=UNWRITABLE.sub("", description),
        lat=lat,
        lon=lon,
        address=address[:500],
        luminaire_id=luminaire,
        reference=one_line(form.get("attribute[reference]", ""))[:200] or None,
    )


def coordinate(form: Mapping[str, str], name: str, limit: float) -> float | None:
    """Degrees, or None where the field is empty."""
    text = form.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise BadInputError(f"{name} {text[:20]!r} is no number.") from error
    if not -limit <= value <= limit:  # NaN fails this too
        raise BadInputError(f"{name} {text[:20]!r} is not on earth.")
    return value


def one_line(text: str) -> str:
    """Without control characters, line breaks or surrounding spaces."""
    return " ".join(UNWRITABLE.sub("", text).split())


def to_xml(root: str, content: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> bytes:
    """XML of a list (`services`, `service_requests`, ...) or of one thing (`discovery`)."""
    element = ET.Element(root)
    if isinstance(content, Mapping):
        fill(element, content)
    else:
        for item in content:
            fill(ET.SubElement(element, ROOTS[root]), item)
    # ElementTree's declaration has single quotes, which some readers trip over.
    body = ET.tostring(element, encoding="unicode")
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + body.encode()


def fill(element: ET.Element, item: Mapping[str, Any]) -> None:
    """Fields as children; what is not known is an empty element."""
    for name, value in item.items():
        child = ET.SubElement(element, name.replace(":", "_"))
        if isinstance(value, Mapping):
            fill(child, value)
        elif isinstance(value, list):
            for part in value:
                inner = ET.SubElement(child, ROOTS.get(name, "item"))
                if isinstance(part, Mapping):
                    fill(inner, part)
                else:
                    inner.text = UNWRITABLE.sub("", str(part))
        elif value is not None:
            child.text = UNWRITABLE.sub("", str(value))
