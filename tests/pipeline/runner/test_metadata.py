"""The store of ML Metadata by itself: what is recorded comes back, once, from wherever the root lies."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from homefeed.components.artifacts.types import Artifact, DatasetDir, Model, PushedModel
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.metadata import MetadataStore, Record, Run
from homefeed.pipeline.runner.root import RunRoot

PROPERTIES = {"config": '{"width": 64}', "summary": "三 epochs", "code_version": "abc"}


def artifact(kind: type[Artifact], path: pathlib.Path) -> Artifact:
    path.mkdir(parents=True, exist_ok=True)
    return kind(path)


@pytest.fixture
def root(tmp_path: pathlib.Path) -> RunRoot:
    (tmp_path / "root").mkdir()
    return RunRoot(tmp_path / "root")


@pytest.fixture
def store(root: RunRoot, tmp_path: pathlib.Path) -> MetadataStore:
    """Two trainings from one dataset outside of the root, and a push of the second."""
    store = MetadataStore(root)
    data = artifact(DatasetDir, tmp_path / "data")
    for number in (1, 2):
        model = artifact(Model, root.artifacts / "Trainer" / f"k{number}" / "model")
        record(store, "Trainer", f"k{number}", {"dataset": (data, f"d{number}")}, {"model": (model, f"m{number}")})
    pushed = artifact(PushedModel, root.artifacts / "Pusher" / "p" / "pushed")
    record(store, "Pusher", "p", {"trained": (model, "m2")}, {"pushed": (pushed, "p1")})
    return store


def record(
    store: MetadataStore,
    component: str,
    key: str,
    inputs: dict[str, tuple[Artifact, str]],
    outputs: dict[str, tuple[Artifact, str]],
    **properties: str,
) -> None:
    store.record(Run(component, key, PROPERTIES | properties), "shop", inputs, outputs)


def said(records: dict[str, Record]) -> dict[str, tuple[str, str, str]]:
    return {name: (found.type, found.path.name, found.digest) for name, found in records.items()}


def test_outputs_are_found_by_component_and_key(store: MetadataStore, root: RunRoot) -> None:
    found = store.find("Trainer", "k1")
    assert found is not None and said(found) == {"model": ("Model", "model", "m1")}
    assert found["model"].path == root.artifacts / "Trainer" / "k1" / "model"
    assert store.find("Trainer", "k3") is None and store.find("Transform", "k1") is None


def test_an_artifact_leads_to_the_run_that_made_it_and_to_what_that_read(store: MetadataStore) -> None:
    pushed = store.latest("PushedModel")
    assert pushed is not None
    made = store.producer(pushed)
    assert made is not None and made[0] == Run("Pusher", "p", PROPERTIES)
    assert said(made[1]) == {"trained": ("Model", "model", "m2")}
    trained = store.producer(made[1]["trained"])
    assert trained is not None and trained[0].key == "k2"
    assert said(trained[1]) == {"dataset": ("DatasetDir", "data", "d2")}
    assert store.producer(trained[1]["dataset"]) is None, "it came from outside"


def test_what_changed_outside_is_another_artifact_at_the_same_place(store: MetadataStore) -> None:
    datasets = store.all("DatasetDir")
    assert sorted(found.digest for found in datasets) == ["d1", "d2"]
    assert len({found.path for found in datasets}) == 1 and len({found.id for found in datasets}) == 2


def test_a_run_that_is_recorded_again_replaces_itself(store: MetadataStore, root: RunRoot) -> None:
    model = Model(root.artifacts / "Trainer" / "k1" / "model")
    (data,) = {found.path for found in store.all("DatasetDir")}
    before = store.find("Trainer", "k1")
    inputs: dict[str, tuple[Artifact, str]] = {"dataset": (DatasetDir(data), "d1")}
    record(store, "Trainer", "k1", inputs, {"model": (model, "m1-again")}, summary="anew")
    found = store.find("Trainer", "k1")
    assert before is not None and found is not None
    assert said(found) == {"model": ("Model", "model", "m1-again")} and found["model"].id == before["model"].id
    made = store.producer(found["model"])
    assert made is not None and made[0].properties["summary"] == "anew"
    assert len(store.all("Model")) == 2 and len(store.configs("Trainer")) == 2


def test_types_that_were_never_made_hold_nothing(store: MetadataStore) -> None:
    assert store.latest("Schema") is None and store.all("Schema") == [] and store.configs("SchemaGen") == []
    assert store.configs("Pusher") == [{"width": 64}]


def test_a_root_that_was_moved_knows_its_own_and_where_the_data_lay(
    store: MetadataStore, root: RunRoot, tmp_path: pathlib.Path
) -> None:
    del store
    shutil.move(root.path, tmp_path / "elsewhere")
    moved = MetadataStore(RunRoot(tmp_path / "elsewhere"))
    assert {found.path.parents[3] for found in moved.all("Model")} == {tmp_path / "elsewhere"}
    assert {found.path for found in moved.all("DatasetDir")} == {tmp_path / "data"}


@pytest.mark.parametrize(
    ("connection", "told"),
    [("mysql://me:secret@127.0.0.1:1/ml", "mysql://127.0.0.1:1/ml"), ("/nowhere/at/all.sqlite", "/nowhere/at/all")],
)
def test_metadata_that_cannot_be_opened_are_named_without_their_password(
    root: RunRoot, connection: str, told: str
) -> None:
    with pytest.raises(RunError, match="cannot be opened: ") as refused:
        MetadataStore(root, connection)
    assert told in str(refused.value) and "secret" not in str(refused.value)
    assert "expected the path of a SQLite file, or mysql://" in str(refused.value)
