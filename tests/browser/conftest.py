"""A real browser against a real server on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts.running_app import running_app
from contracts.seeded_city import seeded_services
from contracts.web_site import ARGS, Site
from playwright.sync_api import Browser, sync_playwright


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
    with running_app(services) as where:
        yield Site(f"http://{where}", services)
    services.ledger.close()


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """Headless Chromium with software WebGL."""
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=chromium, args=ARGS)
        yield one
        one.close()
