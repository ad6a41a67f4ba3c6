"""Chance in pages of a running gateway: logged, sealed with its probabilities, and made again byte for byte."""

from __future__ import annotations

import collections
import contextlib
import json
import pathlib
import sqlite3
import subprocess
import sys
import time
from typing import Any

import pyarrow.parquet as pq
import pytest

from homefeed.serving import process
from homefeed.serving.feedback.seal import seal
from homefeed.serving.gateway.policies import read_policy
from homefeed.serving.gateway.published import read_published
from homefeed.serving.gateway.replay import ReplayError, replay
from homefeed.serving.profiles.store import LIVE_FILE_NAME
from tests.serving.feedback.shop import DATASET
from tests.serving.gateway import toy
from tests.serving.gateway.toy import items, row
from tests.serving.servers import eventually, running_server
from tests.serving.test_releases import parsed

SURFACES = """\
home:
  rows: [for_you, new, popular]
  diversity: {serendipity: 0.5, reach: 20}
  exploration: {temperature: 1, epsilon: 0.2, fresh: 2, pool: 10}
  rotation: 24
plain: {rows: [for_you]}
"""
RULES = "few: {cap: price, at_most: 1}\ncomedies: {quota: {categories: comedy}, at_least: 1}"
VERB = [sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()", "page", "replay"]
NUM_PAGES = 60
Served = tuple[pathlib.Path, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def shop(models: str, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """A root and the pages that were served from it."""
    root = tmp_path_factory.mktemp("by_lot")
    return root, serve(root, models, NUM_PAGES, 4)


def serve(root: pathlib.Path, models: str, count: int, users: int) -> list[dict[str, Any]]:
    """Pages, with events between them; then one that goes on, one without chance, and a search."""
    toy.publish(root / "serving", {})
    (root / "surfaces.yaml").write_text(SURFACES)
    (root / "rules.yaml").write_text(RULES)
    options = ("--surfaces", str(root / "surfaces.yaml"), "--rules", str(root / "rules.yaml"), "--budget-ms", "5000")
    pages = []
    with toy.gateway(root, *options, models=models) as gateway:
        eventually(lambda: gateway.http.get("/v1/ready").json()["models"])
        for n in range(count):
            page = gateway.page(user_id=f"u{n % users}", k=5)
            pages.append(page)
            kind = ("view", "hide", "impression")[n % 3]
            gateway.did(f"e{n}", f"u{n % users}", kind, items(page)[0], token=page["token"], position=0)
        pages.append(gateway.page(user_id=f"u{(count - 3) % users}", k=3, after=pages[-3]["impression_id"]))
        pages.append(gateway.page(user_id="u1", surface="plain", k=3))
        pages.append(gateway.page(user_id="u1", query="title", k=3))
        gateway.stop()
    return pages


def recorded(root: pathlib.Path) -> dict[str, dict[str, Any]]:
    with contextlib.closing(sqlite3.connect(root / "serving" / "live.sqlite")) as database:
        found = [json.loads(page) for (page,) in database.execute("SELECT page FROM exposures")]
    return {page["impression_id"]: page for page in found}


def test_a_model_that_says_nan_costs_its_own_rung(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", toy.save_models(tmp_path / "sick", is_sick=True))
    (tmp_path / "surfaces.yaml").write_text(SURFACES)
    port = process.free_port()
    flags = parsed(process.server_flags(str(tmp_path / "serving"), port))
    with (
        running_server(**flags),
        toy.gateway(
            tmp_path, "--surfaces", str(tmp_path / "surfaces.yaml"), "--budget-ms", "5000", models=f"127.0.0.1:{port}"
        ) as gateway,
    ):
        eventually(lambda: gateway.page(user_id="fan", k=3)["served_by"] == "retrieval")
        assert row(gateway.page(user_id="fan", k=3), "for_you")


def test_what_is_left_to_chance_is_recorded(shop: Served) -> None:
    root, pages = shop
    logged = recorded(root)
    assert len({logged[page["impression_id"]]["seed"] for page in pages[:NUM_PAGES]}) == NUM_PAGES
    firsts = collections.Counter[str]()
    for page in pages[:NUM_PAGES]:
        first, *others = logged[page["impression_id"]]["rows"]
        assert first["items"] == row(page, "for_you") and len(first["propensities"]) == len(first["items"])
        assert all(0 < chance <= 1 for chance in first["propensities"]) and min(first["propensities"]) < 0.9
        assert not any("propensities" in other for other in others)
        assert len(set(items(page))) == len(items(page))
        firsts[first["items"][0]] += 1
    assert len(firsts) > 10
    first_rows = (page["rows"][0]["cards"] for page in pages[:NUM_PAGES])
    found_by = collections.Counter(card["found_by"] for cards in first_rows for card in cards)
    assert found_by["new"] > 5 and found_by["fused"] > 2 * found_by["new"]
    more, plain, search = (logged[page["impression_id"]] for page in pages[NUM_PAGES:])
    for page in (more, plain, search):
        assert page["seed"] is None and not any("propensities" in one for one in page["rows"])
    assert not set(items(pages[NUM_PAGES])) & set(items(pages[NUM_PAGES - 3]))


def test_every_page_is_made_again_byte_for_byte(shop: Served) -> None:
    root, pages = shop
    published = read_published(root / "serving", ())
    policy = read_policy(root / "rules.yaml", root / "surfaces.yaml", published)
    for page in pages:
        again = replay(root / "serving", policy, page["impression_id"])
        assert again.is_same, again


@pytest.mark.slow
def test_ten_thousand_pages_are_made_again_byte_for_byte(models: str, tmp_path: pathlib.Path) -> None:
    pages = serve(tmp_path, models, 10_000, 700)
    published = read_published(tmp_path / "serving", ())
    policy = read_policy(tmp_path / "rules.yaml", tmp_path / "surfaces.yaml", published)
    made = (replay(tmp_path / "serving", policy, page["impression_id"]) for page in pages)
    assert sum(again.is_same for again in made) == len(pages) == 10_003


def test_the_verb_says_so_or_why_not(shop: Served, tmp_path: pathlib.Path) -> None:
    root, pages = shop
    where = ("--root", str(root), "--surfaces", str(root / "surfaces.yaml"))
    page = pages[0]["impression_id"]

    def verb(*arguments: str) -> tuple[int, str]:
        done = subprocess.run([*VERB, *arguments], capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    assert verb(page, *where, "--rules", str(root / "rules.yaml")) == (
        0,
        f"{page} is the same page again, byte for byte\n",
    )
    other = tmp_path / "rules.yaml"
    other.write_text("no-drama: {block: {categories: drama}}")
    code, told = verb(page, *where, "--rules", str(other))
    assert code == 2 and "cannot be replayed: rules and surfaces were" in " ".join(told.split())
    assert "push" not in told and "for_you  was" not in told


def test_what_cannot_be_made_again_is_told(shop: Served, tmp_path: pathlib.Path) -> None:
    root, pages = shop
    published = read_published(root / "serving", ())
    policy = read_policy(None, None, published)
    with pytest.raises(ReplayError, match="has no page 'nothing'"):
        replay(root / "serving", policy, "nothing")
    with pytest.raises(ReplayError, match="surface 'plain', which is not there"):
        replay(root / "serving", policy, pages[-2]["impression_id"])
    toy.publish(tmp_path, {}, facts={item: {"price": ["1"]} for item in toy.IDS})
    with contextlib.closing(sqlite3.connect(root / "serving" / LIVE_FILE_NAME)) as database:
        database.execute("VACUUM INTO ?", (str(tmp_path / LIVE_FILE_NAME),))
    policy = read_policy(root / "rules.yaml", root / "surfaces.yaml", read_published(tmp_path, ()))
    with pytest.raises(ReplayError, match=r"cannot be replayed: profiles, .* another push, and are gone$"):
        replay(tmp_path, policy, pages[0]["impression_id"])


def test_probabilities_are_sealed(shop: Served, tmp_path: pathlib.Path) -> None:
    root, pages = shop
    (tmp_path / "dataset.yaml").write_text(DATASET.replace("like, view", "like, view, hide"), encoding="utf-8")
    seal(root / "serving", tmp_path, time.time() + 3_600)
    logged = recorded(root)
    sealed = pq.read_table(tmp_path / "exposures" / "1.parquet").to_pylist()
    assert len({card["impression_id"] for card in sealed}) == len(pages)
    for card in sealed:
        rows = logged[card["impression_id"]]["rows"]
        told = {
            item: chance
            for one in rows
            for item, chance in zip(one["items"], one.get("propensities") or [1.0] * len(one["items"]), strict=True)
        }
        assert card["propensity"] == told[card["item_id"]]
    assert 0.3 < sum(card["propensity"] < 1 for card in sealed) / len(sealed) < 1
