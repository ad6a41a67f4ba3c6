"""Experiments: those in force with their arms, and the report of each, which is drawn as by the command line."""

from __future__ import annotations

import asyncio
import hashlib
import pathlib
import time
from typing import Any

from homefeed.serving.audit import aside
from homefeed.serving.console.access import Operator
from homefeed.serving.console.desk import Asked, Desk, Done, Facts, NotThere
from homefeed.serving.experiments.design import Experiment
from homefeed.serving.experiments.metrics import METRICS
from homefeed.serving.profiles import Stop


async def experiments(desk: Desk, asked: Asked) -> Facts:
    """Facts of the page."""
    described = desk.home.known.policies.policy.experiments
    stops = {stop.experiment: stop for stop in await desk.home.live.stops()}
    now = time.time()
    listed = [
        _listed(name, one, stops.get(described.key(name)), now) | {"job": desk.jobs.find(f"report {name}")}
        for name, one in described.by_name.items()
    ]
    return {"experiments": listed, "file": desk.home.config.experiments}


def _listed(name: str, one: Experiment, stop: Stop | None, now: float) -> dict[str, Any]:
    arms = [
        {"name": arm, "share": share, "changes": _changes(one, arm)}
        for arm, share in zip(one.names, one.shares, strict=True)
    ]
    return {"name": name, "arms": arms, "metric": METRICS[one.metric].words, "stop": stop, "runs": one.runs(now)}


def _changes(one: Experiment, arm: str) -> str:
    changed = {"model": one.arms[arm].model} if one.arms else {"interleave": one.interleave}
    return ", ".join(f"{field}: {value}" for field, value in {**changed, **one.changes(arm)}.items())


def _drawn(desk: Desk, name: str) -> pathlib.Path:
    """Where a report is drawn; names may be anything that can be printed."""
    return desk.jobs.folder / f"report-{hashlib.sha256(name.encode()).hexdigest()[:16]}.html"


async def report(desk: Desk, name: str) -> str:
    """The last report of an experiment, as a page.

    Raises:
        NotThere: none was made since the gateway started.
    """
    path = _drawn(desk, name)
    job = desk.jobs.find(f"report {name}")
    if job is None or not job.is_done or job.exit_code != 0:
        raise NotThere(name)
    return await asyncio.to_thread(path.read_text, encoding="utf-8")


async def measure(desk: Desk, operator: Operator, said: Asked) -> Done:
    """Starts to make a report: all pages are read for it, by a process of its own."""
    name = said.get("name", "")
    known, config = desk.home.known.policies.policy.experiments.by_name, desk.home.config
    if name not in known or not config.experiments:
        raise NotThere(name)
    data = ["--data", str(config.data)] if config.data else []
    where = ["--experiments", str(config.experiments), "--root", str(desk.root), *data]
    drawn = ["--html", str(_drawn(desk, name))]
    desk.jobs.start(f"report {name}", "experiment", "report", *where, *drawn, about=name)
    return Done("measuring", name, "experiments")


async def stop(desk: Desk, operator: Operator, said: Asked) -> Done:
    """Gives everybody one arm from now on."""
    name, arm = said.get("name", ""), said.get("arm", "")
    described = desk.home.known.policies.policy.experiments
    if name not in described.by_name or arm not in described.by_name[name].names:
        raise NotThere(name)
    reason = said.get("reason", "")[:500] or f"{operator.name} stopped it"
    async with aside(desk.home.trail.change("stop", operator.name, subject=name, arm=arm, reason=reason)):
        await desk.home.live.stop(Stop(described.key(name), arm, reason, int(time.time())))
    return Done("stopped", name, "experiments")
