"""What everybody asks for is made before somebody does."""

import asyncio

import pytest
from contracts.seeded_city import client_over
from fastapi.testclient import TestClient
from sqlalchemy import event

from api import warming
from api.errors import BusyError
from api.services import Services
from api.warming import keep_warm, warm


def test_nobody_waits_for_the_states_of_the_whole_city(
    demo_services: Services, demo: TestClient
) -> None:
    asked: list[str] = []

    def listen(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    warm(demo_services)
    event.listen(demo_services.ledger.database.reader, "before_cursor_execute", listen)
    assert demo.get("/").status_code == 200
    assert asked
    assert not [text for text in asked if "luminaire_states" in text or "FROM assets" in text]


def test_a_server_at_work_warms_itself(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[Services] = []
    monkeypatch.setattr(warming, "warm", warmed.append)
    with client_over(services) as client:
        assert client.get("/healthz").status_code == 200
    assert warmed[0] is services


@pytest.mark.anyio
async def test_what_fails_is_tried_again(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = asyncio.Event()
    loop = asyncio.get_running_loop()
    turns: list[int] = []

    def failing(_: Services) -> None:
        turns.append(1)
        if len(turns) == 1:
            raise BusyError("not now")
        loop.call_soon_threadsafe(again.set)

    monkeypatch.setattr(warming, "warm", failing)
    monkeypatch.setattr(warming, "EVERY_S", 0.0)
    task = asyncio.create_task(keep_warm(services))
    await asyncio.wait_for(again.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
