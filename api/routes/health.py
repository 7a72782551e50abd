"""Is it alive, is it ready, and what does it count."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.auth import STAFF, Needs, Principal, Role
from api.metrics import CONTENT_TYPE
from api.problems import problem
from api.routes.shapes import moment
from api.services import ServiceDep

router = APIRouter(tags=["health"])


class PartOut(BaseModel):
    """One part of the program."""

    ok: bool
    detail: str
    needed: bool


class HealthOut(BaseModel):
    """How the program is, and the balance of readings."""

    status: str
    time: str
    simulated_time: bool
    parts: dict[str, PartOut]
    ingest: dict[str, int | float | dict[str, int | float]]


class AliveOut(BaseModel):
    """The process answers."""

    status: str


@router.get("/healthz", dependencies=[Depends(Needs(Role.PUBLIC))])
async def alive() -> AliveOut:
    """Answer while the process lives; it says nothing about brokers or stores."""
    return AliveOut(status="ok")


@router.get("/readyz", dependencies=[Depends(Needs(Role.PUBLIC))])
def ready(services: ServiceDep) -> Response:
    """Answer 200 when requests can be served, else 503 naming what is missing."""
    missing = [name for name, part in services.health().items() if part.needed and not part.ok]
    if missing:
        return problem(503, parts=sorted(missing))
    return Response('{"status":"ready"}', media_type="application/json")


@router.get("/api/v1/health")
def health(
    services: ServiceDep, _: Annotated[Principal, Depends(Needs(*STAFF, Role.PARTNER))]
) -> HealthOut:
    """How each part is, and received = stored + in journal + duplicate + quarantined + refused."""
    parts = {
        name: PartOut(ok=part.ok, detail=part.detail, needed=part.needed)
        for name, part in services.health().items()
    }
    return HealthOut(
        status="ok" if all(part.ok for part in parts.values()) else "degraded",
        time=moment(services.clock.now_ms()) or "",
        simulated_time=services.clock.simulated,
        parts=parts,
        ingest=counted(services.counters()),
    )


def counted(counts: object) -> dict[str, int | float | dict[str, int | float]]:
    """The numbers among the counters, one level of reasons deep."""
    found: dict[str, int | float | dict[str, int | float]] = {}
    for name, value in counts.items() if isinstance(counts, dict) else ():
        if isinstance(value, int | float):
            found[name] = value
        elif isinstance(value, dict):
            found[name] = {str(k): v for k, v in value.items() if isinstance(v, int | float)}
    return found


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    dependencies=[Depends(Needs(Role.OPERATOR, Role.ADMIN, Role.TESTER))],
)
async def metrics(request: Request) -> Response:
    """Everything counted, in Prometheus' text format."""
    text = await run_in_threadpool(request.app.state.metrics.text)
    return Response(text, media_type=CONTENT_TYPE)
