"""What is hot now: counted from everybody's events, on pages a moment later, and the same after a restart."""

from __future__ import annotations

import asyncio
import json
import pathlib
import subprocess
import time

import numpy as np
import pytest

from homefeed.models.hot.blend import FILE, Blend
from homefeed.models.shared.item_vectors import ItemVectors
from homefeed.serving.gateway.hot import Hot
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.published import read_blend
from homefeed.serving.profiles import FILE_NAME, LiveEvent, update_items
from homefeed.serving.profiles.published import Item
from homefeed.serving.profiles.stores import FileStore
from tests.serving.gateway import toy
from tests.serving.gateway.toy import row
from tests.serving.servers import eventually

SURFACES = """
home: {rows: [for_you, trending], length: 3}
landing: {rows: [for_you], length: 4, mix: {for_you: {model: 1, hot: 1}}}
"""
NOW = int(time.time())


def event(event_id: str, item: str, kind: str = "view", user: str = "u", at: int = NOW) -> LiveEvent:
    return LiveEvent(event_id, user, kind, at, at * 1000, item)


def catalogue(*items: str, category: str = "news") -> Items:
    return Items(Item(item, item, {"categories": [category if item < "m" else "sport"]}, 0) for item in items)


def test_on_pages_a_moment_later_with_its_source_and_after_a_restart(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    (tmp_path / "surfaces.yaml").write_text(SURFACES)
    options = ("--surfaces", str(tmp_path / "surfaces.yaml"))
    with toy.gateway(tmp_path, *options) as gateway:
        assert not row(gateway.page(user_id="reader"), "trending")
        for n, item in enumerate(["i07", "i08", "i07", "i09", "i07", "i08"]):
            gateway.did(str(n), f"u{n}", "view", item)
        for n in range(9):
            gateway.did(f"eager-{n}", "eager", "view", "i09")
        gateway.did("seen", "u1", "impression", "i09")
        gateway.did("hidden", "u2", "hide", "i20")
        eventually(lambda: row(gateway.page(user_id="reader"), "trending") == ["i07", "i08", "i09"])
        page = gateway.page(user_id="reader")
        (trending,) = (one for one in page["rows"] if one["id"] == "trending")
        assert trending["reason"] == {"code": "trending"}
        assert {card["found_by"] for card in trending["cards"]} == {"trending"}
        mixed = gateway.page(user_id="reader", surface="landing")
        assert [card["found_by"] == "hot" for card in mixed["rows"][0]["cards"]] == [False, True, False, True]
        assert row(mixed, "for_you")[1::2] == ["i07", "i08"]
        assert "i07" not in row(gateway.page(user_id="u0"), "trending")  # Who had it.
        more = gateway.page(user_id="reader", surface="landing", after=mixed["impression_id"])
        assert "hot" in {card["found_by"] for card in more["rows"][0]["cards"]}
        assert "Trending now" in gateway.http.get("/?user_id=reader").text
        assert "正在热读" in gateway.http.get("/?user_id=reader&lang=zh").text
        eventually(lambda: "i07" in _goes(tmp_path, options))
        titles = {item: f"Title of {item}" for item in [*toy.IDS, "i41"]}
        update_items(tmp_path / "serving" / FILE_NAME, titles, toy.cards() | {"i41": {"categories": ["new"]}})
        for n in range(5):
            gateway.did(f"late-{n}", f"late-{n}", "view", "i41")
        eventually(lambda: row(gateway.page(user_id="reader"), "trending")[0] == "i41")
    with toy.gateway(tmp_path, *options) as gateway:  # The other one was killed.
        eventually(lambda: row(gateway.page(user_id="reader"), "trending") == ["i41", "i07", "i08"])


def _goes(root: pathlib.Path, options: tuple[str, ...]) -> list[str]:
    """Items that would no longer be on pages that were served, if i07 were blocked: those are made again."""
    (root / "none.yaml").write_text("nothing: {block: {price: {at_least: 1000}}}")
    (root / "block.yaml").write_text("i07: {block: {price: 6.5}}")
    files = ("--rules", str(root / "none.yaml"), "--dry-run", str(root / "block.yaml"))
    command = [*toy.COMMAND[:-1], "page", "rules", "--root", str(root), *options, *files, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout)["gone"])


def count_of(hot: Hot) -> list[float]:
    rows = np.array([hot._rows[item] for item in "abc"])
    return hot._board.counts.as_of(NOW, rows)[:, 3].tolist()


def test_each_event_counts_once_whoever_it_belongs_to_later(tmp_path: pathlib.Path) -> None:
    """A guest who logs in moves their events to the end of the log."""

    async def counted() -> tuple[list[float], list[float]]:
        store = FileStore(tmp_path / "live.sqlite", lambda *_: None, 10)
        items, nothing = catalogue("a", "b", "c"), ItemVectors(None)
        hot = Hot(store)
        await hot.take_over(items, nothing, Blend())
        await store.append([event("1", "a", user="guest"), event("2", "b", user="guest"), event("3", "a", user="w")])
        await hot.follow()
        await store.merge("guest", "u")
        await store.append([event("1", "a", user="guest"), event("4", "c"), event("5", "b", "impression")])
        await hot.follow()
        again = Hot(store)
        await again.take_over(items, nothing, Blend())
        await again.follow()
        await store.close()
        return count_of(hot), count_of(again)

    followed, rebuilt = asyncio.run(counted())
    assert followed == pytest.approx([2, 1, 1], rel=1e-4)
    assert rebuilt == pytest.approx(followed)


