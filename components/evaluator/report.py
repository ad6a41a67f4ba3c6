"""What an evaluation says: for a gate (JSON), for people (HTML), and for whoever gets the models (the model card)."""

from __future__ import annotations

import datetime
import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts import svg as _svg
from homefeed.components.artifacts.types import ModelEvaluation, PushedModel
from homefeed.components.evaluator import slices as _slices
from homefeed.models.catalogue import Catalogue
from homefeed.models.evaluation import beyond_accuracy, metrics
from homefeed.models.sequences import Sequences

if TYPE_CHECKING:
    from homefeed.components.evaluator.component import Measured

NUM_BOOTSTRAPS = 1_000
Means = Mapping[str, Mapping[str, Mapping[str, float]]]


def write(
    evaluation: ModelEvaluation,
    means: Means,
    measured: Mapping[str, Measured],
    catalogue: Catalogue,
    train: Sequences,
    reasons: list[str],
    base: PushedModel | None,
) -> None:
    """Writes `evaluation.json`, `report.html` and `model_card.md` into the evaluation.

    Args:
        evaluation: gets the files.
        means: split → method → metric → mean.
        measured: by split; `eval` is compared with the models in service.
        catalogue: what could be recommended.
        train: what was learnt from.
        reasons: against a blessing.
        base: the models in service, with the evaluations of all before them.
    """
    from homefeed.components.evaluator import component as evaluator

    report = {
        "blessed": not reasons,
        "reasons": reasons,
        "data": _data(train, catalogue),
        "splits": {split: describe(found, means[split], catalogue) for split, found in measured.items()},
        "comparison": compare(measured["eval"]) if base else None,
        "history": _history(base),
    }
    evaluation.write_json(evaluator.REPORT_FILE, report)
    (evaluation.path / evaluator.PAGE_FILE).write_text(page(report), encoding="utf-8")
    (evaluation.path / evaluator.CARD_FILE).write_text(model_card(report), encoding="utf-8")


def describe(found: Measured, means: Mapping[str, Mapping[str, float]], catalogue: Catalogue) -> dict[str, Any]:
    """One split: every method with the interval of its NDCG@10, the slices, and what pages are like."""
    from homefeed.components.evaluator import component as evaluator

    ours = metrics.ndcg(found.ranks[evaluator.RANKING_ROW], 10)
    categories = catalogue.categorical.get("categories")
    return {
        "methods": {
            name: {**figures, "ndcg@10_interval": interval(metrics.ndcg(found.ranks[name], 10))}
            for name, figures in means.items()
        },
        "slices": {
            name: {
                "queries": int(mask.sum()),
                "ndcg@10": float(ours[mask].mean()),
                "interval": interval(ours[mask]),
                "guarded": _slices.is_guarded(name),
            }
            for name, mask in found.slices.items()
        },
        "calibration": beyond_accuracy.reliability(found.probabilities, found.positive),
        "coverage@10": beyond_accuracy.coverage(found.pages, catalogue.num_rows),
        "gini@10": beyond_accuracy.gini(found.pages, catalogue.num_rows),
        "diversity@10": None if categories is None else beyond_accuracy.diversity(found.pages, categories),
        "novelty@10_bits": beyond_accuracy.novelty(found.pages, catalogue.train_counts),
        "popularity_lift@10": beyond_accuracy.popularity_lift(
            found.pages, list(found.queries.histories), catalogue.train_counts
        ),
    }


def compare(found: Measured) -> dict[str, Any]:
    """NDCG@10 less that of the models in service on the same queries: over all, and in each slice."""
    from homefeed.components.evaluator import component as evaluator

    ours, theirs = (metrics.ndcg(found.ranks[name], 10) for name in (evaluator.RANKING_ROW, evaluator.IN_SERVICE))
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
            "guarded": name == "all" or _slices.is_guarded(name),
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
    from homefeed.components.evaluator import component as evaluator

    if base is None:
        return []
    version = base.read_json(PushedModel.FILE)["version"]
    beside = [path / "assets.extra" / evaluator.REPORT_FILE for path in base.models().values()]
    for file in beside:
        if file.is_file():
            report = ModelEvaluation(file.parent).read_json(file.name)
            figures = report["splits"]["eval"]["methods"][evaluator.RANKING_ROW]
            facts = {"version": version, "to": report["data"]["to"], "ndcg@10": figures["ndcg@10"]}
            return [*report["history"], facts | {"interval": figures["ndcg@10_interval"]}]
    return [{"version": version, "to": None, "ndcg@10": None, "interval": None}]


