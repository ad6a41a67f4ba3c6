"""Why a card was on a page, from a running gateway and from its files."""

from __future__ import annotations

import html
import pathlib
import re
import subprocess
from typing import Any

import httpx
import orjson
import pytest
from homefeed_client import HomePageClient

from tests.serving.gateway import toy
from tests.serving.gateway.toy import Gateway, row


def why(home: Gateway, page: dict[str, Any], item: str, **who: str) -> dict[str, Any]:
    answer = home.http.get(f"/v1/why/{page['impression_id']}/{item}", params=who)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_event_that_a_list_depends_on_is_named_and_what_would_be_seen_without_it(home: Gateway) -> None:
    for n, item in enumerate(("i03", "i30")):
        home.did(f"why-{n}", "why-1", "view", item, at=1_700_000_000 + n)
    page = home.page(user_id="why-1", k=2)
    assert row(page, "for_you") == ["i29", "i31"]  # Nearest to i30.
    told = why(home, page, "i29", user_id="why-1")
    assert told["is_as_recorded"] and told["is_measured"] and told["answered_by"] == told["model_version"] == 1
    first = told["reasons"][0]
    assert (first["code"], first["subject"]) == ("event", "i30") and first["amount"] > 0
    assert first["text"] == {
        "en": "Because you had “Title of i30”: without it, this would score lower beside the others.",
        "zh": "因为你的记录里有“Title of i30”：没有它，这一项与其他项相比得分会更低。",
    }
    assert "i03" not in [reason["subject"] for reason in told["reasons"]]  # The model reads the newest alone.
    # Without i30 the newest is i03, and what is nearest to it would be there.
    assert told["instead"]["without"] == ["i30"] and told["instead"]["item_id"] == "i02"
    assert told["instead"]["text"]["en"] == "Without “Title of i30” you would have seen “Title of i02” here."


def test_what_was_done_since_is_no_reason_of_an_earlier_page(home: Gateway) -> None:
    home.did("since-1", "why-2", "view", "i20")
    page = home.page(user_id="why-2", k=2)
    home.did("since-2", "why-2", "view", "i05")
    told = why(home, page, "i19", user_id="why-2")
    assert told["is_as_recorded"] and told["reasons"][0]["subject"] == "i20"
    assert "i05" not in orjson.dumps(told).decode()


def test_rows_without_a_model_say_what_they_were_made_of(home: Gateway) -> None:
    page = home.page(user_id="fan", k=3)
    reasons = {
        item: [
            (one["code"], one["subject"], one["amount"]) for one in why(home, page, item, user_id="fan")["reasons"]
        ]
        for item in ("i12", "i32", "i01", "i36")
    }
    assert reasons["i12"] == [("similar", "i10", None)]
    assert reasons["i32"] == [("new", "", 1_500_000_031.0)]
    assert [(code, tag) for code, tag, _ in reasons["i01"]] == [("tag", "categories:drama")]
    assert reasons["i36"] == [("editors", "", 1.0)]


@pytest.mark.parametrize(
    ("user", "item", "status", "field"),
    [("other", "i29", 404, "impression_id"), ("why-3", "i40", 404, "item_id"), ("guest:x", "i29", 422, "user_id")],
)
def test_a_page_is_told_of_only_to_whose_it_was(home: Gateway, user: str, item: str, status: int, field: str) -> None:
    home.did("own-1", "why-3", "view", "i30")
    page = home.page(user_id="why-3", k=2)
    answer = home.http.get(f"/v1/why/{page['impression_id']}/{item}", params={"user_id": user})
    assert answer.status_code == status and field in answer.json()["field"] + answer.json()["reason"]
    assert "i30" not in answer.text


def test_who_does_not_say_who_they_are_is_told_nothing(home: Gateway) -> None:
    page = home.page(session_id="why-4", k=2)
    path = f"/v1/why/{page['impression_id']}/{row(page, 'for_you')[0]}"
    assert home.http.get(path).status_code == 422
    assert home.http.get(path, params={"session_id": "why-5"}).status_code == 404
    assert home.http.get("/v1/why/nothing/i01", params={"session_id": "why-4"}).status_code == 404
    with HomePageClient(f"http://127.0.0.1:{home.port}") as client:
        told = client.why(page["impression_id"], row(page, "for_you")[0], session_id="why-4")
    assert told["title"].startswith("Title of ") and told["reasons"] == []  # Of a stranger nothing is known.


def test_the_page_at_the_root_tells_its_own_visitor(home: Gateway) -> None:
    base = f"http://127.0.0.1:{home.port}"
    with httpx.Client(base_url=base) as browser, httpx.Client(base_url=base) as stranger:
        page = browser.get("/", params={"lang": "en"}).text
        form = dict(re.findall(r'name="(token|impression)" value="([^"]+)"', page))
        page = browser.post("/act", data=form | {"act": "view:i30", "lang": "en"}).text
        asked = {html.unescape(link) for link in re.findall(r'class="ask" href="([^"]+)"', page)}
        link = next(link for link in asked if link.endswith("item=i29"))
        told, untold = browser.get(link), stranger.get(link)
    assert "Because you had “Title of i30”" in told.text and "you would have seen" in told.text
    assert told.status_code == untold.status_code == 200 and told.headers["cache-control"] == "no-store"
    assert "i30" not in untold.text and "Nothing single stands out." in untold.text
    chinese = home.http.get(link.replace("lang=en", "lang=zh")).text
    assert "没有突出的单一原因。" in chinese and 'lang="zh"' in chinese


def test_where_no_model_answers_what_is_recorded_is_told(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    rules = tmp_path / "rules.yaml"
    rules.write_text("opening: {pin: [i36]}\n")
    with toy.gateway(tmp_path, "--rules", str(rules)) as gateway:
        page = gateway.page(user_id="fan", k=3)
        assert row(page, "for_you")[0] == "i36"
        pinned, popular = (why(gateway, page, item, user_id="fan") for item in ("i36", "i12"))
    assert [(one["code"], one["subject"]) for one in pinned["reasons"]] == [("pin", "opening")]
    assert not popular["is_measured"] and popular["instead"] is None
    command = [*toy.COMMAND[:-1], "why", page["impression_id"], "i36", "--root", str(tmp_path)]
    line = subprocess.run([*command, "--language", "zh", "--rules", str(rules)], capture_output=True, text=True)
    assert line.returncode == 0 and "规则“opening”把它放在这里。" in line.stdout
    other = subprocess.run([*command, "--json"], capture_output=True, text=True)  # Without these rules in force.
    assert orjson.loads(other.stdout)["reasons"] == []
    missing = subprocess.run([*toy.COMMAND[:-1], "why", "nope", "i36", "--root", str(tmp_path)], capture_output=True)
    assert missing.returncode == 2 and b"'nope'" in missing.stderr