def test_a_person_counts_once_for_an_item_and_again_when_others_have_their_place(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def counted() -> list[float]:
        store = FileStore(tmp_path / "live.sqlite", lambda *_: None, 10)
        hot = Hot(store)
        await hot.take_over(catalogue("a", "b", "c"), ItemVectors(None), Blend())
        for batch in range(2):
            names = [f"{batch}-{n}" for n in range(50)]
            await store.append([event(f"a{name}", "a", user="eager") for name in names])
            await store.append([event(f"b{name}", "b", user=name) for name in names])
            await hot.follow()
        await store.append([event("c", "c", user="eager"), event("back", "a", user="eager")])
        await hot.follow()
        await store.close()
        return count_of(hot)

    assert asyncio.run(counted()) == pytest.approx([1, 100, 1], rel=1e-4)
    monkeypatch.setattr("homefeed.serving.gateway.hot.NUM_REMEMBERED", 1)
    (tmp_path / "live.sqlite").unlink()
    assert asyncio.run(counted()) == pytest.approx([3, 100, 1], rel=1e-4)


def test_an_order_that_cannot_be_read_keeps_no_gateway_from_starting(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_blend(tmp_path / "serving") == Blend()
    monkeypatch.setattr("homefeed.serving.gateway.published._stable_retrieval", lambda _: tmp_path)
    Blend(weights={"hot_1800": 2.0}).write(tmp_path)
    assert read_blend(tmp_path).weights == {"hot_1800": 2.0}
    (tmp_path / FILE).write_text("{")
    assert read_blend(tmp_path) == Blend()


def test_who_logs_in_before_anybody_counted_is_counted(tmp_path: pathlib.Path) -> None:
    """The gateway counts once a second: who clicks and logs in sooner counts, and once."""

    async def counted() -> list[float]:
        store = FileStore(tmp_path / "live.sqlite", lambda *_: None, 10)
        hot = Hot(store)
        await hot.take_over(catalogue("a", "b", "c"), ItemVectors(None), Blend())
        await store.append([event("1", "a", user="guest")])
        await hot.follow()
        await store.append([event("2", "b", user="guest")])
        await store.merge("guest", "u")
        await hot.follow()
        await hot.follow()
        await store.close()
        return count_of(hot)

    assert asyncio.run(counted()) == pytest.approx([1, 1, 0], rel=1e-4)


def test_an_item_that_comes_later_is_hot_as_soon_as_a_push_brings_it(tmp_path: pathlib.Path) -> None:
    async def lists() -> list[list[str]]:
        store = FileStore(tmp_path / "live.sqlite", lambda *_: None, 10)
        hot, nothing = Hot(store), ItemVectors(None)
        await hot.take_over(catalogue("a", "b"), nothing, Blend())
        await store.append([event("1", "new"), event("2", "new", user="w"), event("3", "a"), event("4", "zoo")])
        await hot.follow()
        before = hot.lists((), frozenset()).trending
        await hot.take_over(catalogue("a", "b", "new"), nothing, Blend())
        after = hot.lists((), frozenset()).trending
        await store.append([event(f"b{n}", "b", user=f"w{n}") for n in range(3)])
        await hot.follow()
        await store.close()
        return [list(before), list(after), list(hot.lists((), frozenset({"a"}), 2).trending)]

    assert asyncio.run(lists()) == [["a"], ["new", "a"], ["b", "new"]]


def test_who_likes_a_category_gets_its_hottest_first(tmp_path: pathlib.Path) -> None:
    async def lists() -> tuple[list[str], list[str]]:
        store = FileStore(tmp_path / "live.sqlite", lambda *_: None, 10)
        hot = Hot(store)
        blend = Blend(weights={"hot_14400": 1.0, "taste_categories": 3.0})
        await hot.take_over(catalogue("a", "b", "c", "x", "y", "z"), ItemVectors(None), blend)
        await store.append([event(str(n), item, user=f"u{n}") for n, item in enumerate("aaabbcxxyz")])
        await hot.follow()
        await store.append([event("u", "not-in-the-catalogue"), event("v", "z", "impression")])
        await hot.follow()
        found = hot.lists(["z", "not-in-the-catalogue", "never-heard-of"], frozenset({"z"}))
        await store.close()
        return list(found.trending), list(found.hot)

    trending, hot = asyncio.run(lists())
    assert trending == ["a", "b", "x", "c", "y"]
    assert hot[:2] == ["x", "y"] and sorted(hot) == sorted(trending)


def test_a_fast_clock_makes_nothing_hotter(tmp_path: pathlib.Path) -> None:
    async def count() -> float:
        store = FileStore(tmp_path / "live.sqlite", lambda *_: None, 10)
        hot = Hot(store)
        await store.append([event("1", "a", at=NOW + 86_400)])
        await hot.follow()
        await store.close()
        return float(hot._board.counts.as_of(time.time(), np.array([hot._rows["a"]]))[0, 0])

    assert asyncio.run(count()) <= 1