# --- For people ---


def page(report: Mapping[str, Any]) -> str:
    """The report as one HTML page that needs nothing else."""
    verdict = (
        "<p class=good><b>Blessed</b>: these models may be served.</p>"
        if report["blessed"]
        else "<p class=bad><b>Not blessed.</b></p><ul class=bad>"
        + "".join(f"<li>{html.escape(reason)}</li>" for reason in report["reasons"])
        + "</ul>"
    )
    parts = [
        f"<h1>Evaluation</h1>{verdict}{_how_to_read(report)}",
        _comparison(report["comparison"]),
        *(_split(name, found) for name, found in report["splits"].items()),
        _past(report),
    ]
    return _svg.document("Evaluation", "".join(parts))


def _how_to_read(report: Mapping[str, Any]) -> str:
    data = report["data"]
    return (
        f"<p>Learnt from {data['training_events']:,} events of {data['users']:,} users, {data['from']} to "
        f"{data['to']}; {data['items']:,} items can be recommended. <b>NDCG@10</b> says how high the item that a "
        "person chose next stood in their list: 1 at the top, 0 if it was not among the first ten. Lines beside a "
        "figure are 95% intervals: figures whose intervals do not overlap differ by more than chance.</p>"
    )


def _comparison(compared: Mapping[str, Any] | None) -> str:
    if not compared:
        return ""
    rows = [
        (f"{name} ({found['queries']:,})", found["difference"], *found["interval"])
        for name, found in compared.items()
    ]
    return (
        "<h2>Against the models in service</h2><p>NDCG@10 gained (right) or lost (left) on the same questions, over "
        f"all and in each group of them.</p>{_svg.intervals(rows)}"
    )


def _split(name: str, found: Mapping[str, Any]) -> str:
    names = [metric for metric in next(iter(found["methods"].values())) if not metric.endswith("_interval")]
    table = "".join(
        f"<tr><td>{html.escape(method)}{''.join(f'<td class=n>{figures[metric]:,.4g}' for metric in names)}</tr>"
        for method, figures in found["methods"].items()
    )
    methods = [
        (method, figures["ndcg@10"], *figures["ndcg@10_interval"])
        for method, figures in found["methods"].items()
        if figures["ndcg@10_interval"]
    ]
    groups = [
        (f"{slice_} ({figures['queries']:,})", figures["ndcg@10"], *figures["interval"])
        for slice_, figures in found["slices"].items()
    ]
    calibration = found["calibration"]
    points = [(bin_["predicted"], bin_["happened"], bin_["events"]) for bin_ in calibration["bins"]]
    diversity = found["diversity@10"]
    pages = (
        f"<ul><li>{found['coverage@10']:.1%} of the catalogue is on somebody's first ten (Gini of how often: "
        f"{found['gini@10']:.2f}).</li>"
        + (f"<li>{diversity:.1%} of the pairs on a page share no category.</li>" if diversity is not None else "")
        + f"<li>An item shown carries {found['novelty@10_bits']:.1f} bits of surprise.</li>"
        f"<li>What is shown is {found['popularity_lift@10']:.2f} times as popular as what its readers chose before."
        "</li></ul>"
    )
    drawn = "".join(
        (
            _svg.figure("NDCG@10 of each method", _svg.intervals(methods)),
            _svg.figure("NDCG@10 of our models in groups of questions", _svg.intervals(groups)),
            _svg.figure(
                "P(liked): predicted and happened",
                _svg.diagonal(points),
                f"{calibration['events']:,} events; mean gap {calibration['ece']:.3f}, "
                f"Brier {calibration['brier']:.3f}",
            ),
        )
    )
    header = "".join(f"<th>{metric}" for metric in names)
    return (
        f"<h2>On {html.escape(name)}</h2><table><tr><th>method{header}</tr>{table}</table>{pages}"
        f"<div class=grid>{drawn}</div>"
    )


