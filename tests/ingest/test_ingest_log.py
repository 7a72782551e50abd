"""A line that cannot be written costs the line, never the work."""

import asyncio
from collections.abc import Generator, MutableMapping
from typing import Any

import pytest
import structlog

from ingest.errors import StoreAwayError
from ingest.log import Log
from ingest.shipper import EmptyingLoop


@pytest.fixture
def unwritable() -> Generator[list[str]]:
    """As where no descriptor is left: rendering imports a module, which cannot be opened."""
    tried: list[str] = []

    def render(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        tried.append(event["event"])
        raise ImportError("Too many open files")

    structlog.configure(processors=[render], cache_logger_on_first_use=False)
    yield tried
    structlog.reset_defaults()


def test_the_bare_words_are_written_where_the_line_cannot_be(
    unwritable: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    log = Log("x")
    for tell in (log.info, log.warning, log.error, log.exception):
        tell("something", fact=1)
    assert len(unwritable) == 4
    lines = [f"{level}: something" for level in ("info", "warning", "error", "exception")]
    assert capfd.readouterr().err.splitlines() == lines


@pytest.mark.anyio
@pytest.mark.parametrize("failure", [StoreAwayError("away"), ZeroDivisionError("a bug")])
async def test_the_journal_is_emptied_although_its_failures_cannot_be_told(
    unwritable: list[str], failure: Exception
) -> None:
    steps = 0
    emptied = asyncio.Event()

    def step() -> bool:
        nonlocal steps
        steps += 1
        if steps < 3:
            raise failure
        loop.call_soon_threadsafe(emptied.set)
        return False

    loop = asyncio.get_running_loop()
    emptying = EmptyingLoop(step, lambda: 0, lambda: 0, draw=lambda: 0.0)
    running = asyncio.create_task(emptying.run())
    await asyncio.wait_for(emptied.wait(), 10)
    assert not running.done()
    assert len(unwritable) >= 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
