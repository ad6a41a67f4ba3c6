"""What holds for every setting: a meaning, a range, and one name for one thing."""

import pathlib
import re
import typing
from collections.abc import Mapping
from typing import Any

import annotated_types
import pytest

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.config.fields import Setting, settings_of
from homefeed.pipeline.deploy.kubeflow.tasks import Task
from homefeed.pipeline.recommender import recommender
from homefeed.schemas.columns import Feature
from homefeed.schemas.dataset import Dataset, Positive, Table
from homefeed.schemas.settings import Form
from homefeed.schemas.words import metadata, unannotated

DAG = recommender(DatasetDir(pathlib.Path()))
CONFIGS = {node.name: node.component.config for node in DAG.nodes} | {"task": Task}
SETTINGS = {f"{name}.{s.name}": (cls, s) for name, cls in CONFIGS.items() for s in settings_of(cls).values()}
DESCRIPTIONS = {
    f"{cls.__name__}.{s.name}": s for cls in (Dataset, Table, Feature, Positive) for s in settings_of(cls).values()
}

FREE_TEXT = {"pusher.serving_dir", "example_gen.temp_dir", "bulk_inferrer.work_dir", "task.accelerator"}
"""Texts that may be anything: places that are made, and names that only a cloud knows."""

ONE_NAME = {
    r"epoch": r"epochs(_\w+)?",
    r"learning|\blr\b": r"(\w+_)?learning_rate",
    r"batch": r"batch_size",
    r"warm_?up(?!_requests)": r"warmup_fraction",
    r"drop": r"(\w+_)?dropout",
    r"decay": r"weight_decay",
    r"seed": r"seed",
    r"patien": r"patience",
    r"heads?$": r"num_heads",
    r"layers?$": r"num_layers",
    r"\b(dim|hidden|size_of)\b": r"width",
    r"events$": r"max_(\w+_)?events",
    r"candidates": r"num_candidates",
    r"base_": r"base_(model|models|margin)",
    r"moment|novelty|lookback": r"ema_momentum",
}
"""What a name is about → how it is written everywhere."""

OF_THE_RUN = {"seed", "base_model", "strategy", "runner", "beam_options"}


@pytest.fixture(params=SETTINGS)
def setting(request: pytest.FixtureRequest) -> Setting:
    return SETTINGS[request.param][1]


def numbers_in(annotation: Any) -> list[Any]:
    """The types of numbers in a type, with what is annotated about each."""
    if unannotated(annotation) in (int, float):
        return [annotation]
    return [number for part in typing.get_args(unannotated(annotation)) for number in numbers_in(part)]


def limits(annotation: Any) -> list[Any]:
    kinds = (annotated_types.Gt, annotated_types.Ge, annotated_types.Lt, annotated_types.Le)
    return [limit for kind in kinds for limit in metadata(annotation, kind)]


def test_a_setting_says_what_it_means(setting: Setting) -> None:
    assert re.fullmatch(r".{5,}[.]", setting.meaning), f"{setting.name}: {setting.meaning!r}"


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_field_of_dataset_yaml_says_what_it_means(name: str) -> None:
    assert re.fullmatch(r".{5,}[.]", DESCRIPTIONS[name].meaning)


def test_no_number_is_without_a_range(setting: Setting) -> None:
    assert all(map(limits, numbers_in(setting.type)))


def test_no_range_admits_infinity(setting: Setting) -> None:
    for number in numbers_in(setting.type):
        if unannotated(number) is float and unannotated(setting.type) is float:
            for text in ("nan", "inf"):
                with pytest.raises(ValueError, match="expected a number"):
                    setting.read(text)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_text_has_a_form(name: str) -> None:
    _, setting = SETTINGS[name]
    if unannotated(setting.type) is str:
        assert bool(list(metadata(setting.type, Form))) != (name in FREE_TEXT)


def test_the_default_is_among_what_may_be(setting: Setting) -> None:
    assert setting.read(setting.default) == setting.default
    if not isinstance(setting.default, tuple | Mapping):
        assert setting.read(setting.shown_default.replace('""', "")) == setting.default


@pytest.mark.parametrize("about", ONE_NAME)
def test_one_thing_has_one_name(about: str) -> None:
    found = {name for name, (_, setting) in SETTINGS.items() if re.search(about, setting.name)}
    assert {name for name in found if not re.fullmatch(ONE_NAME[about], name.partition(".")[2])} == set()


def test_shares_lie_between_0_and_1(setting: Setting) -> None:
    if re.search(r"_(fraction|share|rate|mass)$", setting.name):
        for text in ("-0.01", "1.01"):
            with pytest.raises(ValueError, match="expected a number"):
                setting.read(text)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name.partition(".")[2] in OF_THE_RUN])
def test_settings_of_a_run_are_declared_apart_from_those_of_a_model(name: str) -> None:
    cls, setting = SETTINGS[name]
    assert setting.owner is not cls


def test_the_same_name_is_read_the_same_way_everywhere() -> None:
    for name in ("learning_rate", "batch_size", "dropout", "patience", "max_events", "width", "seed", "weight_decay"):
        found = {setting.expected for _, setting in SETTINGS.values() if setting.name == name}
        assert len(found) == 1, f"{name}: {found}"
