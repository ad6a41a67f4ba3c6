"""Ranking quality: retrieve-then-rank beside retrieval alone (P1, P2), its ablations, and ratings (P3).

    python -m benchmarks.ranking [--data movielens store] [--protocols p1 p2 p3 p3-temporal] [--seeds 0 1 2]
                                 [--ablations all|none|NAME …] [--ablation-seeds 0] [--from PATH_OR_URL] [--quick]
                                 [--bert-preset NAME_OR_FOLDER]

P1 (leave-one-out) and P2 (global temporal) run the components with their defaults and ask the SavedModels, as the
Evaluator does. `store` is the simulated store, whose items have text. The ablations train the ranker again, on the
same retrieval model. P3 is random 80/10/10 with seed 42, and, side by side, P2's split. Choices are made on the eval
split, and the figures are of the test split. Writes `results.json` and a `ranking_<data>_<protocol>.md` each.
`--bert-preset` goes on from that BERT instead of a compact one of our own, and keeps its figures apart. `--quick`
trains as little as can be: it shows that everything runs, and its figures mean nothing, so that it writes nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import _ratings, results
from benchmarks.retrieval import MOVIELENS, PROTOCOLS, Data, split_dataset
from homefeed.components import behavior_pretrainer, evaluator, fuser, ranking_trainer, retrieval_trainer
from homefeed.components.artifacts.transformed import TrainingData
from homefeed.components.artifacts.types import DatasetDir, Examples, Model, ModelRun, PretrainedBert, TransformGraph
from homefeed.components.evaluator.measured import RANKING_ROW, RETRIEVAL_ROW, measure
from homefeed.components.evaluator.queries import make_queries
from homefeed.models.catalogue import Catalogue
from homefeed.models.evaluation import metrics
from homefeed.models.sequences import Sequences

HERE = pathlib.Path(__file__).parent
RETRIEVAL_ALONE, DEFAULT, SHUFFLED = "retrieval alone", "default", "default, item texts shuffled at test"
UNTUNED = "BERT not fine-tuned"
ABLATIONS: dict[str, dict[str, Any]] = {"items by id alone, no text": {}, "features, no text": {}, UNTUNED: {}}
P3 = {"p3": "random", "p3-temporal": "temporal"}
QUICK_STORE = {"num_users": 60, "num_items": 80, "num_events": 1200}

Floats = npt.NDArray[np.float64]
Runs = dict[str, list["Ranked"]]


@dataclasses.dataclass(frozen=True)
class Bench:
    """One protocol's artifacts and splits, and what is trained with which settings."""

    folder: pathlib.Path
    catalogue: Catalogue
    train: Sequences
    evaluation: Sequences
    test: Sequences
    vocabulary: list[str]
    retrieval: dict[str, Any]
    pretraining: dict[str, Any]
    ranking: dict[str, Any]

    @property
    def graph(self) -> TransformGraph:
        """Transform's tables."""
        return TransformGraph(self.folder / "graph")

    @property
    def examples(self) -> Examples:
        """Transform's splits."""
        return Examples(self.folder / "examples")


@dataclasses.dataclass(frozen=True)
class Ranked:
    """How each test target was ranked, and what that cost."""

    ndcg: Floats
    retrieval_ndcg: Floats
    figures: dict[str, float]


def prepare(
    data: str,
    source: str | None,
    split: str,
    folder: pathlib.Path,
    quick: bool,
    bert_preset: str = "",
    store: Mapping[str, int] | None = None,
) -> Bench:
    """Runs ExampleGen and Transform; `store` is how large the simulated one is."""
    from homefeed.pipeline.datasets import movielens, sample

    dataset = DatasetDir(folder / "data")
    if data == "movielens":
        movielens.write_movielens_100k(dataset.path, source)
    else:
        sample.write_sample(dataset.path, **(QUICK_STORE if quick else store or {}))
    parts = split_dataset(dataset, split, folder, bert_preset)
    return bench_of(parts, folder, quick)


def bench_of(parts: Data, folder: pathlib.Path, quick: bool) -> Bench:
    """What was split in a folder, to be trained on with the defaults, or as little as can be."""
    from homefeed.components.artifacts import transformed

    return Bench(
        folder,
        parts.catalogue,
        parts.train,
        parts.evaluation,
        parts.test,
        transformed.load_wordpiece(TransformGraph(folder / "graph")),
        retrieval={"epochs": 1} if quick else {},
        pretraining={"head_steps": 100, "fine_tuning_steps": 5} if quick else {},
        ranking={"epochs": 1, "points_per_user": 1} if quick else {},
    )


