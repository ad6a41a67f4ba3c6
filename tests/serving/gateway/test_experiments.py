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

from homefeed.models.requests import Event, Request
from homefeed.serving import process
from homefeed.serving.audit import Trail
from homefeed.serving.experiments import conclusion
from homefeed.serving.experiments.assignment import Assigned
from homefeed.serving.experiments.design import read_experiments
from homefeed.serving.experiments.reading import read, stops
from homefeed.serving.experiments.report import report
from homefeed.serving.feedback.seal import SETTLED_SECONDS, seal
from homefeed.serving.gateway import ladder
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.making import Made
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.policies import read_policy
from homefeed.serving.gateway.published import read_published
from homefeed.serving.gateway.replay import replay
from homefeed.serving.gateway.schema import Ask
from homefeed.serving.gateway.trials import Trials
from homefeed.serving.gateway.whys import whys
from homefeed.serving.profiles import FILE_NAME, open_store, write_profiles
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
    known = [Request(f"known-{n}", [Event("i02", timestamp=1_600_000_000)]) for n in range(300)]
    titles = {item: f"Title of {item}" for item in toy.IDS}
    write_profiles(root / "serving" / FILE_NAME, [*toy.profiles(), *known], titles, cards=toy.cards())
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


async def visit(home: Home, number: int, kind: str = "reader") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A reader who likes what has a small number: the page, and what they do."""
    user = f"{kind}-{number}"
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


def test_reasons_are_those_of_the_models_that_made_the_page(
    two_models: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whys, "MAX_LAG_SECONDS", 60.0)
    path = tmp_path / "experiments.yaml"
    path.write_text("far: {arms: {stable: {weight: 1}, canary: {weight: 99, model: canary}}}\n")

    async def run() -> list[dict[str, Any]]:
        gateway = home(two_models, path)
        await ready(gateway)
        try:
            event = {"event_id": "w1", "user_id": "why", "type": "view", "item_id": "i30"}
            await gateway.take([event])
            page = await gateway.page(Ask(user_id="why", k=2))
            items = [card["item_id"] for card in page["rows"][0]["cards"]]
            assert items == ["i01", "i02"] and page["model_version"] == 2  # The farthest from i30.
            await asyncio.gather(*gateway._recording)  # Nobody else waits for a page to be on disk.
            told = [await gateway.why(page["impression_id"], "i01", "why")]
        finally:
            await gateway.stop()
        # The experiment is over, and nobody asks for the canary any more but for this page.
        config = Config(two_models[0] / "serving", f"127.0.0.1:{two_models[1]}", budget_seconds=5.0)
        later = Home(config, Metrics())
        await later.start()
        await later.learn()
        try:
            told.append(await later.why(page["impression_id"], "i01", None))
        finally:
            await later.stop()
        return told

    first, again = asyncio.run(run())
    assert first["is_measured"] and first["answered_by"] == 2
    assert first["reasons"][0]["subject"] == "i30" and first == again


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
                page, events = await visit(gateway, number, "known")
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


@pytest.mark.parametrize(
    ("unit", "has_history", "minutes", "is_stopped"),
    [
        ("visitor", False, 60, False),
        ("visitor", True, 0, True),
        ("session", False, 9, False),
        ("session", False, 10, True),
    ],
)
def test_nobody_trips_a_guardrail_with_users_that_they_make_up(
    unit: str,
    has_history: bool,
    minutes: int,
    is_stopped: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """Four hundred in no time, of whom those in one arm hide all that they see."""
    path = tmp_path / "experiments.yaml"
    path.write_text(f"x: {{arms: {{a: {{}}, b: {{model: canary}}}}, unit: {unit}, users: 400}}")
    experiments, clock = read_experiments(path), [0.0]
    monkeypatch.setattr("homefeed.serving.gateway.trials.time.monotonic", lambda: clock[0])
    store = open_store("", tmp_path / LIVE_FILE_NAME, lambda events, seconds: None, 10)
    home = Trials(store, Metrics(), Trail(tmp_path / "audit.sqlite"))
    facts = {"model_version": 1, "served_by": "fused", "took_ms": 1.0, "variety": 1.0}
    for clock[0] in (0.0, minutes * 60.0):
        for number in range(400):
            arms = Assigned({"x": "ab"[number % 2]})
            party = home.served(experiments, arms, f"guest:{number}", Made([]), facts, has_history)
            for item in "cdef":
                home._monitor.happened(party, item, ["seen", "hidden"] if number % 2 else ["seen"])

    async def stops() -> bool:
        await home.follow(experiments, 10.0**9)
        found = await home._store.stops()
        await home._store.close()
        return bool(found)

    assert asyncio.run(stops()) is is_stopped


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

        anew = "long: {arms: {a: {surface: {length: 3}}, b: {surface: {length: 5}}}, unit: user, version: 1}"
        version = gateway.http.get("/v1/health").json()["experiments_version"]
        path.write_text(anew)
        eventually(lambda: gateway.http.get("/v1/health").json()["experiments_version"] != version)
        for user in ("u1", "u2", "u3"):
            gateway.page(user_id=user)
        places = ("--root", str(tmp_path), "--experiments", str(path))

        def counted() -> tuple[int, int]:
            capsys.readouterr()
            assert homefeed("experiment", "report", "long", *places, "--json") == 0
            told = json.loads(capsys.readouterr().out)
            return sum(arm["pages"] for arm in told["arms"].values()), told["left_out"]

        eventually(lambda: counted() == (3, 24))

        path.write_text("long: {arms: {a: {}}}")
        eventually(lambda: "two or more `arms`" in gateway.http.get("/v1/health").json().get("rules_fault", ""))
        assert gateway.page(user_id="u1")["arms"] == arms["u1"]["arms"]

        path.write_text("long: {arms: {a: {surface: {length: 2}}, b: {surface: {length: 5}}}, unit: user}")
        eventually(lambda: "rules_fault" not in gateway.http.get("/v1/health").json())
        options = ("--root", str(tmp_path), "--experiments", str(path))
        assert homefeed("experiment", "stop", "long", "--reason", "enough\n\x1b[2J of it", *options) == 0
        eventually(lambda: not gateway.page(user_id="u1")["arms"])
        assert {len(gateway.page(user_id=user)["rows"][0]["cards"]) for user in arms} == {2}
        assert homefeed("experiment", "report", "long", *options) == 0
        assert "It was stopped: enough [2J of it; everybody gets a." in " ".join(capsys.readouterr().out.split())


def test_a_wrong_objective_costs_its_own_pages_only(two_models: Any, tmp_path: pathlib.Path) -> None:
    """A model without objectives sorts as it does, and the page and the gateway's health say so."""
    path = tmp_path / "experiments.yaml"
    path.write_text("aim: {arms: {a: {}, b: {model: canary, surface: {objective: none}}}}")

    async def run() -> set[tuple[str, str]]:
        gateway = home(two_models, path)
        await ready(gateway)
        try:
            assert gateway.health()["objective_fault"] == "none: the model takes no objective"
            assert b"homefeed_objectives_lacking 1.0" in gateway._metrics.text()
            pages = [await gateway.page(Ask(user_id=f"o{n}", k=2)) for n in range(8)]
            return {(page["served_by"], page["objective"]) for page in pages}
        finally:
            await gateway.stop()

    assert asyncio.run(run()) == {("fused", "")}


