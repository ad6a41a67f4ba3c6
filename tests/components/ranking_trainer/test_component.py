import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.components import ranking_trainer as component
from homefeed.components.artifacts.types import Model, ModelRun, PretrainedBert
from homefeed.models.sequences import Sequences
from tests.components import ranking_toys
from tests.toy_data import toy_catalogue, toy_sequences

LOWEST = np.finfo(np.float32).min
TINY = component.Config(
    num_targets=2,
    num_listed=1,
    num_negatives=3,
    num_retrieved=4,
    points_per_user=2,
    width=4,
    max_events=3,
    num_factors=2,
    max_rated_events=4,
    epochs=2,
    batch_size=4,
)


def _train(
    folder: pathlib.Path, toy_models: dict[str, pathlib.Path], *missing: str, config: component.Config = TINY
) -> component.Outputs:
    splits = (ranking_toys.without(with_queries(toy_sequences(num_history=n)), *missing) for n in (0, 2))
    graph, examples = ranking_toys.save_transformed(folder, toy_catalogue(), *splits)
    pretrained = PretrainedBert(folder / "bert")
    ranking_toys.text_model(toy_catalogue()).save(pretrained.path)
    inputs = component.Inputs(graph, examples, pretrained, Model(toy_models["retrieval"]))
    outputs = component.Outputs(Model(folder / "model"), ModelRun(folder / "run"))
    assert (" epochs, loss " if config.epochs else "not trained") in component.run(inputs, outputs, config)
    return outputs


def with_queries(sequences: Sequences) -> Sequences:
    """Every third event was searched for."""
    tokens = np.random.default_rng(4).integers(5, 10, (len(sequences.item_index), 2)).astype(np.int32)
    tokens[np.arange(len(tokens)) % 3 > 0] = 0
    return dataclasses.replace(sequences, query_token_ids=tokens)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, toy_models: dict[str, pathlib.Path]) -> component.Outputs:
    return _train(tmp_path_factory.mktemp("ranking"), toy_models)


@pytest.fixture(scope="module")
def model(outputs: component.Outputs) -> Any:
    return tf.saved_model.load(str(outputs.model.serving_dir))


def _rank(model: Any, candidates: list[list[str]], history: list[list[str]], **changes: Any) -> dict[str, Any]:
    shape = np.array(candidates).shape
    past = (len(history), len(history[0]))
    request = {
        "candidates": tf.reshape(tf.constant(candidates, tf.string), shape),
        "retrieval_scores": tf.reshape(tf.range(float(np.prod(shape))), shape),
        "candidate_token_ids": tf.zeros([past[0], 1, 1], tf.int32),
        "query_token_ids": tf.zeros([past[0], 1], tf.int32),
        "objective": tf.fill([past[0]], ""),
        "history": tf.reshape(tf.constant(history, tf.string), past),
        "history_value": tf.fill(past, 4.0),
        "history_event_type": tf.fill(past, "view"),
        "history_timestamp": tf.fill(past, tf.constant(1_000_000, tf.int64)),
        "timestamp": tf.fill([past[0]], tf.constant(1_000_100, tf.int64)),
        "user_gender": tf.fill([past[0]], "F"),
        "user_age": tf.fill([past[0]], 30.0),
    }
    outputs = model.signatures["rank"](**(request | changes))
    return {name: value.numpy() for name, value in outputs.items()}


