"""A planted fault of a group closes the blessing, and nothing else does."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from homefeed.components.evaluator import fairness
from homefeed.components.evaluator.group_checks import ALIKE, BASE, EVENTS, EVENTS_BASE, check_groups, reasons
from homefeed.components.evaluator.measured import IN_SERVICE, POPULARITY, RANKING_ROW, Measured
from homefeed.components.evaluator.queries import GroupLimits, make_queries
from homefeed.models.evaluation.metrics import Ranks
from homefeed.models.sequences import Sequences
from tests.toy_data import toy_sequences

LIMITS = GroupLimits(base=0.1, gap=0.2, events=0.15, min_users=30, max_users=20_000)
NUM_USERS = 300


DAYS = 70
LATER = 10  # The mean of eval's events is about a seventh of that of training.


def people(counts: np.ndarray, seed: int = 0, days: int = LATER) -> Sequences:
    """Users with so many events each in so many days; a third of them are F, and age says nothing."""
    total = int(counts.sum())
    rng = np.random.default_rng(seed)
    times, users = rng.integers(0, days * 86_400, total), np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(seed)
    return dataclasses.replace(
        toy_sequences(1),
        user_ids=np.array([f"u{user}".encode() for user in range(len(counts))], object),
        row_splits=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        num_history=np.zeros(len(counts), np.int64),
        item_index=np.arange(1, total + 1, dtype=np.int32),
        timestamp=times[np.lexsort((times, users))],
        positive=np.ones(total, bool),
        event_categorical={},
        event_numeric={},
        categorical={"gender": np.where(np.arange(len(counts)) % 3 == 0, 2, 3)[:, None].astype(np.int32)},
        numeric={"age": rng.integers(18, 70, (len(counts), 1)).astype(np.float32)},
        guards=("gender", "age"),
    )


def active(seed: int, kept_of_f: float = 1.0, days: int = DAYS, people_seed: int = 0) -> Sequences:
    """Log-normal activity; of the events of F so many are kept."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.lognormal(3.3, 0.6, NUM_USERS) * days / DAYS)
    return people(np.where(np.arange(NUM_USERS) % 3 == 0, rng.binomial(counts, kept_of_f), counts), people_seed, days)


def measured(split: Sequences, gains_of: dict[str, np.ndarray], seed: int = 0) -> Measured:
    """Targets that are found at place 1 with the probability that their user has."""
    rng = np.random.default_rng(seed)
    queries = make_queries(split, 100_000)
    luck = rng.random(len(queries))
    ranks = {
        name: Ranks(np.where(luck < chance[queries.rows], 0, 50), np.zeros(len(queries), np.int64))
        for name, chance in gains_of.items()
    }
    values: dict[str, Any] = {field.name: None for field in dataclasses.fields(Measured)}
    return Measured(**values | {"queries": queries, "ranks": ranks, "weights": np.ones(len(queries))})


def check(train: Sequences, in_service: Any = None, limits: GroupLimits = LIMITS, **chances: Any) -> dict[str, Any]:
    split = people(np.random.default_rng(9).integers(1, 9, NUM_USERS))
    even = np.full(NUM_USERS, 0.3)
    gains = {POPULARITY: even, RANKING_ROW: even} | chances
    return check_groups(measured(split, gains), split, train, limits, in_service)


def closing(checked: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, against)
        for name, group in checked["groups"].items()
        for against, figures in group["checks"].items()
        if figures["closes"]
    ]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_half_of_a_groups_events_are_missed_and_nothing_else_is(seed: int) -> None:
    before = check(active(seed))
    assert closing(before) == [] and reasons(before) == []
    planted = check(active(10 + seed, kept_of_f=0.5), before["activity"])
    assert closing(planted) == [("gender: F", EVENTS_BASE)]
    (reason,) = reasons(planted)
    assert "training holds too few events of group 'gender: F'" in reason
    assert "evaluator.group_events_margin" in reason and f"for all {planted['comparisons']} comparisons" in reason
    figures = planted["groups"]["gender: F"]["checks"][EVENTS_BASE]
    assert -0.6 < figures["relative"] < -0.35 and figures["interval"][0] < figures["relative"] < figures["bound"]
    assert figures["bound"] < -0.15 and 0.2 < figures["findable"] < 0.5
    # Where nothing is known of earlier data, eval is the measure, which finds larger losses alone.
    assert closing(check(active(10 + seed, kept_of_f=0.15))) == [("gender: F", EVENTS)]


