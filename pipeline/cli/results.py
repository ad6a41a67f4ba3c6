"""`homefeed evaluate` and `lineage`: what runs have made, and from what."""

from __future__ import annotations

from typing import Annotated, Any

import rich.table
import rich.text
import rich.tree
import typer

from homefeed.components.artifacts.types import ModelBlessing, ModelEvaluation
from homefeed.pipeline.cli.terminal import Json, Root, console, print_json
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.lineage import summarize, trace
from homefeed.pipeline.runner.metadata import MetadataStore
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.releases import ReleaseError, Releases


def evaluate(root: Root, as_json: Json = False) -> None:
    """Print the figures of the last evaluation and the verdict on its models."""
    store = MetadataStore(RunRoot(root).recorded())
    evaluation, blessing = store.latest("ModelEvaluation"), store.latest("ModelBlessing")
    if evaluation is None or blessing is None:
        raise RunError(f"{root} holds no evaluation yet: `homefeed run --root {root}` makes one")
    reasons = ModelBlessing(blessing.path).reasons()
    report = ModelEvaluation(evaluation.path).read_json("metrics.json")
    if as_json:
        print_json({"metrics": report, "blessed": not reasons, "reasons": reasons, "report": evaluation.path})
    else:
        _print_metrics(report)
        console.print(f"report: {evaluation.path}/report.html", soft_wrap=True)
        console.print("blessed" if not reasons else "not blessed: " + "; ".join(reasons))
    if reasons:
        raise typer.Exit(1)


def lineage(
    root: Root,
    artifact: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A pushed version (3, ranking/3), or a type: its newest artifact. Default: the version in service.",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Show what pushed models, or any artifact, were made from: data, spans, code, configuration, parents."""
    found = trace(RunRoot(root).recorded(), artifact or _in_service(RunRoot(root)))
    if found["type"] == "PushedModel":
        found |= {"summary": summarize(found)}
    if as_json:
        print_json(found)
        return
    if "summary" in found:
        _print_summary(found["summary"])
    tree = rich.tree.Tree(_lineage_label(found))
    _grow(tree, found)
    console.print(tree)


def _in_service(root: RunRoot) -> str:
    """The stable version; where the root serves nothing, what was pushed last."""
    try:
        return str(Releases(root.serving).stable())
    except ReleaseError:
        return "PushedModel"


def _print_metrics(report: dict[str, dict[str, dict[str, float]]]) -> None:
    for split, methods in report.items():
        names = list(next(iter(methods.values())))
        table = rich.table.Table("method", *names, title=split, title_justify="left")
        for method, figures in methods.items():
            table.add_row(method, *(f"{figures[name]:.4g}" for name in names))
        console.print(table)


def _print_summary(summary: dict[str, Any]) -> None:
    table = rich.table.Table(title=f"Version {summary['version']}", title_justify="left", show_header=False)
    for place in summary["dataset"]:
        table.add_row("data", f"{place['path']} ({place['digest'][:12]})")
    table.add_row("spans", ", ".join(summary["spans"]) or "all")
    table.add_row("parents", ", ".join(f"version {version}" for version in summary["parents"]) or "none")
    for split, methods in (summary["metrics"] or {}).items():
        figures = ", ".join(f"{method} {figure:.4f}" for method, figure in methods.items())
        table.add_row(f"NDCG@10 on {split}", figures)
    for name, version in summary["code_version"].items():
        config = ", ".join(f"{field}={value}" for field, value in summary["config"][name].items() if value != "")
        table.add_row(name, f"code {version[:12]}; {config}")
    console.print(table)


def _lineage_label(node: dict[str, Any]) -> rich.text.Text:
    made = node.get("made_by")
    if made is None:
        return rich.text.Text(f"{node['type']} {node['digest'][:12]} (from outside)")
    when = f" {made['finished_at']}{_took(made)} {made['summary']}"
    return rich.text.Text.assemble(f"{node['type']} {node['digest'][:12]} ← ", (made["component"], "bold"), when)


def _took(made: dict[str, Any]) -> str:
    if "cpu_seconds" not in made:  # Recorded by an earlier homefeed.
        return ""
    return f" ({made['cpu_seconds']:,.1f} CPU s, {made['peak_mebibytes']:,.0f} MiB)"


def _grow(tree: rich.tree.Tree, node: dict[str, Any]) -> None:
    for name, source in (node.get("made_by") or {}).get("inputs", {}).items():
        _grow(tree.add(rich.text.Text(f"{name}: ").append(_lineage_label(source))), source)