def test_scores_probabilities_and_ratings(model: Any) -> None:
    result = _rank(model, [["i1", "i2", ""], ["i3", "nobody", "i7"]], [["i4", "i5"], ["", "i1"]])
    assert result.pop("objective").tolist() == [b"interactions", b"interactions"]
    liked = {"probabilities", "probability_deviation"}
    assert set(result) == {"scores", "interests", "expected_values", "ratings"} | liked
    np.testing.assert_array_equal(result["interests"][:, :2], result["scores"][:, :2])
    assert not result["expected_values"].any()
    assert all(value.shape == (2, 3) and value.dtype == np.float32 for value in result.values())
    assert result["scores"][0, 2] == LOWEST and result["probabilities"][0, 2] == result["ratings"][0, 2] == 0
    real = np.array([[True, True, False], [True, True, True]])
    assert (result["scores"][real] > LOWEST).all()
    assert ((result["probabilities"][real] > 0) & (result["probabilities"][real] < 1)).all()
    assert ((result["ratings"][real] >= 1) & (result["ratings"][real] <= 5)).all()


def test_padding_and_unknown_ids_of_the_history_change_nothing(model: Any) -> None:
    plain = _rank(model, [["i1", "i2"]], [["i4", "i5"]])
    padded = _rank(model, [["i1", "i2"]], [["", "i4", "who", "", "i5", ""]])
    np.testing.assert_allclose(padded["scores"], plain["scores"], atol=1e-5)
    np.testing.assert_allclose(padded["probabilities"], plain["probabilities"], atol=1e-5)


def test_rows_of_a_batch_do_not_touch_each_other(model: Any) -> None:
    both = _rank(model, [["i1", "i2"], ["i6", "i3"]], [["i4", "i5"], ["", "i1"]])
    alone = _rank(model, [["i6", "i3"]], [["i1"]])
    np.testing.assert_allclose(both["probabilities"][1], alone["probabilities"][0], atol=1e-5)


def test_unknown_candidates_are_alike(model: Any) -> None:
    result = _rank(model, [["who", "nobody"]], [["i4"]], retrieval_scores=tf.zeros([1, 2]))
    assert result["scores"][0, 0] == result["scores"][0, 1]


def test_an_item_that_the_model_has_never_seen_is_read(model: Any) -> None:
    candidates, same = [["who", "nobody", "i2"]], tf.zeros([1, 3])
    plain = _rank(model, candidates, [["i4"]], retrieval_scores=same)["ratings"][0]
    tokens = tf.constant([[[5, 6, 9, 0], [0, 0, 0, 0], [9, 9, 9, 9]]])
    read = _rank(model, candidates, [["i4"]], retrieval_scores=same, candidate_token_ids=tokens)["ratings"][0]
    assert abs(read[0] - plain[0]) > 1e-7, "the text of an unknown item counts"
    np.testing.assert_allclose(read[1:], plain[1:], atol=1e-6, err_msg="no text, or a known item: as before")


@pytest.mark.parametrize("tokens", [[[5] * 5000], [[-3, 10, 2_000_000_000]], np.zeros((1, 0), np.int32)])
def test_queries_and_texts_of_any_length_and_vocabulary(model: Any, tokens: Any) -> None:
    tokens = tf.constant(tokens, tf.int32)
    changes = {"query_token_ids": tokens, "candidate_token_ids": tokens[:, None]}
    assert np.isfinite(_rank(model, [["i1", "who"]], [["i4"]], **changes)["scores"]).all()


def test_the_vocabulary_is_among_the_assets(outputs: component.Outputs) -> None:
    vocabulary = (outputs.model.serving_dir / "assets" / "vocab.txt").read_text(encoding="utf-8")
    assert vocabulary.split("\n")[:-1] == ranking_toys.VOCABULARY


def test_nothing_asked_and_nothing_known(model: Any) -> None:
    assert _rank(model, [[]], [["i1"]])["scores"].shape == (1, 0)
    nobody = _rank(
        model,
        [["i1", "i2"]],
        [[]],
        user_gender=tf.constant([""]),
        user_age=tf.constant([np.nan]),
        timestamp=tf.constant([0], tf.int64),
    )
    assert np.isfinite(nobody["scores"]).all()


def test_a_history_of_thousands(model: Any) -> None:
    assert np.isfinite(_rank(model, [["i1", "i2"]], [["i3"] * 5000])["scores"]).all()


