"""What variety costs: intra-list distance and NDCG@10 of a trained root's lists, before and after, and CPU time.

    python -m benchmarks.diversity --root ROOT --name movielens [--queries 2000] [--keep]

The fused model of the last push is asked for the lists of events of the test split. Distances are between vectors of
the candidate tower, as they are published: what all items have in common is taken off. The default of a surface is
`mmr` with `max_loss` 0.01. `unexpected@10` is how far the first ten cards are from what their readers took before, by
category; `serendipity@10` the same of those that were chosen next, over all lists. `ndcg@10_error` is the standard
error, over lists, of what NDCG@10 gains. `said@N` is the chance that a list gives to its card N of a hundred,
and `chosen@N` how often that was chosen, where one of these was. The second part makes whole pages of 200 candidates
in three rows under ten rules. `--keep` writes `results.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import time

import numpy as np

from benchmarks import results
from homefeed.models.requests import Request
from homefeed.serving.gateway import page
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.making import Draft, Found, make
from homefeed.serving.gateway.page import Place, Reader
from homefeed.serving.gateway.published import read_published
from homefeed.serving.policy.diversity import Diversity, chances, diversify, intra_list_distance
from homefeed.serving.policy.exploration import Exploration
from homefeed.serving.policy.rules import Rule, Rules
from homefeed.serving.policy.ruling import Ruling
from homefeed.serving.policy.surfaces import Surface
from homefeed.serving.profiles.published import Item

ARMS = {
    **{
        f"{how}-{loss:g}": {"method": how, "max_loss": loss} for how in ("mmr", "dpp") for loss in (0.005, 0.01, 0.02)
    },
    **{f"mmr-reach-{reach}": {"reach": reach} for reach in (20, 50, 100)},
    **{f"mmr-serendipity-{much:g}": {"serendipity": much} for much in (0.5, 1, 2)},
}
"""Name → what differs from the default of a surface."""
LENGTHS = (10, 12, 20)
SHOWN = 20
REPEATS = 500


@dataclasses.dataclass(frozen=True)
class Lists:
    """Lists whose right answer is known.

    Attributes:
        vectors: [num_rows, width] unit vectors of the catalogue.
        rows: of each list the catalogue's rows, best first.
        scores: of each list, as long.
        targets: [num_lists] the row that was chosen.
        unexpected: of each list, how far its items are outside of the reader's interests.
    """

    vectors: np.ndarray
    rows: list[np.ndarray]
    scores: list[list[float]]
    targets: np.ndarray
    unexpected: list[np.ndarray]


def lists_of(root: pathlib.Path, max_queries: int) -> Lists:
    """Asks the fused model of the last push."""
    from homefeed.components.artifacts import transformed, types
    from homefeed.components.evaluator.queries import make_queries
    from homefeed.models.requests import requests_from_sequences
    from homefeed.models.retrieval.snapshot import Snapshot
    from homefeed.pipeline.runner.metadata import MetadataStore
    from homefeed.pipeline.runner.root import RunRoot
    from homefeed.serving.recommender import Recommender

    store = MetadataStore(RunRoot(root))
    pushed = store.latest("PushedModel")
    made = store.producer(pushed) if pushed else None
    assert made, f"{root} has no pushed model: `homefeed run --root {root}` pushes one"
    inputs = {name: getattr(types, record.type)(pathlib.Path(record.path)) for name, record in made[1].items()}
    catalogue = transformed.load_catalogue(inputs["transform_graph"])
    snapshot = Snapshot.load(inputs["retrieval_model"].snapshot_dir)
    embeddings = snapshot.embed(snapshot.towers()[1], catalogue)[0][:, : snapshot.facts.config.width]
    centred = embeddings - embeddings[1:].mean(axis=0)
    vectors = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    test = transformed.load_sequences(inputs["transform_graph"], inputs["examples"], "test")
    queries = make_queries(test, max_queries)
    requests = list(requests_from_sequences(test, catalogue, queries.rows, queries.ends))
    recommender = Recommender.of_saved_model(inputs["fused_model"].serving_dir)
    row_of = {item_id: row for row, item_id in enumerate(catalogue.item_ids)}
    items = read_published(RunRoot(root).serving, ()).items
    rows, scores, unexpected = [], [], []
    for start in range(0, len(requests), 128):
        asked = requests[start : start + 128]
        found = recommender.candidates(asked)
        for request, item_ids, scored in zip(asked, found.item_ids, found.scores, strict=True):
            order = [place for place in np.argsort(-scored, kind="stable") if item_ids[place]]
            rows.append(np.array([row_of[item_ids[place]] for place in order]))
            scores.append([float(scored[place]) for place in order])
            segments = (items.segments(item_ids[place].decode()) for place in order)
            unexpected.append(np.array(page.unexpected(segments, page.known(request, items).taste)))
    return Lists(vectors.astype(np.float16), rows, scores, queries.targets, unexpected)


def measure(lists: Lists, how: Diversity | None) -> tuple[dict[str, np.ndarray], float]:
    """What lists are in their own order, or in a more various one.

    Returns:
        Figure → [num_lists], and CPU microseconds of a list.
    """
    found, seconds = [], 0.0
    for rows, scores, target, unexpected in zip(
        lists.rows, lists.scores, lists.targets, lists.unexpected, strict=True
    ):
        vectors = lists.vectors[rows[:200]]
        started = time.process_time()
        order = diversify(vectors, scores, SHOWN, how, unexpected) if how else list(range(len(rows)))
        seconds += time.process_time() - started
        shown = np.asarray(vectors[order[:SHOWN]], np.float64)
        (place,) = np.nonzero(rows[order][:SHOWN] == target)
        is_hit = place[:1] < 10
        found.append(
            {f"distance@{length}": intra_list_distance(shown[:length]) for length in LENGTHS}
            | {
                "ndcg@10": float((is_hit / np.log2(2 + place[:1])).sum()),
                "recall@20": len(place),
                "unexpected@10": float(unexpected[order][:10].mean()),
                "serendipity@10": float(unexpected[order][place[:1]][is_hit].sum()),
            }
        )
    return {name: np.array([one[name] for one in found]) for name in found[0]}, seconds / len(found) * 1e6


def told(lists: Lists, places: tuple[int, ...] = (1, 2, 5, 10), depth: int = 100) -> dict[str, float]:
    """What lists say of places, beside what happened there."""
    said, at = [], []
    for rows, scores, target in zip(lists.rows, lists.scores, lists.targets, strict=True):
        if target in rows[:depth]:
            said.append(chances(depth, scores)[: max(places)])
            at.append(int(np.flatnonzero(rows == target)[0]) + 1)
    means = np.mean(said, axis=0)
    return {
        f"{name}@{place}": float(value)
        for place in places
        for name, value in (("said", means[place - 1]), ("chosen", np.mean(np.equal(at, place))))
    }


def cost_of_a_page(exploration: Exploration | None = None) -> float:
    """CPU milliseconds of a page's policy: 200 candidates, ten rules, DPP, three rows, and perhaps chance."""
    cards = {
        f"i{n}": {"categories": [f"c{n % 7}"], "author": f"a{n % 40}", "price": float(n % 50)} for n in range(600)
    }
    items = Items(Item(item, item, card, 600 - n) for n, (item, card) in enumerate(cards.items()))
    said = [
        *({"block": {"categories": f"c{n}", "price": {"at_least": 45}}} for n in range(3)),
        {"allow": {"price": {"at_most": 48}}},
        {"boost": {"categories": "c3"}, "by": 2.0},
        {"boost": {"price": {"at_most": 5}}, "by": 0.5},
        {"cap": "author", "at_most": 2},
        {"quota": {"categories": "c4"}, "at_least": 2},
        {"quota": {"categories": "c5"}, "at_most": 6},
        {"pin": ["i17"]},
    ]
    rules = Rules({f"r{n}": Rule.model_validate(one) for n, one in enumerate(said)}, "benchmark")
    table = np.random.default_rng(0).normal(size=(600, 64))
    table = (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)
    ruling = Ruling(rules, items.cards, items.popular)
    surface = Surface(
        rows=("for_you", "because", "popular"), diversity=Diversity(method="dpp"), exploration=exploration
    )
    found = Found(
        [Place(f"i{n}", -n / 20, 0.1, 0.3 + n % 7 / 10) for n in range(200)],
        "history",
        "fused",
        ("i1", [f"i{n}" for n in range(300, 336)]),
    )
    draft = Draft(surface, Reader(Request("u"), {}, frozenset()), found, 12, 1_800_000_000.0)

    def vectors(item_ids: list[str]) -> np.ndarray:
        return table[[int(item_id[1:]) for item_id in item_ids]]

    make(draft, items, vectors, ruling)
    started = time.process_time()
    for _ in range(REPEATS):
        make(draft, items, vectors, ruling)
    return (time.process_time() - started) / REPEATS * 1e3


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    lists = lists_of(asked.root, asked.queries)
    plain, _ = measure(lists, None)
    figures = told(lists) | {f"plain.{name}": float(values.mean()) for name, values in plain.items()}
    for arm, how in ARMS.items():
        found, figures[f"{arm}.cpu_us"] = measure(lists, Diversity.model_validate(how))
        gains = {name: (values - plain[name]) / plain[name].mean() for name, values in found.items()}
        figures |= {f"{arm}.{name}_gain": float(gain.mean()) for name, gain in gains.items()}
        figures[f"{arm}.ndcg@10_error"] = float(gains["ndcg@10"].std() / len(lists.targets) ** 0.5)
    figures["page_cpu_ms"] = cost_of_a_page()
    for method in ("plackett_luce", "thompson"):
        figures[f"page_{method}_cpu_ms"] = cost_of_a_page(Exploration.model_validate({"method": method}))
    results.tell(f"diversity.{asked.name}", figures, keep=asked.keep)


if __name__ == "__main__":
    main()