def train_retrieval(bench: Bench, seed: int, bert: PretrainedBert) -> Model:
    """The retrieval model that all rankers of a seed share."""
    model = Model(bench.folder / f"retrieval{seed}")
    retrieval_trainer.run(
        retrieval_trainer.Inputs(bench.graph, bench.examples, bert),
        retrieval_trainer.Outputs(model, ModelRun(bench.folder / f"retrieval_run{seed}")),
        retrieval_trainer.Config(**bench.retrieval, seed=seed),
    )
    return model


def pretrain(bench: Bench, seed: int, trained: bool = True) -> tuple[PretrainedBert, float]:
    """The text model and the CPU seconds of its training; not `trained`: its BERT stays as it starts."""
    bert = PretrainedBert(bench.folder / f"bert{seed}{trained}")
    settings = bench.pretraining | ({} if trained else {"fine_tuning_steps": 0})
    config = behavior_pretrainer.Config(**settings, seed=seed)
    outputs = behavior_pretrainer.Outputs(bert, ModelRun(bench.folder / f"bert_run{seed}{trained}"))
    inputs = behavior_pretrainer.Inputs(bench.graph, bench.examples)
    return bert, _cpu_seconds(lambda: behavior_pretrainer.run(inputs, outputs, config))


def silenced(bert: PretrainedBert, folder: pathlib.Path) -> PretrainedBert:
    """The same text model, to which every item is without a text."""
    from homefeed.models.text.text_model import TextModel

    model, found = TextModel.load(bert.path), PretrainedBert(folder)
    dataclasses.replace(model, items=np.zeros_like(model.items)).save(found.path)
    return found


def rank(bench: Bench, name: str, seed: int, retrieval: Model, bert: PretrainedBert) -> dict[str, Ranked]:
    """Trains a ranker with the settings of one ablation and ranks the test split.

    Returns:
        One entry, and for the default settings a second: the same ranker when items carry other items' texts.
    """
    from homefeed.components.ranking_trainer.train import fit
    from homefeed.models.ranking.export import RankingModule

    config = ranking_trainer.Config(**{**bench.ranking, **ABLATIONS.get(name, {})}, seed=seed)
    catalogue = bench.catalogue
    if name.startswith("items by id alone"):
        catalogue = dataclasses.replace(catalogue, categorical={}, numeric={})
    data = TrainingData(catalogue, bench.train, bench.evaluation, bench.vocabulary)
    if name.endswith("no text"):
        bert = silenced(bert, bench.folder / f"silent{seed}")
    start = time.process_time()
    trained = fit(data, bert, retrieval, config)
    cost = {"cpu_seconds": time.process_time() - start}
    # What the ranker alone makes of the candidates, whatever the blend makes of it: as it was kept.
    cost["eval_list"] = min(trained.epochs, key=lambda epoch: epoch.eval_loss).eval_list
    cost["text_weight"] = trained.blend.text

    def measured() -> Ranked:
        with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as folder:
            model = Model(pathlib.Path(folder))
            RankingModule(trained, catalogue, bench.train).save(model.serving_dir)
            ranks = ask(bench.test, bench.catalogue, retrieval, model)
            ndcg = (metrics.ndcg(ranks[row], 10) for row in (RANKING_ROW, RETRIEVAL_ROW))
            return Ranked(*ndcg, cost | measure_latency(model.serving_dir, catalogue))

    found = {name: measured()}
    if name == DEFAULT:
        items = trained.ranker.text.items
        order = np.concatenate([[0], 1 + np.random.default_rng(seed).permutation(len(items) - 1)])
        trained.ranker.items.set_texts(items[order])
        found[SHUFFLED] = measured()
    return found


def ask(test: Sequences, catalogue: Catalogue, retrieval: Model, ranking: Model) -> dict[str, metrics.Ranks]:
    """How each test query is ranked, by the Evaluator's rows."""
    from homefeed.serving.predictors import LocalPredictor
    from homefeed.serving.recommender import RANKING, RETRIEVAL, Recommender

    folders = {RETRIEVAL: retrieval.serving_dir, RANKING: ranking.serving_dir}
    recommender = Recommender(LocalPredictor(folders), fuser.Config().num_candidates)
    limits = evaluator.Config().limits
    return measure(recommender, None, {}, test, catalogue, limits).ranks


def targets(test: Sequences) -> npt.NDArray[np.int64]:
    """[num_queries] rows of what the test queries look for, in the Evaluator's order."""
    return make_queries(test, evaluator.Config().max_queries).targets


