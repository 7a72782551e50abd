"""A process that works until it is told to stop."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from api.bootstrap import Part, Platform, bind, open_platform
from api.clock import Clock
from api.progress import Progress
from api.settings import Settings

__all__ = ["keep_what_is_here", "run_until_stopped", "side_by_side", "stop_signal", "until"]

Work = Coroutine[Any, Any, None]
HEARS_WITHIN_S = 10.0


async def run_until_stopped(
    settings: Settings, parts: Part, progress: Progress, *, adopt: bool = False
) -> None:
    """Open what the parts need and work until SIGINT or SIGTERM."""
    listener = bind(settings.http.host, settings.http.port) if Part.PAGES in parts else None
    stopping = stop_signal()
    async with open_platform(
        settings, clock=Clock(), parts=parts, adopt=adopt, told=progress.step
    ) as platform:
        async with side_by_side(platform.run(listener)) as died:
            await _hearing(platform, died, stopping, progress)
            keep_what_is_here()
            _tell_ready(platform, listener, progress)
            await until(died, stopping)
        progress.step("stopping", "stopping")


def keep_what_is_here() -> None:
    """Leave what was made up to now out of every later search for unused memory.

    A search through all modules and tables of the program holds the interpreter for more than a
    tenth of a second, and every message that comes meanwhile waits.
    """
    gc.collect()
    gc.freeze()


async def _hearing(
    platform: Platform, died: "asyncio.Future[None]", stopping: asyncio.Event, progress: Progress
) -> None:
    """Be ready when the collector hears: what is sent from then on is not missed.

    A broker that stays away holds nobody up for long; the pages are of use without it.
    """
    if platform.subscribed is None:
        return
    heard, told = (asyncio.ensure_future(e.wait()) for e in (platform.subscribed, stopping))
    ends: set[asyncio.Future[Any]] = {died, heard, told}
    done, _ = await asyncio.wait(ends, timeout=HEARS_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    heard.cancel()
    told.cancel()
    if not done:
        progress.step("limit", "  the broker does not answer yet; the collector tries on")


def _tell_ready(platform: Platform, listener: socket.socket | None, progress: Progress) -> None:
    if listener is None:
        progress.step("ready", "at work   (Ctrl-C ends it)")
        return
    url = f"{platform.settings.http.address.rstrip('/')}/"
    progress.step("ready", f"open {url}   (Ctrl-C ends it)", url=url)
    link = platform.first_sign_in(url)
    if link:
        progress.step("first_sign_in", f"nobody can sign in yet; this link works once: {link}")


def stop_signal() -> asyncio.Event:
    """Set on SIGINT or SIGTERM; a second one ends the process at once."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(130)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return stopping


async def until(work: "Work | asyncio.Future[None]", stopping: asyncio.Event) -> None:
    """Wait for the work or for the signal to stop; what the work raised is raised."""
    doing = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({doing, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if doing.done():
        doing.result()
    else:
        doing.cancel()
        with suppress(asyncio.CancelledError):
            await doing


@asynccontextmanager
async def side_by_side(*work: Work) -> AsyncGenerator["asyncio.Future[None]"]:
    """Run these at once; yields a future that ends, or fails, with the first of them."""
    tasks = [asyncio.ensure_future(one) for one in work]
    died: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ended(task: "asyncio.Future[None]") -> None:
        if died.done() or task.cancelled():
            return
        if error := task.exception():
            died.set_exception(error)
        else:
            died.set_result(None)

    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield died
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        died.cancel()
