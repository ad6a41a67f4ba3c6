"""Whether what would be told as the reason of a list is what the list depends on."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from homefeed.components.evaluator.queries import Queries
from homefeed.models.catalogue import Catalogue
from homefeed.models.faithfulness.measure import measure, summary
from homefeed.models.faithfulness.removal import Ask, Scores
from homefeed.models.requests import Request, requests_from_sequences
from homefeed.models.sequences import Sequences
from homefeed.serving.recommender import Recommender

NUM_USERS = 200
A_SHAPLEY = 10  # Users for one of whom Shapley values are found as well: they cost five times as much.
EXPLAINED = (
    "Of the first card of each list, the event of the history is named without which the card loses most of its "
    "lead: of its score, less the mean of the others in the list. What it loses, in units of the score, beside what "
    "it loses without an event that was drawn by lot."
)


def asking(recommender: Recommender) -> Ask:
    """The lists of a recommender, best first."""

    def ask(requests: Sequence[Request]) -> list[Scores]:
        found = recommender.candidates(requests)
        order = np.argsort(-found.scores, axis=1, kind="stable")
        columns = zip(found.item_ids, found.scores, order, strict=True)
        return [
            {items[place].decode(): float(scores[place]) for place in places.tolist() if items[place]}
            for items, scores, places in columns
        ]

    return ask


def one_a_user(queries: Queries, sequences: Sequences, catalogue: Catalogue) -> list[Request]:
    """Of each user the query with the longest history."""
    # Queries are in order of that length.
    which = len(queries) - 1 - np.unique(queries.rows[::-1], return_index=True)[1]
    return list(requests_from_sequences(sequences, catalogue, queries.rows[which], queries.ends[which]))


def measure_reasons(
    recommender: Recommender, queries: Queries, sequences: Sequences, catalogue: Catalogue
) -> dict[str, Any]:
    """`faithfulness.summary` of users of a split, each asked for once; empty: nobody had enough of a history."""
    requests = one_a_user(queries, sequences, catalogue)
    num_shapley = -(-min(NUM_USERS, len(requests)) // A_SHAPLEY)
    return summary(measure(asking(recommender), requests, NUM_USERS, num_shapley))


def means_of(told: Mapping[str, Any]) -> dict[str, float]:
    """Metric → mean, as `metrics.json` has it; nothing where nothing was measured."""
    names = {
        "lead_lost": "named",
        "lead_lost_by_lot": "random",
        "more_than_by_lot": "more_than_random",
        "displaced": "displaced",
        "displaced_by_lot": "displaced_randomly",
        "shapley_agreement": "shapley_agreement",
    }
    return {f"reasons {name}": told[key] for name, key in names.items() if told.get(key) is not None}


def rows(told: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What is measured, for the named event or events, and by lot."""
    if not told:
        return []
    found = [
        ("lead lost without it", f"{told['named']:.3f}", f"{told['random']:.3f}"),
        ("another card stands first then", f"{told['displaced']:.1%}", f"{told['displaced_randomly']:.1%}"),
    ]
    for curve, name in (("deletion", "lead lost without {} events"), ("sufficiency", "lead kept with {} alone")):
        columns = zip(told["sizes"], told[curve], told[f"{curve}_randomly"], strict=True)
        found += [(name.format(size), f"{ours:.3f}", f"{lot:.3f}") for size, ours, lot in columns if size > 1]
    return found


def _explained(told: Mapping[str, Any]) -> str:
    agreement = told["shapley_agreement"]
    shapley = f" By Shapley values the same event is first for {agreement:.0%} of {told['shapley_users']} users."
    more = f" More than by lot for {told['more_than_random']:.1%} of {told['users']} users."
    return EXPLAINED + more + (shapley if agreement is not None else "")


def to_html(told: Mapping[str, Any]) -> str:
    """A part of the report; nothing where nothing was measured."""
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}' for cell in row)}</tr>" for row in rows(told))
    head = "<tr><th>what<th>named<th>by lot</tr>"
    return f"<h2>Reasons</h2><p>{html.escape(_explained(told))}</p><table>{head}{body}</table>" if body else ""


def to_markdown(told: Mapping[str, Any]) -> str:
    """A part of the model card; nothing where nothing was measured."""
    if not told:
        return ""
    body = [f"| {' | '.join(row)} |" for row in rows(told)]
    head = ["| what | named | by lot |", "|---|---:|---:|"]
    return "\n".join(["", "## Reasons", "", _explained(told), "", *head, *body, ""])
