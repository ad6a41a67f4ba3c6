"""`homefeed experiment`: check a file of experiments, see what came of one, stop one."""

from __future__ import annotations

import asyncio
import dataclasses
import pathlib
import time
from typing import TYPE_CHECKING, Annotated, Any

import rich.table
import typer

from homefeed.pipeline.cli.terminal import Json, Root, console, print_json
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas.dataset import load_dataset
from homefeed.schemas.words import near, one_line
from homefeed.serving.audit import Trail, operator
from homefeed.serving.experiments.design import Experiment, Experiments, read_experiments
from homefeed.serving.experiments.metrics import METRICS
from homefeed.serving.policy.rules import PolicyError, Rules, read_rules
from homefeed.serving.policy.surfaces import Surfaces, read_surfaces
from homefeed.serving.profiles import Stop, open_store
from homefeed.serving.profiles.store import LIVE_FILE_NAME

if TYPE_CHECKING:
    from homefeed.serving.experiments import planning, report

experiment_app = typer.Typer(no_args_is_help=True, help="Check experiments, see what came of them, and stop them.")
File = Annotated[pathlib.Path, typer.Argument(help="YAML of experiments.")]
Described = Annotated[pathlib.Path, typer.Option("--experiments", help="YAML of experiments.")]
Name = Annotated[str, typer.Argument(help="Of an experiment.")]
Sealed = Annotated[pathlib.Path | None, typer.Option("--data", help="Folder with dataset.yaml and sealed spans.")]
Live = Annotated[pathlib.Path | None, typer.Option("--root", help="Folder of artifacts, metadata and served models.")]


@experiment_app.command()
def check(
    experiments: File,
    rules: Annotated[pathlib.Path | None, typer.Option(help="YAML of rules that are in force.")] = None,
    surfaces: Annotated[pathlib.Path | None, typer.Option(help="YAML of surfaces; empty: the usual ones.")] = None,
    data: Sealed = None,
    root: Live = None,
    lift: Annotated[float, typer.Option(min=0.001, max=100, help="Share of the metric that is to be found.")] = 0.1,
    as_json: Json = False,
) -> None:
    """Print what experiments do, how readers are split, and how many users and days a lift takes."""
    from homefeed.serving.experiments import planning, reading  # pyarrow and SciPy come with them.

    described = _read(experiments, rules, surfaces)
    if data:
        _require_objectives(described, surfaces, data)
    pages = reading.read(data, RunRoot(root).pushed() if root else None)
    plans = {name: planning.power(one, pages, lift) for name, one in described.by_name.items()}
    if as_json:
        print_json({name: _checked(one, plans[name]) for name, one in described.by_name.items()})
        return
    for name, one in described.by_name.items():
        table = rich.table.Table("arm", "share", "what it changes", title=f"{name}: {_about(one)}")
        for arm, part in zip(one.names, one.ranges, strict=True):
            share = (part[1] - part[0]) * (one.part[1] - one.part[0])
            table.add_row(arm, f"{share:.1%}", _changes(one, arm) or "nothing")
        console.print(table)
        console.print(_planned(plans[name], one, lift), soft_wrap=True)


def _read(experiments: pathlib.Path, rules: pathlib.Path | None, surfaces: pathlib.Path | None) -> Experiments:
    described = read_experiments(experiments)
    said, kinds = read_rules(rules) if rules else Rules(), read_surfaces(surfaces) if surfaces else Surfaces()
    described.require_surfaces(kinds, said.by_name)
    return described


def _require_objectives(described: Experiments, surfaces: pathlib.Path | None, data: pathlib.Path) -> None:
    """What lists are to be sorted for must be among what models of these data know."""
    known = load_dataset(data).objectives
    kinds = read_surfaces(surfaces) if surfaces else Surfaces()
    asked = described.objectives | {surface.objective for surface in kinds.by_name.values()}
    for name in sorted(asked - {""} - known.keys()):
        raise PolicyError(f"objective: models of {data} know no {name!r}{near(name, known)}")


def _checked(one: Experiment, plan: planning.Power | None) -> dict[str, Any]:
    split = dict(zip(one.names, one.ranges, strict=True))
    return {
        "ranges": split,
        "layer": one.layer,
        "part": one.part,
        "changes": {arm: _changes(one, arm) for arm in one.names},
        "power": dataclasses.asdict(plan) | {"users": plan.users._asdict()} if plan else None,
    }


def _about(one: Experiment) -> str:
    layer = f", {one.part[0]:.0%} to {one.part[1]:.0%} of the layer {one.layer}" if one.layer else ""
    return f"{METRICS[one.metric].words} by {one.unit}, on {', '.join(one.surfaces or ('all surfaces',))}{layer}"


def _changes(one: Experiment, arm: str) -> str:
    if one.interleave:
        return f"the lists of {' and '.join(one.interleave)} take turns"
    label = [f"model: {one.arms[arm].model}"] if one.arms[arm].model != one.arms[one.control].model else []
    return ", ".join([*label, *(f"{field}: {value}" for field, value in one.changes(arm).items())])


