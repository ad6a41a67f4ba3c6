"""What facts on items are worth to retrieval, where series and authors decide and no title tells them.

    python -m benchmarks.facts [--seeds 0 1 2] [--quick]

The simulated bookshop of `benchmarks._series`, global temporal split, full ranking of the whole catalogue; figures
are of the test split. The same log with its table of facts and without; the shop is the same for all seeds, which are
those of training. Writes `results.json` and `facts.md`; `--quick` shows that everything runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks import results
from benchmarks._series import write_books
from benchmarks.retrieval import Data, Result, ids_only, measure_baseline, measure_retrieval, slices, split_dataset
from homefeed.components import evaluator
from homefeed.components.artifacts.types import DatasetDir
from homefeed.components.evaluator import measured
from homefeed.models.evaluation import baselines, metrics
from homefeed.models.retrieval.hyperparameters import Hyperparameters

WITH, WITHOUT = "homefeed, with facts", "homefeed, without facts"
SLICES, COLUMNS = ("all", "new items"), ("ndcg@10", "hr@10", "recall@100")
Found = Mapping[str, Sequence[Result]]


def prepare(folder: pathlib.Path, knowledge: bool, num_events: int) -> Data:
    """The splits of the bookshop."""
    write_books(folder / "data", num_events=num_events, knowledge=knowledge)
    return split_dataset(DatasetDir(folder / "data"), "temporal", folder)


def measure(with_facts: Data, without: Data, seeds: Sequence[int], epochs: int) -> Found:
    """Method → a result for each seed; of what has no seed, one."""

    def tuned_ease() -> baselines.Baseline:
        limits = evaluator.Config().limits
        return measured.fit_baselines(without.train, without.evaluation, without.catalogue, limits)[measured.EASE]

    popularity = functools.partial(baselines.Popularity().fit, without.train, without.catalogue.num_rows)
    fits: dict[str, Callable[[], baselines.Baseline]] = {"popularity": popularity, "EASE, tuned on eval": tuned_ease}
    found = {name: [measure_baseline(fit, without)] for name, fit in fits.items()}
    arms = {"ids alone": ids_only(without), WITHOUT: without, WITH: with_facts}
    for name, data in arms.items():
        found[name] = [measure_retrieval(data, _settings(seed, epochs))[0] for seed in seeds]
        print(name, [metrics.summarize(one.ranks)["ndcg@10"] for one in found[name]], flush=True)
    return found


def _settings(seed: int, epochs: int) -> Hyperparameters:
    return Hyperparameters(seed=seed, epochs=epochs) if epochs else Hyperparameters(seed=seed)


def report(found: Found, masks: Mapping[str, npt.NDArray[np.bool_]]) -> tuple[str, dict[str, float]]:
    """A Markdown table, and the figures to keep."""
    lines = [f"| queries for | method | {' | '.join(COLUMNS)} |", f"|---|---|{'---:|' * len(COLUMNS)}"]
    figures: dict[str, float] = {}
    for place in SLICES:
        for method, runs in found.items():
            row = []
            for column in COLUMNS:
                values = [metrics.summarize(run.ranks[masks[place]])[column] for run in runs]
                figures[f"{place}.{method}.{column}"] = round(statistics.median(values), 4)
                spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
                row.append(f"{statistics.median(values):.3f}{spread}")
            lines.append(f"| {place} ({masks[place].sum():,}) | {method} | {' | '.join(row)} |")
    for place in SLICES:
        ours, theirs = (
            np.mean([metrics.ndcg(run.ranks[masks[place]], 10) for run in found[name]], axis=0)
            for name in (WITH, WITHOUT)
        )
        gain, low, high = metrics.paired_bootstrap(ours, theirs)
        figures |= {f"{place}.gain": round(gain, 4), f"{place}.low": round(low, 4), f"{place}.high": round(high, 4)}
        lines += ["", f"NDCG@10 of facts, {place}: {gain:+.4f}, 95% interval [{low:+.4f}, {high:+.4f}]"]
    return "\n".join(lines) + "\n", figures


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true")
    arguments, _ = parser.parse_known_args()
    num_events = 1_000 if arguments.quick else 4_000
    with tempfile.TemporaryDirectory(prefix="homefeed-bench-") as name:
        folder = pathlib.Path(name)
        arms = [prepare(folder / str(knowledge), knowledge, num_events) for knowledge in (True, False)]
        found = measure(*arms, arguments.seeds, epochs=1 if arguments.quick else 0)
        table, figures = report(found, slices(arms[0]))
    print(table, flush=True)
    if not arguments.quick:
        results.merge("facts", figures)
        title = f"# Facts as features, simulated bookshop, P2, seeds {arguments.seeds}"
        pathlib.Path(__file__).with_suffix(".md").write_text(f"{title}\n\n{table}", encoding="utf-8")


if __name__ == "__main__":
    main()