def test_an_objective_that_models_of_the_data_lack_is_refused_by_check(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dataset.yaml").write_text("name: t\ninteractions: {path: a.csv}\npositive: {min_value: 4}\n")
    for objective, code in (("like", 2), ("likes", 0)):
        path = tmp_path / "experiments.yaml"
        path.write_text(f"aim: {{arms: {{a: {{}}, b: {{surface: {{objective: {objective}}}}}}}}}")
        assert homefeed("experiment", "check", str(path), "--data", str(tmp_path)) == code
    assert "know no 'like'; did you mean 'likes'?" in " ".join(capsys.readouterr().err.split())


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
    policy = read_policy(None, None, published)
    with contextlib.closing(sqlite3.connect(root / "serving" / LIVE_FILE_NAME)) as database:
        kept = [orjson.loads(page) for (page,) in database.execute("SELECT page FROM exposures")]
    assert len(kept) == len(pages) and all(page["took_ms"] > 0 and 0 < page["variety"] <= 1 for page in kept)
    assert {page["changes"].get("length") for page in kept if "changes" in page} == {3, None}
    assert any(page["seed"] for page in kept) and any("teams" in page for page in kept)
    again = [replay(root / "serving", policy, page["impression_id"]) for page in pages]
    assert [one.rows for one in again if not one.is_same] == []
