"""What holds for every exported model: stock ops, the documented inputs, any batch, a process without our code."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.requests import Request, batch_inputs
from homefeed.serving.predictors import LocalPredictor
from tests import documents

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
    asked = {"k", "timestamp", "query_token_ids", "filter_categories", "filter_language"}
    own = {"ranking": {"candidates", "retrieval_scores", "candidate_token_ids", "objective"}}.get(name, asked)
    own |= {"objective"} if name == "fused" else set()
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
    text = "" if name == "objective" else "item-0001"
    inputs[name] = tf.fill(shape, text) if spec.dtype == tf.string else tf.cast(tf.fill(shape, 3), spec.dtype)
outputs = call(**inputs)
foreign = ("homefeed", "tf_keras", "keras_nlp")
ours = [module for module in sys.modules if module.split(".")[0] in foreign]
print(json.dumps({"shapes": {k: v.shape.as_list() for k, v in outputs.items()}, "ours": ours}))
"""
    # With our choice of Keras in the environment, TensorFlow itself would import it.
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    command = [sys.executable, "-c", program, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    answer = json.loads(found.stdout.splitlines()[-1])
    assert answer["ours"] == []
    assert all(shape == [2, 3] for output, shape in answer["shapes"].items() if output not in ("source", "objective"))


def test_unknown_ids_empty_histories_and_duplicates_are_served(sample_root: pathlib.Path) -> None:
    from homefeed.models.requests import Event, Request
    from homefeed.serving.recommender import Recommender

    serving = sample_root / "serving"
    recommender = Recommender.of_saved_model(serving / "fused" / "1")
    histories = [[], ["nobody knows"], ["item-0001"] * 3, ["", "item-0001"], ["item-0001"] * 10_000]
    requests = [Request("u", [Event(item) for item in history]) for history in histories]
    found = recommender.candidates(requests)
    assert np.isfinite(found.scores).all() and (found.probabilities >= 0).all() and (found.probabilities <= 1).all()
    assert (found.item_ids[:, 0] != b"").all()
    np.testing.assert_array_equal(found.item_ids[0], found.item_ids[1])


def test_a_width_of_nothing_says_nothing(model: tuple[str, pathlib.Path]) -> None:
    """`[[]]` is what a new user's history looks like; so may every input that has an axis of any size."""
    name, path = model
    predictor = LocalPredictor({name: path})
    specs = predictor.inputs(name, MODELS[name])
    inputs = batch_inputs([Request("new"), Request("new", features={"age": 30.0})], specs)
    if name == "ranking":
        inputs["candidates"] = np.array([[b"item-0001", b"item-0002"]] * 2, object)
        inputs["retrieval_scores"] = np.array([[1.0, 2.0]] * 2, np.float32)
    else:
        inputs["k"] = np.array([5, 5], np.int32)
    expected = predictor.predict(name, MODELS[name], inputs)
    fixed = ("candidates", "retrieval_scores")
    of_any_width = [n for n, spec in specs.items() if -1 in spec.shape[1:] and n not in fixed]
    events = [n for n in of_any_width if n.startswith("history")]
    for group in (events, of_any_width, *([n] for n in of_any_width if n not in events)):
        found = predictor.predict(name, MODELS[name], inputs | {n: inputs[n][:, :0] for n in group})
        for output, value in expected.items():
            if value.dtype == np.float32:
                np.testing.assert_allclose(found[output], value, rtol=1e-6, err_msg=f"{output} without {group}")
            else:
                np.testing.assert_array_equal(found[output], value, err_msg=f"{output} without {group}")


def test_widths_that_disagree_are_refused(model: tuple[str, pathlib.Path]) -> None:
    """Whatever stands in the inputs: a value would count for another event, or for none."""
    name, path = model
    predictor = LocalPredictor({name: path})
    specs = predictor.inputs(name, MODELS[name])
    inputs = {
        alias: np.full(
            [1, *(3 if size < 0 else size for size in spec.shape[1:])], b"" if spec.dtype == object else 0, spec.dtype
        )
        for alias, spec in specs.items()
    }
    predictor.predict(name, MODELS[name], inputs)
    of_one_width = [alias for alias in specs if alias.startswith("history_") or alias == "retrieval_scores"]
    for alias in (*of_one_width, "history"):
        for width in (0, 1, 2, 4):
            with pytest.raises(tf.errors.InvalidArgumentError):
                predictor.predict(name, MODELS[name], inputs | {alias: np.resize(inputs[alias], [1, width])})


def test_a_query_in_chinese_finds_what_it_names(sample_root: pathlib.Path) -> None:
    from homefeed.models.requests import Request
    from homefeed.serving.queries import query_tokenizer
    from homefeed.serving.recommender import Recommender

    serving = sample_root / "serving"
    models = {name: serving / name / "1" for name in MODELS}
    recommender, tokenize = Recommender(LocalPredictor(models)), query_tokenizer(models["retrieval"])
    plain = [title.decode() for title in recommender.retrieve([Request("u")], 60)["titles"][0]]
    # The last of them all in Chinese.
    wanted = next(title for title in plain[::-1] if any(character > "\u2e80" for character in title))
    found = recommender.retrieve([Request("u", query_token_ids=tokenize(wanted))], 60)
    asked = [title.decode() for title in found["titles"][0]]
    assert asked.index(wanted) < 5 < plain.index(wanted) and sorted(asked) == sorted(plain)
    assert found["source"].tolist() == [b"query"]
    assert tokenize("") == tokenize("  ") == ()


def test_filters_and_words_reach_the_pushed_model(sample_root: pathlib.Path) -> None:
    from homefeed.models.requests import Request
    from homefeed.serving.recommender import Recommender

    serving = sample_root / "serving"
    recommender = Recommender(LocalPredictor({name: serving / name / "1" for name in MODELS}))
    asked = [{}, {"language": ["zh"]}, {"language": ["zh"], "categories": ["no such category"]}]
    plain, chinese, nothing = recommender.recommend([Request("u", filters=filters) for filters in asked], k=20)
    assert nothing == [] and 0 < len(chinese) <= 20
    assert all(any(character > "\u2e80" for character in place.title) for place in chinese)
    assert not all(any(character > "\u2e80" for character in place.title) for place in plain)


def test_the_documentation_has_every_input_and_output_with_its_type(model: tuple[str, pathlib.Path]) -> None:
    import tensorflow as tf

    text = documents.read(documents.HOUSE / "docs" / "signatures.md")
    rows = re.findall(r"^\| (`.+`) \| \[(.+?)\] (\w+) \|", text, re.MULTILINE)
    documented = {
        name: (axes.count(",") + 1, dtype) for names, axes, dtype in rows for name in re.findall(r"`(.+?)`", names)
    }
    name, path = model
    signatures = tf.saved_model.load(str(path)).signatures
    assert not [signature for signature in signatures if f"`{signature}`" not in text]
    found = signatures[MODELS[name]]
    tensors = {**found.structured_input_signature[1], **found.structured_outputs}
    of_users = {tensor for tensor in tensors if tensor.startswith("user_")}
    actual = {key: (len(spec.shape), spec.dtype.name) for key, spec in tensors.items() if key not in of_users}
    assert "`user_<feature>`" in text and of_users
    assert {key: documented.get(key) for key in actual} == actual
