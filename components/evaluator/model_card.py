"""The model card that goes with models when they are pushed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2

from homefeed.components.evaluator import chapters

TEMPLATES = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
MODEL_CARD = TEMPLATES.from_string("""\
# Model card

A recommender of items for a personal home page: a two-tower retrieval model finds candidates in the whole catalogue,
and a ranking model, part of which is a BERT that reads texts, orders them by how likely the user is to like them.

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

{% set name = "ndcg@10 " ~ splits["eval"].objective %}
{% if splits["eval"].objective != "interactions" %}
Lists are sorted for {{ splits["eval"].objective }}: the same, of what is worth something to that, with its interval.

| split | method | NDCG@10 | 95% interval |
|---|---|---:|---|
{% for split, found in splits.items() %}
{% for method, figures in found.methods.items() if name in figures %}
| {{ split }} | {{ method }} | {{ "%.4f"|format(figures[name]) }} | {{ span(figures.objective_interval) }} |
{% endfor %}
{% endfor %}

{% endif %}
{% if ease_regularization is not none %}
EASE is regularised with {{ "%g"|format(ease_regularization) }}, the best on eval of those tried.

{% endif %}
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
{{ chapters }}
## Texts

What reading texts is worth where nothing else is known: picks of items that were hidden from training, told apart by
text alone. Fine-tuning changed {{ texts.tensors_changed }} of BERT's {{ texts.tensors }} tensors.

| texts read by | NDCG@10, hidden items | against random frozen, 95% | nats, hidden | nats, others |
|---|---:|---|---:|---:|
{% for name, arm in texts.arms.items() %}
| {{ name }} | {{ "%.4f"|format(arm["ndcg@10_hidden"]) }} | {{ span(arm.against_frozen[1:]) }} | \
{{ "%.3f"|format(arm.nats_hidden) }} | {{ "%.3f"|format(arm.nats_all) }} |
{% endfor %}

## Behaviour
{% set found = splits["eval"] %}

- The first ten places show {{ "%.1f%%"|format(100 * found["coverage@10"]) }} of the catalogue to somebody.
- What is shown is {{ "%.2f"|format(found["popularity_lift@10"]) }} times as popular as what its readers chose before.
- Of the first ten places the mean probability of being liked is {{ "%.3f"|format(found["liked@10"]) }}.
{% for split, one in splits.items() if one.calibration_of_shown %}
{% set all = one.calibration_of_shown["all"] %}
- Of what {{ split }} would have shown and users chose later, {{ "%.3f"|format(all.happened) }} was liked, \
{{ "%.3f"|format(all.predicted) }} predicted, {{ "%.3f"|format(all.ece) }} off on average \
({{ "%.3f"|format(all.ece_by_chance) }} by chance).
{% endfor %}
- Predicted and observed probability of liking differ by {{ "%.3f"|format(found.calibration.ece) }} on average \
(Brier score {{ "%.3f"|format(found.calibration.brier) }}, {{ "{:,}".format(found.calibration.events) }} events).

## Limits

It learns from what people were shown and did, so it repeats what was popular; the figures above are from the log, not
from an experiment with users. Users and items without any history get less precise lists: see their groups above. It
is made to order a catalogue for a person, not to judge people.
""")


def model_card(report: Mapping[str, Any]) -> str:
    """The model card in Markdown."""
    return MODEL_CARD.render(report, span=_span, chapters=chapters.to_markdown(report)) + "\n"


def _span(bounds: list[float] | None) -> str:
    return f"{bounds[0]:.4f} to {bounds[1]:.4f}" if bounds else ""
