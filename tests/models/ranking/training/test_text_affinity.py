import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking.examples import prediction_points
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training import text_affinity
from homefeed.models.sequences import Sequences
from tests.models.ranking.toy import make_ranker
from tests.toy_data import toy_catalogue, toy_sequences

NUM_ITEMS = 15
KINDS = np.arange(NUM_ITEMS + 1) % 3  # Of rows; an item's text says what kind it is, and nothing else.
WORDS = (5, 7, 9)
QUERY = 6


def _world(num_users: int = 30, num_events: int = 20) -> tuple[Catalogue, Sequences]:
    """Kind 1 always follows kind 0, 2 follows 1, and 0 follows 2; the last two items are never picked."""
    catalogue = toy_catalogue(NUM_ITEMS)
    tokens = np.tile(np.array(WORDS, np.int32)[KINDS, None], (1, 3))
    tokens[0] = 0
    rng = np.random.default_rng(0)
    kinds = (rng.integers(0, 3, (num_users, 1)) + np.arange(num_events)) % 3
    picked = np.array([rng.choice(np.flatnonzero(KINDS[1:-2] == kind) + 1) for kind in kinds.ravel()])
    counts = np.bincount(picked, minlength=NUM_ITEMS + 1)
    catalogue = dataclasses.replace(catalogue, token_ids=tokens, train_counts=counts)
    one = toy_sequences(num_users)
    total = num_users * num_events
    return catalogue, dataclasses.replace(
        one,
        row_splits=np.arange(0, total + 1, num_events),
        item_index=picked.astype(np.int32),
        timestamp=np.arange(total),
        event_numeric={"value": np.full(total, 3.0, np.float32)},
        event_categorical={"event_type": np.zeros(total, np.int32)},
        positive=np.ones(total, bool),
    )


def _fitted(catalogue: Catalogue, train: Sequences) -> tuple[Ranker, tuple[float, ...]]:
    ranker = make_ranker(catalogue, train)
    ranker.read_items()
    return ranker, text_affinity.fit(ranker, catalogue, train, train, 0)


def _of_all(ranker: Ranker, history: list[int], query: int = 0) -> np.ndarray:
    """[num_items + 1] affinity of each row."""
    request = {"recent_items": tf.constant([history]), "query_token_ids": tf.constant([[query, 0]])}
    return np.asarray(ranker.affinity(request, ranker.items.texts(tf.range(NUM_ITEMS + 1))[None]))[0]


def test_what_follows_is_learnt_of_texts_and_so_of_cold_start_items() -> None:
    catalogue, train = _world()
    ranker, losses = _fitted(catalogue, train)
    assert losses[0] - min(losses) == pytest.approx(np.log(3), abs=0.1), "one kind in three is possible"
    for last in range(1, 4):
        affinity = _of_all(ranker, [last, 0, 0])
        follows = KINDS[1:] == (KINDS[last] + 1) % 3
        assert affinity[1:][follows].min() > affinity[1:][~follows].max(), "the last two, never picked, among them"


@pytest.mark.parametrize("num_rows", [4, 4096])
def test_a_sample_of_the_catalogue_is_enough(num_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_affinity, "_ROWS", num_rows)
    ranker, losses = _fitted(*_world())
    affinity = _of_all(ranker, [1, 0, 0])
    assert KINDS[1 + affinity[1:].argmax()] == 2 and min(losses) < losses[0] - 0.5


