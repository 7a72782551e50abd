"""Log reports of TALQ gateways: by HTTP in, then the same path as every other message."""

import hashlib
import json
from collections import defaultdict
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from api.auth import Needs, Principal, Role
from api.ledger.repeats import RememberedAnswer
from api.problems import ProblemError
from api.routes.repeats import key_of
from api.services import ServiceDep, Services
from ingest.devices import DeviceEntry, Registry
from ingest.errors import IngestError
from ingest.reading import Decoded
from ingest.wire.talq import LogReport, decode

router = APIRouter(tags=["TALQ"])
GROUP = "talq"
ROWS = 400


def registry_of(services: Services) -> Registry:
    """The devices that exist; unknown ones only while enrolment is on."""
    devices = [DeviceEntry(device_id=asset.device_id) for asset in services.ledger.assets()]
    return Registry(devices, enrol=services.settings.rounds.enrol)


def messages_of(decoded: Decoded, now_ms: int) -> list[tuple[str, bytes]]:
    """What a report held, as native messages: identity stays (device, quantity, time).

    An entry without a time of its own is dated when it came.
    """
    found: list[tuple[str, bytes]] = []
    for series in decoded.series:
        times = [t or now_ms for t in series.time_ms]
        rows = sorted(zip(times, series.value, strict=True))
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            t0 = part[0][0]
            body = {"t0": t0, "dt": [t - t0 for t, _ in part], "v": [v for _, v in part]}
            topic = f"ljusvakt/v1/{GROUP}/{series.device_id}/{series.quantity.value}"
            found.append((topic, msgspec.json.encode(body)))
    events: dict[str, list[Any]] = defaultdict(list)
    for event in decoded.events:
        events[event.device_id].append(event)
    for device_id, own in events.items():
        own.sort(key=lambda e: e.time_ms or now_ms)
        for start in range(0, len(own), ROWS):
            told = own[start : start + ROWS]
            t0 = told[0].time_ms or now_ms
            report = {
                "t0": t0,
                "dt": [(e.time_ms or now_ms) - t0 for e in told],
                "e": [{"event": e.event, "active": e.active, "info": e.info} for e in told],
            }
            topic = f"ljusvakt/v1/{GROUP}/{device_id}/events"
            found.append((topic, msgspec.json.encode(report)))
    return found


def read(services: Services, body: bytes) -> LogReport:
    """The report, decoded.

    Raises
    ------
    ProblemError
        400 when it is none at all.
    """
    try:
        return decode(body, registry_of(services))
    except IngestError as error:
        raise ProblemError(400, detail=str(error)) from error


def answered(
    services: Services, who: str, request_id: UUID, answer: RememberedAnswer | None
) -> RememberedAnswer | None:
    """What this request was answered before; else `answer` is kept, where there is one.

    Readings have an identity of their own, so two reports at once make no reading twice.
    """
    now_ms = services.clock.now_ms()
    with services.ledger.once(who, key_of(str(request_id)), now_ms=now_ms) as turn:
        if turn.before is None:
            turn.answer = answer
        return turn.before


@router.post(
    "/log-reports",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
)
async def log_reports(
    request: Request,
    services: ServiceDep,
    principal: Annotated[Principal, Depends(Needs(Role.OPERATOR, Role.ADMIN))],
    client_address: Annotated[UUID, Query(alias="clientAddress")],
    request_id: Annotated[UUID, Query(alias="talqRequestId")],
    talq_api_version: Annotated[str | None, Header(max_length=20)] = None,
) -> Response:
    """Take a log report of a TALQ 2.7 gateway; the same `talqRequestId` again has no second effect.

    Answered 201 once everything usable is durable; entries that could not be used are listed, and
    the others stand.
    """
    del client_address, talq_api_version
    if services.send is None:
        raise ProblemError(503, detail="No collector runs in this process.")
    body = await request.body()
    who, digest = f"talq/{principal.id}", hashlib.sha256(body).hexdigest()
    before = await run_in_threadpool(answered, services, who, request_id, None)
    if before is not None:
        if before.request_digest != digest:
            raise ProblemError(422, "This talqRequestId was used for another report")
        return JSONResponse(json.loads(before.body), before.status)
    report = await run_in_threadpool(read, services, body)
    for topic, payload in messages_of(report.decoded, services.clock.now_ms()):
        await services.send(topic, payload)
    problems = [
        {"entry": p.index, "reason": p.reason.value, "description": p.detail}
        for p in report.problems
    ]
    nothing_good = problems and not (report.decoded.series or report.decoded.events)
    answer = RememberedAnswer(digest, 422 if nothing_good else 201, json.dumps(problems))
    await run_in_threadpool(answered, services, who, request_id, answer)
    return JSONResponse(problems, answer.status)