def test_a_longer_or_a_shorter_time_is_no_lost_event() -> None:
    """F does half as much as others, always: what is known of a week is true of ten, and the other way round."""
    short, long = active(1, 0.5, days=7), active(2, 0.5, days=70)
    known = {days: check(people)["activity"] for days, people in ((7, short), (70, long))}
    # By the mean log(1 + events), the two are 0.39 apart; log 0.5 is -0.69.
    assert known[70]["gender: F"]["rate"] == pytest.approx(known[7]["gender: F"]["rate"], abs=0.25)
    assert known[70]["gender: F"]["rate"] == pytest.approx(np.log(0.5), abs=0.1)
    assert closing(check(long, known[7])) == closing(check(short, known[70])) == []
    assert ("gender: F", EVENTS_BASE) in closing(check(active(3, 0.2, days=70), known[7]))
    of_before = {"gender: F": {"level": 0.0, "deviation": 0.1}}  # As an earlier homefeed measured it.
    assert EVENTS_BASE not in check(long, of_before)["groups"]["gender: F"]["checks"]


@pytest.mark.parametrize("hits", [0, 2])
def test_what_too_few_were_found_anything_by_is_not_judged(hits: int) -> None:
    served = np.full(NUM_USERS, 0.3)
    served[::3] = 0.0
    served[: 3 * hits : 3] = 1.0  # Of some samples, not one of these users is drawn.
    found = check(active(0), **{IN_SERVICE: served})
    group = found["groups"]["gender: F"]
    assert group["too_few"] == [BASE] and set(group["checks"]) == {ALIKE, EVENTS}
    assert ALIKE in found["groups"]["gender: M"]["checks"] and BASE in found["groups"]["gender: M"]["checks"]
    json.dumps(found, allow_nan=False)
    rows = fairness.to_markdown({"eval": {"guarded": found, "readers": {}, "items": {}}})
    assert "the models in service | too few, not judged" in rows


def test_what_is_borne_is_not_compared() -> None:
    lax = dataclasses.replace(LIMITS, base=1.0, gap=1.0, events=1.0)
    found = check(active(0, kept_of_f=0.1), None, lax, **{IN_SERVICE: np.full(NUM_USERS, 0.9)})
    assert found["comparisons"] == 0 and closing(found) == []


def test_a_group_that_is_served_worse_than_others_alike_and_than_before() -> None:
    of_f = np.arange(NUM_USERS) % 3 == 0
    worse = np.where(of_f, 0.12, 0.3)
    found = check(active(0), **{RANKING_ROW: worse, IN_SERVICE: np.full(NUM_USERS, 0.3)})
    assert set(closing(found)) == {("gender: F", ALIKE), ("gender: F", BASE)}
    alike, base = reasons(found)
    users = f"{found['groups']['gender: F']['queries']:,} queries of 100 users"
    assert f"NDCG@10 in group 'gender: F' ({users}) is" in alike and "evaluator.group_gap_margin" in alike
    assert "below the models in service" in base and "evaluator.slice_margin" in base
    # Worse for F because F is harder for everybody: popularity explains it, and the models in service were so too.
    assert closing(check(active(0), **{POPULARITY: worse, RANKING_ROW: worse, IN_SERVICE: worse})) == []


def test_a_loss_within_the_margin_is_borne() -> None:
    slightly = {RANKING_ROW: np.full(NUM_USERS, 0.276), IN_SERVICE: np.full(NUM_USERS, 0.3)}  # 8% below.
    assert closing(check(active(0), **slightly)) == []
    assert closing(check(active(0), None, dataclasses.replace(LIMITS, base=0.0), **slightly)) != []


def test_few_users_are_not_judged_and_one_event_each_tells_no_activity() -> None:
    few = check(active(0), None, dataclasses.replace(LIMITS, min_users=101))
    assert few["groups"]["gender: F"]["checks"] == {} and few["groups"]["gender: F"]["users"] == 100
    split = people(np.ones(NUM_USERS, np.int64))
    even = {POPULARITY: np.full(NUM_USERS, 0.3), RANKING_ROW: np.full(NUM_USERS, 0.3)}
    found = check_groups(measured(split, even), split, active(0, kept_of_f=0.3), LIMITS)
    assert {against for group in found["groups"].values() for against in group["checks"]} == {ALIKE}


@pytest.mark.slow
def test_no_group_of_a_model_without_a_fault_closes_more_often_than_said() -> None:
    """Margins of 0, so that every loss counts: 100 data sets without a fault, all comparisons of a retraining."""
    strict = dataclasses.replace(LIMITS, base=0.0, gap=0.0, events=0.0)
    rng = np.random.default_rng(5)
    wrong = 0
    for seed in range(100):
        known = check(active(1_000 + seed), None, dataclasses.replace(strict, base=1.0, gap=1.0))["activity"]
        split = people(rng.integers(1, 9, NUM_USERS), seed)
        chances = {name: rng.beta(2, 5, NUM_USERS) for name in (POPULARITY, RANKING_ROW, IN_SERVICE)}
        found = check_groups(measured(split, chances, seed), split, active(seed), strict, known)
        wrong += bool(closing(found))
    # Expected are 5, with a binomial deviation of 2.2.
    assert wrong <= 11, wrong
