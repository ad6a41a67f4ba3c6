"""The page in a real browser: Debian's chromium, driven by Playwright, and axe-core's rules of accessibility."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from homefeed.serving.process import free_port
from tests import documents
from tests.serving.gateway import toy
from tests.serving.gateway.conftest import home, models, root  # noqa: F401  Fixtures.
from tests.serving.gateway.toy import Gateway
from tests.serving.servers import eventually
from tests.serving.strangers import workshop

pytestmark = pytest.mark.strangers

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
LOOKS = [
    pytest.param(lang, scheme, size, id=f"{lang}-{scheme}-{size['width']}")
    for lang, scheme, size in itertools.product(("en", "zh"), ("light", "dark"), (PHONE, DESKTOP))
]
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"/>'
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint').map(paint => paint.startTime)"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=workshop.need("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, home: Gateway) -> Iterator[Any]:  # noqa: F811
    """Opens the page in a browser of its own; nothing may be refused, lacking, or thrown in it."""
    opened, complaints = [], list[str]()

    def failed(address: str, why: str) -> None:
        if "ERR_ABORTED" not in why:  # A page that was left meanwhile.
            complaints.append(f"{address}: {why}")

    def open_page(address: str = "/", **settings: Any) -> Any:
        context = chromium.new_context(
            base_url=f"http://127.0.0.1:{home.port}", locale="en-GB", reduced_motion="reduce", **settings
        )
        context.route(
            "https://pictures.test/**", lambda route: route.fulfill(body=PICTURE, content_type="image/svg+xml")
        )
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: failed(request.url, str(request.failure)))
        opened.append(context)
        page.goto(address)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert complaints == []


@pytest.mark.parametrize(("lang", "scheme", "size"), LOOKS)
def test_axe_finds_nothing_and_nothing_sticks_out(visit: Any, lang: str, scheme: str, size: dict[str, int]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = visit(f"/?lang={lang}", color_scheme=scheme, viewport=size)
    page.locator("button[value^='like:']").first.click()
    page.locator(".notice").wait_for()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_axe_finds_a_fault_that_is_planted(visit: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = visit()
    page.evaluate("document.querySelector('button[value^=\"like:\"]').style.color = '#ccc'")
    page.evaluate("document.documentElement.removeAttribute('lang')")
    assert {fault["id"] for fault in Axe().run(page).response["violations"]} >= {"color-contrast", "html-has-lang"}


def opened_items(page: Any) -> list[str]:
    buttons = page.locator("button[value^='view:']").evaluate_all("all => all.map(one => one.value)")
    return [value.removeprefix("view:") for value in buttons]


def test_a_press_acts_on_this_page_without_another(visit: Any) -> None:
    page = visit()
    page.evaluate("window.stays = true")
    first = opened_items(page)[0]
    page.locator(f"button[value='not_for_me:{first}']").click()
    page.locator(".notice").wait_for()
    assert first not in opened_items(page) and page.evaluate("window.stays")
    assert page.evaluate("document.activeElement.className") == "notice"  # What a screen reader says next.
    page.locator(f"button[value='undo:{first}']").click()
    page.locator(f"button[value='view:{first}']").first.wait_for()
    page.locator(f"button[value='like:{first}']").click()
    page.locator("button[value^='remove_tag:']").first.wait_for()
    assert first not in opened_items(page)


def test_reasons_are_told_in_the_card_and_without_javascript_on_a_page_of_their_own(visit: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = visit("/?lang=en", viewport=PHONE)
    viewed = page.locator("button[value='view:i32']")
    viewed.click()
    viewed.wait_for(state="detached")
    page.evaluate("window.stays = true")
    page.locator("section:first-of-type a.ask").first.click()
    page.locator("section:first-of-type li .reasons li").first.wait_for()
    assert page.evaluate("window.stays") and page.evaluate("document.activeElement.className") == "reasons"
    assert "Because you had" in page.locator(".reasons").inner_text()
    assert Axe().run(page).violations_count == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    alone = page.locator("section:first-of-type a.ask").first.get_attribute("href")
    page.goto(alone)
    assert "Because you had" in page.locator("main .reasons").inner_text()
    assert Axe().run(page).violations_count == 0
    page.locator("main a").click()
    assert page.locator("section").count() > 1


def test_keys_alone_are_enough(visit: Any) -> None:
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main').id") == "page"
    like = "document.activeElement.value?.startsWith('like:')"
    for _ in range(10):
        if page.evaluate(like):
            break
        page.keyboard.press("Tab")
    item = page.evaluate("document.activeElement.value").removeprefix("like:")
    page.keyboard.press("Enter")
    page.locator(".notice").wait_for()
    assert item not in opened_items(page)


def test_the_page_works_without_javascript(visit: Any) -> None:
    page = visit("/", java_script_enabled=False)
    first = page.locator("button[value^='view:']").first.get_attribute("value").removeprefix("view:")
    page.locator(f"button[value='not_for_me:{first}']").click()
    assert page.locator(f"button[value='view:{first}']").count() == 0
    page.locator(f"button[value='undo:{first}']").click()
    page.locator("a.more").click()
    assert page.locator("section").count() > 0
    page.locator("input[type=search]").fill("Title of i07")
    page.locator("form[role=search] button").click()
    assert page.locator("button[value='view:i07']").count() == 1


def test_nothing_comes_from_elsewhere_and_the_first_paint_is_told(visit: Any) -> None:
    page = visit()
    paints, hosts = [], set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    for _ in range(5):
        page.reload()
        page.wait_for_function(f"{FIRST_PAINT}.length > 0")
        paints += page.evaluate(FIRST_PAINT)
    print(f"first contentful paint, ms: {sorted(map(round, paints))}")
    assert hosts <= {page.url.split("/")[2], "pictures.test"}  # The cards' own pictures.


@contextlib.contextmanager
def site(body: str, port: int) -> Iterator[str]:
    """Another site of one page; a real one, since browsers keep pages of nowhere away from this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{port}"
        server.shutdown()


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_front_end_of_another_site(chromium: Any, tmp_path: pathlib.Path, is_allowed: bool) -> None:
    """The guide's, as it stands: it shows cards and sends events, if it is named; else it is told nothing."""
    toy.publish(tmp_path / "serving", {})
    (snippet,) = (block for block in documents.blocks("html") if block.page.name == "home_page.md")
    port, gateway_port, said = free_port(), free_port(), list[str]()
    origin = f"http://127.0.0.1:{port if is_allowed else 1}"
    with (
        toy.gateway(tmp_path, "--allowed-origin", origin, port=gateway_port) as gateway,
        site(snippet.text.replace("127.0.0.1:8080", f"127.0.0.1:{gateway_port}"), port) as address,
    ):
        page = chromium.new_context().new_page()
        page.on("console", lambda line: said.append(line.text))
        page.goto(address)
        if is_allowed:
            page.get_by_text("Title of i25").click()
            eventually(lambda: gateway.http.get("/v1/profile?session_id=a-guest").json()["version"] == 1)
            (event,) = gateway.http.get("/v1/profile?session_id=a-guest").json()["recent"]
            assert (event["item_id"], event["type"]) == ("i25", "view")
        else:
            page.wait_for_timeout(1_000)
            assert any("Access-Control-Allow-Origin" in line for line in said), said
        page.close()


def test_cards_are_seen_when_they_are_looked_at_and_each_once(visit: Any, home: Gateway) -> None:  # noqa: F811
    page = visit("/?user_id=looks", viewport=PHONE)

    def seen() -> list[str]:
        told = home.http.get("/me.json", params={"user_id": "looks"}).json()
        assert all(event["attributed"] and event["type"] == "impression" for event in told)
        return [event["item_id"] for event in told]

    cards = [card.get_attribute("data-item") for card in page.locator("li[data-item]").all()]
    eventually(lambda: len(seen()) > 0)
    first = seen()
    assert first == cards[: len(first)] and len(first) < len(cards), "what is below the edge was not seen"
    page.locator("li[data-item]").last.scroll_into_view_if_needed()
    page.wait_for_timeout(1_500)
    page.goto("about:blank")  # What waits is told when the page goes.
    eventually(lambda: cards[-1] in seen())
    assert len(seen()) == len(set(seen()))
