"""Citizens' reports by Open311 GeoReport v2: XML for those who must, JSON for those who may."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from api.auth import EVERYONE, Needs, Principal, Role, by_key
from api.errors import BadInputError, NotFoundError
from api.interop import open311
from api.ledger.views import ServiceRequest
from api.operations.reports import SERVICES
from api.routes.repeats import Repeatable, Sent
from api.services import ServiceDep, Services

BOTH: dict[str, Any] = {"application/json": {}, "text/xml": {}}
ANSWERS: dict[int | str, str] = {
    200: "What was asked for",
    400: "Something is missing or cannot be used",
    403: "The key may not",
    404: "There is none",
}
router = APIRouter(
    prefix="/open311/v2",
    tags=["Open311"],
    route_class=Repeatable,
    responses={code: {"content": BOTH, "description": text} for code, text in ANSWERS.items()},
)
Anyone = Annotated[Principal, Depends(Needs(*EVERYONE))]
DAY_MS = 86_400_000
WINDOW_MS = 90 * DAY_MS
MOST = 1000
CHANGED = "2026-11-23T00:00:00Z"


class Form(StrEnum):
    """How the answer is written."""

    JSON = "json"
    XML = "xml"


def answer(
    form: Form,
    root: str,
    content: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    status: int = 200,
) -> Response:
    """The content in the format asked for."""
    if form is Form.XML:
        body = open311.to_xml(root, content)
        return Response(body, status, media_type="text/xml; charset=utf-8")
    return JSONResponse(content, status)


def refused(form: Form, status: int, text: str) -> Response:
    """An error as the specification writes it."""
    return answer(form, "errors", open311.error_items([(status, text)]), status)


@router.get("/discovery.{form}")
def discovery(form: Form, request: Request, services: ServiceDep, _: Anyone) -> Response:
    """Where what is found."""
    base = services.settings.http.public_url or str(request.base_url)
    contact = services.settings.notify.smtp_from or services.settings.city
    return answer(form, "discovery", open311.discovery(base, contact=contact, changed=CHANGED))


@router.get("/services.{form}")
def services_list(form: Form, _: Anyone) -> Response:
    """What can be reported."""
    return answer(form, "services", open311.services())


@router.get("/services/{code}.{form}")
def service(form: Form, code: Annotated[str, Path(max_length=40)], _: Anyone) -> Response:
    """What may be said with a report of one kind."""
    found = SERVICES.get(code)
    if found is None:
        return refused(form, 404, "service_code is not known.")
    return answer(form, "service_definition", open311.service_definition(found))


def limits(start_date: str | None, end_date: str | None, now_ms: int) -> tuple[int, int]:
    """The window asked for; 90 days without one."""
    stop_ms = open311.moment_ms(end_date) if end_date else now_ms + 1
    start_ms = open311.moment_ms(start_date) if start_date else stop_ms - WINDOW_MS
    return start_ms, stop_ms


def numbers(text: str | None) -> tuple[int, ...]:
    """Comma-separated ids; what is no id of ours finds nothing."""
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    return tuple(int(p) for p in parts[:200] if p.isascii() and p.isdigit() and len(p) < 18)


@router.get("/requests.{form}")
def requests(
    form: Form,
    services: ServiceDep,
    _: Anyone,
    service_request_id: Annotated[str | None, Query(max_length=4000)] = None,
    service_code: Annotated[str | None, Query(max_length=400)] = None,
    start_date: Annotated[str | None, Query(max_length=40)] = None,
    end_date: Annotated[str | None, Query(max_length=40)] = None,
    status: Annotated[str | None, Query(max_length=20)] = None,
    extensions: Annotated[bool, Query(description="Also FixMyStreet's extended status.")] = False,
) -> Response:
    """Reports of the last 90 days, or those asked for by number; nobody's name is among them."""
    try:
        ids = numbers(service_request_id)
        if service_request_id and not ids:
            return answer(form, "service_requests", [])
        start_ms, stop_ms = limits(start_date, end_date, services.clock.now_ms())
        if status is not None and not set(status.split(",")) <= {"open", "closed"}:
            return refused(form, 400, "status is open or closed.")
        states = set(status.split(",")) if status else set[str]()
        found = (
            services.ledger.service_requests(ids=ids, limit=MOST)
            if ids
            else services.ledger.service_requests(
                service_codes=tuple((service_code or "").split(",")) if service_code else (),
                start_ms=start_ms,
                stop_ms=stop_ms,
                status=states.pop() if len(states) == 1 else None,
                limit=MOST,
            )
        )
    except BadInputError as error:
        return refused(form, 400, error.message)
    items = [open311.request_item(one, extended=extensions) for one in found]
    return answer(form, "service_requests", items)


