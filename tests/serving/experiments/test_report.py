"""Reports of simulated pages whose truth is known."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from homefeed.models.sequential.confidence import MIN_USERS
from homefeed.pipeline.cli.experiment import check
from homefeed.serving.experiments.conclusion import conclude
from homefeed.serving.experiments.design import Experiment, Experiments
from homefeed.serving.experiments.drawing import draw
from homefeed.serving.experiments.metrics import count, of_page
from homefeed.serving.experiments.monitor import Crowd, Monitor, Party
from homefeed.serving.experiments.planning import power
from homefeed.serving.experiments.reading import Page, read, stops
from homefeed.serving.experiments.report import report
from homefeed.serving.profiles import StoreError, open_store

NOW = 1_800_000_000
TWO = Experiment(arms={"control": {}, "new": {}}, users=2_000, since=NOW)


def pages(
    num_users: int, lift: float = 0.0, seed: int = 0, share: float = 0.5, name: str = "x", past: int = 0
) -> list[Page]:
    """Each user sees a few pages of five cards; `past` pages of theirs were before the experiment."""
    rng, found = np.random.default_rng(seed), []
    for number in range(num_users):
        arm = "new" if rng.random() < share else "control"
        taste = rng.beta(1, 9)
        for at in [-3_600 * (n + 1) for n in range(past)] + sorted(rng.integers(0, 10**6, 1 + rng.poisson(2))):
            likes = taste * (1 + lift * (arm == "new" and at >= 0))
            cards = {f"i{n}": {"seen", "acted"} if rng.random() < likes else {"seen"} for n in range(5)}
            arms = {name: arm} if at >= 0 else {}
            found.append(Page(f"u{number}", NOW + float(at), "home", arms, "fused", 3, 10.0, 0.5, cards, {}))
    return sorted(found, key=lambda page: page.at)


def told(found_pages: list[Page], experiment: Experiment = TWO) -> str:
    found = report("x", experiment, found_pages)
    verdict = conclude(found, experiment)
    assert verdict in draw(found, verdict).replace("&#x27;", "'")
    return verdict


def test_a_lift_is_told_with_its_interval() -> None:
    found = report("x", TWO, pages(1_500, lift=0.6))
    clicks = found.comparisons["new"]["click_rate"]
    assert clicks.low is not None and clicks.low > 0 and clicks.p_value < 0.01
    verdict = conclude(found, TWO)
    assert "new is better than control: its click rate is 0.1" in verdict and "whenever one looks" in verdict
    assert "guardrail" not in verdict
    assert found.arms["new"].users + found.arms["control"].users == 1_500 and found.mixed == 0


def test_a_loss_breaks_the_guardrail() -> None:
    verdict = told(pages(1_500, lift=-0.6))
    assert "new is worse than control" in verdict and "Its click rate broke a guardrail" in verdict


def test_nothing_is_told_of_nothing() -> None:
    assert "No difference of new's click rate from control's is established" in told(pages(800))
    assert f"Too few users to say anything: 60 of {MIN_USERS}" in told(pages(60, lift=5.0))
    assert "Too few users to say anything: 0 of" in told([])


def test_a_broken_split_is_told_before_anything_else() -> None:
    verdict = told(pages(4_000, lift=0.6, share=0.6))
    assert verdict.startswith("The split of users is broken") and "better" not in verdict


def test_users_of_several_arms_are_left_out() -> None:
    some = pages(400)
    extra = [Page(page.user, page.at, "home", {"x": "new"}, "fused", 3, 1.0, 0.5, {}, {}) for page in some[:50]]
    found = report("x", TWO, [*some, *extra])
    twice = {page.user for page in some[:50] if page.arms["x"] == "control"}
    assert found.mixed == len(twice) > 10
    assert sum(arm.users for arm in found.arms.values()) == 400 - len(twice)


def test_the_weeks_before_narrow_the_interval() -> None:
    known, unknown = (report("x", TWO, pages(1_200, past=past, seed=5)) for past in (8, 0))
    with_past, without = (found.comparisons["new"]["click_rate"] for found in (known, unknown))
    assert with_past.saved > 0.3 and without.saved == 0
    assert with_past.high - with_past.low < 0.9 * (without.high - without.low)


def test_metrics_are_what_they_say() -> None:
    cards = {"a": {"seen", "acted", "bought"}, "b": {"seen", "acted", "bought", "liked"}, "c": {"seen"}, "d": set()}
    first = Page("u1", NOW, "home", {"x": "new"}, "fused", 3, 30.0, 0.5, cards, {})
    second = Page("u2", NOW, "home", {"x": "new"}, "popular", None, 10.0, 1.0, {"e": {"seen", "hidden"}}, {})
    values = report("x", TWO, [first, second]).arms["new"].metrics
    assert values == pytest.approx({
        "click_rate": 2 / 4, "like_rate": 1 / 4, "hide_rate": 1 / 4, "conversion": 1 / 2,
        "errors": 1 / 2, "latency": 20.0, "diversity": 0.75,
    })  # fmt: skip


def test_power_is_of_the_last_weeks_and_finds_its_lift() -> None:
    before = pages(2_000, name="other")
    plan = power(TWO, before, lift=0.5)
    assert plan is not None and plan.baseline == pytest.approx(0.1, abs=0.01)
    planned = TWO.model_copy(update={"users": plan.users.sequential})
    found = [report("x", planned, pages(plan.users.sequential, 0.5, seed)) for seed in range(12)]
    assert sum(one.comparisons["new"]["click_rate"].low > 0 for one in found) >= 8
    assert plan.days == pytest.approx(plan.users.sequential / (2_000 / 11.5), abs=1)
    half = power(TWO.model_copy(update={"coverage": 0.5}), before, lift=0.5)
    assert half is not None and half.users_a_day == pytest.approx(plan.users_a_day / 2)
    assert power(TWO, [], 0.1) is None


def test_a_monitor_says_what_a_report_says() -> None:
    monitor, experiments = Monitor(), Experiments({"x": TWO})
    some = pages(1_500, lift=-0.6)
    for page in some:
        party = Party(page.user, {"x__0": page.arms["x"]})
        monitor.served(party, of_page(page.served_by, page.took_ms, page.variety))
        for item, facts in page.cards.items():
            monitor.happened(party, item, sorted(facts))
    (stop,) = monitor.breaches(experiments, (), NOW + 10**6)
    assert (stop.experiment, stop.arm) == ("x__0", "control") and "click rate of new is worse" in stop.reason
    assert not list(monitor.breaches(experiments, {"x__0"}, NOW))
    assert not list(monitor.breaches(Experiments({"x": TWO.model_copy(update={"guardrails": {}})}), (), NOW))
    monitor.forget("u1")
    assert len(list(monitor.breaches(experiments, (), NOW + 10**6))) == 1


def test_an_a_a_experiment_is_hardly_ever_stopped() -> None:
    """With four guardrails, looked at after every tenth of the users."""
    wrong = 0
    for seed in range(8):
        monitor, some = Monitor(), pages(600, seed=seed)
        for number, page in enumerate(some):
            party = Party(page.user, {"x__0": page.arms["x"]})
            monitor.served(party, of_page(page.served_by, page.took_ms, page.variety))
            for item, facts in page.cards.items():
                monitor.happened(party, item, sorted(facts))
            if number % (len(some) // 10) == 0 and list(monitor.breaches(Experiments({"x": TWO}), (), NOW)):
                wrong += 1
                break
    assert wrong <= 1


def test_a_crowd_grows() -> None:
    crowd = Crowd()
    for number in range(1_000):
        count(crowd.row(f"u{number % 500}"), ["seen"])
    assert crowd.sums("click_rate").count == 500 and crowd.sums("click_rate").total[1] == 1_000


def test_there_may_be_no_places_to_read(tmp_path: pathlib.Path) -> None:
    assert read(None, None) == read(None, tmp_path) == [] and stops(tmp_path) == []


def test_pages_of_before_it_began_are_of_another_version() -> None:
    before = [dataclasses.replace(page, at=page.at - 2e6) for page in pages(1_000, share=0.9, seed=1)]
    after = pages(1_000)
    found = report("x", TWO, before + after)
    assert found.mixed == 0 and found.sample_ratio > 0.01
    assert sum(arm.pages for arm in found.arms.values()) == len(after)
    turns = Experiment(interleave=("stable", "canary"))
    assert report("x", turns, after).preference.ties == 0  # Of arms; no list took turns.


def test_pages_of_another_version_are_left_out_and_counted() -> None:
    """Without a `since`: as they were recorded, also by an earlier homefeed, which recorded none."""
    old = pages(1_000, share=0.9, seed=1)
    new = [dataclasses.replace(page, versions={"x": 2, "y": 1}) for page in pages(1_000)]
    second = TWO.model_copy(update={"version": 2})
    found = report("x", second, [*old, *new])
    assert found.left_out == len(old) and found.mixed == 0 and found.sample_ratio > 0.01
    assert sum(arm.pages for arm in found.arms.values()) == len(new)
    assert f"Pages of other versions, left out: {len(old):,}." in draw(found, conclude(found, second))
    first = report("x", TWO, [*old, *new])
    assert first.left_out == len(new) and sum(arm.pages for arm in first.arms.values()) == len(old)


def test_a_file_that_is_no_store_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "live.sqlite").write_bytes(b"no database, but long enough to look like one" * 100)
    looks: list[Callable[[], object]] = [
        lambda: read(None, tmp_path),
        lambda: stops(tmp_path),
        lambda: open_store("", tmp_path / "live.sqlite", lambda events, seconds: None, 1),
    ]
    for look in looks:
        with pytest.raises(StoreError, match=r"live.sqlite: file is not a database; `homefeed doctor"):
            look()


def test_names_are_told_as_they_are(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`[/b]` would end what it never began, and `[red]` be a colour."""
    (tmp_path / "x.yaml").write_text('"[/b]": {arms: {"[red]": {}, b: {}}}')
    check(tmp_path / "x.yaml")
    told = capsys.readouterr().out
    assert "[/b]: click rate by visitor" in told and "[red]" in told
