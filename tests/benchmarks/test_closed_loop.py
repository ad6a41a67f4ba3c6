"""Two short weeks of simulated shoppers before the real gateway, with models that count."""

import contextlib
import json
import pathlib
from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks import closed_loop
from benchmarks.closed_loop import DAYS, LOOKS, Shoppers, Size, Week
from homefeed.pipeline.datasets.sample import write_sample
from homefeed.serving import process
from tests.counting import count_instead_of_training
from tests.runs import SMALL
from tests.serving.servers import running_server
from tests.serving.test_releases import parsed

SIZE = Size(num_users=40, num_items=60, num_events=500, num_visits=2, num_weeks=2)
SETTINGS = (*SMALL, "evaluator.base_margin=1.0", "example_gen.split=hash", "example_gen.eval_fraction=0.3")


@contextlib.contextmanager
def serve(serving_dir: pathlib.Path) -> Iterator[str]:
    port = process.free_port()
    with running_server(**parsed(process.server_flags(str(serving_dir), port))):
        yield f"127.0.0.1:{port}"


def test_what_shoppers_do_is_sealed_and_learnt_from_and_new_items_are_seen(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_instead_of_training(monkeypatch)
    closed_loop.first_models(tmp_path / "first", SIZE, SETTINGS)
    arm = tmp_path / "arm"
    surface = closed_loop.ARMS["epsilon-greedy"]
    first, second = closed_loop.run_arm(tmp_path / "first", arm, surface, SIZE, SETTINGS, serve)
    assert (first.version, second.version) == (1, 2)
    visits = np.array([[(user + day) % DAYS < 2 for day in range(DAYS)] for user in range(40)])
    assert second.may_look == pytest.approx(visits.sum(axis=1) * LOOKS.sum())
    for week in (first, second):
        assert (week.expected <= week.best + 1e-9).all() and (week.taken <= week.looked).all()
        assert 0 < week.by_chance.sum() < week.best.sum() / 2
    # 40% of 60 items come in the second week; with ε some of them are looked at soon.
    assert not first.soon and len(second.soon) == 24
    shown, looked = sum(second.soon.values())
    assert shown > looked > 0
    shown = pq.read_table(arm / "data" / "exposures" / "2.parquet").to_pandas()
    shown = shown[shown["user_id"].str.startswith("user-")]  # Others asked which models are served.
    assert len(shown) == first.looked.sum() and shown["propensity"].between(0, 1, inclusive="right").all()
    explored = shown["propensity"][shown["propensity"] < 0.5].to_numpy()
    # Nothing is new yet: ε is for all of the pool, as far as it is left.
    assert len(explored) and np.isclose(explored[:, None], 0.1 / np.arange(1, 33)).any(axis=1).all()
    interactions = pq.read_table(arm / "data" / "interactions" / "2.parquet").to_pandas()
    assert len(interactions) == first.taken.sum() > 0
    # The Evaluator of the second models knows what was drawn, and that it is too little.
    report = arm / "root" / "serving" / "fused" / "2" / "assets.extra" / "evaluation.json"
    value = json.loads(report.read_text(encoding="utf-8"))["policy_value"]["eval"]
    assert value["slots"] > 20 and 0 < value["served"][0] < 0.5
    assert value["policies"]["drawn by scores"]["support"].startswith("too small: ")
    figures = closed_loop.summarize([first, second])
    assert 0 < figures["regret"] < 1 and figures["a_a.low"] < figures["a_a.difference"] < figures["a_a.high"]


def test_shoppers_take_by_taste_and_have_had_enough(tmp_path: pathlib.Path) -> None:
    write_sample(tmp_path, num_users=40, num_items=60, num_events=500, live=True)
    shoppers = Shoppers(tmp_path, seed=0)
    before = shoppers.chances(3)
    had = {
        line.split(",")[1]
        for line in (tmp_path / "interactions" / "1.csv").read_text().splitlines()
        if "user-0003" in line
    }
    assert {shoppers.item_ids[place] for place in np.flatnonzero(before == 0)} == had
    best = [shoppers.item_ids[place] for place in np.argsort(-before)[:10]]
    assert shoppers.best(3, np.ones(60, bool)) == pytest.approx(np.sort(before)[::-1][:10] @ LOOKS)
    expected, looked, taken = shoppers.visit(3, best, visit=1)
    assert expected == pytest.approx(np.sort(before)[::-1][:10] @ LOOKS) and best[0] in looked and taken
    truth = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))
    category = np.array(truth["items"]["category"])
    places = [shoppers.item_ids.index(item) for item in taken]
    after = shoppers.chances(3)
    assert (after[places] == 0).all()
    of_taken, there = np.isin(category, category[places]), after > 0
    assert (after < before)[of_taken & there].all() and (after == before)[~of_taken & there].all()
    shoppers.visit(3, [], visit=2)
    later = shoppers.chances(3)
    assert (after < later)[of_taken & there].all() and (later < before)[of_taken & there].all()


def weeks(rate: float, seed: int, num_users: int = 4000) -> Week:
    rng = np.random.default_rng(seed)
    looked = rng.integers(1, 30, num_users).astype(float)
    taken = rng.binomial(looked.astype(int), rate).astype(float)
    return Week(1, rate * looked, 0.5 * looked, 0.1 * looked, looked, looked, taken, {})


def test_experiments_find_the_lift_that_is_there_and_none_where_there_is_none() -> None:
    compared = closed_loop.compare({"greedy": [weeks(0.1, 0)], "thompson": [weeks(0.15, 1)]})
    assert compared["thompson.low"] < 0.05 < compared["thompson.high"] and compared["thompson.low"] > 0.03
    assert compared["thompson.true_lift"] == pytest.approx(0.05, abs=0.001)
    # Regrets of 0.8 and 0.7.
    assert compared["thompson.regret_less"] == pytest.approx(1 - 0.7 / 0.8)
    inside = [closed_loop.halves(week, week) for week in (weeks(0.1, seed, 400) for seed in range(100))]
    assert 88 <= sum(low <= 0 <= high for _, low, high in inside) <= 100
    table = closed_loop.to_markdown({"greedy": [weeks(0.1, 0)], "thompson": [weeks(0.15, 1)]}, compared)
    assert "| 1 | 0.800 | 0.700 |" in table and "| thompson.regret_less | +0.1250 |" in table
