"""What each part of retrieval gives: the same training on MovieLens-100K without it.

    python -m benchmarks.retrieval_ablations [--from PATH_OR_URL] [--seeds 0 1 2] [--protocol p2]

Full ranking of the test split by the protocols of `benchmarks.retrieval`. Intervals are of a paired bootstrap over
queries, of the mean over the seeds. Writes `results.json` and `retrieval_ablations_<protocol>.md`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from benchmarks import results, retrieval
from homefeed.models.evaluation import metrics
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.towers import two_tower
from homefeed.models.retrieval.towers.two_tower import TwoTower
from homefeed.models.retrieval.training import fit

FULL, SAMPLED = "all parts", "sampled softmax, 128 negatives"
Found = dict[str, list[retrieval.Result]]


def without_text(data: retrieval.Data) -> retrieval.Data:
    """Items have no title, no description, no words of categories."""
    nothing = np.zeros((data.catalogue.num_rows, 1), np.int32)
    return dataclasses.replace(data, catalogue=dataclasses.replace(data.catalogue, token_ids=nothing))


def without_features(data: retrieval.Data) -> retrieval.Data:
    """Items have an id and text, users a history."""
    splits = {
        name: dataclasses.replace(getattr(data, name), categorical={}, numeric={})
        for name in ("train", "evaluation", "test")
    }
    return retrieval.Data(dataclasses.replace(data.catalogue, categorical={}, numeric={}), **splits)


def no_correction() -> contextlib.AbstractContextManager[None]:
    """Sampled negatives count as they were drawn: without logQ."""
    log_q = two_tower.log_q
    return mock.patch.object(two_tower, "log_q", lambda drawn, _: log_q(drawn, tf.ones_like(drawn)))


@dataclasses.dataclass(frozen=True)
class Arm:
    """A training with something changed.

    Attributes:
        baseline: the arm that it is compared with.
        settings: hyperparameters that differ.
        data: what is taken from the data.
        patch: what is taken from the code.
    """

    baseline: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    data: Callable[[retrieval.Data], retrieval.Data] = lambda data: data
    patch: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext


SMALL_SAMPLE: Mapping[str, Any] = {"max_softmax_items": 0, "num_sampled": 128}
ARMS = {
    FULL: Arm(FULL),
    "… without text": Arm(FULL, data=without_text),
    "… without features": Arm(FULL, data=without_features),
    "… without rehearsal of cold start": Arm(FULL, {"cold_start_share": 0.0}),
    "… without the mean of the weights": Arm(FULL, {"ema_momentum": 0.0}),
    SAMPLED: Arm(FULL, SMALL_SAMPLE),
    "… … without logQ": Arm(SAMPLED, SMALL_SAMPLE, patch=no_correction),
}


def measure(data: retrieval.Data, seed: int) -> dict[str, retrieval.Result]:
    """Arm → how it ranks, of one seed."""
    found = {}
    for name, arm in ARMS.items():
        config = dataclasses.replace(Hyperparameters(seed=seed), **arm.settings)
        towers: list[TwoTower] = []
        with arm.patch(), mock.patch.object(fit, "fit_towers", _kept(towers)):
            timed, untimed = retrieval.measure_retrieval(arm.data(data), config)
            found[name] = timed
            if name == FULL:
                found["… without the time of the request"] = untimed
                # It is fitted beside towers that do not know of it: without it, they are the same.
                alone = dataclasses.replace(config, linear_rank=0)
                found["… without the linear part"] = retrieval.measure_retrieval(data, alone)[0]
        print(seed, name, metrics.summarize(timed.ranks), round(timed.cpu_seconds), flush=True)
    return found


def _kept(towers: list[TwoTower]) -> Callable[..., TwoTower]:
    """Trains towers the first time, and gives them again after that."""
    train = fit.fit_towers

    def once(*arguments: Any) -> TwoTower:
        if not towers:
            towers.append(train(*arguments))
        return towers[0]

    return once


def report(
    found: Mapping[str, list[retrieval.Result]], new_items: npt.NDArray[np.bool_]
) -> tuple[str, dict[str, float]]:
    """A Markdown table, and the figures to keep."""
    lines = ["| | NDCG@10 | Recall@100 | new items: Recall@100 | NDCG@10 against all parts | CPU s |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    figures: dict[str, float] = {}
    for name, runs in found.items():
        whole = [metrics.summarize(run.ranks) for run in runs]
        new = [metrics.summarize(run.ranks[new_items])["recall@100"] for run in runs]
        ndcg, recall = (float(np.median([row[column] for row in whole])) for column in ("ndcg@10", "recall@100"))
        against = ARMS[name].baseline if name in ARMS else FULL
        change = _change(runs, found[against])
        figures |= {f"{name}.ndcg@10": round(ndcg, 4), f"{name}.recall@100": round(recall, 4)}
        seconds = np.median([run.cpu_seconds for run in runs])
        difference = "" if name == against else change
        lines.append(f"| {name} | {ndcg:.4f} | {recall:.4f} | {np.median(new):.3f} | {difference} | {seconds:.0f} |")
    return "\n".join(lines) + "\n", figures


def _change(runs: list[retrieval.Result], others: list[retrieval.Result]) -> str:
    ours, theirs = (np.mean([metrics.ndcg(run.ranks, 10) for run in group], axis=0) for group in (runs, others))
    difference, low, high = metrics.paired_bootstrap(ours, theirs)
    mean = theirs.mean()
    return f"{difference / mean:+.1%} ({low / mean:+.1%} to {high / mean:+.1%})"


def main() -> None:
    """Measures, prints, keeps; the files are written after every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--from", dest="source", default=str(retrieval.MOVIELENS) if retrieval.MOVIELENS.is_dir() else None
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--protocol", choices=retrieval.PROTOCOLS, default="p2")
    arguments, _ = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as folder:
        data = retrieval.prepare(arguments.source, retrieval.PROTOCOLS[arguments.protocol], pathlib.Path(folder))
    new_items = retrieval.slices(data)["new items"]
    found: Found = {}
    for place, seed in enumerate(arguments.seeds):
        for name, result in measure(data, seed).items():
            found.setdefault(name, []).append(result)
        table, figures = report(found, new_items)
        results.merge(f"retrieval_ablations.{arguments.protocol}", figures)
        seeds = arguments.seeds[: place + 1]
        text = f"# Parts of retrieval, {arguments.protocol.upper()}, MovieLens-100K, seeds {seeds}\n\n{table}"
        path = pathlib.Path(__file__).with_name(f"retrieval_ablations_{arguments.protocol}.md")
        path.write_text(text, encoding="utf-8")
        print(text, flush=True)


if __name__ == "__main__":
    main()