def test_only_stock_operations(outputs: component.Outputs) -> None:
    from tensorflow.python.saved_model import loader_impl

    graph = loader_impl.parse_saved_model(str(outputs.model.serving_dir)).meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert not {node.op for node in nodes if ">" in node.op or "PyFunc" in node.op}


def test_the_curve_is_recorded(outputs: component.Outputs) -> None:
    curve = outputs.model_run.read_json("curve.json")
    assert len(curve["epochs"]) == 2
    assert set(curve) == {"epochs", "blend", "calibration", "types", "objectives"}


def test_the_pushed_model_holds_the_text_model_and_not_its_copy(outputs: component.Outputs) -> None:
    """Training of the ranker leaves BERT as it was handed over."""
    expected = ranking_toys.text_model(toy_catalogue()).berts[0].token_embedding.embeddings.numpy()
    reader = tf.train.load_checkpoint(str(outputs.model.serving_dir / "variables" / "variables"))
    found = [
        reader.get_tensor(name) for name, shape in reader.get_variable_to_shape_map().items() if shape == [10, 8]
    ]
    assert any(np.array_equal(tensor, expected) for tensor in found)


def test_a_warm_start_that_does_not_train_is_the_earlier_model(
    model: Any, outputs: component.Outputs, tmp_path: pathlib.Path, toy_models: dict[str, pathlib.Path]
) -> None:
    config = dataclasses.replace(TINY, base_model=str(outputs.model.path), epochs=0)
    again = _train(tmp_path, toy_models, config=config)
    served = tf.saved_model.load(str(again.model.serving_dir))
    asked = [["i1", "i2", "i6"]], [["i4", "i5"]]
    found = _rank(served, *asked)
    for name in ("scores", "probabilities", "ratings"):
        np.testing.assert_allclose(found[name], _rank(model, *asked)[name], atol=1e-5)


def test_a_base_model_without_a_snapshot_is_refused(
    tmp_path: pathlib.Path, toy_models: dict[str, pathlib.Path]
) -> None:
    with pytest.raises(FileNotFoundError, match="no snapshot of a ranking model"):
        _train(tmp_path, toy_models, config=dataclasses.replace(TINY, base_model=str(tmp_path / "nothing")))


def test_without_optional_data(tmp_path: pathlib.Path, toy_models: dict[str, pathlib.Path]) -> None:
    config = dataclasses.replace(TINY, epochs=0)
    outputs = _train(tmp_path, toy_models, "value", "event_type", "users", "dislikes", "queries", config=config)
    rank = tf.saved_model.load(str(outputs.model.serving_dir)).signatures["rank"]
    inputs = set(rank.structured_input_signature[1])
    of_candidates = {"candidates", "retrieval_scores", "candidate_token_ids", "objective"}
    assert inputs == of_candidates | {"history", "history_timestamp", "timestamp"}
    liked = {"probabilities", "probability_deviation"}
    assert set(rank.structured_outputs) == {"scores", "interests", "expected_values", "objective"} | liked


def test_nothing_was_liked(tmp_path: pathlib.Path, toy_models: dict[str, pathlib.Path]) -> None:
    outputs = _train(tmp_path, toy_models, "likes", config=dataclasses.replace(TINY, epochs=1))
    trained = tf.saved_model.load(str(outputs.model.serving_dir))
    assert np.isfinite(_rank(trained, [["i1", "i2"]], [["i4"]])["probabilities"]).all()


def test_a_history_of_strange_ids(model: Any) -> None:
    history = [["\x00\x07\n", "i" * 5000, "\ud83d".encode("utf-8", "replace").decode(), "i1"]]
    strange = _rank(model, [["i1", "\x00", "i" * 5000]], history)
    plain = _rank(model, [["i1", "who", "who"]], [["i1"]])
    np.testing.assert_allclose(strange["probabilities"], plain["probabilities"], atol=1e-5)
