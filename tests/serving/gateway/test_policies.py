"""Rules and surfaces of a running gateway: taken over when they change, and tried on the pages that were served."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from homefeed.models.requests import Request
from homefeed.schemas.errors import HomefeedError
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.page import known
from homefeed.serving.gateway.policies import Policies, read_policy
from homefeed.serving.gateway.published import Published, read_published
from homefeed.serving.gateway.replay import compare
from homefeed.serving.gateway.schema import Ask
from homefeed.serving.profiles.published import Item
from tests.serving.gateway import toy
from tests.serving.gateway.toy import items, row
from tests.serving.servers import eventually

VERB = [sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()", "page"]


def homefeed(*arguments: str, group: str = "page") -> str:
    done = subprocess.run([*VERB[:-1], group, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_files_are_followed_and_a_wrong_one_changes_nothing(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    rules, surfaces = tmp_path / "rules.yaml", tmp_path / "surfaces.yaml"
    rules.write_text("no-drama: {block: {categories: drama}}")
    surfaces.write_text("landing: {rows: [new, popular], length: 2}")
    with toy.gateway(tmp_path, "--rules", str(rules), "--surfaces", str(surfaces)) as gateway:
        page = gateway.page(user_id="u", k=3)
        assert row(page, "for_you") == ["i25", "i21", "i22"] and page["rules_version"]
        health = gateway.http.get("/v1/health").json()
        assert health == {"status": "ok", "rules_version": page["rules_version"]}
        landing = gateway.page(user_id="u", surface="landing")
        assert [(one["id"], len(one["cards"])) for one in landing["rows"]] == [("new", 2), ("popular", 2)]
        assert {card["found_by"] for card in landing["rows"][0]["cards"]} == {"new"}

        rules.write_text("no-drama: {block: {categorie: drama}}")
        eventually(lambda: "rules_fault" in gateway.http.get("/v1/health").json())
        fault = gateway.http.get("/v1/health").json()["rules_fault"]
        assert "no column 'categorie'; did you mean 'categories'" in fault
        assert row(gateway.page(user_id="u", k=3), "for_you") == ["i25", "i21", "i22"]
        assert f"stays in force: {rules}: no-drama:" in (tmp_path / f"gateway-{gateway.port}.log").read_text()
        assert "homefeed_policy_refused 1.0" in gateway.http.get("/metrics").text

        rules.write_text("only: {allow: {price: 40.5}}")
        eventually(lambda: gateway.http.get("/v1/health").json().get("rules_fault") is None)
        page = gateway.page(user_id="u", k=3)
        assert page["set_aside"] == ["only"] and row(page, "for_you") == ["i25", "i12", "i11"]
        assert 'homefeed_rules_total{outcome="set_aside"} 1.0' in gateway.http.get("/metrics").text


@pytest.mark.parametrize(
    ("ask", "field"),
    [({"surface": "hom"}, "surface"), ({"surface": "similar"}, "item_id"), ({"after": "x"}, "after")],
)
def test_what_there_is_not_is_told(home: toy.Gateway, ask: dict[str, str], field: str) -> None:
    answer = home.http.get("/v1/page", params={"user_id": "u", **ask})
    assert answer.status_code == 404 and answer.json()["field"] == field


def test_a_page_about_an_item(home: toy.Gateway) -> None:
    page = home.page(user_id="similar-1", surface="similar", item_id="i20", k=3)
    assert row(page, "similar") == ["i19", "i21", "i18"]
    assert page["rows"][0]["reason"] == {"code": "similar", "item_id": "i20", "title": "Title of i20"}
    assert {card["found_by"] for card in page["rows"][0]["cards"]} == {"similar"}
    assert row(home.page(user_id="similar-1", surface="search", query="x", k=2), "for_you") == []


def test_the_gateway_does_not_start_with_a_wrong_file(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path, {})
    (tmp_path / "rules.yaml").write_text("a: {block: {colour: red}}")
    with pytest.raises(HomefeedError, match="a: items have no column 'colour'"):
        Home(Config(tmp_path, rules=tmp_path / "rules.yaml"), Metrics())


def pushed(ids: str, **card: Any) -> Published:
    """A push of some items, all with the same card."""
    nobody = known(Request(""), Items([]))
    items = Items(Item(item, item, card, 1) for item in ids)
    return Published(items, lambda _: nobody, lambda _: nobody, None, (0.0, len(ids)), lambda _: (), lambda _: ())


BEFORE, AFTER = pushed("ab", categories=["drama"]), pushed("abc", genres=["drama"])


def test_a_push_without_a_column_that_rules_ask_for_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "rules.yaml").write_text("no-drama: {block: {categories: drama}}")
    policies = Policies(tmp_path / "rules.yaml", None, BEFORE)
    for _ in range(2):
        policies.follow(AFTER)
        assert "no-drama: items have no column 'categories'" in policies.fault
        assert policies.policy.published is AFTER and policies.policy.ruling.bits("c", 0.0) == 0
    policies.follow(BEFORE)
    assert policies.fault == "" and policies.policy.published is BEFORE


@pytest.mark.parametrize("rules", ["r: {deny: {categories: drama}}", "r: {block: {categories: drama}, strict: true}"])
def test_what_was_denied_stays_so_when_a_push_lacks_the_column(rules: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(rules)
    policies = Policies(path, None, BEFORE)
    for _ in range(2):
        policies.follow(AFTER)
        assert policies.fault.startswith("r: items have no column 'categories'")
        assert "; the last push is not taken over: push such a column" in policies.fault
        assert policies.policy.published is BEFORE and policies.policy.ruling.bits("a", 0.0)
    # Denials that are written meanwhile hold all the same, for the catalogue that is shown.
    path.write_text(f"{rules}\nurgent: {{deny: {{item_id: [b]}}}}")
    policies.follow(AFTER)
    assert policies.denied["urgent"] == 1 and "not taken over" in policies.fault
    # What fits neither is refused; what fits the push is taken over with it.
    path.write_text("r: {deny: {colour: red}}")
    policies.follow(AFTER)
    assert policies.denied["urgent"] == 1 and "no column 'colour'" in policies.fault
    path.write_text("r: {deny: {genres: drama}}")
    policies.follow(AFTER)
    assert (policies.fault, policies.denied, policies.policy.published) == ("", {"r": 3}, AFTER)
    # A column that is there, and in which no item has a value now, is not lacking.
    items = Items([Item("a", "A", {}, 1)], declared=["genres"])
    policies.follow(dataclasses.replace(AFTER, items=items))
    assert (policies.fault, policies.denied) == ("", {"r": 0})


@pytest.mark.parametrize(
    ("surface", "second"),
    [
        # i25 was seen twice: it stands as if at place 3, behind i12 and i11 at 2 and 3.
        ("home: {rows: [for_you], rotation: 24}", ["i12", "i25", "i11"]),
        ("home: {rows: [for_you]}", ["i25", "i12", "i11"]),
        ("landing: {rows: [for_you]}", ["i12", "i25", "i11"]),  # That of `home`, of which the file says nothing.
    ],
)
def test_what_was_seen_too_often_stands_lower(tmp_path: pathlib.Path, surface: str, second: list[str]) -> None:
    toy.publish(tmp_path, {})
    (tmp_path / "surfaces.yaml").write_text(surface)

    async def pages() -> list[list[str]]:
        home = Home(Config(tmp_path, surfaces=tmp_path / "surfaces.yaml"), Metrics())
        await home.start()
        try:
            first = items(await home.page(Ask(user_id="u", k=3)))[:3]
            seen = {"user_id": "u", "type": "impression", "item_id": first[0]}
            told = [{"event_id": f"s{n}", **seen} for n in range(2)]
            assert [answer.status for answer in await home.take(told)] == ["accepted"] * 2
            return [first, items(await home.page(Ask(user_id="u", k=3)))[:3]]
        finally:
            await home.stop()

    assert asyncio.run(pages()) == [["i25", "i12", "i11"], second]


def test_a_dry_run_says_exactly_what_another_file_changes(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    (tmp_path / "picks.txt").write_text("i36\ni35\n")
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    in_force = tmp_path / "rules.yaml"
    old.write_text("authors: {cap: price, at_most: 1}\nno-i12: {block: {price: 11.5}}")
    new.write_text("comedies: {quota: {categories: comedy}, at_least: 2}\nno-i11: {block: {price: 10.5}}")
    in_force.write_text(old.read_text())
    asks: list[dict[str, Any]] = [{"user_id": f"u{n}", "k": 2 + n % 3} for n in range(8)]
    asks += [{"user_id": "fan", "k": 3}, {"user_id": "u1", "k": 2, "query": "title"}]
    options = ("--rules", str(in_force), "--picks", str(tmp_path / "picks.txt"))
    with toy.gateway(tmp_path, *options) as gateway:
        for n in range(8):
            gateway.did(f"e{n}", f"u{n}", "like" if n % 2 else "hide", f"i{n + 20}")
        before = [gateway.page(**ask) for ask in asks]
        more = gateway.page(user_id="u1", k=2, after=before[1]["impression_id"])
        gateway.did("later", "u2", "like", "i12")  # After the page: it must not count for it.
        version = before[0]["rules_version"]
        gateway.stop()
    told = json.loads(
        homefeed("rules", "--root", str(tmp_path), "--rules", str(old), "--dry-run", str(new), "--json",
                 "--picks", str(tmp_path / "picks.txt"))
    )  # fmt: skip
    same = json.loads(
        homefeed("rules", "--root", str(tmp_path), "--rules", str(old), "--dry-run", str(old), "--json",
                 "--picks", str(tmp_path / "picks.txt"))
    )  # fmt: skip
    assert told["pages"] == same["pages"] == len(asks) + 1 and same["changes"] == []
    in_force.write_text(new.read_text())
    expected, unsure = {}, {more["impression_id"]}
    with toy.gateway(tmp_path, *options) as gateway:
        for ask, page in zip(asks, before, strict=True):
            again = gateway.page(**ask)
            assert again["rules_version"] != version
            if ask["user_id"] == "u2":  # They did something since.
                unsure.add(page["impression_id"])
            elif changed := differing(page, again):
                expected[page["impression_id"]] = changed
    found = {change["impression_id"]: change["rows"] for change in told["changes"]}
    assert expected and {page: rows for page, rows in found.items() if page not in unsure} == expected
    assert "i11" in told["gone"] and "i12" in told["come"]


def differing(page: dict[str, Any], other: dict[str, Any]) -> dict[str, list[list[str]]]:
    """Row → its items on two pages, where they differ."""
    names = [one["id"] for one in [*page["rows"], *other["rows"]]]
    pairs = {name: [row(page, name), row(other, name)] for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def test_a_preview_shows_each_step_and_records_nothing(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    rules, drawn = tmp_path / "rules.yaml", tmp_path / "page.html"
    rules.write_text("no-i25: {block: {price: 24.5}}\nlift: {boost: {price: 10.5}, by: 3}")
    options = ["--root", str(tmp_path), "--rules", str(rules), "--user", "<fan>", "-k", "2"]
    told = json.loads(homefeed("preview", *options, "--json", "--html", str(drawn)))
    (steps, *_) = told["made"]["steps"]
    assert [one[0] for one in steps["candidates"]][:3] == ["i25", "i12", "i11"]
    assert steps["refused"] == {"i25": "no-i25"}
    assert steps["ruled"][:2] == ["i11", "i12"] and steps["shown"] == ["i11", "i12"]
    assert "&lt;fan&gt;" in drawn.read_text() and "no-i25" in drawn.read_text() and "<fan>" not in drawn.read_text()
    assert "kept off by rules: 1" in homefeed("preview", *options)
    same = json.loads(homefeed("rules", "--root", str(tmp_path), "--dry-run", str(rules), "--json"))
    assert same["pages"] == 0


DENIED = """
ids: {deny: {item_id: {file: denied.txt}}}
words: {deny: {words: [title of i23]}}
new: {hold: {categories: comedy, price: {at_least: 24}}, reviews: seen.jsonl}
some: {allow: {categories: comedy}}
"""


def all_pages(gateway: toy.Gateway) -> dict[str, Any]:
    """Pages of every surface and source."""
    asks: dict[str, dict[str, Any]] = {
        "home": {"user_id": "fan"},
        "all": {"session_id": "s", "surface": "all", "k": 50},
        "search": {"user_id": "u", "query": "Title", "surface": "search", "k": 50},
        "similar": {"user_id": "u", "surface": "similar", "item_id": "i20", "k": 50},
    }
    return {name: gateway.page(**ask) for name, ask in asks.items()}


def test_denied_and_held_items_are_on_no_page_until_they_are_accepted(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    rules, surfaces, picks = (tmp_path / name for name in ("rules.yaml", "surfaces.yaml", "picks.txt"))
    rules.write_text(DENIED)
    (tmp_path / "denied.txt").write_text("i25\n")
    surfaces.write_text("all: {rows: [for_you, trending, new, near_taste, popular, editors], rules: []}")
    picks.write_text("i25\ni31\ni22\n")
    options = ("--rules", str(rules), "--surfaces", str(surfaces), "--picks", str(picks))
    verb = ("--root", str(tmp_path), "--rules", str(rules), "--json")
    with toy.gateway(tmp_path, *options) as gateway:
        gone = {"i23", "i25", *(f"i{n}" for n in range(25, 41))}
        pages = all_pages(gateway)
        assert all(not gone & set(items(page)) for page in pages.values())
        assert set(items(pages["all"])) == set(toy.IDS) - gone
        health = gateway.http.get("/v1/health").json()
        assert health["denied"] == "ids: 1, words: 1, new: 16"
        assert 'homefeed_items_denied{rule="new"} 16.0' in gateway.http.get("/metrics").text
        # Nothing says its title either: neither a row that is about it, nor a page that is asked for it.
        gateway.did("1", "fan", "like", "i25")
        assert all(row["reason"].get("item_id") != "i25" for row in gateway.page(user_id="fan")["rows"])
        asked = gateway.http.get("/v1/page", params={"user_id": "u", "surface": "similar", "item_id": "i25"})
        assert (asked.status_code, asked.json()["field"]) == (404, "item_id")
        assert "Title of i25" not in gateway.http.get("/why", params={"item": "i25"}).text

        waiting = json.loads(homefeed("review", *verb, group="items"))
        assert [one["item_id"] for one in waiting] == [f"i{n}" for n in range(25, 41)]
        homefeed("accept", "i31", "i26", "--why", "fine", *verb, group="items")
        homefeed("refuse", "i27", "--why", "a\nb", *verb, group="items")
        eventually(lambda: {"i31", "i26"} <= set(items(gateway.page(user_id="u", surface="all", k=50))))
        assert row(gateway.page(user_id="u", surface="all"), "new") == ["i31"]
        assert gateway.http.get("/v1/health").json()["denied"] == "ids: 1, words: 1, new: 14"
        assert "i27" not in items(gateway.page(user_id="u", surface="all", k=50))
        assert len(json.loads(homefeed("review", *verb, group="items"))) == 13
        assert json.loads((tmp_path / "seen.jsonl").read_text().splitlines()[-1])["why"] == "a b"

        before = gateway.page(user_id="u", surface="all", k=50)
        why = f"/v1/why/{before['impression_id']}/i31"
        told = eventually(lambda: gateway.http.get(why, params={"user_id": "u"}).json().get("title"))
        assert told == "Title of i31"
        (tmp_path / "denied.txt").write_text("i31\n")  # The file of rules is as it was.
        eventually(lambda: "i31" not in items(gateway.page(user_id="u", surface="all", k=50)))
        answer = gateway.http.get(why, params={"user_id": "u"})
        assert answer.json()["title"] == "i31" and "Title of i31" not in answer.text
        (tmp_path / "denied.txt").unlink()
        eventually(
            lambda: "denied.txt cannot be read" in gateway.http.get("/v1/health").json().get("rules_fault", "")
        )
        assert "i31" not in items(gateway.page(user_id="u", surface="all", k=50)), "what was in force stays"
        (tmp_path / "denied.txt").write_text("i26\n")
        eventually(lambda: "i31" in items(gateway.page(user_id="u", surface="all", k=50)))


def test_a_dry_run_has_no_row_about_an_item_that_would_be_denied(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    files = {name: tmp_path / f"{name}.yaml" for name in ("i20", "i21")}
    for name, path in files.items():
        path.write_text(f"gone: {{deny: {{item_id: {name}}}}}")
    with toy.gateway(tmp_path) as gateway:
        page = gateway.page(user_id="u", surface="similar", item_id="i20")
        gateway.stop()
    (similar,) = [row for row in page["rows"] if row["reason"].get("item_id") == "i20"]
    published = read_published(tmp_path / "serving", ())
    rows = {}
    for name, path in files.items():
        policies = read_policy(None, None, published), read_policy(path, None, published)
        rows[name] = [change.rows for change in compare(tmp_path / "serving", *policies, 10).changes]
    assert rows["i20"][0][similar["id"]][1] == []
    assert all(one.get(similar["id"], ("", [""]))[1] for one in rows["i21"]), "about i20, which is not denied"


def test_a_verdict_on_what_nothing_holds_is_refused(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    (tmp_path / "rules.yaml").write_text("new: {hold: {price: {at_least: 30}}, reviews: seen.jsonl}")
    (tmp_path / "none.yaml").write_text("a: {deny: {price: 3}}")

    def fault(name: str, *items: str) -> str:
        places = ("--root", str(tmp_path), "--rules", str(tmp_path / name))
        done = subprocess.run([*VERB[:-1], "items", "accept", *items, *places], capture_output=True, text=True)
        assert done.returncode == 2
        return " ".join(done.stderr.split())

    assert "there is no item 'i3'; did you mean" in fault("rules.yaml", "i3")
    assert "holds i03" in fault("rules.yaml", "i31", "i03") and not (tmp_path / "seen.jsonl").exists()
    assert "has no rule that holds items" in fault("none.yaml", "i03")
