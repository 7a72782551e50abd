"""The pages as people meet them: drawn, readable, light, and closed to what does not belong."""

import gzip
import os
import re
from io import BytesIO
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from contracts.waiting import eventually
from contracts.web_site import SIZES, Site, page_of
from PIL import Image
from playwright.sync_api import Browser, Page, Route

from analytics.findings import FindingKind
from api.operations.work_orders import Action
from api.routes import city_map
from api.snapshots import Snapshots

pytestmark = [pytest.mark.ui, pytest.mark.slow]
PAGES = ["/", "/orders", "/orders/4", "/crew", "/places", "/places/Dalhemstunneln", "/planning",
         "/planning/interventions/new",
         "/luminaires?show=faulty", "/docs", "/login", "/admin/users", "/admin/users/Anna%20Ek",
         "/admin/keys", "/admin/audit", "/admin/assets"]  # fmt: skip
SCREENSHOT = Path(__file__).parents[2] / "docs" / "screenshot.png"


def with_map(page: Page) -> None:
    page.goto("/")
    page.wait_for_selector('#map[data-ready="map"]', timeout=60_000)


def test_the_first_page_shows_map_orders_and_figures(browser: Browser, site: Site) -> None:
    with page_of(browser, site, color_scheme="light") as (page, complaints):
        with_map(page)
        assert page.locator("#map canvas").count() == 1
        assert page.locator("#orders .order").count() == 6
        first = page.locator("#orders .order").first.inner_text()
        assert "Släckt: 5 armaturer, sträcka Regementsvägen" in first
        assert "akut" in first
        figures = {
            e.get_attribute("data-figure"): e.inner_text()
            for e in page.locator("[data-figure]").all()
        }
        assert {k: figures[k] for k in ("ok", "faulty", "unknown", "planned")} == {
            "ok": "40", "faulty": "20", "unknown": "1", "planned": "2",
        }  # fmt: skip
        assert "simulerad tid" in page.locator(".now").inner_text()
        # The busiest place stands above its heat map and in the list of places.
        assert page.locator('a[href="/places/Dalhemstunneln"]').count() == 2
        assert page.locator("table.heat tbody td").count() == 7 * 24
        assert complaints == []
        if os.environ.get("LJUSVAKT_SCREENSHOT") == "1":
            page.screenshot(path=SCREENSHOT)


def test_the_map_draws_lamps_by_their_state(browser: Browser, site: Site) -> None:
    with page_of(browser, site, color_scheme="light") as (page, _):
        with_map(page)
        shot = page.locator("#map").screenshot()
    flat = Image.open(BytesIO(shot)).convert("RGB").tobytes()
    pixels = list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))
    red = sum(r > 160 and g < 90 and b < 60 for r, g, b in pixels)
    green = sum(g > r + 40 and g > b + 15 and r < 90 for r, g, b in pixels)
    assert red > 300
    assert green > 200


