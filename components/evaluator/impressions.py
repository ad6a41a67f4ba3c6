"""How well models order what was shown: P5, beside the ranking of the whole catalogue."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.evaluator.measured import POPULARITY, RANKING_ROW, RETRIEVAL_ROW
from homefeed.models.catalogue import Catalogue
from homefeed.models.evaluation import metrics
from homefeed.models.evaluation.within_impressions import METRICS, within_impressions
from homefeed.models.exposures import Exposures
from homefeed.models.requests import Request, requests_from_sequences
from homefeed.models.sequences import Sequences
from homefeed.models.shared.prediction_points import PredictionPoints, locate
from homefeed.serving.recommender import Recommender

AS_SHOWN = "as it was shown"
NUM_BOOTSTRAPS = 1_000

Shown = dict[str, dict[str, metrics.Floats]]
"""Method → metric → [num_impressions]."""


def measure_shown(
    recommender: Recommender,
    exposures: Exposures | None,
    sequences: Sequences,
    catalogue: Catalogue,
    max_impressions: int,
    batch_size: int,
) -> Shown:
    """Ranks what was shown in each impression, as known users would have got it then.

    Args:
        recommender: of the fused model.
        exposures: of a split; None: nothing was shown.
        sequences: of the same split.
        catalogue: names the items.
        max_impressions: of more, so many are taken evenly.
        batch_size: impressions in one call.

    Returns:
        The metrics by the order of our models, of retrieval alone, of popularity and, where places are known, of the
        page as it was. Nothing without an impression of which something was taken and something was left.
    """
    if exposures is None:
        return {}
    chosen = exposures[exposures.contrasts()]
    found, points = locate(chosen, sequences)
    some = np.linspace(0, len(found) - 1, min(len(found), max_impressions)).astype(np.int64)
    shown, points = chosen[found[some]], points[some]
    if not len(shown):
        return {}
    scores = ordered_scores(recommender, shown, points, sequences, catalogue, batch_size)
    scores[POPULARITY] = catalogue.train_counts[shown.item_index].astype(np.float32)
    if (shown.position > 0).all():
        scores[AS_SHOWN] = -shown.position.astype(np.float32)
    return {name: within_impressions(of, shown.clicked, shown.row_splits) for name, of in scores.items()}


def ordered_scores(
    recommender: Recommender,
    shown: Exposures,
    points: PredictionPoints,
    sequences: Sequences,
    catalogue: Catalogue,
    batch_size: int,
) -> dict[str, npt.NDArray[np.floating[Any]]]:
    """Method → [num_shown] float32 scores of what was shown at some points: retrieval alone, and both models."""
    requests = requests_at(shown, points, sequences, catalogue)
    parts: dict[str, list[npt.NDArray[np.float32]]] = {RETRIEVAL_ROW: [], RANKING_ROW: []}
    for which in batches(len(shown), batch_size):
        batch = shown[which]
        lengths = np.diff(batch.row_splits)
        present = np.arange(lengths.max()) < lengths[:, None]
        candidates = np.full(present.shape, b"", object)
        candidates[present] = catalogue.item_ids[batch.item_index]
        answers = recommender.rank([requests[at] for at in which], candidates)
        parts[RETRIEVAL_ROW].append(answers["retrieval_scores"][present])
        parts[RANKING_ROW].append(answers["scores"][present])
    return {name: np.concatenate(scores) for name, scores in parts.items()}


def requests_at(
    shown: Exposures, points: PredictionPoints, sequences: Sequences, catalogue: Catalogue
) -> list[Request]:
    """What users would have asked when impressions were made."""
    plain = requests_from_sequences(sequences, catalogue, points.row, points.cut)
    return [
        dataclasses.replace(request, timestamp=int(second))
        for request, second in zip(plain, shown.timestamp, strict=True)
    ]


def batches(size: int, batch_size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Positions, so many at a time."""
    return (np.arange(start, min(start + batch_size, size)) for start in range(0, size, batch_size))


def describe_shown(found: Shown) -> dict[str, Any] | None:
    """Means with their 95% intervals, and our AUC less that of each other; None of nothing."""
    if not found:
        return None
    ours = found[RANKING_ROW]["auc"]
    return {
        "impressions": len(ours),
        "methods": {
            name: {metric: _with_interval(values[metric], np.zeros(len(ours))) for metric in METRICS}
            | ({} if name == RANKING_ROW else {"ours_less": _with_interval(ours, values["auc"])})
            for name, values in found.items()
        },
    }


def _with_interval(ours: metrics.Floats, theirs: metrics.Floats) -> list[float]:
    """Mean of the difference, and the ends of its interval."""
    return list(metrics.paired_bootstrap(ours, theirs, num_samples=NUM_BOOTSTRAPS))


def rows(shown: Mapping[str, Any]) -> Iterator[list[str]]:
    """Cells of a table for people: a method of a split with mean and interval of each metric."""
    for split, found in shown.items():
        for name, figures in (found or {"methods": {}})["methods"].items():
            cells = [f"{mean:.4f} ({low:.4f} to {high:.4f})" for mean, low, high in (figures[m] for m in METRICS)]
            less = "{:+.4f} ({:+.4f} to {:+.4f})".format(*figures["ours_less"]) if "ours_less" in figures else ""
            yield [split, name, *cells, f"{less}"]


TITLE = "What was shown"
HEADER = ("split", "method", *METRICS, "AUC of ours less this")
EXPLAINED = (
    "How well what was shown is ordered, in impressions of which something was taken and something left: AUC is how "
    "often what was taken stands above what was left. With 95% intervals. What stands at the top of a page is taken "
    "more often because it is seen more often, so that the order as it was shown is flattered."
)


def to_html(shown: Mapping[str, Any]) -> str:
    """A part of the report; nothing where nothing was shown."""
    return html_table(TITLE, EXPLAINED, HEADER, rows(shown))


def to_markdown(shown: Mapping[str, Any]) -> str:
    """A part of the model card; nothing where nothing was shown."""
    return markdown_table(TITLE, EXPLAINED, HEADER, rows(shown))


def html_table(title: str, explained: str, header: Iterable[str], cells: Iterable[list[str]]) -> str:
    """A table under a title; nothing without rows."""
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}' for cell in row)}</tr>" for row in cells)
    head = "".join(f"<th>{name}" for name in header)
    return f"<h2>{title}</h2><p>{explained}</p><table><tr>{head}</tr>{body}</table>" if body else ""


def markdown_table(title: str, explained: str, header: Sequence[str], cells: Iterable[list[str]]) -> str:
    """A table under a title; nothing without rows."""
    body = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells]
    if not body:
        return ""
    head = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join(["", f"## {title}", "", explained, "", *head, *body, ""])
