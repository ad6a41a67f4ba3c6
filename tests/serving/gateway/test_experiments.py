"""Experiments on the home page, from the file to the report: real gateway, model server and store."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import pathlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from homefeed.serving import process
from homefeed.serving.experiments import conclusion
from homefeed.serving.experiments.design import read_experiments
from homefeed.serving.experiments.reading import read, stops
from homefeed.serving.experiments.report import report
from homefeed.serving.feedback.seal import SETTLED_SECONDS, seal
from homefeed.serving.gateway import ladder
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.policies import read_policy
from homefeed.serving.gateway.published import read_published
from homefeed.serving.gateway.replay import replay
from homefeed.serving.gateway.schema import Ask
from homefeed.serving.profiles.store import LIVE_FILE_NAME
from homefeed.serving.releases import Releases
from tests.pipeline.command import homefeed
from tests.serving.feedback import shop
from tests.serving.gateway import toy
from tests.serving.gateway.toy import items
from tests.serving.servers import eventually, running_server
from tests.serving.test_releases import parsed

CANARY = """
worse:
  arms: {stable: {}, canary: {model: canary}}
  guardrails: {click_rate: 0.02}
  users: 300
"""


@pytest.fixture(scope="module")
def two_models(nearest: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A root whose stable models find what is near, and whose canary what is far; and the port of a server of it."""
    root = tmp_path_factory.mktemp("experiments")
    toy.publish(root / "serving", nearest)
    farthest = toy.save_models(tmp_path_factory.mktemp("farthest"), farthest=True)
    Releases(root / "serving").push(farthest, canary=True)
    port = process.free_port()
    with running_server(**parsed(process.server_flags(str(root / "serving"), port))):
        yield root, port


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests must not make pages without models."""
    monkeypatch.setattr(ladder, "MAX_LAG_SECONDS", 60.0)


def home(two_models: Any, experiments: pathlib.Path, rules: pathlib.Path | None = None) -> Home:
    """A gateway with a store of its own."""
    root, port = two_models
    for path in (root / "serving").iterdir():
        if path.name.startswith("live"):
            path.unlink()
    config = Config(root / "serving", f"127.0.0.1:{port}", budget_seconds=5.0, user_rate=0)
    return Home(dataclasses.replace(config, experiments=experiments, rules=rules), Metrics())


async def ready(home: Home) -> None:
    """Until the models of both labels have answered."""
    await home.start()
    models = home.known.models
    assert models
    for _ in range(200):
        await home.learn()
        if models.stable.is_answering and models.of("canary").version != models.stable.version:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no model server")


async def visit(home: Home, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A reader who likes what has a small number: the page, and what they do."""
    user = f"reader-{number}"
    page = await home.page(Ask(user_id=user, k=4))
    cards = page["rows"][0]["cards"]
    common = {"user_id": user, "token": page["token"]}
    events = [
        {"event_id": f"s{user}{card['item_id']}", "type": "impression", "item_id": card["item_id"], **common}
        for card in cards
    ]
    if cards[0]["item_id"] < "i10" and number % 3:
        events.append({"event_id": f"c{user}", "type": "click", "item_id": cards[0]["item_id"], **common})
    return page, events


