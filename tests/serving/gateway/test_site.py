"""The page as a browser gets it: read without JavaScript, sent as forms, in two languages, and by nobody else."""

from __future__ import annotations

import html.parser
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from homefeed.serving.web.texts import TEXTS
from tests.serving.gateway.toy import Gateway


class Parsed(html.parser.HTMLParser):
    """Tags with their attributes, and the text."""

    VOID = frozenset({"meta", "link", "input", "img"})

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.open, self.text = list[tuple[str, dict[str, str | None]]](), list[str](), ""
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def fields(self) -> dict[str, str]:
        return {str(f["name"]): str(f.get("value") or "") for f in self.all("input") if f.get("type") == "hidden"}

    def items(self) -> list[str]:
        """Items that can be opened, in order."""
        acts = (str(button.get("value")) for button in self.all("button"))
        return [act.removeprefix("view:") for act in acts if act.startswith("view:")]


@pytest.fixture
def browser(home: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{home.port}", headers={"accept-language": "en-GB,en"}) as client:
        yield client


def press(browser: httpx.Client, page: Parsed, act: str) -> Parsed:
    answer = browser.post("/act", data=page.fields() | {"act": act})
    assert answer.status_code == 200, answer.text
    return Parsed(answer.text)


def test_the_page_can_be_read_as_it_comes(browser: httpx.Client) -> None:
    answer = browser.get("/", params={"user_id": "fan"})
    page = Parsed(answer.text)
    assert page.items()[:3] == ["i09", "i11", "i08"]
    for text in (
        "Because you had “Title of i10”",
        "Why this? it is like “Title of i10”",
        "Title of i09",
        "Popular in",
    ):
        assert text in page.text
    assert page.all("html") == [{"lang": "en"}] and len(page.all("h1")) == 1 and len(page.all("main")) == 1
    assert (
        len(answer.content) + sum(len(browser.get(f"/static/{n}").content) for n in ("home.css", "home.js")) < 60_000
    )


def test_every_control_has_a_name_and_every_id_is_its_own(browser: httpx.Client) -> None:
    page = Parsed(browser.get("/", params={"user_id": "fan"}).text)
    ids = [tag["id"] for _, tag in page.tags if "id" in tag]
    assert len(ids) == len(set(ids))
    assert {tag["aria-labelledby"] for _, tag in page.tags if "aria-labelledby" in tag} <= set(ids)
    labels = [button["aria-label"] for button in page.all("button") if str(button.get("value")).startswith("like:")]
    assert len(labels) == len(set(labels)) > 5 and "Like: Title of i09" in labels
    assert all("alt" in image for image in page.all("img"))
    assert [field.get("aria-label") for field in page.all("input") if field.get("type") == "search"] == ["Search"]


def test_nothing_comes_from_elsewhere_and_no_script_is_inline(browser: httpx.Client) -> None:
    answer = browser.get("/", params={"user_id": "fan"})
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    page = Parsed(answer.text)
    own = sorted(str(tag.get("src") or tag.get("href")) for name in ("script", "link") for tag in page.all(name))
    assert all(address.startswith(("/static/", "data:,")) for address in own)
    assert page.open == [] and not any(name.startswith("on") or name == "style" for _, t in page.tags for name in t)
    assert all(tag.get("src") for tag in page.all("script"))
    for address in own[:2]:
        assert browser.get(address).headers["content-type"].startswith(("text/css", "text/javascript"))


def test_buttons_act_at_once_and_can_be_undone(browser: httpx.Client) -> None:
    page = Parsed(browser.get("/").text)  # A guest, known by the cookie.
    first = page.items()[0]
    page = press(browser, page, f"not_for_me:{first}")
    assert f"“Title of {first}” is not shown any more." in page.text and first not in page.items()
    page = press(browser, page, f"undo:{first}")
    assert page.items()[0] == first
    page = press(browser, page, "like:i20")
    assert page.items()[:2] == ["i19", "i21"] and "Noted: you like “Title of i20”." in page.text
    assert "remove_tag:categories:drama" in {button.get("value") for button in page.all("button")}
    page = press(browser, page, "remove_tag:categories:drama")
    assert "remove_tag:categories:drama" not in {button.get("value") for button in page.all("button")}
    page = press(browser, page, "impersonal")
    assert page.items()[:2] == ["i01", "i02"]
    page = press(browser, page, "personal")
    assert [event["type"] for event in browser.get("/me.json").json()] == [
        "not_for_me", "undo", "like", "remove_tag", "settings", "settings",
    ]  # fmt: skip
    page = press(browser, page, "delete")
    assert "Your data were deleted." in page.text and browser.get("/me.json").json() == []


def test_the_form_of_another_site_does_nothing(browser: httpx.Client, home: Gateway) -> None:
    page = Parsed(browser.get("/", params={"user_id": "fan"}).text)
    for fields in ({}, {"token": "x"}, {"token": "é" * 64}):
        answer = browser.post("/act", data={"act": "delete", "user_id": "fan"} | fields)
        assert answer.status_code == 403
    with httpx.Client(base_url=str(browser.base_url)) as other:  # Its own token, another's cookie.
        other.get("/")
        assert other.post("/act", data=page.fields() | {"act": "delete"}).status_code == 403
    cookie = browser.get("/").headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie


def test_what_is_seen_is_told_once_and_attributed_to_its_page(browser: httpx.Client) -> None:
    page = Parsed(browser.get("/", params={"user_id": "sees"}).text)
    cards = [str(card["data-item"]) for card in page.all("li") if "data-item" in card]
    assert cards == page.items()
    for body in ([*page.fields().items(), *(("item", item) for item in cards[:3])],) * 3:
        answer = browser.post("/seen", content=urllib.parse.urlencode(body))
        assert (answer.status_code, answer.content) == (204, b"")
    told = browser.get("/me.json", params={"user_id": "sees"}).json()
    assert [(event["type"], event["item_id"], event["attributed"]) for event in told] == [
        ("impression", item, True) for item in cards[:3]
    ]
    assert Parsed(browser.get("/", params={"user_id": "sees"}).text).items() == page.items(), "seen is not had"


@pytest.mark.parametrize("body", ["token=none&item=i01", "", "item=i01&" * 500, "%ff%00=\ud7ff"])
def test_what_is_not_from_the_page_was_not_seen(body: str, browser: httpx.Client) -> None:
    assert browser.post("/seen", content=body.encode()).status_code == 403


def test_what_a_user_types_is_shown_as_text(browser: httpx.Client) -> None:
    answer = browser.get("/", params={"query": '"><script>alert(1)</script>', "user_id": "<b>"})
    text = answer.text
    assert answer.status_code == 200
    assert "<script>alert" not in text and "<b>" not in text
    assert browser.get("/", params={"user_id": "a\nb", "query": "\x00"}).status_code == 200
    assert browser.get("/?query=%ed%a0%80&user_id=%ff&after=%00").status_code == 200
    assert browser.get("/", params={"after": "long-ago", "lang": "fr"}).status_code == 200
    assert browser.get("/static/../site.py").status_code == 404


def test_more_goes_on_without_a_repeat(browser: httpx.Client) -> None:
    page = Parsed(browser.get("/").text)
    (more,) = (link["href"] for link in page.all("a") if link.get("class") == "more")
    after = Parsed(browser.get(str(more)).text)
    assert after.items() and not set(after.items()) & set(page.items())


def test_chinese_is_whole(browser: httpx.Client) -> None:
    page = Parsed(browser.get("/", params={"user_id": "fan", "lang": "zh"}).text)
    assert page.all("html") == [{"lang": "zh"}] and "因为你看过“Title of i10”" in page.text
    rest = re.sub(r"Title of i\d\d|drama|comedy|homefeed|English|\d+\.5", "", page.text)
    assert not re.search(r"[A-Za-z]{3,}", rest), rest
    assert set(TEXTS["zh"]) == set(TEXTS["en"])
