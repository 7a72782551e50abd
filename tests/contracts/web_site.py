"""A running server and a page of a real browser, for the tests in `tests/browser`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page

from api.services import Services

ARGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SIZES = {"phone": (390, 844), "desk": (1440, 900)}


@dataclass(frozen=True)
class Site:
    """A running server and what is behind it."""

    url: str
    services: Services


@contextmanager
def page_of(
    browser: Browser, site: Site, *, size: str = "desk", locale: str = "sv-SE", **more: Any
) -> Iterator[tuple[Page, list[str]]]:
    """A page in a context of its own, and everything the browser complained about."""
    width, height = SIZES[size]
    context = browser.new_context(
        base_url=site.url, viewport={"width": width, "height": height}, locale=locale, **more
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console",
        lambda m: complaints.append(m.text) if m.type in {"error", "warning"} else None,
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page, complaints
    context.close()
