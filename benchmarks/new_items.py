"""New items in the whole product: what their texts are worth, from retrieval to the ranked list.

    python -m benchmarks.new_items [--seeds 0 1 2] [--hide 0.2] [--from PATH_OR_URL] [--data store] [--quick]

A fifth of the items, another one for each seed, is taken out of training whole, as in `benchmarks.text`. Then text
model, retrieval and ranking are trained with their defaults, and every event of the test split is ranked among the
whole catalogue, by the SavedModels. Arms differ by the catalogue's texts: as they are; without any, so that ids and
features are all there is; with every item carrying another one's; and as they are, read by a BERT that is not
fine-tuned. Intervals are a paired bootstrap over the seeds' queries together. `--hide 0` hides nothing. `store` has
1,000 items and users and 40,000 events. Writes `results.json` and `new_items_<data>.md`, or `whole_<data>.md` where
nothing is hidden. `--quick` shows that everything runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks import ranking, results, text
from benchmarks.retrieval import MOVIELENS, Data
from homefeed.components import behavior_pretrainer, ranking_trainer, retrieval_trainer
from homefeed.components.artifacts.transformed import TrainingData
from homefeed.components.artifacts.types import Model, ModelRun, PretrainedBert
from homefeed.components.evaluator.measured import RANKING_ROW, RETRIEVAL_ROW
from homefeed.models.evaluation import metrics

HERE = pathlib.Path(__file__).parent
TEXTS, SHUFFLED, NONE = "texts as they are", "every item with another one's text", "ids and features, no texts"
UNTUNED = "texts as they are, BERT not fine-tuned"
Tokens = npt.NDArray[np.int32]
ARMS: Mapping[str, Callable[[Tokens, int], Tokens]] = {
    NONE: lambda tokens, seed: np.zeros_like(tokens),
    SHUFFLED: lambda tokens, seed: tokens[np.append(0, 1 + np.random.default_rng(seed).permutation(len(tokens) - 1))],
    UNTUNED: lambda tokens, seed: tokens,
    TEXTS: lambda tokens, seed: tokens,
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What components are trained with; empty: their defaults."""

    pretraining: Mapping[str, int] = dataclasses.field(default_factory=dict)
    retrieval: Mapping[str, int] = dataclasses.field(default_factory=dict)
    ranking: Mapping[str, int] = dataclasses.field(default_factory=dict)


QUICK = Settings({"head_steps": 50, "fine_tuning_steps": 5}, {"epochs": 1}, {"epochs": 1, "points_per_user": 1})
Found = dict[str, metrics.Ranks]
Runs = dict[str, list[Found]]
Masks = dict[str, list[npt.NDArray[np.bool_]]]
Floats = npt.NDArray[np.float64]


def train_and_rank(parts: Data, vocabulary: list[str], settings: Settings, seed: int, folder: pathlib.Path) -> Found:
    """Row of the Evaluator → how it ranks the test split's events."""
    from homefeed.components.behavior_pretrainer.pretrain import pretrain
    from homefeed.components.ranking_trainer.train import train as train_ranking
    from homefeed.components.retrieval_trainer.train import train as train_retrieval

    data = TrainingData(parts.catalogue, parts.train, parts.evaluation, vocabulary)
    bert, retrieval, ranker = PretrainedBert(folder / "bert"), Model(folder / "retrieval"), Model(folder / "ranking")
    runs = [ModelRun(folder / f"run{place}") for place in range(3)]
    pretrain(data, "", bert, runs[0], behavior_pretrainer.Config(**settings.pretraining, seed=seed))
    train_retrieval(data, bert, retrieval, runs[1], retrieval_trainer.Config(**settings.retrieval, seed=seed))
    train_ranking(data, bert, retrieval, ranker, runs[2], ranking_trainer.Config(**settings.ranking, seed=seed))
    return ranking.ask(parts.test, parts.catalogue, retrieval, ranker)


