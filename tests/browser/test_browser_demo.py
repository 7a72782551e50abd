"""The demo as somebody meets it who has just typed `make demo` and opens the printed address."""

import os
import shutil
from pathlib import Path

import pytest
from contracts.web_site import ARGS
from end_to_end.demo_process import SMALL, DemoProcess
from playwright.sync_api import sync_playwright

pytestmark = [pytest.mark.ui, pytest.mark.slow, pytest.mark.live, pytest.mark.timeout(600)]
SCREENSHOT = Path(__file__).parents[2] / "docs" / "screenshot.png"
# The picture in the README is of the demo as it starts by itself.
RETAKE = os.environ.get("LJUSVAKT_SCREENSHOT") == "1"


def test_the_printed_address_shows_map_orders_and_a_heat_map(
    request: pytest.FixtureRequest, chromium: Path, tmp_path: Path, free_port: int
) -> None:
    folder, size = tmp_path / "demo", () if RETAKE else SMALL
    if not RETAKE:
        shutil.copytree(request.getfixturevalue("told_demo"), folder)
    with DemoProcess(folder, free_port, *size) as demo, sync_playwright() as p:
        ready = demo.wait_for_event("ready", within_s=480)
        browser = p.chromium.launch(executable_path=chromium, args=ARGS)
        context = browser.new_context(
            viewport={"width": 1440, "height": 900}, locale="en-GB", color_scheme="light"
        )
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(ready["url"])
        page.wait_for_selector('#map[data-ready="map"]', timeout=90_000)
        assert page.locator("#orders .order").count() >= 3
        assert int(page.locator('[data-figure="faulty"]').inner_text()) >= 3
        assert "simulated time" in page.locator(".now").inner_text()
        if RETAKE:
            page.screenshot(path=SCREENSHOT)
        page.locator("#orders .order").first.click()
        page.wait_for_selector("figure.picture svg")
        assert page.get_by_role("button", name="Take", exact=True).count() == 1
        page.goto(ready["url"])
        page.locator("a.place-link").first.click()
        page.wait_for_selector("table.heat")
        numbers = [cell.inner_text() for cell in page.locator("table.heat tbody td").all()]
        assert len(numbers) == 168
        assert sum(text not in {"–", ""} for text in numbers) > 100
        assert complaints == []
        browser.close()