def slices(bench: Bench) -> dict[str, npt.NDArray[np.bool_]]:
    """Slice → mask over the test queries, in the Evaluator's order."""
    queries = make_queries(bench.test, evaluator.Config().max_queries)
    length = np.array([len(history) for history in queries.histories])
    count = bench.catalogue.train_counts[queries.targets]
    searched = np.zeros(len(queries), bool)
    if bench.test.query_token_ids is not None:
        searched = bench.test.query_token_ids[queries.ends].any(axis=1)
    return {
        "all": np.ones(len(queries), bool),
        "users with at most 10 events": length <= 10,
        "history 11-49": (length > 10) & (length < 50),
        "history >= 50": length >= 50,
        "new items": count == 0,
        "rare items (1-10)": (count > 0) & (count <= 10),
        "with a query": searched,
    }


def gain(ours: Floats, theirs: Floats) -> dict[str, float]:
    """Relative gain in NDCG@10 with its 95% interval (paired bootstrap over queries)."""
    base = float(theirs.mean())
    if not base:
        return {"gain": float("nan"), "gain.low": float("nan"), "gain.high": float("nan")}
    return dict(
        zip(
            ("gain", "gain.low", "gain.high"),
            (value / base for value in metrics.paired_bootstrap(ours, theirs, num_samples=2000)),
            strict=True,
        )
    )


def measure_ranking(
    bench: Bench, seeds: Sequence[int], ablations: Sequence[str], ablation_seeds: Sequence[int]
) -> Runs:
    """Method → its results, one a seed."""
    runs: Runs = {}
    for seed in seeds:
        bert, pretraining = pretrain(bench, seed)
        retrieval = train_retrieval(bench, seed, bert)
        names = [DEFAULT, *(ablations if seed in ablation_seeds else ())]
        for name in names:
            read = pretrain(bench, seed, trained=False)[0] if name == UNTUNED else bert
            for method, found in rank(bench, name, seed, retrieval, read).items():
                found.figures["pretraining.cpu_seconds"] = pretraining
                runs.setdefault(method, []).append(found)
                print(seed, method, round(float(found.ndcg.mean()), 4), _rounded(found.figures), flush=True)
    return runs


