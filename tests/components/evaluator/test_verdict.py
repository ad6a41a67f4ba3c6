import dataclasses

import numpy as np
import pytest

from homefeed.components.evaluator.verdict import Margins, judge
from homefeed.models.evaluation import metrics

MARGINS = Margins(popularity=0.0, retrieval=0.02, in_service=0.0, slices=0.1)


def all_at(above: int, num_queries: int = 50) -> metrics.Ranks:
    return metrics.Ranks(np.full(num_queries, above), np.zeros(num_queries, np.int64))


def test_better_than_popularity_and_no_worse_than_retrieval_is_blessed() -> None:
    ranks = {"popularity": all_at(5), "retrieval": all_at(2), "retrieval + ranking": all_at(2)}
    assert judge(ranks, MARGINS) == []


@pytest.mark.parametrize(("popularity", "retrieval", "rival"), [(1, 9, "popularity"), (9, 1, "retrieval")])
def test_a_significant_loss_is_a_reason_with_figures(popularity: int, retrieval: int, rival: str) -> None:
    ranks = {
        "popularity": all_at(popularity),
        "retrieval": all_at(retrieval),
        "retrieval + ranking": all_at(2),  # 1 / log2(4) = 0.5 against 1 / log2(3) = 0.6309.
    }
    (reason,) = judge(ranks, MARGINS)
    assert f"0.6309 of {rival}: difference -0.1309" in reason


def test_a_loss_by_chance_is_no_reason() -> None:
    generator = np.random.default_rng(0)
    above = generator.integers(0, 10, 40)
    ours = metrics.Ranks(generator.permutation(above), np.zeros(40, np.int64))
    theirs = metrics.Ranks(above, np.zeros(40, np.int64))
    assert judge({"popularity": theirs, "retrieval": theirs, "retrieval + ranking": ours}, MARGINS) == []


def test_a_rival_without_a_hit_closes_no_gate() -> None:
    """A thousand new items, none of which we list; the rival ties all of 200,000 items, a share of a hit each."""
    tied = metrics.Ranks(np.zeros(1_000, np.int64), np.full(1_000, 200_000))
    ranks = {
        "popularity": all_at(10, 1_000),
        "retrieval": all_at(10, 1_000),
        "retrieval + ranking": all_at(10, 1_000),
    }
    everything = {"new items": np.ones(1_000, bool)}
    assert judge(ranks | {"content alone": tied}, MARGINS, everything) == []
    found = metrics.Ranks(np.zeros(1_000, np.int64), np.full(1_000, 2_000))
    (reason,) = judge(ranks | {"content alone": found}, MARGINS, everything)
    assert "0.0023 of content alone in slice 'new items'" in reason


def test_what_cannot_be_judged_is_not_blessed() -> None:
    ranks = dict.fromkeys(("popularity", "retrieval", "retrieval + ranking"), all_at(0, num_queries=0))
    assert "cannot be judged" in judge(ranks, MARGINS)[0]


def halves(first: int, second: int) -> metrics.Ranks:
    """[100]: the first half of the queries has its target at one place, the second half at another."""
    return metrics.Ranks(np.repeat([first, second], 50), np.zeros(100, np.int64))


def test_worse_than_the_models_in_service_is_a_reason() -> None:
    ranks = dict.fromkeys(("popularity", "retrieval", "retrieval + ranking"), all_at(2))
    (reason,) = judge(ranks | {"in service": all_at(1)}, MARGINS)
    assert "0.6309 of in service: difference -0.1309" in reason


def test_better_on_the_whole_and_worse_in_a_guarded_slice_is_not_blessed() -> None:
    ranks = dict.fromkeys(("popularity", "retrieval", "retrieval + ranking"), halves(0, 9)) | {
        "in service": halves(3, 3)  # 0.4307 everywhere; ours have 1.0 and 0.2891, which is 0.6445 on the whole.
    }
    slices = {name: np.arange(100) >= 50 for name in ("new items", "history of 5 to 19")}
    (reason,) = judge(ranks, MARGINS, slices)
    assert "in service in slice 'new items'" in reason and "difference -0.1416" in reason
    assert judge(ranks, dataclasses.replace(MARGINS, slices=0.4), slices) == []  # 0.1416 / 0.4307 = 0.33.


@pytest.mark.parametrize("rival", ["popularity", "content alone", "text alone"])
@pytest.mark.parametrize("newcomers", ["new items", "new users"])
def test_newcomers_are_better_off_than_with_a_simple_list(rival: str, newcomers: str) -> None:
    ranks = dict.fromkeys(("popularity", "retrieval", "retrieval + ranking"), halves(0, 9))
    ranks[rival] = halves(9, 3)  # 0.2891 and 0.4307, ours 1.0 and 0.2891.
    mask = np.arange(100) >= 50
    (reason,) = judge(ranks, MARGINS, {newcomers: mask})
    assert f"below 0.4307 of {rival} in slice {newcomers!r}" in reason and "difference -0.1416" in reason
    assert judge(ranks, MARGINS, {newcomers: ~mask, "category: x": mask, "rare items": mask}) == []
    assert judge(ranks, dataclasses.replace(MARGINS, slices=0.4), {newcomers: mask}) == []


def test_each_rival_has_its_own_margin() -> None:
    ranks = {name: all_at(1) for name in ("popularity", "retrieval", "in service")} | {
        "retrieval + ranking": all_at(2)
    }
    # 0.5 against 0.6309 is a loss of 20.7%.
    for name, rival in (("popularity", "popularity"), ("retrieval", "retrieval"), ("in_service", "in service")):
        lax = Margins(popularity=0.21, retrieval=0.21, in_service=0.21, slices=0.21)
        assert judge(ranks, lax) == []
        (reason,) = judge(ranks, dataclasses.replace(lax, **{name: 0.20}))
        assert f"more than 20% below 0.6309 of {rival}:" in reason


def test_a_negative_margin_wants_a_gain() -> None:
    ranks = dict.fromkeys(("popularity", "retrieval", "retrieval + ranking"), all_at(2))
    demanding = dataclasses.replace(MARGINS, popularity=-0.1)
    (reason,) = judge(ranks, demanding)
    assert "of popularity: difference +0.0000" in reason


def test_slices_that_are_not_guarded_or_have_no_rival_are_not_judged() -> None:
    ranks = dict.fromkeys(("popularity", "retrieval", "retrieval + ranking"), halves(0, 9))
    slices = {"new items": np.arange(100) >= 50}
    assert judge(ranks, MARGINS, slices) == []
    worse = ranks | {"in service": halves(3, 3)}
    assert judge(worse, MARGINS, {"popular items": slices["new items"]}) == []


def test_targets_count_by_what_they_are_worth() -> None:
    """Ours are better where something is worth it, and worse where nothing is."""
    worth = np.arange(200) % 2 == 0
    ours, theirs = (metrics.Ranks(np.where(worth, *above), np.zeros(200, np.int64)) for above in ((0, 50), (5, 0)))
    ranks = {"popularity": theirs, "retrieval": theirs, "retrieval + ranking": ours}
    assert judge(ranks, MARGINS, weights=2.0 * worth) == []
    assert len(judge(ranks, MARGINS, weights=2.0 * ~worth)) == 2
