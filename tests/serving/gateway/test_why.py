"""Why a card was on a page, from a running gateway and from its files."""

from __future__ import annotations

import concurrent.futures
import contextlib
import html
import pathlib
import re
import shutil
import sqlite3
from typing import Any

import httpx
import orjson
import pytest
from homefeed_client import HomePageClient
from typer.testing import CliRunner, Result

from homefeed.models.requests import Event, Request
from homefeed.pipeline.cli.main import app
from homefeed.pipeline.cli.why import WhyError, notes
from homefeed.serving.profiles import FILE_NAME, write_profiles
from tests.serving.gateway import toy
from tests.serving.gateway.toy import Gateway, row
from tests.serving.servers import eventually


def why(home: Gateway, page: dict[str, Any], item: str, **who: str) -> dict[str, Any]:
    def asked() -> httpx.Response | None:
        answer = home.http.get(f"/v1/why/{page['impression_id']}/{item}", params=who)
        return None if answer.status_code == 429 else answer  # On a busy machine pages go before reasons.

    answer = eventually(asked)
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


def test_pages_come_first_where_many_ask_at_once(home: Gateway) -> None:
    home.did("many-whys", "why-6", "view", "i30")
    page = home.page(user_id="why-6", k=2)

    def ask(_: int) -> httpx.Response:
        return httpx.get(f"{home.http.base_url}/v1/why/{page['impression_id']}/i29", params={"user_id": "why-6"})

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(48)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and {answer.status_code for answer in answers} == {200, 429}
    assert all("beside the pages" in one.text and one.headers["retry-after"] for one in refused)


def test_a_user_who_asks_on_and_on_is_told_to_wait(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    with toy.gateway(tmp_path, "--user-rate", "1") as gateway:
        page = gateway.page(user_id="fan", k=2)
        path = f"/v1/why/{page['impression_id']}/{row(page, 'for_you')[0]}"
        codes = [gateway.http.get(path, params={"user_id": "fan"}).status_code for _ in range(6)]
    assert codes[:4] == [200] * 4 and codes[5] == 429  # A burst is 20 pages; a card's reasons cost as 5.


def test_what_stands_between_an_answer_and_the_page_is_noted() -> None:
    plain = {"is_as_recorded": True, "is_measured": True, "answered_by": 3, "model_version": 3}
    assert notes(plain) == []
    assert notes(plain | {"model_version": 2}) == ["version 3 answers; the page was made by 2"]
    assert "these reasons are recorded ones" in notes(plain | {"is_measured": False})[0]


def test_where_no_model_answers_what_is_recorded_is_told(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    rules = tmp_path / "rules.yaml"
    rules.write_text("opening: {pin: [i36]}\n")
    with toy.gateway(tmp_path, "--rules", str(rules)) as gateway:
        page = gateway.page(user_id="fan", k=3)
        assert row(page, "for_you")[0] == "i36"
        pinned, popular = (why(gateway, page, item, user_id="fan") for item in ("i36", "i12"))
        gateway.stop()  # What it answered is on disk then.
    assert [(one["code"], one["subject"]) for one in pinned["reasons"]] == [("pin", "opening")]
    assert not popular["is_measured"] and popular["instead"] is None
    line = tell(tmp_path, page, "--language", "zh", "--rules", str(rules))
    assert line.exit_code == 0 and "规则“opening”把它放在这里。" in line.output
    rules.write_text("gala: {pin: [i36]}\n")  # It was not there when the page was made.
    assert orjson.loads(tell(tmp_path, page, "--json", "--rules", str(rules)).stdout)["reasons"] == []
    changed = Request("fan", [Event("i11", 4.0, "view", 1_600_000_000)])
    write_profiles(tmp_path / "serving" / FILE_NAME, [changed], {"i36": "Title"}, "", {"i36": {}})
    told = orjson.loads(tell(tmp_path, page, "--json").stdout)
    assert pinned["is_as_recorded"] and not told["is_as_recorded"] and "no longer what it was" in notes(told)[0]
    missing = tell(tmp_path, page | {"impression_id": "nope"})
    assert isinstance(missing.exception, WhyError) and missing.exception.exit_code == 2
    assert str(missing.exception).startswith("page 'nope': impression_id: ")


def test_of_what_models_would_not_be_told_again_nothing_is_measured(home: Gateway, tmp_path: pathlib.Path) -> None:
    page = home.page(user_id="fan", k=2)
    item = row(page, "for_you")[0]
    why(home, page, item, user_id="fan")
    arguments = list(map(str, home.process.args))
    place, models = (arguments[arguments.index(name) + 1] for name in ("--root", "--models"))
    changing = shutil.ignore_patterns("live.*", "*-journal")  # A gateway is writing there.
    shutil.copytree(pathlib.Path(place) / "serving", tmp_path / "serving", ignore=changing)
    with (
        contextlib.closing(sqlite3.connect(pathlib.Path(place) / "serving" / "live.sqlite")) as live,
        contextlib.closing(sqlite3.connect(tmp_path / "serving" / "live.sqlite")) as copy,
    ):
        query, page_id = "SELECT 1 FROM exposures WHERE impression_id = ?", (page["impression_id"],)
        eventually(lambda: live.execute(query, page_id).fetchone())  # Nobody waits for a page to be on disk.
        live.backup(copy)

    def measured() -> Any:  # On a busy machine models may not answer in time.
        told = orjson.loads(tell(tmp_path, page, "--json", "--models", models, item=item).stdout)
        return told["is_measured"] and told

    told = eventually(measured)
    assert told["reasons"][0]["subject"] == "i10" and notes(told) == []
    changed = Request("fan", [Event("i11", 4.0, "view", 1_600_000_000)])
    write_profiles(tmp_path / "serving" / FILE_NAME, [changed], {item: "Title"}, "", toy.cards())
    told = orjson.loads(tell(tmp_path, page, "--json", "--models", models, item=item).stdout)
    assert not told["is_as_recorded"] and not told["is_measured"] and told["reasons"] == []


def tell(root: pathlib.Path, page: dict[str, Any], *options: str, item: str = "i36") -> Result:
    return CliRunner().invoke(app, ["why", page["impression_id"], item, "--root", str(root), *options])
