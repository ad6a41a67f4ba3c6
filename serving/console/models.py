"""Models: versions with what was measured of them, promoted and rolled back, and what each was made from."""

from __future__ import annotations

import asyncio
import pathlib
from typing import Any

import orjson

from homefeed.serving.console import drawing
from homefeed.serving.console.access import Operator
from homefeed.serving.console.desk import Asked, Desk, Done, Facts, NotThere
from homefeed.serving.recommender import FUSED
from homefeed.serving.releases import Releases
from homefeed.serving.releases.releases import Release

SETTLE_SECONDS = 3.0  # In which running servers read the new labels, as of `homefeed models`.
MAX_DIGITS = 15  # Of a version.
METHOD, METRICS = "retrieval + ranking", ("ndcg@10", "hr@10", "mrr@10", "recall@100")


async def models(desk: Desk, asked: Asked) -> Facts:
    """Facts of the list of versions."""
    found = await asyncio.to_thread(_versions, desk.serving_dir)
    answering = desk.home.known.models
    return {"versions": found, "metrics": METRICS, "answering": answering.stable.version if answering else None}


def _versions(serving_dir: pathlib.Path) -> list[dict[str, Any]]:
    return [
        vars(release) | {"measured": _measured(serving_dir, release)} for release in Releases(serving_dir).versions()
    ]


def _measured(serving_dir: pathlib.Path, release: Release) -> dict[str, Any]:
    """Figures on the test split that were pushed beside a version; empty: there are none."""
    name = f"{release.version}.retired" if release.state == "retired" else str(release.version)
    path = serving_dir / FUSED / name / "assets.extra" / "evaluation.json"
    if not path.is_file():
        return {}
    found: dict[str, Any] = orjson.loads(path.read_bytes())["splits"]["test"]["methods"].get(METHOD, {})
    return found


async def lineage(desk: Desk, asked: Asked) -> Facts:
    """Facts of what a version was made from."""
    version = _version(asked)
    job = desk.jobs.find(f"lineage {version}")
    if job is None or not job.is_done or not job.found:
        return {"version": version, "job": job}
    nodes, arrows = drawing.lineage(job.found)
    by_key = {node.key: node for node in nodes}
    sources = {node.key: [by_key[one].title for one, made in arrows if made == node.key] for node in nodes}
    return {
        "version": version,
        "job": job,
        "summary": job.found.get("summary", {}),
        "nodes": nodes,
        "sources": sources,
        "graph": drawing.graph(nodes, arrows),
    }


async def trace(desk: Desk, operator: Operator, said: Asked) -> Done:
    """Starts to look up what a version was made from, unless somebody has."""
    version = _version(said)
    job = desk.jobs.find(f"lineage {version}")
    if job is None or (job.is_done and not job.found):
        desk.jobs.start(f"lineage {version}", "lineage", "--root", str(desk.root), about=str(version))
    return Done("", "", "lineage", {"version": str(version)})


def _version(said: Asked) -> int:
    chosen = said.get("version", "")
    if not chosen.isdecimal() or len(chosen) > MAX_DIGITS:
        raise NotThere(chosen)
    return int(chosen)


async def promote(desk: Desk, operator: Operator, said: Asked) -> Done:
    """Makes a version the stable one."""
    stable = await asyncio.to_thread(
        Releases(desk.serving_dir).promote, _version(said), settle_seconds=SETTLE_SECONDS, who=operator.name
    )
    return Done("promoted", str(stable), "models")


async def rollback(desk: Desk, operator: Operator, said: Asked) -> Done:
    """Goes back one step."""
    stable = await asyncio.to_thread(
        Releases(desk.serving_dir).rollback, settle_seconds=SETTLE_SECONDS, who=operator.name
    )
    return Done("rolled_back", str(stable), "models")