def test_a_sample_stands_for_the_whole_where_few_items_are_picked_most(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue, train = _world()
    counts = np.array([0, 1000, *[2] * (NUM_ITEMS - 1)])
    ranker = make_ranker(dataclasses.replace(catalogue, train_counts=counts), train)
    ranker.read_items()
    for kernel in ranker.text_affinity.kernels:
        kernel.assign(np.random.default_rng(0).normal(size=kernel.shape) / 8)
    trainer = text_affinity.AffinityTrainer(
        ranker, dataclasses.replace(catalogue, train_counts=counts), np.arange(1, NUM_ITEMS + 1), 1
    )
    given = trainer.inputs(train, prediction_points.every_target(train)[:64])
    rng = np.random.default_rng(0)
    whole = float(trainer.evaluate(*given, *trainer.sample(rng)))
    monkeypatch.setattr(text_affinity, "_ROWS", 12)
    sampled = [float(trainer.evaluate(*given, *trainer.sample(rng))) for _ in range(200)]
    assert np.mean(sampled) == pytest.approx(whole, abs=0.1 * whole)


def test_a_query_is_answered_with_other_words() -> None:
    catalogue, train = _world()
    asked = KINDS[train.item_index] == 2
    queries = np.where(asked[:, None], [QUERY, 0], 0).astype(np.int32)
    # Any kind may follow any, so that nothing but the query tells what comes.
    shuffled = np.random.default_rng(1).permutation(len(asked))
    train = dataclasses.replace(train, item_index=train.item_index[shuffled], query_token_ids=queries[shuffled])
    ranker, _ = _fitted(catalogue, train)
    plain, searched = _of_all(ranker, [1, 0, 0]), _of_all(ranker, [1, 0, 0], QUERY)
    gain = (searched - plain)[1:]
    assert gain[KINDS[1:] == 2].min() > gain[KINDS[1:] != 2].max() + 1


def test_nothing_to_learn_from() -> None:
    catalogue, train = _world()
    ranker = make_ranker(catalogue, train)
    ranker.read_items()
    empty = dataclasses.replace(train, num_history=np.diff(train.row_splits))
    for splits in ((train, empty), (empty, train)):
        assert text_affinity.fit(ranker, catalogue, *splits, 0) == ()
    assert not _of_all(ranker, [1, 0, 0]).any()


def test_the_loss_in_numpy() -> None:
    """The likelihood of what came next among the rows offered, each as likely beforehand as it is popular."""
    catalogue, train = _world(num_users=4, num_events=6)
    ranker = make_ranker(catalogue, train)
    ranker.read_items()
    for kernel in ranker.text_affinity.kernels:
        kernel.assign(np.random.default_rng(0).normal(size=kernel.shape) / 4)
    known = np.flatnonzero(catalogue.train_counts)
    trainer = text_affinity.AffinityTrainer(ranker, catalogue, known, 1)
    request, picked = trainer.inputs(train, prediction_points.every_target(train)[2:9])
    affinity = np.asarray(ranker.affinity(request, ranker.items.texts(tf.range(NUM_ITEMS + 1))[None]))
    logits = affinity + np.log(np.maximum(catalogue.train_counts, 1))
    losses = []
    for row, item in zip(logits, picked.numpy(), strict=True):
        losses.append(np.log(np.exp(row[known]).sum()) - row[item])
    found = trainer.evaluate(request, picked, *trainer.sample(np.random.default_rng(0)))
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-4)
    assert picked.numpy().tolist() == train.item_index[2:9].tolist()


def test_the_pass_that_is_best_on_eval_is_kept() -> None:
    catalogue, train = _world()
    ranker, losses = _fitted(catalogue, train)
    best = int(np.argmin(losses))
    assert len(losses) - 1 - best <= text_affinity._PATIENCE and best > 0
    known = np.flatnonzero(catalogue.train_counts)
    trainer = text_affinity.AffinityTrainer(ranker, catalogue, known, 1)
    points = text_affinity._usable(train, known)
    rows = trainer.sample(np.random.default_rng(0))
    parts = [points[at : at + 256] for at in range(0, len(points), 256)]
    now = [float(trainer.evaluate(*trainer.inputs(train, part), *rows)) for part in parts]
    sizes = [len(part) for part in parts]
    assert np.average(now, weights=sizes) == pytest.approx(losses[best], rel=1e-3)


def test_only_events_with_items_that_training_knows_are_learnt_from() -> None:
    _, train = _world(num_users=3, num_events=5)
    known = np.array([1, 2, 4])
    points = text_affinity._usable(train, known)
    assert set(train.item_index[points.cut]) <= set(known)
    assert len(points) == np.isin(train.item_index, known).sum()
