import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models import requests
from models.retrieval import export, linear_factors, retriever, training, windows
from models.retrieval.hyperparameters import Hyperparameters
from tests.models.retrieval import toy

TINY = Hyperparameters(width=4, num_layers=1, max_events=3, max_linear_events=5)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An untrained model, saved and loaded again, beside what it was made from."""
    tf.keras.utils.set_random_seed(7)
    catalogue, train = toy.catalogue(), toy.sequences()
    towers = training.build(catalogue, train, TINY)
    next_batch = next(windows.Windows(train, 3).epoch(np.random.default_rng(0), 2))
    towers.compute_loss({name: tf.constant(column) for name, column in next_batch.items()})
    linear = linear_factors.decompose(train, 8, rank=4, seed=0).factors(1.0, 0.3)
    folder = tmp_path_factory.mktemp("retrieval")
    candidates = towers.embed_all().numpy()
    candidates[toy.NEW_ITEM, -1] += 0.5
    trained = training.Trained(towers, candidates, linear, TINY.max_linear_events)
    export.save(retriever.Retriever(trained, catalogue, train), folder)
    return trained, tf.saved_model.load(str(folder))


def _call(loaded, signature="retrieve", k=3, histories=((),), **features):
    call = loaded.signatures[signature]
    specs = {
        name: requests.TensorSpec(
            np.object_ if spec.dtype == tf.string else spec.dtype.as_numpy_dtype,
            tuple(-1 if size is None else size for size in spec.shape),
        )
        for name, spec in call.structured_input_signature[1].items()
    }
    asked = [
        requests.Request("u", [requests.Event(item, 4.0, "view", 1_000_000) for item in history], features)
        for history in histories
    ]
    inputs = requests.batch_inputs(asked, specs)
    if "k" in specs:
        inputs["k"] = np.full(len(asked), k, np.int32)
    outputs = call(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def test_scores_are_those_of_the_trained_models(saved):
    trained, loaded = saved
    split = dataclasses.replace(
        toy.sequences(num_users=4, num_targets=1, num_history=2, seed=5),
        value=np.full(12, 4.0, np.float32),
        event_type_index=np.full(12, 2, np.int32),
        timestamp=np.full(12, 1_000_000),
        numeric={"age": np.full((4, 1), np.nan, np.float32)},
        categorical={"gender": np.zeros((4, 1), np.int32)},
    )
    made = windows.Windows(split, 3)
    histories = made.histories(made.targets)
    expected = trained.scores(made, made.targets)
    found = _call(loaded, k=99, histories=[[f"item-{i}" for i in rows] for rows in histories])
    for row, history in enumerate(histories):
        rows = [int(item.decode().removeprefix("item-")) for item in found["item_ids"][row] if item]
        assert sorted(rows) == sorted(set(range(1, 8)) - set(history.tolist()))
        np.testing.assert_allclose(found["scores"][row, : len(rows)], expected[row, rows], atol=1e-5)
        assert (np.diff(found["scores"][row]) <= 0).all()


def test_places_that_cannot_be_filled_are_marked(saved):
    found = _call(saved[1], k=1000, histories=[["item-1", "item-2"]])
    assert found["item_ids"].shape == (1, 7)
    assert found["item_ids"][0, 5:].tolist() == [b"", b""] == found["titles"][0, 5:].tolist()
    assert (found["scores"][0, 5:] == np.finfo(np.float32).min).all()


@pytest.mark.parametrize("histories", [[[]], [["zz", ""]], [["item-1"] * 400], [["", "item-2", "片"], []]])
def test_any_history_is_answered(saved, histories):
    found = _call(saved[1], histories=histories)
    assert np.isfinite(found["scores"]).all()
    for row, history in zip(found["item_ids"], histories, strict=True):
        assert not set(history) & {item.decode() for item in row}
        assert len(set(row)) == 3


def test_unknown_ids_and_padding_change_nothing(saved):
    plain = _call(saved[1], histories=[["item-1", "item-5"]])
    padded = _call(saved[1], histories=[["", "item-1", "zz", "item-5", ""]])
    np.testing.assert_allclose(plain["scores"], padded["scores"], atol=1e-6)


def test_the_order_of_the_history_counts(saved):
    forth, back = (_call(saved[1], histories=[h])["scores"] for h in (["item-1", "item-5"], ["item-5", "item-1"]))
    assert np.abs(forth - back).max() > 1e-6


def test_user_features_count_and_unknown_ones_are_served(saved):
    women, men, unknown = (_call(saved[1], gender=g, age=30.0)["scores"] for g in ("f", "m", "片"))
    assert np.abs(women - men).max() > 1e-6
    assert np.isfinite(unknown).all()


def test_titles_belong_to_the_items(saved):
    found = _call(saved[1], k=7)
    titles = dict(zip(toy.catalogue().item_ids, toy.catalogue().titles, strict=True))
    assert [titles[item] for item in found["item_ids"][0]] == found["titles"][0].tolist()


def test_similar_items_leave_out_the_item_itself(saved):
    call = saved[1].signatures["similar_items"]
    found = call(item_ids=tf.constant(["item-4", "zz"]), k=tf.constant([2, 6]))
    assert found["item_ids"].shape == (2, 6)
    assert b"item-4" not in found["item_ids"].numpy()[0]
    assert set(found["item_ids"].numpy()[1]) == {b""}


@pytest.mark.parametrize(
    ("present", "places"),
    [([False, True, False, True, True], [3, 4]), ([False] * 5, []), ([True] + [False] * 4, [0])],
)
def test_last_places(present, places):
    found, kept = retriever.last_places(tf.constant([present]), 2)
    assert found.numpy()[0, : int(kept[0])].tolist() == places
