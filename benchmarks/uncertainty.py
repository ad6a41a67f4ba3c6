"""How far `probability_deviation` can be taken at its word: how many 90% intervals hold, by what is known.

    python -m benchmarks.uncertainty --root ROOT --name movielens [--truth DATA] [--points 3] [--keep]

The fused model of the last push is asked at points of the eval and the test split of a trained root; what it
retrieved and was chosen later is judged, each event once. The uncertainty is fitted on eval as RankingTrainer does.
A user's events count as one, how many of them were liked against the interval of what was expected, and so do an
item's. Users are told apart by deciles of the length of their history. `--truth` says that the data are `homefeed
data sample` of seed 0, whose shoppers' likings are known. `--keep` writes `results.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

import numpy as np

from benchmarks import results
from homefeed.components.artifacts import transformed, types
from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.training.on_eval import judged_events
from homefeed.models.ranking.training.uncertainty import Judged, Uncertainty, Unknown, coverage, fit_uncertainty
from homefeed.models.requests import requests_from_sequences
from homefeed.models.sequences import Sequences
from homefeed.models.shared import prediction_points
from homefeed.pipeline.runner.metadata import MetadataStore
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.recommender import Recommender

MAX_POINTS = 4_000
CERTAIN = Unknown(1e12, 0.0)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a trained root is asked with."""

    recommender: Recommender
    catalogue: Catalogue
    splits: dict[str, Sequences]


def open_root(root: pathlib.Path) -> Asked:
    """The last push of a root, and what it was made of."""
    store = MetadataStore(RunRoot(root))
    pushed = store.latest("PushedModel")
    made = store.producer(pushed) if pushed else None
    assert made, f"{root} has no pushed model: `homefeed run --root {root}` pushes one"
    inputs = {name: getattr(types, record.type)(pathlib.Path(record.path)) for name, record in made[1].items()}
    graph, examples = inputs["transform_graph"], inputs["examples"]
    splits = {name: transformed.load_sequences(graph, examples, name) for name in ("train", "eval", "test")}
    model = Recommender.of_saved_model(inputs["fused_model"].serving_dir)
    return Asked(model, transformed.load_catalogue(graph), splits)


def judge(asked: Asked, split: str, points_per_user: int) -> Judged:
    """What was retrieved and chosen later in a split, with its calibrated probabilities."""
    sequences, catalogue, rng = asked.splits[split], asked.catalogue, np.random.default_rng(0)
    points = prediction_points.random_points(sequences, points_per_user, rng)
    points = prediction_points.drawn(points, MAX_POINTS, rng)
    requests = list(requests_from_sequences(sequences, catalogue, points.row, points.cut))
    row_of = {item_id: row for row, item_id in enumerate(catalogue.item_ids)}
    rows, chances = [], []
    for start in range(0, len(requests), 64):
        found = asked.recommender.candidates(requests[start : start + 64])
        rows.append([[row_of.get(item_id, 0) for item_id in one] for one in found.item_ids])
        chances.append(found.probabilities)
    retrieved, probabilities = np.concatenate(rows).astype(np.int32), np.concatenate(chances).astype(np.float64)
    counts = np.bincount(asked.splits["train"].item_index, minlength=catalogue.num_rows)
    judged = judged_events(sequences, points, retrieved, probabilities, counts, Hyperparameters().max_rated_events)
    return dataclasses.replace(judged, probabilities=np.clip(judged.probabilities, 1e-3, 1 - 1e-3))


def truth(judged: Judged, sequences: Sequences, catalogue: Catalogue, data: pathlib.Path) -> np.ndarray:
    """[num_events] the probability with which each item is liked by its user, in the sample store of seed 0."""
    import scipy.stats

    from homefeed.pipeline.datasets.sample.rows import item_ids, user_ids
    from homefeed.pipeline.datasets.sample.store import liking, make_items, make_users

    rng, num_users = np.random.default_rng(0), len((data / "users.csv").read_text(encoding="utf-8").splitlines()) - 1
    items, users = make_items(rng, catalogue.num_rows - 1), make_users(rng, num_users)
    of_item = {name.encode(): place for place, name in enumerate(item_ids(items))}
    of_user = {name.encode(): place for place, name in enumerate(user_ids(users))}
    who = np.array([of_user[sequences.user_ids[row]] for row in judged.users])
    what = np.array([of_item[catalogue.item_ids[row]] for row in judged.items])
    return scipy.stats.norm.cdf((liking(items, users, who, what) - 0.2) / 0.5)


def measure(judged: Judged, sure: Uncertainty) -> dict[str, float]:
    """Shares of 90% intervals that hold: by decile of the history's length, of all users, and of all items."""
    by_decile = coverage(judged, sure.of_users, judged.users, judged.of_user)
    figures = {f"users_decile_{n}": float(share) for n, share in enumerate(by_decile, 1)}
    for name, groups, known, unknown in (
        ("users", judged.users, judged.of_user, sure.of_users),
        ("items", judged.items, judged.of_item, sure.of_items),
    ):
        figures[f"num_{name}"] = float(len(np.unique(groups)))
        figures[name] = float(coverage(judged, unknown, groups, known, 1)[0])
        figures[f"{name}_taken_for_certain"] = float(coverage(judged, CERTAIN, groups, known, 1)[0])
        few, many = (np.quantile(known, share) for share in (0.1, 0.9))
        deviation = sure.deviation(judged.probabilities, judged.of_user, judged.of_item)
        figures[f"deviation_few_events_of_{name}"] = float(deviation[known <= few].mean())
        figures[f"deviation_many_events_of_{name}"] = float(deviation[known >= many].mean())
    return figures


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--truth", type=pathlib.Path)
    parser.add_argument("--points", type=int, default=3)
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    root = open_root(asked.root)
    of_eval, of_test = (judge(root, split, asked.points) for split in ("eval", "test"))
    sure = fit_uncertainty(of_eval)
    figures = {f"{kind}.{name}": value for kind, one in (("users", sure.of_users), ("items", sure.of_items))
               for name, value in dataclasses.asdict(one).items()}  # fmt: skip
    for split, judged in (("eval", of_eval), ("test", of_test)):
        figures |= {f"{split}.{name}": value for name, value in measure(judged, sure).items()}
        if asked.truth is not None:
            known = truth(judged, root.splits[split], root.catalogue, asked.truth)
            deviation = sure.deviation(judged.probabilities, judged.of_user, judged.of_item)
            within = np.abs(known - judged.probabilities) < 1.645 * deviation
            figures[f"{split}.pairs_within"] = float(within.mean())
            figures[f"{split}.pairs_mean_error"] = float((known - judged.probabilities).mean())
    results.tell(f"uncertainty.{asked.name}", figures, keep=asked.keep)


if __name__ == "__main__":
    main()
