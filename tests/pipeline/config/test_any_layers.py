"""Settings of any layers: defaults, then a file, then `--set`; and every default, written out, is read as itself."""

from __future__ import annotations

import json
import pathlib
import tempfile
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.config import ConfigError, load_config
from homefeed.pipeline.config.fields import Setting, settings_of
from homefeed.pipeline.recommender import recommender

DAG = recommender(DatasetDir(pathlib.Path()))
EVERY = {
    f"{node.name}.{name}": setting
    for node in DAG.nodes
    for name, setting in settings_of(node.component.config).items()
}
# Settings that no rule binds to another, with values that suit them.
FREE: dict[str, st.SearchStrategy[Any]] = {
    "retrieval_trainer.epochs": st.integers(1, 99),
    "retrieval_trainer.dropout": st.floats(0, 0.9),
    "retrieval_trainer.index": st.sampled_from(["auto", "exact", "partitioned"]),
    "pusher.canary": st.booleans(),
    "pusher.serving_dir": st.sampled_from(["s3://b/x", "no", "3:7", "1_000", "2024-01-31", ""]),
    "example_gen.spans": st.sampled_from(["", "7", "3:7", "last:3", "2024-01-31", "1,2"]),
    "example_validator.allowed": st.lists(st.sampled_from(["items.brand", "users.age"]), max_size=2).map(tuple),
}
LAYER = st.fixed_dictionaries({}, optional=FREE)


def nested(layer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key, value in layer.items():
        component, _, field = key.partition(".")
        found.setdefault(component, {})[field] = list(value) if isinstance(value, tuple) else value
    return found


def as_text(value: Any) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    return plain if isinstance(plain, str) else json.dumps(plain)


@given(LAYER, LAYER, LAYER)
@settings(max_examples=30)
def test_the_later_layer_wins_and_what_none_names_keeps_its_default(
    place: dict[str, Any], file: dict[str, Any], flags: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(nested(file), allow_unicode=True), encoding="utf-8")
        given_ = [f"{key}={as_text(value)}" for key, value in flags.items()]
        built = load_config(DAG, path, given_, nested(place))
    wanted = place | file | flags
    for key, setting in EVERY.items():
        component, _, field = key.partition(".")
        assert getattr(built[component], field) == wanted.get(key, setting.default), key


@pytest.mark.parametrize("key", EVERY)
def test_a_default_written_out_is_read_as_itself(key: str) -> None:
    setting = EVERY[key]
    plain = dict(setting.default) if isinstance(setting.default, dict) else setting.default
    assert setting.read(as_text(plain)) == setting.default == setting.read(plain)
    assert setting.meaning.endswith((".", "…")) and setting.expected


WRONG = {bool: "perhaps", int: "many", float: "nan"}


@pytest.mark.parametrize("key", [key for key, setting in EVERY.items() if type(setting.default) in WRONG])
def test_what_is_of_another_kind_is_refused_with_what_was_given_and_expected(key: str) -> None:
    setting = EVERY[key]
    text = WRONG[type(setting.default)]
    with pytest.raises(ConfigError) as refused:
        load_config(DAG, settings=[f"{key}={text}"])
    assert refused.value.mistakes == (f"{key}: expected {setting.expected}, got {text!r}",)


@given(
    st.lists(st.sampled_from([key for key, s in EVERY.items() if type(s.default) is int]), min_size=1, unique=True)
)
@settings(max_examples=15)
def test_all_mistakes_are_told_at_once(keys: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(DAG, settings=[f"{key}=-1" for key in keys])
    told = {mistake.partition(":")[0] for mistake in refused.value.mistakes}
    assert told == set(keys) and refused.value.exit_code == 2


def test_a_setting_knows_its_own_type() -> None:
    assert all(isinstance(setting, Setting) for setting in EVERY.values()) and len(EVERY) > 90
