"""Live pages: what changed, as it changes (Server-Sent Events)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from api.auth import STAFF, Needs, Principal, access_of, principal_again
from api.problems import ProblemError
from api.services import ServiceDep, Services

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["live"])
POLL_S = 1.0
BATCH = 200


@asynccontextmanager
async def stream_place(request: Request, principal: Principal) -> AsyncGenerator[None]:
    """One of the places at the stream, of which each principal has a few.

    Raises
    ------
    ProblemError
        429 when all its places, or all there are, are taken.
    """
    services, access = request.app.state.services, access_of(request)
    with access.lock:
        mine = access.streams.get(principal.id, 0)
        total = sum(access.streams.values())
        if mine >= services.streams_per_principal or total >= services.max_streams:
            raise ProblemError(429, headers={"Retry-After": "30"})
        access.streams[principal.id] = mine + 1
    try:
        yield
    finally:
        with access.lock:
            access.streams[principal.id] -= 1
            if not access.streams[principal.id]:
                del access.streams[principal.id]


async def place_at_stream(
    request: Request, principal: Annotated[Principal, Depends(Needs(*STAFF))]
) -> AsyncGenerator[Principal]:
    """Hold a place for as long as the answer lasts."""
    async with stream_place(request, principal):
        yield principal


async def resumed_at(services: Services, last_event_id: str | None) -> int:
    """Where to go on; an id from the future, or none, resumes at the newest."""
    newest = await run_in_threadpool(services.ledger.stream_position)
    if last_event_id is None or not last_event_id.isdigit() or len(last_event_id) > 18:
        return newest
    return min(int(last_event_id), newest)


@router.get("/events", response_class=EventSourceResponse)
async def events(
    request: Request,
    services: ServiceDep,
    principal: Annotated[Principal, Depends(place_at_stream)],
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> AsyncIterable[ServerSentEvent]:
    """What live pages are told: kind, subject and content, by rising id.

    The stream ends when the session or key is revoked; a client connects again with the id it saw
    last and misses nothing.
    """
    after = await resumed_at(services, last_event_id)
    yield ServerSentEvent(comment="ljusvakt", retry=3000)
    while not services.closing.is_set():
        # Who may see what can change while the stream is open: ask again every time.
        now = await run_in_threadpool(principal_again, request, principal)
        if now is None:
            return
        found = await run_in_threadpool(
            services.ledger.stream, after=after, limit=BATCH, areas=now.area_filter
        )
        for one in found:
            after = one.id
            yield ServerSentEvent(
                id=str(one.id),
                event=one.kind,
                data={"subject": one.subject, "at_ms": one.at_ms, **one.content},
            )
        if len(found) < BATCH:
            await wait_or_close(services)


async def wait_or_close(services: Services) -> None:
    """Until it is time to look again, or the server stops."""
    try:
        async with asyncio.timeout(POLL_S):
            await services.closing.wait()
    except TimeoutError:
        return
