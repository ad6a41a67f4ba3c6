"""An evaluation as one HTML page for people."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from homefeed.components.artifacts import html_page, svg
from homefeed.components.evaluator import chapters
from homefeed.components.evaluator.measured import RANKING_ROW


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
        chapters.to_html(report),
        "".join(map(_example, report["examples"])),
        _texts(report["texts"]),
        _past(report),
    ]
    return html_page.document("Evaluation", "".join(parts))


def _how_to_read(report: Mapping[str, Any]) -> str:
    data, chosen = report["data"], report["ease_regularization"]
    ease = f" EASE is regularised with {chosen:g}, the best on eval of those tried." if chosen is not None else ""
    return (
        f"<p>Learnt from {data['training_events']:,} events of {data['users']:,} users, {data['from']} to "
        f"{data['to']}; {data['items']:,} items can be recommended. <b>NDCG@10</b> says how high the item that a "
        "person chose next stood in their list: 1 at the top, 0 if it was not among the first ten. Lines beside a "
        f"figure are 95% intervals: figures whose intervals do not overlap differ by more than chance.{ease}</p>"
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
        f"all and in each group of them.</p>{svg.intervals(rows, '{:+.4f}'.format)}"
    )


def _split(name: str, found: Mapping[str, Any]) -> str:
    figures = f"{_methods(found)}{_pages(found)}{_shown(found)}"
    return f"<h2>On {html.escape(name)}</h2>{figures}<div class=grid>{_drawings(found)}</div>"


def _methods(found: Mapping[str, Any]) -> str:
    names = [metric for metric in next(iter(found["methods"].values())) if not metric.endswith("_interval")]
    rows = "".join(
        f"<tr><td>{html.escape(method)}{''.join(f'<td class=n>{figures[metric]:,.4g}' for metric in names)}</tr>"
        for method, figures in found["methods"].items()
    )
    return f"<table><tr><th>method{''.join(f'<th>{metric}' for metric in names)}</tr>{rows}</table>"


def _pages(found: Mapping[str, Any]) -> str:
    diversity = found["diversity@10"]
    return (
        f"<ul><li>{found['coverage@10']:.1%} of the catalogue is on somebody's first ten (Gini of how often: "
        f"{found['gini@10']:.2f}).</li>"
        + (f"<li>{diversity:.1%} of the pairs on a page share no category.</li>" if diversity is not None else "")
        + f"<li>An item shown carries {found['novelty@10_bits']:.1f} bits of surprise.</li>"
        f"<li>What is shown is {found['popularity_lift@10']:.2f} times as popular as what its readers chose before."
        "</li></ul>"
    )


def _shown(found: Mapping[str, Any]) -> str:
    """What the first pages are worth, how far their figures hold, and what other orders would be worth."""
    objective = html.escape(found["objective"])
    head: tuple[str, ...]
    parts = [
        f"<p>Lists are sorted for <b>{objective}</b>. On the first page P(liked) is {found['liked@10']:.3f} "
        "in the mean.</p>"
    ]
    if found["trade_off"]:
        rows = [
            ("the value alone" if one["weight"] is None else f"{one['weight']:g}", *list(one.values())[1:])
            for one in found["trade_off"]
        ]
        head = ("weight of the value, served: 1", "NDCG@10", f"NDCG@10 {objective}", "P(liked)", "expected value")
        parts.append(f"<h3>Other orders of the same items</h3>{_table(head, rows)}")
    if found["calibration_of_shown"]:
        rows = [
            (html.escape(name), one["events"], one["predicted"], one["happened"], one["ece"], one["ece_by_chance"])
            for name, one in found["calibration_of_shown"].items()
        ]
        head = ("shown, and chosen later", "events", "P(liked)", "liked", "mean gap", "by chance")
        parts.append(f"<h3>P(liked) of what is shown</h3>{_table(head, rows)}")
    if found["value"]:
        rows = [(place, *one.values()) for place, one in enumerate(found["value"], start=1)]
        head = ("tenth of what was chosen", "events", "expected value", "what came")
        parts.append(f"<h3>Expected value</h3>{_table(head, rows)}")
    return "".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Names in the first column, numbers in the others."""
    body = "".join(f"<tr><td>{name}{''.join(f'<td class=n>{x:,.4g}' for x in xs)}</tr>" for name, *xs in rows)
    return f"<table><tr>{''.join(f'<th>{name}' for name in head)}</tr>{body}</table>"


def _example(one: Mapping[str, Any]) -> str:
    """A user's history, and beside it the lists under each objective."""
    history = " · ".join(map(html.escape, one["history"])) or "nothing yet"
    tables = "".join(
        html_page.figure(
            f"Sorted for {html.escape(name)}",
            "<table><tr><th>item<th>score<th>P(liked)<th>value<th>source</tr>"
            + "".join(
                f"<tr><td>{html.escape(place['title'])}<td class=n>{place['score']:.2f}<td class=n>"
                f"{place['liked']:.2f}<td class=n>{place['value']:.2f}<td>{html.escape(place['source'])}</tr>"
                for place in page
            )
            + "</table>",
        )
        for name, page in one["lists"].items()
    )
    return (
        f"<h2>User {html.escape(one['user_id'])}</h2><p>History, newest first: {history}</p>"
        f"<div class=grid>{tables}</div>"
    )


def _drawings(found: Mapping[str, Any]) -> str:
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
    gap = f"{calibration['events']:,} events; mean gap {calibration['ece']:.3f} "
    gap += f"(by chance {calibration['ece_by_chance']:.3f}), Brier {calibration['brier']:.3f}"
    return (
        html_page.figure("NDCG@10 of each method", svg.intervals(methods, "{:.4f}".format))
        + html_page.figure("NDCG@10 of our models in groups of questions", svg.intervals(groups, "{:.4f}".format))
        + html_page.figure("P(liked): predicted and happened", svg.diagonal(points), gap)
    )


def _texts(texts: Mapping[str, Any]) -> str:
    if not texts["arms"]:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(name)}<td class=n>{arm['ndcg@10_hidden']:.4f}<td class=n>"
        f"{arm['against_frozen'][1]:+.4f} to {arm['against_frozen'][2]:+.4f}<td class=n>{arm['nats_hidden']:.3f}"
        f"<td class=n>{arm['nats_all']:.3f}</tr>"
        for name, arm in texts["arms"].items()
    )
    return (
        "<h2>Texts</h2><p>What reading texts is worth where nothing else is known: picks of items that were hidden "
        "from training, told apart by text alone. Fine-tuning changed "
        f"{texts['tensors_changed']} of BERT's {texts['tensors']} tensors.</p>"
        "<table><tr><th>texts read by<th>NDCG@10, hidden items<th>against random frozen, 95%<th>nats, hidden"
        f"<th>nats, others</tr>{rows}</table>"
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
    line.append(report["splits"]["eval"]["methods"][RANKING_ROW]["ndcg@10"])
    return (
        "<h2>Models so far</h2><p>Each on the newest days of its own data, so that figures of different models are "
        f"no strict comparison.</p>{html_page.figure('NDCG@10, oldest to newest', svg.curves([line]))}"
        f"<table><tr><th>version<th>trained up to<th>NDCG@10</tr>{rows}</table>"
    )
