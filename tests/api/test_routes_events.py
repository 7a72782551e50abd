"""The live stream: what comes, where it goes on, when it ends."""

from collections.abc import AsyncIterator

import pytest
from contracts.seeded_city import NOW_MS
from fastapi.sse import ServerSentEvent
from starlette.requests import Request

from api.app import create_app
from api.auth import Principal, Role, access_of, principal_again
from api.operations.work_orders import Action
from api.problems import ProblemError
from api.routes import events
from api.services import Services

pytestmark = pytest.mark.anyio


def request_with(services: Services, key: str) -> Request:
    """A request by a key, as the server would make it."""
    scope = {
        "type": "http", "method": "GET", "path": "/api/v1/events", "query_string": b"",
        "headers": [(b"authorization", f"Bearer {key}".encode())],
        "client": ("127.0.0.1", 1), "app": create_app(services), "state": {},
    }  # fmt: skip
    return Request(scope)


def opened(
    services: Services, *, areas: tuple[str, ...] = (), last: str | None = None
) -> tuple[Request, Principal, AsyncIterator[ServerSentEvent], str]:
    made = services.ledger.create_key("watch", roles=["crew"], areas=areas, now_ms=NOW_MS)
    request = request_with(services, made.secret)
    principal = Principal(
        f"key:{made.key.public_id}", "watch", frozenset({Role.CREW}),
        frozenset(areas) or None, "key",
    )  # fmt: skip
    stream = events.events(request, services, principal, last)
    return request, principal, stream.__aiter__(), made.key.public_id


def take(services: Services, order_id: int) -> None:
    services.ledger.transition(
        order_id, Action.ASSIGN, version=None, actor="anna", assignee="anna", now_ms=NOW_MS
    )


async def test_what_changes_is_told_by_rising_ids(services: Services) -> None:
    _, _, stream, _ = opened(services)
    assert (await anext(stream)).retry == 3000
    take(services, 3)
    take(services, 4)
    first, second = await anext(stream), await anext(stream)
    assert [first.event, second.event] == ["work_order", "work_order"]
    assert [first.data["subject"], second.data["subject"]] == ["3", "4"]
    assert int(str(first.id)) < int(str(second.id))


async def test_a_stream_goes_on_behind_the_last_id_seen(services: Services) -> None:
    before = services.ledger.stream_position()
    take(services, 3)
    _, _, stream, _ = opened(services, last=str(before))
    await anext(stream)
    assert (await anext(stream)).data["subject"] == "3"


@pytest.mark.parametrize("last", ["999999999", "-1", "x", "9" * 30])
async def test_an_id_from_the_future_resumes_at_the_newest(last: str, services: Services) -> None:
    assert await events.resumed_at(services, last) == services.ledger.stream_position()


async def test_a_crew_is_told_of_its_own_areas_only(services: Services) -> None:
    _, _, stream, _ = opened(services, areas=("Söder",))
    await anext(stream)
    take(services, 4)
    take(services, 3)
    assert (await anext(stream)).data["subject"] == "3"


async def test_the_stream_ends_when_the_key_is_revoked(services: Services) -> None:
    request, principal, stream, public_id = opened(services)
    await anext(stream)
    assert principal_again(request, principal) is not None
    services.ledger.revoke_key(public_id, now_ms=NOW_MS)
    assert [event async for event in stream] == []


async def test_the_stream_ends_when_the_server_stops(services: Services) -> None:
    _, _, stream, _ = opened(services)
    await anext(stream)
    services.closing.set()
    assert [event async for event in stream] == []


async def test_each_has_a_few_places_at_the_stream_and_gives_them_back(services: Services) -> None:
    services.streams_per_principal = 1
    request, principal, _, _ = opened(services)
    async with events.stream_place(request, principal):
        with pytest.raises(ProblemError) as refused:
            async with events.stream_place(request, principal):
                pass
        assert refused.value.status_code == 429
    assert access_of(request).streams == {}
    async with events.stream_place(request, principal):
        assert access_of(request).streams == {principal.id: 1}
