import pathlib

import pytest

from components import example_io, pusher, transformed
from components.artifacts import (
    Examples,
    GateClosed,
    InfraBlessing,
    Model,
    ModelBlessing,
    PushedModel,
    TransformGraph,
)
from models.requests import Request
from serving.profiles import FILE_NAME, ProfileStore
from tests.components.test_transform import numbers, strings
from tests.toy_data import toy_catalogue, toy_sequences


@pytest.fixture
def inputs(tmp_path: pathlib.Path, toy_models: dict[str, pathlib.Path]) -> pusher.Inputs:
    graph, examples, users = (
        TransformGraph(tmp_path / "graph"),
        Examples(tmp_path / "examples"),
        Examples(tmp_path / "users"),
    )
    transformed.save_catalogue(graph, toy_catalogue())
    transformed.save_user_vocabularies(graph, toy_sequences().vocabularies)
    transformed.save_sequences(examples, "train", toy_sequences(3))
    transformed.save_sequences(examples, "eval", toy_sequences(0))
    transformed.save_sequences(examples, "test", toy_sequences(2, num_history=2))
    rows = {"user_id": strings(["u0"], ["lurker"]), "age": numbers(float, [31.0], [])}
    example_io.write_split(users, "all", example_io.record_batch(rows))
    gates = ModelBlessing(tmp_path / "blessing"), InfraBlessing(tmp_path / "infra")
    for gate in gates:
        gate.write_reasons([])
    models = (Model(toy_models[name]) for name in ("retrieval", "ranking"))
    return pusher.Inputs(graph, examples, users, *models, *gates)


def push(inputs: pusher.Inputs, tmp_path: pathlib.Path) -> PushedModel:
    pushed = PushedModel(tmp_path / "pushed")
    pusher.run(inputs, pusher.Outputs(pushed), pusher.Config(serving_dir=str(tmp_path / "serving")))
    return pushed


def test_versions_count_up_and_both_models_get_the_same(inputs: pusher.Inputs, tmp_path: pathlib.Path) -> None:
    (tmp_path / "serving" / "ranking" / "0007").mkdir(parents=True)
    assert push(inputs, tmp_path).read_json("pushed.json")["version"] == 8
    assert push(inputs, tmp_path).read_json("pushed.json")["version"] == 9
    for name in ("retrieval", "ranking"):
        assert (tmp_path / "serving" / name / "9" / "saved_model.pb").is_file()
        assert not list((tmp_path / "serving" / name).glob(".*")), "a staging folder was left"


def test_profiles_have_features_from_the_table_and_the_whole_history(
    inputs: pusher.Inputs, tmp_path: pathlib.Path
) -> None:
    push(inputs, tmp_path)
    store = ProfileStore(tmp_path / "serving" / FILE_NAME)
    assert list(store.user_ids()) == ["lurker", "u0", "u1", "u2"]
    assert store.get("u0").features == {"age": 31.0}
    assert [len(store.get(user).history) for user in ("u0", "u1", "u2")] == [3, 4, 5]
    assert store.get("lurker") == Request("lurker", history=[])
    assert store.titles(["i3"]) == ["Title 3 片3"]


@pytest.mark.parametrize("gate", ["blessing", "infra_blessing"])
def test_a_refused_blessing_pushes_nothing(gate: str, inputs: pusher.Inputs, tmp_path: pathlib.Path) -> None:
    getattr(inputs, gate).write_reasons(["worse than before"])
    with pytest.raises(GateClosed, match="worse than before"):
        push(inputs, tmp_path)
    assert not (tmp_path / "serving").exists()


def test_a_push_is_intact_as_long_as_everything_is_there(inputs: pusher.Inputs, tmp_path: pathlib.Path) -> None:
    pushed = push(inputs, tmp_path)
    assert pushed.is_intact()
    (tmp_path / "serving" / FILE_NAME).unlink()
    assert not pushed.is_intact()