def _planned(plan: planning.Power | None, one: Experiment, lift: float) -> str:
    if one.interleave:
        return "a preference needs far fewer users than arms do, and says nothing of its size"
    if plan is None:
        return f"no pages tell its {METRICS[one.metric].words} yet: name --data and --root to see how long it takes"
    took = f"about {plan.days:,} days at {plan.users_a_day:,.0f} users a day" if plan.days else "and nobody comes"
    return (
        f"to find {lift:.0%} of a {METRICS[plan.metric].words} of {plan.baseline:.4g} with 80% probability: "
        f"{plan.users.sequential:,} users of two arms, {took} ({plan.users.fixed:,} if one looks once)"
    )


@experiment_app.command("report")
def report_(
    name: Name,
    experiments: Described,
    data: Sealed = None,
    root: Live = None,
    html: Annotated[pathlib.Path | None, typer.Option(help="File to draw it in.")] = None,
    as_json: Json = False,
) -> None:
    """Print what came of an experiment, from sealed spans and the live store; one may look at any time."""
    from homefeed.serving.experiments import conclusion, drawing, reading, report

    serving_dir, described = RunRoot(root).pushed() if root else None, read_experiments(experiments)
    one = described.get(name)
    if data is None and serving_dir is None:
        raise typer.BadParameter("name --data, --root or both: that is where pages are")
    stopped = {stop.experiment: stop for stop in reading.stops(serving_dir)} if serving_dir else {}
    stop = stopped.get(described.key(name))
    why = f"{stop.reason}; everybody gets {stop.arm}." if stop else ""
    found = report.report(name, one, reading.read(data, serving_dir), why)
    verdict = conclusion.conclude(found, one)
    if html:
        html.write_text(drawing.draw(found, verdict), "utf-8")
    if as_json:
        preferred = found.preference._asdict() if found.preference else None
        print_json(dataclasses.asdict(found) | {"preference": preferred, "conclusion": verdict})
        return
    _show(found)
    console.print(verdict, soft_wrap=True)


def _show(found: report.Report) -> None:
    arms = found.arms.values()
    split = rich.table.Table("", *found.arms, title=found.name)
    split.add_row("users", *(f"{one.users:,}" for one in arms))
    split.add_row("expected", *(f"{one.expected:.0%}" for one in arms))
    split.add_row("pages", *(f"{one.pages:,}" for one in arms))
    for metric in METRICS:
        split.add_row(metric, *(f"{one.metrics[metric]:.4g}" for one in arms))
    console.print(split)
    for arm, comparisons in found.comparisons.items():
        table = rich.table.Table("metric", "difference", "95% interval", "p", "saved by the past", "guardrail")
        table.title = f"{arm} beside {found.control}"
        for metric, one in comparisons.items():
            span = "too few users" if one.low is None or one.high is None else f"{one.low:+.4g} … {one.high:+.4g}"
            guard = {None: "", True: "broken", False: "kept"}[one.is_broken]
            table.add_row(metric, f"{one.difference:+.4g}", span, f"{one.p_value:.2g}", f"{one.saved:.0%}", guard)
        console.print(table)
    console.print(f"p of the split: {found.sample_ratio:.2g}; users of several arms, left out: {found.mixed:,}")
    if found.left_out:
        console.print(f"pages of other versions, left out: {found.left_out:,}")


@experiment_app.command()
def stop(
    name: Name,
    root: Root,
    experiments: Described,
    arm: Annotated[str, typer.Option(help="That everybody gets; empty: the control.")] = "",
    reason: Annotated[str, typer.Option(help="Why, for the report.")] = "somebody stopped it",
    store: Annotated[str, typer.Option(help="redis://HOST:PORT of the gateways; empty: a file.")] = "",
    as_json: Json = False,
) -> None:
    """Give everybody one arm of an experiment from now on; gateways follow within seconds."""
    serving_dir, described = RunRoot(root).pushed(), read_experiments(experiments)
    one = described.get(name)
    chosen = arm or one.control
    if chosen not in one.names:
        raise typer.BadParameter(f"--arm {arm!r} is none of {', '.join(one.names)}")
    stopped = Stop(described.key(name), chosen, one_line(reason), int(time.time()))
    trail = Trail.beside(serving_dir)
    with trail.change("stop", operator(), subject=name, arm=chosen, reason=stopped.reason):
        asyncio.run(_stop(store, serving_dir / LIVE_FILE_NAME, stopped))
    if as_json:
        print_json(stopped._asdict())
        return
    told = f"{name} is stopped: everybody gets {chosen}; a higher `version` in the file starts it anew"
    console.print(told, soft_wrap=True)


async def _stop(url: str, path: pathlib.Path, stop: Stop) -> None:
    store = open_store(url, path, lambda events, seconds: None, 1)
    try:
        await store.stop(stop)
    finally:
        await store.close()
