"""The pages of the last run at places that stay: `ROOT/reports/`, with an index."""

from __future__ import annotations

import contextlib
import html
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from homefeed.components.artifacts import html_page
from homefeed.components.artifacts.types import ModelEvaluation
from homefeed.pipeline.runner.local_runner import Observer, Step
from homefeed.pipeline.runner.root import RunRoot

PAGES = (
    ("anomalies", "dataset.html", "dataset.html", "Dataset"),
    ("anomalies", "drift.html", "drift.html", "Drift against earlier spans"),
    ("evaluation", "report.html", "evaluation.html", "Evaluation"),
)
"""Of each page: the output that holds it, its name there and in `reports`, and its title."""
INDEX = "index.html"


@contextlib.contextmanager
def publishing(root: RunRoot, observer: Observer) -> Iterator[tuple[Observer, list[Step]]]:
    """An observer for a run, and the steps that it sees. However the block ends, the pages are written."""
    steps: list[Step] = []

    @contextlib.contextmanager
    def watching(title: str) -> Iterator[Callable[[Step], None]]:
        with observer(title) as finished:

            def keep(step: Step) -> None:
                steps.append(step)
                finished(step)

            yield keep

    try:
        yield watching, steps
    finally:
        if steps:
            publish(root, steps)


def publish(root: RunRoot, steps: Sequence[Step]) -> None:
    """Copies the pages of a run to their places, and writes the index over all that are there."""
    root.reports.mkdir(parents=True, exist_ok=True)
    outputs = _outputs(steps)
    pages = {root.reports / place: outputs[name] / file for name, file, place, _ in PAGES if name in outputs}
    pages |= {root.reports / f"span-{page.name}": page for page in root.path.glob("spans/*.drift.html")}
    for place, page in pages.items():
        if page.is_file():
            text = page.read_text(encoding="utf-8")
            place.write_text(html_page.with_link(text, INDEX, "All reports"), encoding="utf-8")
    (root.reports / INDEX).write_text(_index(root, steps), encoding="utf-8")


def figures(steps: Sequence[Step]) -> dict[str, dict[str, float]]:
    """Title → method → NDCG@10 on test, popularity and EASE among them; empty before an evaluation.

    It is measured of all that came and, where lists are sorted for something else, of that.
    """
    evaluation = _outputs(steps).get("evaluation")
    if evaluation is None:
        return {}
    means = ModelEvaluation(evaluation).read_json("metrics.json")["test"]
    names = dict.fromkeys(name for found in means.values() for name in found if name.partition(" ")[0] == "ndcg@10")
    return {
        f"NDCG@10{name.removeprefix('ndcg@10').replace(' ', ' of ', 1)} on test": {
            method: found[name] for method, found in means.items() if name in found
        }
        for name in names
    }


def _outputs(steps: Sequence[Step]) -> Mapping[str, pathlib.Path]:
    return {name: path for step in steps for name, path in step.outputs.items()}


def _index(root: RunRoot, steps: Sequence[Step]) -> str:
    titles = {place: title for _, _, place, title in PAGES}
    links = "".join(
        f'<li><a href="{html.escape(page.name)}">{html.escape(titles.get(page.name, page.stem))}</a></li>'
        for page in sorted(root.reports.glob("*.html"))
        if page.name != INDEX
    )
    rows = "".join(map(_row, steps))
    quality = "".join(
        f"<h2>{html.escape(title)}</h2><table><tr><th>method<th>NDCG@10</tr>{_scores(found)}</table>"
        for title, found in figures(steps).items()
    )
    return html_page.document(
        "Reports",
        f"<h1>{html.escape(root.path.name)}</h1><ul>{links}</ul>{quality}<h2>Last run</h2><table><tr><th>component"
        f"<th>seconds<th>CPU seconds<th>peak MiB<th>result</tr>{rows}</table>",
    )


def _scores(found: Mapping[str, float]) -> str:
    return "".join(f"<tr><td>{html.escape(method)}<td class=n>{value:.4f}</tr>" for method, value in found.items())


def _row(step: Step) -> str:
    figures = f"{step.seconds:,.1f}", f"{step.cpu_seconds:,.1f}", f"{step.peak_mebibytes:,.0f}"
    took = "".join(f"<td class=n>{'cached' if step.cached else figure}" for figure in figures)
    return f"<tr><td>{step.component}{took}<td>{html.escape(step.summary)}</tr>"
