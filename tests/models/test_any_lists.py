"""Lists of any scores: metrics by their definitions, over every order of tied items; indexes beside plain sorting."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.models.catalogue import ALWAYS
from homefeed.models.evaluation import baselines, beyond_accuracy, metrics
from homefeed.models.retrieval.index.exact_index import EXCLUDED, ExactIndex
from homefeed.models.retrieval.index.filters import Filters
from homefeed.models.retrieval.index.partitioned_index import PartitionedIndex
from homefeed.models.retrieval.index.text_match import TextMatch
from tests.models.any_data import NUM_ITEMS, any_catalogue, any_sequences

SEEDS = range(6)
SCORES = st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0, math.nan]), min_size=3, max_size=6)


@given(SCORES, st.data())
@settings(max_examples=80)
def test_ranks_are_the_mean_over_every_order_of_tied_items(scores: list[float], data: st.DataObject) -> None:
    rows = range(1, len(scores) + 1)
    target = data.draw(st.sampled_from(rows))
    seen = data.draw(st.sets(st.sampled_from(rows)).filter(lambda chosen: target not in chosen))
    found = metrics.rank_targets(np.array([[9.0, *scores]]), np.array([target]), [np.array(sorted(seen), np.int64)])
    value = {row: -math.inf if math.isnan(score) else score for row, score in zip(rows, scores, strict=True)}
    candidates = [row for row in rows if row not in seen]
    orders = {
        order
        for order in itertools.permutations(candidates)
        if all(value[a] >= value[b] for a, b in itertools.pairwise(order))
    }
    ranks = [order.index(target) + 1 for order in orders]
    for k in (1, 2, 10):
        for metric, gain in GAINS.items():
            expected = np.mean([gain(rank) if rank <= k else 0 for rank in ranks])
            assert metric(found, k)[0] == pytest.approx(expected)


GAINS: dict[Callable[..., Any], Callable[[int], float]] = {
    metrics.hit_rate: lambda rank: 1.0,
    metrics.ndcg: lambda rank: 1 / math.log2(1 + rank),
    metrics.mrr: lambda rank: 1 / rank,
}


@pytest.mark.parametrize("seed", SEEDS)
def test_ranks_know_neither_the_scale_nor_the_numbering_of_items(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 3, (5, 8)).astype(float)
    targets, excluded = rng.integers(1, 8, 5), [rng.choice(np.arange(1, 8), 2, replace=False) for _ in range(5)]
    found = metrics.rank_targets(scores, targets, excluded)
    louder = metrics.rank_targets(np.exp(scores) * 3 + 1, targets, excluded)
    order = np.concatenate([[0], 1 + rng.permutation(7)])  # New row → old row.
    place = np.argsort(order)
    renamed = metrics.rank_targets(scores[:, order], place[targets], [place[rows] for rows in excluded])
    for other in (louder, renamed):
        np.testing.assert_array_equal(other.above, found.above)
        np.testing.assert_array_equal(other.tied, found.tied)
    summary = metrics.summarize(found)
    assert 0 <= summary["mrr@10"] <= summary["ndcg@10"] <= summary["hr@10"] <= summary["recall@100"] <= 1


PAGES = st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=1, max_size=5)


@given(PAGES)
@settings(max_examples=60)
def test_figures_of_lists_by_their_definitions(rows: list[list[int]]) -> None:
    pages, counts = np.array(rows), np.array([0, 5, 0, 1, 2, 0])
    categories = np.array([[0, 0], [2, 0], [2, 3], [0, 0], [3, 4], [5, 2]])
    shown = [row for page in rows for row in page if row]
    assert beyond_accuracy.coverage(pages, 6) == len(set(shown)) / 5
    smoothed = {row: (counts[row] + 1) / (counts[1:].sum() + 5) for row in range(1, 6)}
    surprise = np.mean([-math.log2(smoothed[row]) for row in shown]) if shown else 0
    assert beyond_accuracy.novelty(pages, counts) == pytest.approx(surprise)
    times = Counter(shown)
    pairs = [abs(times[a] - times[b]) for a in range(1, 6) for b in range(1, 6)]
    unequal = sum(pairs) / (2 * 5 * len(shown)) if shown else 0  # The mean difference by twice the mean.
    assert beyond_accuracy.gini(pages, 6) == pytest.approx(unequal, abs=1e-12)
    of_page = []
    for page in rows:
        given = [set(categories[row][categories[row] > 0].tolist()) for row in page if row]
        apart = [not a & b for a, b in itertools.combinations(given, 2)]
        of_page += [np.mean(apart)] if apart else []
    assert beyond_accuracy.diversity(pages, categories) == pytest.approx(np.mean(of_page) if of_page else 0)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=30), st.integers(1, 7))
@settings(max_examples=60)
def test_reliability_is_the_mean_gap_of_its_bins(events: list[tuple[float, bool]], num_bins: int) -> None:
    chances, happened = np.array([p for p, _ in events]), np.array([h for _, h in events], bool)
    found = beyond_accuracy.reliability(chances, happened, num_bins)
    assert found["events"] == sum(bin_["events"] for bin_ in found["bins"]) == len(events)
    if events:
        assert found["brier"] == pytest.approx(np.mean([(p - h) ** 2 for p, h in events]))
        gaps = 0.0
        for place in range(num_bins):
            inside = [(p, h) for p, h in events if min(int(p * num_bins), num_bins - 1) == place]
            gaps += abs(sum(p - h for p, h in inside))
        assert found["ece"] == pytest.approx(gaps / len(events), abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_popularity_and_ease_by_counting_and_by_least_squares(seed: int) -> None:
    sequences, num_rows = any_sequences(seed), NUM_ITEMS + 1
    had = [set(sequences.item_index[a:b].tolist()) - {0} for a, b in itertools.pairwise(sequences.row_splits)]
    events = Counter(sequences.item_index.tolist())
    scores = baselines.Popularity().fit(sequences, num_rows).scores([np.array([3])])
    assert scores[0].tolist() == [events[row] for row in range(num_rows)]
    seen = sorted(set().union(*had))
    if not seen:
        return
    users = np.array([[row in items for row in seen] for items in had], float)
    model = baselines.Ease(regularization=2.0).fit(sequences, num_rows)
    history = np.array([seen[0], seen[0], 0])
    found = model.scores([history])[0]
    for place, row in enumerate(seen):
        others = np.delete(np.arange(len(seen)), place)
        gram = users[:, others].T @ users[:, others] + 2.0 * np.eye(len(others))
        weights = dict(zip(others, np.linalg.solve(gram, users[:, others].T @ users[:, place]), strict=True))
        assert found[row] == pytest.approx(weights.get(0, 0.0), abs=1e-4)
    assert not np.delete(found, seen).any()


# -- What is found ---------------------------------------------------------------------------------------------------


def plain_search(
    embeddings: Any, query: Any, seen: list[int], k: int, available_from: Any, now: int
) -> list[tuple[int, float]]:
    """Row and score of the best, by sorting."""
    usable = [row for row in range(1, len(embeddings)) if row not in seen]
    usable = [row for row in usable if not now or available_from is None or available_from[row] <= now]
    ranked = sorted(((row, float(embeddings[row] @ query)) for row in usable), key=lambda pair: -pair[1])
    wanted = min(k, len(embeddings) - 1)
    return [*ranked[:wanted], *[(0, float(EXCLUDED))] * (wanted - len(ranked))]


@pytest.mark.parametrize("kind", ["exact", "partitioned, all lists probed"])
@pytest.mark.parametrize("has_dates", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_index_finds_what_sorting_finds(kind: str, has_dates: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_rows = int(rng.integers(2, 40))
    embeddings = rng.normal(size=(num_rows, 5)).astype(np.float32)
    embeddings[0] = 0
    dates = np.where(rng.random(num_rows) < 0.5, ALWAYS, rng.integers(1, 100, num_rows)) if has_dates else None
    index = (
        ExactIndex(embeddings, dates)
        if kind == "exact"
        else PartitionedIndex(embeddings, dates, num_partitions=4, num_probes=num_rows)
    )
    queries, seen = rng.normal(size=(3, 5)).astype(np.float32), rng.integers(0, num_rows, (3, 6))
    now = np.array([0, 1, 50])
    for k in (1, 7, num_rows + 3):
        times = tf.constant(now, tf.int64)
        scores, rows = index.search(tf.constant(queries), tf.constant(seen, tf.int32), tf.constant(k), times)
        for row in range(3):
            expected = plain_search(embeddings, queries[row], seen[row].tolist(), k, dates, int(now[row]))
            assert rows[row].numpy().tolist() == [item for item, _ in expected]
            np.testing.assert_allclose(scores[row], [score for _, score in expected], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(index.scores(tf.constant(queries)), queries @ embeddings.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        index.embed(tf.constant([[0, num_rows - 1]])), embeddings[[[0, num_rows - 1]]], atol=1e-6
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_filter_lets_pass_who_has_one_of_the_values(seed: int) -> None:
    catalogue, rng = any_catalogue(seed), np.random.default_rng(seed)
    filters = Filters(catalogue)
    words = ["", "[UNK]", *catalogue.vocabularies["categories"], "nobody's"]
    asked = rng.choice(words, (4, 3))
    asked[0] = ""
    accepted = filters.read({"filter_categories": tf.constant(asked)})
    for row, values in enumerate(asked):
        passing = filters.accepts({name: tensor[row] for name, tensor in accepted.items()})
        wanted = {value for value in values if value}
        for item in range(1, catalogue.num_rows):
            has = {words[position] for position in catalogue.categorical["categories"][item] if position > 1}
            assert bool(passing[item]) == (not wanted or bool(has & wanted)), (values, has)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_share_of_a_query_is_the_weight_of_the_words_that_an_item_has(seed: int) -> None:
    token_ids, rng = any_catalogue(seed).token_ids, np.random.default_rng(seed)
    match = TextMatch(token_ids, ignored=(1,))
    held = [set(row.tolist()) - {0} for row in token_ids]
    queries = rng.integers(0, 12, (3, 4)).astype(np.int32)
    weights = match.read(tf.constant(queries))
    for row, query in enumerate(queries):
        words = set(query.tolist()) - {0, 1}
        in_items = {word: sum(word in words_of for words_of in held) for word in words}
        telling = {word: math.log1p(len(token_ids) / max(count, 1)) for word, count in in_items.items()}
        unknown = {word for word in words if word > token_ids.max()}
        counts = [sum(word in words_of for words_of in held) for word in range(1, int(token_ids.max()) + 1)]
        rarest = max(math.log1p(len(token_ids) / max(count, 1)) for count in counts)
        total = sum(weight for word, weight in telling.items() if word not in unknown) + bool(unknown) * rarest
        shares = match.shares(weights[row]).numpy()
        for item, words_of in enumerate(held):
            expected = sum(telling[word] for word in words & words_of) / total if total else 0
            assert shares[item] == pytest.approx(expected, abs=1e-5)
        assert bool(match.finds(weights)[row]) == any(words & words_of for words_of in held)
