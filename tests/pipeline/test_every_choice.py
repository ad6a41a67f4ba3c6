"""Every value of every setting that is a choice, by `homefeed run --set`, as far as what it decides on is used."""

import importlib.util
import pathlib
import typing
from collections.abc import Iterator

import pytest

from homefeed.components.artifacts.types import DatasetDir
from homefeed.components.beam.settings import RUNNERS
from homefeed.pipeline.config.fields import Setting, settings_of
from homefeed.pipeline.recommender import recommender
from homefeed.schemas.words import unannotated
from tests.pipeline.command import homefeed
from tests.runs import SMALL

NODES = recommender(DatasetDir(pathlib.Path())).nodes
USED_BY = {
    "split": "evaluator",
    "environment": "example_validator",
    "index": "infra_validator",
    "targets": "ranking_trainer",
}
"""Setting → the last component that works with what it decides on; else its own."""

CLOSED = {"example_validator.environment=SERVING"}
"""What stops a run of training data: events have values, which no request has, and the gate says so."""

ELSEWHERE = {"DataflowRunner", "FlinkRunner", "SparkRunner", "PortableRunner", "PrismRunner"}
"""Runners that need a cluster, a job server or a binary beside Python."""
if importlib.util.find_spec("IPython") is None:
    ELSEWHERE.add("InteractiveRunner")


def choices_of(setting: Setting) -> tuple[str, ...]:
    """What a setting may be, where that is a list; empty where it is a number or a text."""
    kind = unannotated(setting.type)
    if setting.name == "runner":
        return tuple(runner for runner in RUNNERS if runner not in ELSEWHERE)
    if kind is bool:
        return ("true", "false")
    return typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()


def every_choice() -> Iterator[tuple[str, str]]:
    """(setting and value, component to run until)."""
    for node in NODES:
        for name, setting in settings_of(node.component.config).items():
            for value in choices_of(setting):
                yield f"{node.name}.{name}={value}", USED_BY.get(name, node.name)


def run(data: pathlib.Path, root: pathlib.Path, until: str, *settings: str) -> int:
    sets = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    return homefeed("run", "--data", str(data), "--root", str(root), "--until", until, *sets)


@pytest.fixture(scope="module")
def root(sample_data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What a choice leaves as it is was made once."""
    folder = tmp_path_factory.mktemp("root")
    assert run(sample_data, folder, "bulk_inferrer") == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "until"), every_choice())
def test_a_choice_runs(setting: str, until: str, sample_data: pathlib.Path, root: pathlib.Path) -> None:
    assert run(sample_data, root, until, setting) == (1 if setting in CLOSED else 0)
