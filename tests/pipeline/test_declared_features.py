"""A declared feature of an event and of a request: from `dataset.yaml` to the list, by one declaration.

In this shop the device that asks decides between two halves of the catalogue, and the mood of the last event between
even and odd items; nothing else does.
"""

import pathlib

import numpy as np
import pandas as pd
import pytest
from google.protobuf import text_format
from homefeed_client import InvalidInputsError, PredictionClient
from tensorflow_metadata.proto.v0 import schema_pb2

import homefeed
from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import Examples
from homefeed.models.requests import Event
from homefeed.pipeline.program import Model
from homefeed.schemas import features as spec
from homefeed.schemas.dataset import load_dataset
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.process import model_server
from tests.runs import run_small

DATASET = """
name: moods
interactions:
  path: interactions.csv
  features:
    device: {kind: category, context: true}
    mood: {kind: category}
    paid: {kind: number}
items: {path: items.csv}
users: {path: users.csv}
time_zone: Asia/Shanghai
"""
NUM_ITEMS, NUM_USERS, NUM_EVENTS = 40, 90, 24
NOW = 1_700_000_000


def write_shop(folder: pathlib.Path, seed: int) -> pathlib.Path:
    folder.mkdir()
    random = np.random.default_rng(seed)
    rows = []
    for user in range(NUM_USERS):
        mood = 0
        for event in range(NUM_EVENTS):
            phone = random.random() < 0.5
            item = 2 * int(random.integers(0, NUM_ITEMS // 4)) + mood + (0 if phone else NUM_ITEMS // 2)
            mood = int(random.integers(0, 2))
            when = NOW - 86_400 * (NUM_EVENTS - event) + user * 60
            device, felt = ("phone" if phone else "desk"), ("gift" if mood == 0 else "self")
            rows.append((f"u{user}", f"i{item}", when, device, felt, round(random.random() * 9, 2)))
    columns = ["user_id", "item_id", "timestamp", "device", "mood", "paid"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "interactions.csv", index=False)
    titles = [(f"i{item}", "thing") for item in range(NUM_ITEMS)]
    pd.DataFrame(titles, columns=["item_id", "title"]).to_csv(folder / "items.csv", index=False)
    pd.DataFrame({"user_id": [f"u{user}" for user in range(NUM_USERS)]}).to_csv(folder / "users.csv", index=False)
    (folder / "dataset.yaml").write_text(DATASET, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, pathlib.Path]:
    """Data folder and root."""
    folder = tmp_path_factory.mktemp("moods")
    data = write_shop(folder / "data", seed=1)
    longer = ("retrieval_trainer.epochs=40", "retrieval_trainer.width=32", "retrieval_trainer.learning_rate=0.01")
    run_small(data, folder / "root", *longer, until="Pusher")
    return data, folder / "root"


def shares(model: Model, log: pd.DataFrame, device: str, mood: str) -> tuple[float, float]:
    """Of ten lists of six: how much is of the phone's half, and how much is even.

    Each is what one user of the log would be shown after their first event, if that had had this mood.
    """
    pages = []
    for first in log[log.timestamp <= log.timestamp.min() + 60 * 9].itertuples():
        events = [Event(first.item_id, timestamp=first.timestamp, features={"mood": mood, "paid": first.paid})]
        now = first.timestamp + 86_400
        pages.append(model.recommend("nobody", k=6, history=events, now=now, context={"device": device})["item_id"])
    items = pd.concat(pages).str.removeprefix("i").astype(int)
    assert len(items) == 60
    return float((items < NUM_ITEMS // 2).mean()), float((items % 2 == 0).mean())


def test_the_context_and_the_event_decide_what_is_shown(shop: tuple[pathlib.Path, pathlib.Path]) -> None:
    data, root = shop
    model, log = homefeed.load(root), pd.read_csv(data / "interactions.csv")
    found = {
        (device, mood): shares(model, log, device, mood) for device in ("phone", "desk") for mood in ("gift", "self")
    }
    for (device, mood), (of_phone, even) in found.items():
        assert (of_phone if device == "phone" else 1 - of_phone) >= 0.9, found
        assert (even if mood == "gift" else 1 - even) >= 0.9, found


def test_schema_parse_signature_client_and_drift_have_the_same_columns(
    shop: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    data, root = shop
    dataset = load_dataset(data)
    declared = dataset.event_features.keys() - {"event_type", "value"}  # Standard columns that this log lacks.
    assert declared == {"device", "mood", "paid"}
    (schema_file,) = root.glob("artifacts/SchemaGen/*/interactions/schema.pbtxt")
    schema = text_format.Parse(schema_file.read_text(encoding="utf-8"), schema_pb2.Schema())
    outcomes = {feature.name for feature in schema.feature if "SERVING" in feature.not_in_environment}
    assert declared <= {feature.name for feature in schema.feature} and outcomes == {"mood", "paid"}
    (examples,) = root.glob("artifacts/ExampleGen/*/interactions/Split-train")
    assert declared <= set(example_io.read_split(Examples(examples.parent), "train").schema.names)

    wanted = spec.serving_inputs(dataset, {("interactions", name) for name in declared})
    paths = {name: root / "serving" / name / "1" for name in ("retrieval", "ranking", "fused")}
    predictor = LocalPredictor(paths)
    for name, signature in (("retrieval", "retrieve"), ("ranking", "rank"), ("fused", "recommend")):
        taken = predictor.inputs(name, signature)
        about_request = {n for n in taken if n.startswith(("history", "context_", "user_")) or n == "timestamp"}
        assert about_request == wanted.keys()
        assert {n: taken[n].shape for n in wanted} == {n: given.shape for n, given in wanted.items()}
        assert all(np.dtype(taken[n].dtype) == np.dtype("O" if given.dtype == "string" else given.dtype)
                   for n, given in wanted.items())  # fmt: skip

    compared = homefeed.drift(data, write_shop(tmp_path / "other", seed=2))
    assert {f"interactions.{name}" for name in declared} <= set(compared["feature"])


def test_client_and_caller_are_told_of_what_no_model_takes(
    shop: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match="has no context place; it has device"):
        homefeed.load(shop[1]).recommend("u1", context={"place": "Shanghai"})
    models = {"fused": shop[1] / "serving" / "fused"}
    with model_server(models, tmp_path) as address, PredictionClient(address) as client:
        inputs = {"history": [["i1"]], "k": [3], "timestamp": [NOW], "context_place": ["Shanghai"]}
        with pytest.raises(InvalidInputsError, match="context_place"):
            client.predict("fused", inputs, signature="recommend")
