"""What holds for every exported model: stock ops, the documented inputs, any batch, a process without our code."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from serving.predictors import LocalPredictor

# Ops of TensorFlow itself that move, compare, look up and compute. No TF-Text, no ScaNN, no py_function: a stock
# TensorFlow Serving has kernels for these and for no more than TensorFlow's own.
FORBIDDEN_PREFIXES = ("TFText>", "Scann", "PyFunc", "EagerPyFunc", "Addons>", "TFRA", "SentencepieceOp", "Wordpiece")
ALLOWED = set((pathlib.Path(__file__).parent / "stock_ops.txt").read_text(encoding="utf-8").split())
MODELS = {"retrieval": "retrieve", "ranking": "rank", "fused": "recommend"}
REQUEST_INPUTS = (
    "history",
    "history_value",
    "history_event_type",
    "history_timestamp",
    "timestamp",
    "query_token_ids",
)


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, sample_root: pathlib.Path) -> tuple[str, pathlib.Path]:
    return request.param, sample_root / "serving" / request.param / "1"


def test_graphs_hold_only_stock_ops(model: tuple[str, pathlib.Path]) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((model[1] / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    ops = {node.op for node in graph.node} | {node.op for f in graph.library.function for node in f.node_def}
    assert not {op for op in ops if op.startswith(FORBIDDEN_PREFIXES)}
    assert ops <= ALLOWED, f"not on the list of stock ops: {sorted(ops - ALLOWED)}"


def test_signatures_are_those_of_the_documentation(model: tuple[str, pathlib.Path]) -> None:
    name, path = model
    predictor = LocalPredictor({name: path})
    inputs = predictor.inputs(name, MODELS[name])
    assert inputs.keys() == predictor.inputs(name, "serving_default").keys()
    own = {"ranking": {"candidates", "retrieval_scores", "candidate_token_ids"}}.get(name, {"k"})
    assert own <= inputs.keys()
    described = own | set(REQUEST_INPUTS)
    assert all(known in described or known.startswith("user_") for known in inputs)


def test_any_model_loads_and_answers_without_our_code(
    model: tuple[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    _, path = model
    program = """
import json, sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
call = model.signatures["serving_default"]
inputs = {}
for name, spec in call.structured_input_signature[1].items():
    shape = [2] + [3] * (len(spec.shape) - 1)
    inputs[name] = tf.fill(shape, "item-0001") if spec.dtype == tf.string else tf.cast(tf.fill(shape, 3), spec.dtype)
outputs = call(**inputs)
foreign = ("models", "components", "serving", "tf_keras", "keras_nlp")
ours = [module for module in sys.modules if module.split(".")[0] in foreign]
print(json.dumps({"shapes": {k: v.shape.as_list() for k, v in outputs.items()}, "ours": ours}))
"""
    # With our choice of Keras in the environment, TensorFlow itself would import it.
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    command = [sys.executable, "-c", program, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    answer = json.loads(found.stdout.splitlines()[-1])
    assert answer["ours"] == []
    assert all(shape == [2, 3] for shape in answer["shapes"].values())


def test_unknown_ids_empty_histories_and_duplicates_are_served(sample_root: pathlib.Path) -> None:
    from models.requests import Event, Request
    from serving.recommender import Recommender

    serving = sample_root / "serving"
    recommender = Recommender(LocalPredictor({name: serving / name / "1" for name in MODELS}))
    histories = [[], ["nobody knows"], ["item-0001"] * 3, ["", "item-0001"], ["item-0001"] * 10_000]
    requests = [Request("u", [Event(item) for item in history]) for history in histories]
    found = recommender.candidates(requests)
    assert np.isfinite(found.scores).all() and (found.probabilities >= 0).all() and (found.probabilities <= 1).all()
    assert (found.item_ids[:, 0] != b"").all()
    np.testing.assert_array_equal(found.item_ids[0], found.item_ids[1])
