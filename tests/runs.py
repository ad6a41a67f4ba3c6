"""Whole pipeline runs, as small as they can be."""

import contextlib
import json
import pathlib
from typing import Any

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.config import load_config
from homefeed.pipeline.recommender import recommender
from homefeed.pipeline.runner.local_runner import Step, run_pipeline
from homefeed.pipeline.runner.root import RunRoot

ASKED_AT = 1_767_139_200  # 2025-12-31, when all of the simulated store's items have come.
SMALL = (
    f"bulk_inferrer.at={ASKED_AT}",
    "retrieval_trainer.width=8",
    "retrieval_trainer.num_layers=1",
    "retrieval_trainer.epochs=2",
    "retrieval_trainer.max_events=16",
    "behavior_pretrainer.num_layers=1",
    "behavior_pretrainer.width=64",
    "behavior_pretrainer.head_steps=50",
    "behavior_pretrainer.fine_tuning_steps=5",
    "ranking_trainer.width=8",
    "ranking_trainer.points_per_user=1",
    "ranking_trainer.epochs=1",
    # Models this small may well be worse than popularity.
    "evaluator.ranking_margin=1.0",
    "evaluator.popularity_margin=1.0",
    "evaluator.slice_margin=1.0",
)


def run_small(
    data: pathlib.Path, root: pathlib.Path, *settings: str, until: str | None = None, metadata: str | None = None
) -> list[Step]:
    """Runs the recommender with SMALL and then `settings`."""
    dag = recommender(DatasetDir(data.resolve()))
    configs = load_config(dag, settings=(*SMALL, *settings), defaults=RunRoot(root.resolve()).defaults())
    place = root.resolve()
    return run_pipeline(dag, configs, place, name="small", observer=_silent, until=until, metadata=metadata)


def _silent(title: str) -> Any:
    return contextlib.nullcontext(lambda step: None)


def executed(steps: list[Step]) -> list[str]:
    """Titles of the components that were not answered from the cache."""
    return [step.component for step in steps if not step.cached]


def metrics_of(root: pathlib.Path) -> Any:
    """What the Evaluator found in the only run below the root, whoever ran it."""
    (file,) = root.glob("**/evaluation/metrics.json")
    return json.loads(file.read_text(encoding="utf-8"))