def report(runs: Runs, masks: Mapping[str, npt.NDArray[np.bool_]]) -> tuple[list[str], dict[str, float]]:
    """Markdown lines, and the figures to keep: each query's NDCG is the mean over the seeds."""
    alone = np.mean([run.retrieval_ndcg for run in runs[DEFAULT]], axis=0)
    ours = np.mean([run.ndcg for run in runs[DEFAULT]], axis=0)
    kept: dict[str, float] = {f"{RETRIEVAL_ALONE}.ndcg@10": float(alone.mean())}
    lines = [
        "| method | NDCG@10 | gain over retrieval (95%) | ranker, nats | weight of texts | training CPU s "
        "| rank p50 / p99 ms |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines.append(f"| {RETRIEVAL_ALONE} | {alone.mean():.4f} | | | | | |")
    for name, found in runs.items():
        each = [float(run.ndcg.mean()) for run in found]
        spread = f" ({min(each):.4f} to {max(each):.4f})" if len(each) > 1 else ""
        base = np.mean([run.retrieval_ndcg for run in found], axis=0)
        figures = {key: statistics.median(run.figures[key] for run in found) for key in found[0].figures}
        figures |= gain(np.mean([run.ndcg for run in found], axis=0), base) | {"ndcg@10": statistics.median(each)}
        kept |= {f"{name}.{key}": value for key, value in figures.items()}
        lines.append(
            f"| {name} | {figures['ndcg@10']:.4f}{spread} | {percent(figures)} | {figures['eval_list']:.3f} "
            f"| {figures['text_weight']:.2f} | {figures['cpu_seconds']:.0f} "
            f"| {figures['latency.p50_ms']:.1f} / {figures['latency.p99_ms']:.1f} |"
        )
    lines += [
        "",
        "Nats are the listwise loss of the ranker's own logits on eval: lower is better, whatever the blend trusts",
        "them with.",
    ]
    lines += ["", f"Pre-training took {kept[f'{DEFAULT}.pretraining.cpu_seconds']:.0f} CPU s.", ""]
    shuffled = np.mean([run.ndcg for run in runs[SHUFFLED]], axis=0)
    lines += [
        "| slice | queries | retrieval | ranked | gain (95%) | with texts shuffled |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, mask in masks.items():
        if not mask.any():
            continue
        figures = {"ndcg@10": float(ours[mask].mean()), "retrieval.ndcg@10": float(alone[mask].mean())}
        figures |= gain(ours[mask], alone[mask]) | {"shuffled.ndcg@10": float(shuffled[mask].mean())}
        kept |= {f"slice.{name}.{key}": value for key, value in figures.items()}
        lines.append(
            f"| {name} | {mask.sum()} | {figures['retrieval.ndcg@10']:.4f} | {figures['ndcg@10']:.4f} "
            f"| {percent(figures)} | {figures['shuffled.ndcg@10']:.4f} |"
        )
    return lines, kept


def report_ratings(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> tuple[list[str], dict[str, float]]:
    """The same of P3: medians over the seeds."""
    lines = ["| method | Brier | AUC | log-loss | calibration error | RMSE |", "|---|---:|---:|---:|---:|---:|"]
    kept: dict[str, float] = {}
    for method, figures in runs[0].items():
        middle = {name: statistics.median(run[method][name] for run in runs) for name in figures}
        kept |= {f"{method}.{name}": value for name, value in middle.items()}
        columns = (f"{middle[name]:.4f}" for name in ("brier", "auc", "log_loss", "ece", "rmse"))
        lines.append(f"| {method} | {' | '.join(columns)} |")
    return lines, kept


def measure_latency(folder: pathlib.Path, catalogue: Catalogue, repetitions: int = 300) -> dict[str, float]:
    """Milliseconds of `rank`, in process: one user with 64 events, 100 candidates."""
    import tensorflow as tf

    model = tf.saved_model.load(str(folder))
    rank = model.signatures["rank"]
    item_ids = catalogue.item_ids[1:].tolist()
    given = {
        "candidates": tf.constant([item_ids[:100]]),
        "retrieval_scores": tf.range(float(min(100, len(item_ids))))[None],
        "history": tf.constant([item_ids[-64:]]),
        "history_value": tf.fill([1, min(64, len(item_ids))], 4.0),
        "history_event_type": tf.fill([1, min(64, len(item_ids))], ""),
        "history_timestamp": tf.fill([1, min(64, len(item_ids))], tf.constant(880_000_000, tf.int64)),
        "timestamp": tf.constant([880_000_100], tf.int64),
    }
    inputs = {}
    for name, spec in rank.structured_input_signature[1].items():
        shape = [1] * spec.shape.rank
        blank = tf.fill(shape, "") if spec.dtype == tf.string else tf.zeros(shape, spec.dtype)
        inputs[name] = given.get(name, blank)
    seconds: list[float] = []
    while len(seconds) < 20 or (len(seconds) < repetitions and sum(seconds) < 20):
        start = time.perf_counter()
        rank(**inputs)["scores"].numpy()
        seconds.append(time.perf_counter() - start)
    p50, p99 = np.percentile(seconds[10:], [50, 99]) * 1000
    return {"latency.p50_ms": float(p50), "latency.p99_ms": float(p99)}


def percent(figures: Mapping[str, float]) -> str:
    """A gain in percent, with its interval."""
    return f"{figures['gain']:+.1%} ({figures['gain.low']:+.1%} to {figures['gain.high']:+.1%})"


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


def _cpu_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", default=str(MOVIELENS) if MOVIELENS.is_dir() else None)
    parser.add_argument("--data", choices=["movielens", "store"], nargs="+", default=["movielens", "store"])
    parser.add_argument("--protocols", nargs="+", choices=[*PROTOCOLS, *P3], default=[*PROTOCOLS, *P3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ablations", nargs="+", choices=["all", "none", *ABLATIONS], default=["all"])
    parser.add_argument("--ablation-seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--bert-preset", default="")
    parser.add_argument("--quick", action="store_true")
    arguments, _ = parser.parse_known_args()
    asked = {"all": list(ABLATIONS), "none": []}.get(arguments.ablations[0], arguments.ablations)
    head = f"Medians of the seeds {arguments.seeds}; ablations with the seeds {arguments.ablation_seeds}."
    for data, protocol in [(data, protocol) for data in arguments.data for protocol in arguments.protocols]:
        if protocol in P3 and (data == "store" or arguments.bert_preset):
            continue  # There is no order in P3, and no text.
        with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as name:
            folder = pathlib.Path(name)
            if protocol in P3:
                ratings = _ratings.rating_data(arguments.source, P3[protocol], folder)
                lines, figures = report_ratings([_ratings.measure_ratings(ratings, seed) for seed in arguments.seeds])
            else:
                bench = prepare(
                    data, arguments.source, PROTOCOLS[protocol], folder, arguments.quick, arguments.bert_preset
                )
                runs = measure_ranking(bench, arguments.seeds, asked, arguments.ablation_seeds)
                lines, figures = report(runs, slices(bench))
        title = f"{data}.{protocol}" + ("-preset" if arguments.bert_preset else "")
        text = "\n".join([f"# {title.replace('.', ', ')}", "", head, "", *lines, ""])
        print(text, flush=True)
        if not arguments.quick:
            rounded = {name: round(value, 4) for name, value in figures.items()}
            results.merge(f"ranking.{title}", rounded)
            (HERE / f"ranking_{title.replace('.', '_')}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
