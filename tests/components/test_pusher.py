import dataclasses
import pathlib
from typing import Any

import pytest

from homefeed.components import pusher
from homefeed.components.artifacts.types import GateClosed, Model, ModelEvaluation, PushedModel
from homefeed.models.requests import Request
from homefeed.serving.profiles import FILE_NAME, ProfileStore
from homefeed.serving.releases import WARMUP_FILE, Releases
from tests.toy_artifacts import items_table, open_gates, relations_table, transformed_examples

MODELS = ("retrieval", "ranking", "fused")


@pytest.fixture
def inputs(tmp_path: pathlib.Path, toy_models: dict[str, pathlib.Path]) -> pusher.Inputs:
    tables = transformed_examples(tmp_path, lurker="lurker")
    gates = open_gates(tmp_path)
    gates[1].warmup_file("ranking").parent.mkdir()
    gates[1].warmup_file("ranking").write_bytes(b"a record")
    models = (Model(toy_models[name]) for name in MODELS)
    evaluation = ModelEvaluation(tmp_path / "evaluation")
    evaluation.write_json("evaluation.json", {"blessed": True})
    (evaluation.path / "model_card.md").write_text("# Model card")
    return pusher.Inputs(*tables, items_table(tmp_path), relations_table(tmp_path), *models, *gates, evaluation)


def push(inputs: pusher.Inputs, tmp_path: pathlib.Path, **config: Any) -> PushedModel:
    pushed = PushedModel(tmp_path / "pushed")
    serving_dir = {"serving_dir": str(tmp_path / "serving")}
    pusher.run(inputs, pusher.Outputs(pushed), pusher.Config(**serving_dir | config))
    return pushed


def test_versions_count_up_and_all_models_get_the_same(inputs: pusher.Inputs, tmp_path: pathlib.Path) -> None:
    (tmp_path / "serving" / "ranking" / "0007").mkdir(parents=True)
    assert push(inputs, tmp_path).read_json("pushed.json")["version"] == 8
    assert push(inputs, tmp_path).read_json("pushed.json")["version"] == 9
    for name in MODELS:
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
    lurker = dataclasses.replace(store.get("lurker"), timestamp=0)  # Of when it was asked for.
    assert lurker == Request("lurker", history=[])
    assert store.titles(["i3"]) == ["Title 3 片3"]
    assert store.others("u0") == ["lurker", "u2"] and store.others("u1") == [] and store.facts() == ["categories"]
    assert store.declared() == ["price", "complaint"]


def test_cards_have_the_columns_of_the_items_table_and_items_their_popularity(
    inputs: pusher.Inputs, tmp_path: pathlib.Path
) -> None:
    push(inputs, tmp_path)
    items = {item.item_id: item for item in ProfileStore(tmp_path / "serving" / FILE_NAME).items()}
    assert items["i1"].card == {"title": "Title 1 片1", "categories": ["drama", "crime"], "price": 2.5}
    assert items["i3"].card == {"title": "Title 3 片3", "categories": "drama"}
    assert items["i2"].title == "Title 2 片2" and items["i2"].card is None
    # u0 did i1 i2 i3, u1 i2 … i5, u2 i3 … i7.
    assert [items[f"i{n}"].popularity for n in range(1, 8)] == [1, 2, 3, 2, 2, 1, 1]


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


def test_a_version_that_was_rolled_back_is_not_pushed_again(inputs: pusher.Inputs, tmp_path: pathlib.Path) -> None:
    push(inputs, tmp_path)
    pushed = push(inputs, tmp_path)
    Releases(tmp_path / "serving").rollback()
    assert pushed.is_intact()


def test_warm_up_requests_go_into_the_version(inputs: pusher.Inputs, tmp_path: pathlib.Path) -> None:
    push(inputs, tmp_path)
    assert (tmp_path / "serving" / "ranking" / "1" / WARMUP_FILE).read_bytes() == b"a record"
    assert not (tmp_path / "serving" / "retrieval" / "1" / WARMUP_FILE).exists()


def test_a_canary_leaves_the_stable_version(inputs: pusher.Inputs, tmp_path: pathlib.Path) -> None:
    push(inputs, tmp_path, canary=True)
    push(inputs, tmp_path, canary=True)
    states = {release.version: release.state for release in Releases(tmp_path / "serving").versions()}
    assert states == {2: "canary", 1: "stable"}


def test_an_object_store_gets_the_same(inputs: pusher.Inputs, tmp_path: pathlib.Path) -> None:
    import fsspec

    url = f"memory://{tmp_path.name}"
    pushed = push(inputs, tmp_path, serving_dir=url)
    files = fsspec.filesystem("memory")
    assert files.isfile(f"/{tmp_path.name}/{FILE_NAME}") and files.isfile(f"/{tmp_path.name}/model.config")
    for name in MODELS:
        assert files.isfile(f"/{tmp_path.name}/{name}/1/saved_model.pb")
    assert pushed.is_intact()


def test_model_card_and_evaluation_lie_beside_each_model(inputs: pusher.Inputs, tmp_path: pathlib.Path) -> None:
    push(inputs, tmp_path)
    for name in MODELS:
        extra = tmp_path / "serving" / name / "1" / "assets.extra"
        assert (extra / "model_card.md").read_text() == "# Model card"
        assert (extra / "evaluation.json").is_file()


def test_a_pushed_model_knows_its_models_even_when_they_are_retired(
    inputs: pusher.Inputs, tmp_path: pathlib.Path
) -> None:
    first, second = push(inputs, tmp_path), PushedModel(tmp_path / "second")
    releases = Releases(tmp_path / "serving")
    pusher.run(inputs, pusher.Outputs(second), pusher.Config(str(tmp_path / "serving")))
    releases.rollback()
    assert first.models() == {name: tmp_path / "serving" / name / "1" for name in MODELS}
    assert second.models() == {name: tmp_path / "serving" / name / "2.retired" for name in MODELS}