def test_a_planted_worse_model_is_stopped_by_its_experiment(
    two_models: Any, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "experiments.yaml"
    path.write_text(CANARY)
    root, _ = two_models

    async def run() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        gateway = home(two_models, path)
        await ready(gateway)
        try:
            pages, waiting = [], []
            for number in range(260):
                page, events = await visit(gateway, number)
                pages.append(page)
                waiting += events
                if len(waiting) > 400:
                    await gateway.take(waiting)
                    waiting = []
            await gateway.take(waiting)
            assert gateway.health()["experiments_version"]
            await gateway.learn()
            after, _ = await visit(gateway, 1_000)
            return pages, after
        finally:
            await gateway.stop()

    pages, after = asyncio.run(run())
    by_arm = collections.defaultdict(list)
    for page in pages:
        if page["arms"]:  # The gateway looks once a second: it may be stopped before the last page.
            by_arm[page["arms"]["worse"]].append(page)
    assert {page["model_version"] for page in by_arm["stable"]} == {1}
    assert {page["model_version"] for page in by_arm["canary"]} == {2}
    assert min(map(len, by_arm.values())) > 90
    (stop,) = stops(root / "serving")
    assert stop.experiment == "worse__0" and stop.arm == "stable" and "click rate of canary is worse" in stop.reason
    assert after["arms"] == {} and after["model_version"] == 1

    experiment = read_experiments(path).get("worse")
    live = report("worse", experiment, read(None, root / "serving"))
    clicks = live.comparisons["canary"]["click_rate"]
    assert clicks.is_broken and clicks.high < 0 and live.arms["canary"].metrics["click_rate"] == 0
    assert live.sample_ratio > 0.05 and live.arms["stable"].pages == len(by_arm["stable"])
    assert live.arms["canary"].model_versions == {"2": len(by_arm["canary"])}
    assert "broke a guardrail" in conclusion.conclude(live, experiment)

    data = tmp_path / "data"
    data.mkdir()
    (data / "dataset.yaml").write_text(shop.DATASET)
    at = max(page.at for page in read(None, root / "serving")) + SETTLED_SECONDS + 10
    seal(root / "serving", data, at)
    sealed = report("worse", experiment, read(data, None))
    assert sealed.arms["stable"].metrics["click_rate"] == live.arms["stable"].metrics["click_rate"]
    both = report("worse", experiment, read(data, root / "serving"))
    assert both.comparisons["canary"]["click_rate"] == clicks
    assert {arm: one.pages for arm, one in both.arms.items()} == {arm: len(mine) for arm, mine in by_arm.items()}
    for name, comparison in live.comparisons["canary"].items():
        assert sealed.comparisons["canary"][name].difference == pytest.approx(comparison.difference, abs=1e-3)

    places = ("--experiments", str(path), "--data", str(data), "--root", str(root))
    assert homefeed("experiment", "report", "worse", *places, "--json", "--html", str(tmp_path / "report.html")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["arms"]["stable"]["users"] == len(by_arm["stable"])
    assert "It was stopped: click rate" in told["conclusion"]
    assert "canary beside stable" in (tmp_path / "report.html").read_text()
    assert homefeed("experiment", "check", str(path), "--data", str(data), "--lift", "0.5") == 0
    check = capsys.readouterr().out
    assert "model: canary" in check and "click rate" in check and "users of two arms" in check


def test_two_models_take_turns_on_one_page(two_models: Any, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "experiments.yaml"
    path.write_text("turns: {interleave: [stable, canary]}")
    (tmp_path / "rules.yaml").write_text("no-i38: {block: {price: 37.5}}")
    root, _ = two_models

    async def run() -> list[dict[str, Any]]:
        gateway = home(two_models, path, tmp_path / "rules.yaml")
        await ready(gateway)
        try:
            visits = [await visit(gateway, number) for number in range(40)]
            events = [event for _, some in visits for event in some]
            for page, some in visits:  # They take the best card that has a small number, wherever it stands.
                small = next(card["item_id"] for card in page["rows"][0]["cards"] if card["item_id"] < "i20")
                events.append(some[0] | {"event_id": f"t{page['impression_id']}", "type": "click", "item_id": small})
            await gateway.take(events)
            return [page for page, _ in visits]
        finally:
            await gateway.stop()

    pages = asyncio.run(run())
    first = collections.Counter(items(page)[0] for page in pages)
    assert set(first) == {"i01", "i37"} and min(first.values()) > 8
    assert {tuple(sorted(items(page)[:4])) for page in pages} == {("i01", "i02", "i36", "i37")}
    found = report("turns", read_experiments(path).get("turns"), read(None, root / "serving"))
    assert found.preference is not None and found.preference.first == 40 and found.preference.p_value < 1e-6
    assert "Readers prefer stable" in conclusion.conclude(found, read_experiments(path).get("turns"))


def test_arms_are_followed_kept_and_stopped_by_hand(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.publish(tmp_path / "serving", {})
    path = tmp_path / "experiments.yaml"
    path.write_text("long: {arms: {a: {surface: {length: 3}}, b: {surface: {length: 5}}}, unit: user}")
    with toy.gateway(tmp_path, "--experiments", str(path)) as gateway:
        arms = {f"u{n}": gateway.page(user_id=f"u{n}") for n in range(12)}
        lengths = {"a": 3, "b": 5}
        assert {page["arms"]["long"] for page in arms.values()} == {"a", "b"}
        assert all(len(page["rows"][0]["cards"]) == lengths[page["arms"]["long"]] for page in arms.values())
        assert gateway.page(session_id="guest")["arms"] == {}
        assert 'homefeed_arm_pages_total{arm="a",experiment="long"}' in gateway.http.get("/metrics").text
        version = gateway.http.get("/v1/health").json()["experiments_version"]

        path.write_text("long: {arms: {a: {surface: {length: 9}}, b: {weight: 9, surface: {length: 5}}}, unit: user}")
        eventually(lambda: gateway.http.get("/v1/health").json()["experiments_version"] != version)
        again = {user: gateway.page(user_id=user) for user in arms}
        assert {user: page["arms"] for user, page in again.items()} == {user: p["arms"] for user, p in arms.items()}
        assert any(len(page["rows"][0]["cards"]) == 9 for page in again.values())

        path.write_text("long: {arms: {a: {}}}")
        eventually(lambda: "two or more `arms`" in gateway.http.get("/v1/health").json().get("rules_fault", ""))
        assert gateway.page(user_id="u1")["arms"] == arms["u1"]["arms"]

        path.write_text("long: {arms: {a: {surface: {length: 2}}, b: {surface: {length: 5}}}, unit: user}")
        eventually(lambda: "rules_fault" not in gateway.http.get("/v1/health").json())
        options = ("--root", str(tmp_path), "--experiments", str(path))
        assert homefeed("experiment", "stop", "long", "--reason", "enough", *options) == 0
        eventually(lambda: not gateway.page(user_id="u1")["arms"])
        assert {len(gateway.page(user_id=user)["rows"][0]["cards"]) for user in arms} == {2}
        assert homefeed("experiment", "report", "long", *options) == 0
        assert "It was stopped: enough; everybody gets a." in " ".join(capsys.readouterr().out.split())


def test_a_wrong_objective_costs_its_own_pages_only(two_models: Any, tmp_path: pathlib.Path) -> None:
    """A model without objectives passes them over, and pages go on."""
    path = tmp_path / "experiments.yaml"
    path.write_text("aim: {arms: {a: {}, b: {model: canary, surface: {objective: none}}}}")

    async def run() -> set[str]:
        gateway = home(two_models, path)
        await ready(gateway)
        try:
            return {(await gateway.page(Ask(user_id=f"o{n}", k=2)))["served_by"] for n in range(8)}
        finally:
            await gateway.stop()

    assert asyncio.run(run()) == {"fused"}


def test_pages_of_all_arms_are_made_again_byte_for_byte(two_models: Any, tmp_path: pathlib.Path) -> None:
    """What an arm changed is recorded with the page: of surfaces, and of what is left to chance."""
    path = tmp_path / "experiments.yaml"
    path.write_text(
        """
short: {arms: {a: {surface: {length: 3}}, b: {}}, unit: user}
chance:
  arms: {a: {model: canary}, b: {model: canary, surface: {exploration: {temperature: 2}}}}
  layer: lists
  part: [0, 0.6]
turns: {interleave: [stable, canary], layer: lists, part: [0.6, 1]}
"""
    )
    root, _ = two_models

    async def run() -> list[dict[str, Any]]:
        gateway = home(two_models, path)
        await ready(gateway)
        try:
            return [await gateway.page(Ask(user_id=f"r{n}")) for n in range(40)]
        finally:
            await gateway.stop()

    pages = asyncio.run(run())
    arms = collections.Counter(arm for page in pages for arm in page["arms"].items())
    assert {("short", "a"), ("chance", "a"), ("chance", "b"), ("turns", "interleaved")} <= arms.keys()
    published = read_published(root / "serving", ())
    policy = read_policy(None, None, published.items)
    with contextlib.closing(sqlite3.connect(root / "serving" / LIVE_FILE_NAME)) as database:
        kept = [orjson.loads(page) for (page,) in database.execute("SELECT page FROM exposures")]
    assert len(kept) == len(pages) and all(page["took_ms"] > 0 and 0 < page["variety"] <= 1 for page in kept)
    assert {page["changes"].get("length") for page in kept if "changes" in page} == {3, None}
    assert any(page["seed"] for page in kept) and any("teams" in page for page in kept)
    again = [replay(root / "serving", published, policy, page["impression_id"]) for page in pages]
    assert [one.rows for one in again if not one.is_same] == []
