import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval import snapshot as snapshots
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training import warm_start, windows
from tests.models.retrieval import toy

TINY = Hyperparameters(width=8, num_layers=1, max_events=4, batch_size=4, epochs=2, linear_rank=3)
WORDPIECE = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "tea", "cup", "blue", "片")


@pytest.fixture(scope="module")
def made() -> Any:
    catalogue, train = toy.catalogue(), toy.sequences(num_users=20)
    evaluation = toy.sequences(num_users=6, num_targets=1, num_history=2, seed=1)
    trained = training.train(catalogue, train, evaluation, TINY)
    return trained, snapshots.Snapshot.of(trained, catalogue, train, TINY, WORDPIECE, np.ones((2, 12), np.float32))


def later_catalogue() -> Any:
    """Another order, item 2 gone, and item 8: of genre b, with a genre that was not there before, and words."""
    rows = np.array([0, 7, 6, 5, 4, 3, 1, 7])
    old = toy.catalogue()
    item_ids, titles = old.item_ids[rows], old.titles[rows]
    item_ids[7], titles[7] = b"item-8", b"Title 8"
    categories = np.array([[0, 0], [3, 0], [3, 0], [3, 0], [3, 0], [2, 0], [2, 0], [3, 4]], np.int32)
    token_ids = old.token_ids[rows]
    token_ids[7] = [8, 999]  # A token beyond the model's table.
    return dataclasses.replace(
        old,
        item_ids=item_ids,
        titles=titles,
        token_ids=token_ids,
        text_vectors=old.text_vectors[rows],
        categorical={"categories": categories},
        numeric={},
        vocabularies={"categories": ("a", "b", "c")},
        train_counts=np.append(old.train_counts[rows[:7]], 0),
    )


def test_it_embeds_its_own_catalogue_as_training_did(made: Any) -> None:
    trained, snapshot = made
    _, tower = snapshot.towers()
    embeddings, encode = snapshot.embed(tower, toy.catalogue())
    expected = np.concatenate([trained.candidates, trained.linear.decode], axis=1)
    np.testing.assert_allclose(embeddings[1:], expected[1:], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(encode[1:], trained.linear.encode[1:], rtol=1e-4, atol=1e-5)
    assert not embeddings[0].any() and not encode[0].any()


def test_it_comes_back_from_disk_as_it_was(made: Any, tmp_path: pathlib.Path) -> None:
    _, snapshot = made
    snapshot.save(tmp_path)
    loaded = snapshots.Snapshot.load(tmp_path)
    assert loaded.facts == snapshot.facts
    assert loaded.item_ids.tolist() == snapshot.item_ids.tolist()
    embeddings = [s.embed(s.towers()[1], toy.catalogue())[0] for s in (snapshot, loaded)]
    np.testing.assert_array_equal(*embeddings)
    np.testing.assert_array_equal(loaded.sample, snapshot.sample)


def test_a_folder_without_one_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="no snapshot of a retrieval model"):
        snapshots.Snapshot.load(tmp_path)


def test_weights_that_another_version_lacked_are_named(made: Any) -> None:
    _, snapshot = made
    older = {name: weight for name, weight in snapshot.query_weights.items() if not name.startswith("wait")}
    assert len(older) == len(snapshot.query_weights) - 1
    with pytest.raises(ValueError, match="lacks the weights wait/embeddings"):
        dataclasses.replace(snapshot, query_weights=older).towers()


def test_items_keep_their_embeddings_in_another_catalogue_and_new_ones_get_theirs(made: Any) -> None:
    trained, snapshot = made
    with_prices = dataclasses.replace(
        later_catalogue(), numeric={"price": toy.catalogue().numeric["price"][[0, 7, 6, 5, 4, 3, 1, 7]]}
    )
    embeddings, encode = snapshot.embed(snapshot.towers()[1], with_prices)
    before = np.concatenate([trained.candidates, trained.linear.decode], axis=1)[[0, 7, 6, 5, 4, 3, 1]]
    np.testing.assert_allclose(embeddings[1:7], before[1:], rtol=1e-4, atol=1e-5)
    assert np.abs(embeddings[7]).max() > 0.01 and np.abs(encode[7]).max() > 0
    # What it shares with item 7 makes it more like that than like an item of the other genre.
    assert embeddings[7, :8] @ embeddings[1, :8] > embeddings[7, :8] @ embeddings[6, :8]


def test_a_column_that_the_table_has_lost_is_unknown(made: Any) -> None:
    _, snapshot = made
    embeddings, _ = snapshot.embed(snapshot.towers()[1], later_catalogue())
    assert np.isfinite(embeddings).all()


