"""A real browser against a real server on this machine."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from contracts.seeded_city import seeded_services
from contracts.web_site import ARGS, Site
from playwright.sync_api import Browser, sync_playwright

from api.app import create_app


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The small city behind uvicorn, with the demo's door open."""
    services = seeded_services(tmp_path_factory.mktemp("city"), demo=True)
    ledger, now_ms = services.ledger, services.clock.now_ms()
    ledger.create_user("Anna Ek", roles=["crew"], areas=["Söder"], now_ms=now_ms)
    ledger.create_key("karta", roles=["partner"], now_ms=now_ms)
    ledger.audit(
        actor="drift", action="key_created", subject="karta", now_ms=now_ms,
        details={"roles": ["partner"]},
    )  # fmt: skip
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        config = uvicorn.Config(
            create_app(services), log_level="warning", timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        ready = threading.Event()
        loops: list[asyncio.AbstractEventLoop] = []

        async def served() -> None:
            loops.append(asyncio.get_running_loop())
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
                await asyncio.sleep(0.01)
            ready.set()
            await serving

        thread = threading.Thread(target=asyncio.run, args=(served(),), daemon=True)
        thread.start()
        assert ready.wait(30)
        yield Site(f"http://127.0.0.1:{port}", services)
        loops[0].call_soon_threadsafe(services.closing.set)
        server.should_exit = True
        thread.join(20)
    services.ledger.close()


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """Headless Chromium with software WebGL."""
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=chromium, args=ARGS)
        yield one
        one.close()