def measure(data: str, source: str | None, seeds: Sequence[int], share: float, quick: bool) -> tuple[Runs, Masks]:
    """Arm → what it found, one a seed; and the queries for hidden items and for the others, of each seed."""
    runs: Runs = {arm: [] for arm in ARMS}
    masks: Masks = {"hidden items": [], "known items": []}
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as name:
        whole, vocabulary = text.prepare(data, source, pathlib.Path(name), quick, "")
    for seed in seeds:
        parts = text.hide(whole, share, seed)[0] if share else whole
        is_new = parts.catalogue.train_counts[ranking.targets(parts.test)] == 0
        masks["hidden items"].append(is_new)
        masks["known items"].append(~is_new)
        for arm, change in ARMS.items():
            tokens = change(parts.catalogue.token_ids, seed)
            changed = dataclasses.replace(parts, catalogue=dataclasses.replace(parts.catalogue, token_ids=tokens))
            settings = QUICK if quick else Settings()
            if arm == UNTUNED:
                settings = dataclasses.replace(settings, pretraining={**settings.pretraining, "fine_tuning_steps": 0})
            with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as name:
                found = train_and_rank(changed, vocabulary, settings, seed, pathlib.Path(name))
            runs[arm].append(found)
            print(seed, arm, {row: metrics.summarize(ranks[is_new]) for row, ranks in found.items()}, flush=True)
    return runs, masks


def report(runs: Runs, masks: Masks) -> tuple[str, dict[str, float]]:
    """A Markdown table, and the figures to keep."""
    lines = [
        "| queries for | texts | retrieval: Recall@100 | NDCG@10 | ranked: NDCG@10 | against no texts (95%) "
        "| against BERT not fine-tuned |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    figures: dict[str, float] = {}
    for who, of_seed in masks.items():
        for arm, found in runs.items():
            recall, alone = (_joined(found, of_seed, RETRIEVAL_ROW, measured) for measured in (_recall, _ndcg))
            ours = _joined(found, of_seed, RANKING_ROW, _ndcg)
            if not len(ours):
                continue
            named = {"recall@100": recall.mean(), "retrieval.ndcg@10": alone.mean(), "ndcg@10": ours.mean()}
            changes = []
            for name, prefix in ((NONE, ""), (UNTUNED, "fine_tuning.")):
                gain = ranking.gain(ours, _joined(runs[name], of_seed, RANKING_ROW, _ndcg))
                named |= {f"{prefix}{figure}": value for figure, value in gain.items()}
                changes.append("" if arm == name else ranking.percent(gain))
            figures |= {f"{who}.{arm}.{name}": round(float(value), 4) for name, value in named.items()}
            lines.append(
                f"| {who} ({len(ours):,}) | {arm} | {recall.mean():.3f} | {alone.mean():.4f} | {ours.mean():.4f} "
                f"| {' | '.join(changes)} |"
            )
    return "\n".join(lines) + "\n", figures


def _ndcg(ranks: metrics.Ranks) -> Floats:
    return metrics.ndcg(ranks, 10)


def _recall(ranks: metrics.Ranks) -> Floats:
    return metrics.hit_rate(ranks, 100)


def _joined(
    found: Sequence[Found],
    masks: Sequence[npt.NDArray[np.bool_]],
    row: str,
    measured: Callable[[metrics.Ranks], Floats],
) -> Floats:
    """One metric of the queries of all seeds, which hide other items each."""
    return np.concatenate([measured(of_seed[row])[mask] for of_seed, mask in zip(found, masks, strict=True)])


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=["movielens", "store"], default=["store"])
    parser.add_argument("--from", dest="source", default=str(MOVIELENS) if MOVIELENS.is_dir() else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--hide", type=float, default=0.2)
    parser.add_argument("--quick", action="store_true")
    arguments, _ = parser.parse_known_args()
    for data in arguments.data:
        runs = measure(data, arguments.source, arguments.seeds, arguments.hide, arguments.quick)
        table, figures = report(*runs)
        print(table, flush=True)
        if not arguments.quick:
            kind = "new_items" if arguments.hide else "whole"
            results.merge(f"{kind}.{data}", figures)
            title = f"# The whole product, {data}, {arguments.hide:.0%} of the items hidden, seeds {arguments.seeds}"
            (HERE / f"{kind}_{data}.md").write_text(f"{title}\n\n{table}", encoding="utf-8")


if __name__ == "__main__":
    main()