def test_training_goes_on_with_what_is_still_there(made: Any) -> None:
    _, snapshot = made
    catalogue = later_catalogue()
    catalogue.train_counts[7] = 3  # By now somebody had it.
    train = toy.sequences(num_users=8)
    wordpiece = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cup", "new", "tea", *("x" * n for n in range(1, 992))]
    model = training.build(catalogue, train, TINY)
    batch = next(windows.Windows(train, 4).epoch(np.random.default_rng(0), 4))
    model.compute_loss({name: tf.constant(column) for name, column in batch.items()})
    fresh = {name: v.numpy() for name, v in snapshots.named_variables(model.candidate_tower).items()}
    copied = warm_start.warm_start(model, snapshot, catalogue, train, wordpiece)
    warm = {name: v.numpy() for name, v in snapshots.named_variables(model.candidate_tower).items()}
    earlier = snapshot.candidate_weights
    # Trained then: items 1 to 6. Now in this order: 6, 5, 4, 3, 1, 8.
    np.testing.assert_array_equal(warm["ids"][1:6], earlier["ids"][[6, 5, 4, 3, 1]])
    np.testing.assert_array_equal(warm["ids"][6], fresh["ids"][6])
    np.testing.assert_array_equal(warm["tokens"][[5, 7]], earlier["tokens"][[7, 6]])
    np.testing.assert_array_equal(warm["tokens"][6], fresh["tokens"][6])
    np.testing.assert_array_equal(warm["features/categories"][:4], earlier["features/categories"])
    np.testing.assert_array_equal(warm["features/categories"][4], fresh["features/categories"][4])
    np.testing.assert_array_equal(warm["bias_kernel"], earlier["bias_kernel"])
    np.testing.assert_array_equal(warm["text_kernel"], fresh["text_kernel"])  # Of another text model's vectors.
    assert np.abs(earlier["text_kernel"]).max() > 0
    query = {name: v.numpy() for name, v in snapshots.named_variables(model.query_tower).items()}
    assert query.keys() == snapshot.query_weights.keys()
    for name in query.keys() - {"user/age"}:
        np.testing.assert_array_equal(query[name], snapshot.query_weights[name])
    assert copied["ids"] == 6 and copied["tokens"] == 7 and copied["user/age"] == 0  # Fewer users, fewer knots.


def test_a_warm_start_begins_where_the_earlier_training_ended(made: Any) -> None:
    _, snapshot = made
    catalogue, train = toy.catalogue(), toy.sequences(num_users=20)
    evaluation = toy.sequences(num_users=6, num_targets=1, num_history=2, seed=1)
    config = dataclasses.replace(TINY, epochs=1, learning_rate=1e-9, weight_decay=0.0)
    model = training.fit_towers(
        catalogue,
        train,
        evaluation,
        config,
        start=lambda towers: warm_start.warm_start(towers, snapshot, catalogue, train, WORDPIECE),
    )
    for name, variable in snapshots.named_variables(model.query_tower).items():
        np.testing.assert_allclose(variable.numpy(), snapshot.query_weights[name], atol=1e-5)


def test_it_holds_what_belongs_to_the_items_that_training_knew(made: Any) -> None:
    trained, snapshot = made
    assert snapshot.item_ids.tolist() == [f"item-{row}".encode() for row in range(1, 7)]
    assert snapshot.train_counts.tolist() == [9, 8, 7, 9, 8, 7]
    np.testing.assert_array_equal(snapshot.linear.encode, trained.linear.encode[1:7])
    np.testing.assert_array_equal(snapshot.linear.decode, trained.linear.decode[1:7])
    facts = snapshot.facts
    assert (facts.item_tokens, facts.widths) == (2, {"categories": 1})
    assert (facts.cold_start_boost, facts.long_term) == (trained.cold_start_boost, trained.linear.long_term)
    # Tokens 5, 6, 7 and 8 of the trained items: 5 and 8 are in three of them.
    assert np.flatnonzero(snapshot.is_shared).tolist() == [5, 8]


def test_rows_of_another_catalogue_are_what_training_knew_of_them(made: Any) -> None:
    _, snapshot = made
    rows = {name: column.numpy() for name, column in snapshots.tower_rows(snapshot, later_catalogue()).items()}
    assert rows["id"].tolist() == [0, 0, 6, 5, 4, 3, 1, 0]
    assert rows["categories"].tolist()[7] == [3, 1]  # Genre c came later: out of the vocabulary.
    assert rows["tokens"][7].tolist() == [8, 0]  # Token 999 is beyond the table.
    assert np.isnan(rows["price"]).all()


def test_the_boost_is_added_to_the_bias_of_cold_start_items_alone(made: Any) -> None:
    _, snapshot = made
    louder = dataclasses.replace(
        snapshot, facts=dataclasses.replace(snapshot.facts, cold_start_boost=snapshot.facts.cold_start_boost + 2)
    )
    plain, loud = (s.embed(s.towers()[1], toy.catalogue())[0] for s in (snapshot, louder))
    change = loud - plain
    assert np.argwhere(np.abs(change) > 1e-3).tolist() == [[toy.NEW_ITEM, 8]]
    assert change[toy.NEW_ITEM, 8] == pytest.approx(2, rel=1e-5)


def test_a_catalogue_that_no_text_model_has_read_is_embedded_without_meaning(made: Any) -> None:
    _, snapshot = made
    unread = dataclasses.replace(toy.catalogue(), text_vectors=np.empty((0, 0), np.float32))
    found = [snapshot.embed(snapshot.towers()[1], catalogue)[0] for catalogue in (toy.catalogue(), unread)]
    kernel = snapshot.candidate_weights["text_kernel"]
    vectors = toy.catalogue().text_vectors[1:]
    expected = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) @ kernel
    np.testing.assert_allclose((found[0] - found[1])[1:, :8], expected, atol=1e-5)


def test_facts_of_another_version_are_refused_with_a_word(made: Any, tmp_path: pathlib.Path) -> None:
    _, snapshot = made
    snapshot.save(tmp_path)
    file = tmp_path / "snapshot.json"
    file.write_text(file.read_text().replace('"cold_start_boost"', '"novelty_boost"'))
    with pytest.raises(ValueError, match=r"written by another version of homefeed \(cold_start_boost"):
        snapshots.Snapshot.load(tmp_path)
