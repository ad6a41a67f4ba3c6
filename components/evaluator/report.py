"""Reports of an evaluation: `evaluation.json`, `report.html` and the model card."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts.types import ModelEvaluation, PushedModel
from homefeed.components.evaluator import shown
from homefeed.components.evaluator.measured import IN_SERVICE, RANKING_ROW, Measured
from homefeed.components.evaluator.model_card import model_card
from homefeed.components.evaluator.page import page
from homefeed.components.evaluator.slices import is_guarded
from homefeed.models.catalogue import Catalogue
from homefeed.models.evaluation import beyond_accuracy, metrics
from homefeed.models.sequences import Sequences
from homefeed.schemas.objectives import INTERACTIONS

NUM_BOOTSTRAPS = 1_000
REPORT_FILE, PAGE_FILE, CARD_FILE = "evaluation.json", "report.html", "model_card.md"
Means = Mapping[str, Mapping[str, Mapping[str, float]]]


def write(
    evaluation: ModelEvaluation,
    means: Means,
    measured: Mapping[str, Measured],
    sequences: Mapping[str, Sequences],
    examples: list[dict[str, Any]],
    catalogue: Catalogue,
    train: Sequences,
    reasons: list[str],
    base: PushedModel | None,
    texts: Mapping[str, Any],
    ease_regularization: float | None,
    chapters: Mapping[str, Any],
) -> None:
    """Writes `evaluation.json`, `report.html` and `model_card.md` into the evaluation.

    Args:
        evaluation: gets the files.
        means: split → method → metric → mean.
        measured: by split; `eval` is compared with the models in service.
        sequences: by split.
        examples: users with their lists, as `examples.lists` makes them.
        catalogue: what could be recommended.
        train: what was learnt from.
        reasons: against a blessing.
        base: the models in service, with the evaluations of all before them.
        texts: arms of the text model.
        ease_regularization: chosen on `eval`; None: there is no EASE.
        chapters: of `chapters.CHAPTERS`, name → what was found.
    """
    report = {
        "blessed": not reasons,
        "reasons": reasons,
        "data": _data(train, catalogue),
        "splits": {
            split: describe(found, means[split], sequences[split], catalogue) for split, found in measured.items()
        },
        "examples": examples,
        "comparison": compare(measured["eval"]) if base else None,
        "history": _history(base),
        "texts": texts,
        "ease_regularization": ease_regularization,
        **chapters,
    }
    evaluation.write_json(REPORT_FILE, report)
    (evaluation.path / PAGE_FILE).write_text(page(report), encoding="utf-8")
    (evaluation.path / CARD_FILE).write_text(model_card(report), encoding="utf-8")


def describe(
    found: Measured, means: Mapping[str, Mapping[str, float]], sequences: Sequences, catalogue: Catalogue
) -> dict[str, Any]:
    """One split: every method with the interval of its NDCG@10, the slices, and what pages are like."""
    ours = metrics.ndcg(found.ranks[RANKING_ROW], 10) * found.weights
    categories = catalogue.categorical.get("categories")
    return {
        "methods": {
            name: {
                **figures,
                "ndcg@10_interval": interval(metrics.ndcg(found.ranks[name], 10)),
                "objective_interval": interval(metrics.ndcg(found.ranks[name], 10) * found.weights),
            }
            for name, figures in means.items()
        },
        "objective": found.objective,
        "trade_off": shown.trade_off(found),
        "value": shown.value_by_part(found),
        "calibration_of_shown": shown.calibration(found, sequences, catalogue),
        "liked@10": shown.mean_of_known(found.shown.probabilities),
        "slices": {
            name: {
                "queries": int(mask.sum()),
                "ndcg@10": float(ours[mask].mean()),
                "interval": interval(ours[mask]),
                "guarded": is_guarded(name),
            }
            for name, mask in found.slices.items()
        },
        "calibration": beyond_accuracy.reliability(found.probabilities, found.positive),
        "coverage@10": beyond_accuracy.coverage(found.shown.rows, catalogue.num_rows),
        "gini@10": beyond_accuracy.gini(found.shown.rows, catalogue.num_rows),
        "diversity@10": None if categories is None else beyond_accuracy.diversity(found.shown.rows, categories),
        "novelty@10_bits": beyond_accuracy.novelty(found.shown.rows, catalogue.train_counts),
        "popularity_lift@10": beyond_accuracy.popularity_lift(
            found.shown.rows, list(found.queries.histories), catalogue.train_counts
        ),
    }


def compare(found: Measured) -> dict[str, Any]:
    """NDCG@10 for the objective, less that of the models in service on the same queries: in all and in each slice."""
    ours, theirs = (metrics.ndcg(found.ranks[name], 10) * found.weights for name in (RANKING_ROW, IN_SERVICE))
    everything = {"all": np.ones(len(ours), bool)} if len(ours) else {}
    compared = {}
    for name, mask in (everything | found.slices).items():
        difference, low, high = metrics.paired_bootstrap(ours[mask], theirs[mask], num_samples=NUM_BOOTSTRAPS)
        compared[name] = {
            "queries": int(mask.sum()),
            "ours": float(ours[mask].mean()),
            "in_service": float(theirs[mask].mean()),
            "difference": difference,
            "interval": [low, high],
            "guarded": name == "all" or is_guarded(name),
        }
    return compared


def interval(values: npt.NDArray[np.float64]) -> list[float] | None:
    """95% interval of a mean by bootstrap; None of nothing."""
    if not len(values):
        return None
    return list(metrics.paired_bootstrap(values, np.zeros_like(values), num_samples=NUM_BOOTSTRAPS)[1:])


def _data(train: Sequences, catalogue: Catalogue) -> dict[str, Any]:
    times = train.timestamp
    return {
        "users": train.num_users,
        "items": catalogue.num_rows - 1,
        "training_events": len(times),
        "from": _day(times.min()) if len(times) else None,
        "to": _day(times.max()) if len(times) else None,
    }


def _day(seconds: Any) -> str:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).date().isoformat()


def _history(base: PushedModel | None) -> list[dict[str, Any]]:
    """The models in service and those before them, oldest first: version, NDCG@10 and interval on their own eval."""
    if base is None:
        return []
    version = base.read_json(PushedModel.FILE)["version"]
    report = _report_of(base)
    if report is None:
        return [{"version": version, "to": None, "ndcg@10": None, "interval": None}]
    figures = report["splits"]["eval"]["methods"][RANKING_ROW]
    facts = {"version": version, "to": report["data"]["to"], "ndcg@10": figures["ndcg@10"]}
    return [*report["history"], facts | {"interval": figures["ndcg@10_interval"]}]


def activity_of(base: PushedModel | None) -> Mapping[str, Any] | None:
    """How active guarded groups were in the data of the models in service; None: nothing is known of it."""
    report = _report_of(base) if base else None
    known: Mapping[str, Any] | None = (
        report["groups"]["eval"]["guarded"]["activity"] if report and "groups" in report else None
    )
    return known


def _report_of(base: PushedModel) -> dict[str, Any] | None:
    """The evaluation that lies beside the models in service."""
    for path in base.models().values():
        file = path / "assets.extra" / REPORT_FILE
        if file.is_file():
            return dict(ModelEvaluation(file.parent).read_json(file.name))
    return None


def means_of(found: Measured) -> dict[str, dict[str, float]]:
    """Method → metric → its mean, and the number of queries; a split without queries has zeros."""
    return {method: _means(ranks, found) for method, ranks in found.ranks.items()}


def _means(ranks: metrics.Ranks, found: Measured) -> dict[str, float]:
    num_queries = len(ranks.above)
    means = metrics.summarize(ranks)
    if num_queries and found.objective != INTERACTIONS:
        means |= {f"ndcg@10 {found.objective}": float((metrics.ndcg(ranks, 10) * found.weights).mean())}
    return {name: value if num_queries else 0.0 for name, value in means.items()} | {"queries": num_queries}


def to_markdown(means: Means) -> str:
    """Split → method → metric → mean, as one table a split."""
    lines = []
    for split, methods in means.items():
        names = list(next(iter(methods.values())))
        lines += [f"## {split}", "", f"| method | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
        lines += [
            f"| {method} | {' | '.join(_written(found[name]) for name in names)} |"
            for method, found in methods.items()
        ]
        lines.append("")
    return "\n".join(lines)


def _written(figure: float) -> str:
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:.4f}"
