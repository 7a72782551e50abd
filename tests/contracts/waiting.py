"""Waiting for what offers no event: another process, a real server, a page."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["eventually", "until"]

Answer = TypeVar("Answer")


def eventually(ask: Callable[[], Answer], *, within_s: float = 60, pause_s: float = 0.1) -> Answer:
    """The first answer that is not empty."""
    end_s = time.monotonic() + within_s
    while not (answer := ask()):
        assert time.monotonic() < end_s, f"not within {within_s} s"
        time.sleep(pause_s)
    return answer


async def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Return when the condition holds, in a test that has tasks of its own running."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)