def _past(report: Mapping[str, Any]) -> str:
    if not report["history"]:
        return ""
    rows = "".join(
        f"<tr><td>{past['version']}<td>{past['to'] or ''}<td class=n>"
        f"{'' if past['ndcg@10'] is None else format(past['ndcg@10'], '.4f')}</tr>"
        for past in report["history"]
    )
    line = [past["ndcg@10"] for past in report["history"] if past["ndcg@10"] is not None]
    line.append(report["splits"]["eval"]["methods"]["retrieval + ranking"]["ndcg@10"])
    return (
        "<h2>Models so far</h2><p>Each on the newest days of its own data, so that figures of different models are "
        f"no strict comparison.</p>{_svg.figure('NDCG@10, oldest to newest', _svg.curves([line]))}"
        f"<table><tr><th>version<th>trained up to<th>NDCG@10</tr>{rows}</table>"
    )


TEMPLATES = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
MODEL_CARD = TEMPLATES.from_string("""\
# Model card

A recommender of items for a personal home page: a two-tower retrieval model finds candidates in the whole catalogue,
and a BERT-based ranking model orders them by how likely the user is to like them.

{% if blessed %}
**Blessed**: it passed every check below.
{% else %}
**Not blessed**, and not to be served:
{% for reason in reasons %}
- {{ reason }}
{% endfor %}
{% endif %}

## Data

{{ "{:,}".format(data.training_events) }} events of {{ "{:,}".format(data.users) }} users, {{ data["from"] }} to \
{{ data.to }}; {{ "{:,}".format(data["items"]) }} items. `homefeed lineage` names the files, the configuration and the
code that made this model.

## Quality

NDCG@10 against the whole catalogue, with its 95% interval; "eval" decided over the blessing, "test" came after it.

| split | method | NDCG@10 | 95% interval | queries |
|---|---|---:|---|---:|
{% for split, found in splits.items() %}
{% for method, figures in found.methods.items() %}
| {{ split }} | {{ method }} | {{ "%.4f"|format(figures["ndcg@10"]) }} | {{ span(figures["ndcg@10_interval"]) }} | \
{{ "{:,}".format(figures.queries) }} |
{% endfor %}
{% endfor %}

| group of eval questions | NDCG@10 | 95% interval | queries | guarded |
|---|---:|---|---:|---|
{% for name, figures in splits["eval"].slices.items() %}
| {{ name }} | {{ "%.4f"|format(figures["ndcg@10"]) }} | {{ span(figures.interval) }} | \
{{ "{:,}".format(figures.queries) }} | {{ "yes" if figures.guarded else "" }} |
{% endfor %}
{% if comparison %}

Against the models in service, on the same questions:

| questions | ours | in service | difference | 95% interval |
|---|---:|---:|---:|---|
{% for name, found in comparison.items() %}
| {{ name }} | {{ "%.4f"|format(found.ours) }} | {{ "%.4f"|format(found.in_service) }} | \
{{ "%+.4f"|format(found.difference) }} | {{ span(found.interval) }} |
{% endfor %}
{% endif %}

## Behaviour
{% set found = splits["eval"] %}

- The first ten places show {{ "%.1f%%"|format(100 * found["coverage@10"]) }} of the catalogue to somebody.
- What is shown is {{ "%.2f"|format(found["popularity_lift@10"]) }} times as popular as what its readers chose before.
- Predicted and observed probability of liking differ by {{ "%.3f"|format(found.calibration.ece) }} on average \
(Brier score {{ "%.3f"|format(found.calibration.brier) }}, {{ "{:,}".format(found.calibration.events) }} events).

## Limits

It learns from what people were shown and did, so it repeats what was popular; the figures above are from the log, not
from an experiment with users. Users and items without any history get less precise lists: see their groups above. It
is made to order a catalogue for a person, not to judge people.
""")


def model_card(report: Mapping[str, Any]) -> str:
    """The model card in Markdown."""
    return MODEL_CARD.render(report, span=_span) + "\n"


def _span(bounds: list[float] | None) -> str:
    return f"{bounds[0]:.4f} to {bounds[1]:.4f}" if bounds else ""