def test_a_map_with_too_much_on_it_asks_again_for_what_is_in_view(
    browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(city_map, "MOST_ON_MAP", 30)
    site.services.answers = Snapshots(most=64)
    with page_of(browser, site) as (page, complaints):
        with_map(page)
        with page.expect_response(re.compile(r"/api/v1/map\?bbox=")) as asked:
            page.get_by_role("button", name="Zooma in").click()
        shown = asked.value.json()["luminaires"]
        west, south, east, north = map(float, asked.value.url.partition("=")[2].split(","))
        assert 0 < len(shown["id"]) <= 30
        assert all(west <= lon <= east for lon in shown["lon"])
        assert all(south <= lat <= north for lat in shown["lat"])
        assert complaints == []
    site.services.answers = Snapshots(most=64)


def test_without_webgl_the_way_to_the_list_is_shown(browser: Browser, site: Site) -> None:
    with page_of(browser, site) as (page, _):
        page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        page.goto("/")
        page.wait_for_selector('#map[data-ready="list"]')
        assert "kan inte rita kartan" in page.locator("#map").inner_text()


def test_the_first_page_follows_what_happens(browser: Browser, site: Site) -> None:
    with page_of(browser, site) as (page, _):
        page.goto("/")
        page.wait_for_selector("#orders .order")
        ledger = site.services.ledger
        before = ledger.work_order(3).order
        ledger.transition(
            3,
            Action.ASSIGN,
            version=before.version,
            actor="anna",
            assignee="anna",
            now_ms=site.services.clock.now_ms(),
        )
        chip = page.wait_for_selector('li[data-order="3"] .chip.assigned', timeout=20_000)
        assert chip is not None
        assert chip.is_visible()


def test_a_crew_takes_starts_and_finishes_an_order_by_its_buttons(
    browser: Browser, site: Site
) -> None:
    with page_of(browser, site, size="phone") as (page, complaints):
        page.goto("/orders/2")
        assert page.get_by_role("button", name="Ta", exact=True).bounding_box()["height"] >= 64  # type: ignore[index]
        for name, chip in (("Ta", ".chip.assigned"), ("Börja", ".chip.started")):
            page.get_by_role("button", name=name, exact=True).click()
            page.wait_for_selector(f".top {chip}")
        page.get_by_text("Klart", exact=True).first.click()
        page.locator("#note-done").fill("bytte ljuskälla")
        page.get_by_role("button", name="Klart", exact=True).click()
        page.wait_for_selector(".top .chip.done")
        assert "bytte ljuskälla" in page.locator(".timeline").inner_text()
        assert complaints == []
    steps = [s.action for s in site.services.ledger.work_order(2).history]
    assert steps == ["create", "assign", "start", "done"]


def test_the_same_works_without_scripts(browser: Browser, site: Site) -> None:
    with page_of(browser, site, size="phone", java_script_enabled=False) as (page, _):
        page.goto("/orders/1")
        page.get_by_role("button", name="Ta", exact=True).click()
        assert page.locator(".top .chip.assigned").count() == 1


def unsent(route: Route) -> None:
    if route.request.method == "POST":
        route.abort("internetdisconnected")
    else:
        route.fallback()


def test_without_network_the_list_is_read_and_a_step_waits_its_turn(
    browser: Browser, site: Site
) -> None:
    with page_of(browser, site, size="phone") as (page, _):
        page.goto("/crew")
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        page.goto("/crew")
        # The worker fetches the orders of the list.
        eventually(lambda: page.evaluate("() => caches.match('/orders/5').then(Boolean)"))
        page.context.set_offline(True)
        # A new document may be online for a moment before the browser remembers that it is not.
        page.context.route("**/*", unsent)
        page.goto("/orders/5")
        page.wait_for_selector("html.is-offline")
        page.get_by_role("button", name="Ta", exact=True).click()
        page.wait_for_selector("#outbox .notice")
        assert "Offline" in page.locator(".offline").inner_text()
        assert "väntar på att skickas" in page.locator("#outbox").inner_text()
        assert site.services.ledger.work_order(5).order.version == 1
        page.context.unroute("**/*", unsent)
        page.context.set_offline(False)
        page.wait_for_selector("#outbox .notice", state="detached", timeout=30_000)
    history = site.services.ledger.work_order(5).history
    assert [step.action for step in history] == ["create", "assign"]


def test_a_step_that_came_too_late_is_shown_not_lost(browser: Browser, site: Site) -> None:
    with page_of(browser, site, size="phone") as (page, _):
        page.goto("/orders/6")
        ledger = site.services.ledger
        ledger.transition(
            6, Action.NOTE, version=None, actor="bo", note="x", now_ms=site.services.clock.now_ms()
        )
        page.get_by_role("button", name="Ta", exact=True).click()
        page.wait_for_selector("#outbox .notice.bad")
        text = page.locator("#outbox").inner_text()
        assert "#6" in text
        assert "togs inte emot" in text
        page.get_by_role("button", name="Släng").click()
        page.wait_for_selector("#outbox .notice", state="detached")
    assert ledger.work_order(6).order.assignee == ""


@pytest.mark.parametrize(("size", "scheme"), [("phone", "light"), ("desk", "dark")])
def test_axe_finds_nothing_on_any_page(
    size: str, scheme: str, browser: Browser, site: Site
) -> None:
    told: list[tuple[str, str, list[str]]] = []
    with page_of(browser, site, size=size, color_scheme=scheme) as (page, _):
        for path in PAGES:
            page.goto(path)
            found = Axe().run(page, context={"exclude": [["#map canvas"]]})
            told += [
                (path, v["id"], [n["target"] for n in v["nodes"]][:3])
                for v in found.response["violations"]
            ]
    assert told == []


def test_high_contrast_passes_axe_as_well(browser: Browser, site: Site) -> None:
    with page_of(browser, site, size="phone") as (page, _):
        page.goto("/crew?theme=contrast")
        assert page.locator('html[data-theme="contrast"]').count() == 1
        assert Axe().run(page).response["violations"] == []


@pytest.mark.parametrize(
    ("path", "budget"), [("/crew", 60_000), ("/orders/4", 60_000), ("/", 700_000)]
)
def test_a_page_stays_within_its_weight(
    path: str, budget: int, browser: Browser, site: Site
) -> None:
    weights: dict[str, int] = {}
    with page_of(browser, site) as (page, _):
        page.on(
            "response",
            lambda r: (
                weights.__setitem__(r.url, len(gzip.compress(r.body(), 6)))
                if r.status == 200 and "/events" not in r.url
                else None
            ),
        )
        if path == "/":
            with_map(page)
        else:
            page.goto(path)
            page.wait_for_load_state("load")
            page.wait_for_timeout(300)
    assert weights
    assert all(url.startswith(site.url) for url in weights)
    assert sum(weights.values()) <= budget
    if path == "/":
        assert sum(weights.values()) > 300_000, "the map's library was not among them"


def test_what_people_write_is_shown_as_text(browser: Browser, site: Site) -> None:
    evil = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\"'`=1+1"
    ledger = site.services.ledger
    order = ledger.create_work_order(
        device_ids=["hbg-f-12-01"],
        kind=FindingKind.LAMP_FAILURE,
        actor=evil[:60],
        note=evil,
        now_ms=site.services.clock.now_ms(),
        simulated=True,
    )
    with page_of(browser, site) as (page, complaints):
        page.on("dialog", lambda d: pytest.fail(f"a script ran: {d.message}"))
        for path in (f"/orders/{order.id}", "/", "/orders"):
            page.goto(path)
            page.wait_for_load_state("load")
            assert page.locator("img[src=x]").count() == 0
        assert [c for c in complaints if "Content Security" in c or "Refused" in c] == []


@pytest.mark.parametrize(("locale", "word"), [("sv-SE", "Översikt"), ("en-GB", "Overview")])
def test_the_browsers_language_is_spoken_and_the_switch_remembers(
    locale: str, word: str, browser: Browser, site: Site
) -> None:
    with page_of(browser, site, locale=locale) as (page, _):
        page.goto("/")
        assert page.locator("h1").inner_text() == word
        other = "English" if locale.startswith("sv") else "Svenska"
        page.locator("details.settings summary").click()
        page.get_by_role("link", name=other).click()
        page.goto("/orders")
        assert page.locator("h1").inner_text() == (
            "Work orders" if other == "English" else "Arbetsorder"
        )


def test_every_page_is_whole_on_a_phone_and_at_a_desk_in_both_languages(
    browser: Browser, site: Site, tmp_path: Path
) -> None:
    """Screenshots for eyes; here only that none is blank, broken or untranslated."""
    for locale in ("sv-SE", "en-GB"):
        for size in ("phone", "desk"):
            with page_of(browser, site, size=size, locale=locale) as (page, complaints):
                for n, path in enumerate(PAGES):
                    page.goto(path)
                    shot = tmp_path / f"{n}-{size}-{locale}.png"
                    page.screenshot(path=shot)
                    colours = Image.open(shot).convert("RGB").getcolors(1 << 24)
                    assert colours is not None
                    assert len(colours) > 50, path
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    assert wide <= SIZES[size][0], path
                    assert not re.search(
                        r"\bNone\b|undefined|%\(", page.locator("main").inner_text()
                    )
                assert complaints == []
