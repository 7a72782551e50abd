"""Log reports of TALQ gateways: by HTTP in, then the same path as every other message."""

import hashlib
import json
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from api.auth import Needs, Principal, Role
from api.hand_in import TakesDecoded
from api.ledger.repeats import RememberedAnswer
from api.problems import ProblemError, problem
from api.routes.repeats import key_of
from api.services import ServiceDep, Services
from ingest.errors import IngestError, JournalError
from ingest.wire.talq import LogReport, decode

router = APIRouter(tags=["TALQ"])


def taken(hand_in: TakesDecoded, body: bytes) -> LogReport:
    """The report, once everything usable in it is durable.

    Raises
    ------
    ProblemError
        400 when it is none at all; 503 when the journal takes nothing, and the same again is safe.
    """
    try:
        report = decode(body, hand_in.registry)
        hand_in.keep(report.by_device())
    except JournalError as error:
        raise ProblemError(503, detail=str(error), headers={"Retry-After": "30"}) from error
    except IngestError as error:
        raise ProblemError(400, detail=str(error)) from error
    return report


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


def told(status: int, entries: list[dict[str, Any]]) -> Response:
    """The entries that could not be used, beside those that stand, or alone as a problem."""
    if status < 400:
        return JSONResponse(entries, status)
    return problem(status, "No entry of this report can be used", entries=entries)


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
    if services.hand_in is None:
        raise ProblemError(503, detail="No collector runs in this process.")
    body = await request.body()
    who, digest = f"talq/{principal.id}", hashlib.sha256(body).hexdigest()
    before = await run_in_threadpool(answered, services, who, request_id, None)
    if before is not None:
        if before.request_digest != digest:
            raise ProblemError(422, "This talqRequestId was used for another report")
        return told(before.status, json.loads(before.body))
    report = await run_in_threadpool(taken, services.hand_in, body)
    problems = [
        {"entry": p.index, "reason": p.reason.value, "description": p.detail}
        for p in report.problems
    ]
    nothing_good = problems and not (report.decoded.series or report.decoded.events)
    answer = RememberedAnswer(digest, 422 if nothing_good else 201, json.dumps(problems))
    await run_in_threadpool(answered, services, who, request_id, answer)
    return told(answer.status, problems)
