"""What variety costs: intra-list distance and NDCG@10 of a trained root's lists, before and after, and CPU time.

    python -m benchmarks.diversity --root ROOT --name movielens [--queries 4000] [--keep]

The fused model of the last push is asked for the list of every event of the test split. Distances are between vectors
of the candidate tower, as they are published: what all items have in common is taken off. The default of a surface is
`mmr` with `max_loss` 0.01. The second part makes whole pages of 200 candidates in three rows under ten rules.
`--keep` writes `results.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import time

import numpy as np

from benchmarks import results
from homefeed.models.requests import Request
from homefeed.serving.gateway.items import Items
from homefeed.serving.gateway.making import Draft, Found, make
from homefeed.serving.gateway.page import Place, Reader
from homefeed.serving.policy.diversity import Diversity, diversify, intra_list_distance
from homefeed.serving.policy.exploration import Exploration
from homefeed.serving.policy.rules import Rule, Rules
from homefeed.serving.policy.ruling import Ruling
from homefeed.serving.policy.surfaces import Surface
from homefeed.serving.profiles.published import Item

ARMS = [Diversity(method=method, max_loss=loss) for method in ("mmr", "dpp") for loss in (0.005, 0.01, 0.02)]
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
    """

    vectors: np.ndarray
    rows: list[np.ndarray]
    scores: list[list[float]]
    targets: np.ndarray


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
    rows, scores = [], []
    for start in range(0, len(requests), 128):
        found = recommender.candidates(requests[start : start + 128])
        for item_ids, scored in zip(found.item_ids, found.scores, strict=True):
            order = [place for place in np.argsort(-scored, kind="stable") if item_ids[place]]
            rows.append(np.array([row_of[item_ids[place]] for place in order]))
            scores.append([float(scored[place]) for place in order])
    return Lists(vectors.astype(np.float16), rows, scores, queries.targets)


def measure(lists: Lists, how: Diversity | None) -> dict[str, float]:
    """Mean distances and NDCG@10 of lists in their own order, or in a more various one."""
    distances, gained, seconds = [], 0.0, 0.0
    for rows, scores, target in zip(lists.rows, lists.scores, lists.targets, strict=True):
        vectors = lists.vectors[rows[:200]]
        started = time.process_time()
        order = diversify(vectors, scores, SHOWN, how) if how else list(range(len(rows)))
        seconds += time.process_time() - started
        shown = np.asarray(vectors[order[:SHOWN]], np.float64)
        distances.append([intra_list_distance(shown[:length]) for length in LENGTHS])
        (places,) = np.nonzero(rows[order][:10] == target)
        gained += float(sum(1 / np.log2(2 + places)))
    figures = {f"distance@{length}": d for length, d in zip(LENGTHS, np.mean(distances, axis=0), strict=True)}
    return figures | {"ndcg@10": gained / len(lists.rows), "cpu_us": seconds / len(lists.rows) * 1e6}


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
    parser.add_argument("--queries", type=int, default=4_000)
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    lists = lists_of(asked.root, asked.queries)
    plain = measure(lists, None)
    figures = {f"plain.{name}": value for name, value in plain.items() if name != "cpu_us"}
    for how in ARMS:
        found = measure(lists, how)
        arm = f"{how.method}-{how.max_loss:g}"
        figures |= {
            f"{arm}.{name}_gain": value / plain[name] - 1 for name, value in found.items() if name != "cpu_us"
        }
        figures[f"{arm}.cpu_us"] = found["cpu_us"]
    figures["page_cpu_ms"] = cost_of_a_page()
    for method in ("plackett_luce", "thompson"):
        figures[f"page_{method}_cpu_ms"] = cost_of_a_page(Exploration.model_validate({"method": method}))
    results.tell(f"diversity.{asked.name}", figures, keep=asked.keep)


if __name__ == "__main__":
    main()