@router.get("/requests/{number}.{form}")
def request_by_number(
    form: Form, number: Annotated[str, Path(max_length=20)], services: ServiceDep, _: Anyone
) -> Response:
    """One report and what became of it."""
    ids = numbers(number)
    try:
        found = services.ledger.service_request(ids[0] if ids else 0)
    except NotFoundError:
        return refused(form, 404, "service_request_id was not found.")
    return answer(form, "service_requests", [open311.request_item(found)])


@router.post(
    "/requests.{form}",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {
                    "schema": {
                        "type": "object",
                        "required": ["service_code"],
                        "properties": {
                            name: {"type": "string"}
                            for name in (
                                "api_key", "service_code", "lat", "long", "address_string",
                                "description", "attribute[luminaire]", "attribute[reference]",
                            )
                        },
                    }
                }
            },
        }
    },
)  # fmt: skip
def report(form: Form, sent: Sent, services: ServiceDep, principal: Anyone) -> Response:
    """Report something. A report that says what an open one says gives that one back.

    Needs a key, in the form (`api_key`, as the specification has it) or in the header; who reports
    stays in the city's own case system.
    """
    fields = {name: value for name, value in sent.multi_items() if isinstance(value, str)}
    key = fields.pop("api_key", "")
    who = principal
    if who.via == "public":
        found = by_key(key, services)
        if found is None or not found.has(Role.PARTNER, Role.OPERATOR, Role.ADMIN):
            return refused(form, 403, "api_key is missing or not valid.")
        who = found
    if not who.has(Role.PARTNER, Role.OPERATOR, Role.ADMIN):
        return refused(form, 403, "This key may not report.")
    try:
        made = taken(services, fields)
    except BadInputError as error:
        return refused(form, 400, error.message)
    item = {
        "service_request_id": str(made.id),
        "service_notice": made.answer,
        "account_id": "",
    }
    return answer(form, "service_requests", [item], 201)


def taken(services: Services, fields: dict[str, str]) -> ServiceRequest:
    """The report, matched to a luminaire and its order."""
    wanted = open311.parse_report(fields)
    return services.ledger.report(
        service_code=wanted.service_code,
        now_ms=services.clock.now_ms(),
        description=wanted.description,
        lat=wanted.lat,
        lon=wanted.lon,
        address=wanted.address,
        luminaire_id=wanted.luminaire_id,
        reference=wanted.reference,
    )


@router.get("/servicerequestupdates.{form}")
def updates(
    form: Form,
    services: ServiceDep,
    _: Anyone,
    start_date: Annotated[str | None, Query(max_length=40)] = None,
    end_date: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Changes of reports in a window (FixMyStreet's extension), at most a week."""
    try:
        start_ms, stop_ms = limits(start_date, end_date, services.clock.now_ms())
    except BadInputError as error:
        return refused(form, 400, error.message)
    start_ms = max(start_ms, stop_ms - 7 * DAY_MS)
    found = services.ledger.request_updates(start_ms=start_ms, stop_ms=stop_ms)
    items = [open311.update_item(one) for one in found]
    return answer(form, "service_requests_updates", items)
