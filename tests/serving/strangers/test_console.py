"""The console in a real browser: every page and change, axe-core's rules, keys alone, and what it looks like."""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from homefeed.components.artifacts import html_page, svg
from tests.serving.console.conftest import desk  # noqa: F401  A fixture.
from tests.serving.console.desk import HOSTILE, Desk
from tests.serving.gateway import toy
from tests.serving.gateway.conftest import models, root  # noqa: F401  Fixtures.
from tests.serving.servers import eventually
from tests.serving.strangers.test_browser import DESKTOP, PHONE, chromium  # noqa: F401  A fixture.

pytestmark = pytest.mark.strangers

LOOKS = [
    pytest.param(lang, scheme, size, id=f"{lang}-{scheme}-{size['width']}")
    for lang, scheme, size in itertools.product(("en", "zh"), ("light", "dark"), (PHONE, DESKTOP))
]
SHOTS = os.environ.get("CONSOLE_SHOTS", "")  # A folder for pictures of all pages.
FIGURE = html_page.figure("events", svg.bars([("", [3.0, 5.0])], ["Monday", "Tuesday"], "{:.0f}".format), "a day")
TABLE = f"<table><tr>{'<th>a long word' * 9}</tr><tr>{'<td class=n>1' * 9}</tr></table>"
REPORT = html_page.document("Dataset", f"<h1>Dataset</h1><p class='good' id='fine'>Fine.</p>{FIGURE}{TABLE}")


@pytest.fixture
def visit(chromium: Any, desk: Desk) -> Iterator[Any]:  # noqa: F811
    """Opens a page of the console; nothing may be refused, lacking, or thrown in it."""
    opened, complaints = [], list[str]()

    def open_page(address: str = "/console", **settings: Any) -> Any:
        context = chromium.new_context(
            base_url=f"http://127.0.0.1:{desk.gateway.port}", locale="en-GB", reduced_motion="reduce", **settings
        )
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        opened.append(context)
        page.goto(address)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert complaints == []


@pytest.fixture
def addresses(desk: Desk) -> list[str]:  # noqa: F811
    """Every page of the console, each with something on it."""
    (desk.root / "reports").mkdir(exist_ok=True)
    (desk.root / "reports" / "dataset.html").write_text(REPORT)
    desk.gateway.did("looks-1", "looker", "view", "i05")
    page = desk.gateway.page(user_id="looker")
    desk.gateway.http.get(f"/v1/why/{page['impression_id']}/{toy.items(page)[0]}", params={"user_id": "looker"})
    again = f"why?user=looker&page={page['impression_id']}&without=i05"
    names = ("now", "models", "data", "experiments", again, "rules", "people?user=looker", "audit", "nowhere")
    return [f"/console/{name}" for name in (*names, "report?name=dataset.html")]


@pytest.mark.parametrize(("lang", "scheme", "size"), LOOKS)
def test_axe_finds_nothing_and_nothing_sticks_out(
    visit: Any,
    addresses: list[str],
    lang: str,
    scheme: str,
    size: dict[str, int],
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = visit(f"/console/now?lang={lang}", color_scheme=scheme, viewport=size)
    for place, address in enumerate(one for one in addresses if "nowhere" not in one):
        page.goto(address)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{address}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], address
        assert page.locator("header").get_attribute("lang") == lang
        if SHOTS:
            path = pathlib.Path(SHOTS) / f"{place}-{lang}-{scheme}-{size['width']}.png"
            page.screenshot(path=str(path), full_page=True)


def test_a_page_that_was_drawn_elsewhere_has_its_own_styles_and_no_others(visit: Any, addresses: list[str]) -> None:
    page = visit(addresses[-1], color_scheme="light")
    assert page.locator("#fine").evaluate("one => getComputedStyle(one).color") == "rgb(27, 120, 55)"
    assert page.locator("header nav a[aria-current]").inner_text() == "Data"


def test_rules_are_edited_tried_and_published_by_keys_alone(visit: Any, desk: Desk, addresses: list[str]) -> None:  # noqa: F811
    page = visit("/console/rules")
    file, before = desk.root / "rules.yaml", (desk.root / "rules.yaml").read_text()

    def reach(selector: str) -> None:
        for _ in range(60):
            if page.evaluate(f"document.activeElement.matches({selector!r})"):
                return
            page.keyboard.press("Tab")
        pytest.fail(f"keys do not reach {selector}")

    reach("textarea")
    page.keyboard.press("Control+a")
    page.keyboard.type("no-drama:\n  block: {categories: drama}\n")
    reach("button[value=try]")
    page.keyboard.press("Enter")
    page.get_by_text("pages would be others").wait_for()  # The page looks again by itself.
    assert "+no-drama:" in page.locator("pre.difference").inner_text() and file.read_text() == before
    reach("button[value=publish]")
    page.keyboard.press("Enter")
    page.get_by_text("Published: rules").wait_for()
    assert "no-drama" in file.read_text()
    page.get_by_role("row").filter(has_text="gateway").get_by_role("link").last.press("Enter")
    page.locator("button[value=publish]").press("Enter")
    page.get_by_text("Published: rules").wait_for()
    assert file.read_text() == before


def test_models_are_promoted_and_rolled_back(visit: Any) -> None:
    page = visit("/console/models")
    page.get_by_role("button", name="Promote: 2").click()
    page.get_by_text("Version 2 is stable.").wait_for()
    page.get_by_role("button", name="Roll back").click()
    page.get_by_text("Rolled back: version 1 is stable.").wait_for()


def test_a_report_is_drawn_and_an_experiment_stopped(visit: Any, addresses: list[str]) -> None:
    page = visit("/console/experiments")
    page.get_by_role("button", name="Make a report now").click()
    page.get_by_role("link", name="The report").click()
    assert page.locator("h1").inner_text() == f"Experiment {HOSTILE}"
    page.goto("/console/experiments")
    page.locator("select[name=arm]").select_option("short")
    page.locator("input[name=reason]").fill("enough")
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("enough").wait_for()


def test_a_person_is_looked_at_and_forgotten(visit: Any, desk: Desk) -> None:  # noqa: F811
    person = '<img src=x onerror=alert(1)>"'
    desk.gateway.page(user_id=person)
    page = visit("/console/people")
    page.locator("input[name=user]").fill(person)
    page.get_by_role("button", name="Show", exact=True).click()
    page.get_by_role("button", name="Show a page that is the same for everybody").click()
    page.get_by_role("button", name="Show a page of their own").wait_for()
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="All of it as a file").click()
    assert "settings" in pathlib.Path(downloaded.value.path()).read_text()
    page.locator("input[name=again]").fill(person)
    page.get_by_role("button", name="Forget", exact=True).click()
    page.get_by_text("Removed from").wait_for(timeout=60_000)
    eventually(lambda: {one.what for one in desk.trail(users=[desk.name(person)])} == {"forget"})


def test_everything_can_be_done_without_javascript(visit: Any, addresses: list[str]) -> None:
    page = visit("/console/now", java_script_enabled=False)
    for name in ("Models", "Data", "Experiments", "Why", "Rules", "People", "Audit"):
        page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
        assert page.locator("h1").inner_text() == name
    page.locator("select[name=what]").select_option("page")
    page.get_by_role("button", name="Filter").click()
    assert page.get_by_role("cell", name="page", exact=True).count() > 0
