import dataclasses
from typing import Any

import numpy as np
import pytest

from homefeed.models.evaluation import metrics
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.towers.two_tower import ColdStart
from homefeed.models.retrieval.training import evaluation as evaluating
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training import windows
from tests.models.retrieval import toy

TINY = Hyperparameters(width=8, num_layers=1, max_events=4, batch_size=4, epochs=6, learning_rate=0.02)


@pytest.fixture(scope="module")
def fitted() -> Any:
    epochs = []
    evaluation = toy.sequences(num_users=10, num_targets=1, num_history=2, seed=1)
    model = training.fit_towers(toy.catalogue(), toy.sequences(num_users=40), evaluation, TINY, epochs.append)
    return model, evaluation, epochs


def test_learns_that_users_stay_within_their_genre(fitted: Any) -> None:
    model, evaluation, _ = fitted
    made = windows.Windows(evaluation, 4)
    scores = evaluating.scores_of_known(model, made, made.targets)(slice(None))
    for items, row in zip(made.histories(made.targets), scores, strict=True):
        own = [1, 2, 3] if items[0] <= 3 else [4, 5, 6]
        others = [4, 5, 6] if items[0] <= 3 else [1, 2, 3]
        unseen = [item for item in own if item not in items]
        assert row[unseen].min() > row[others].max()


def test_keeps_the_best_epoch(fitted: Any) -> None:
    model, evaluation, epochs = fitted
    kept = metrics.ndcg(evaluating.evaluate(model, windows.Windows(evaluation, 4)), 100).mean()
    assert kept == pytest.approx(np.nanmax([epoch.ndcg_100 for epoch in epochs]), abs=1e-6)
    assert [np.isnan(epoch.ndcg_100) for epoch in epochs] == [True, False] * 3  # Every second epoch is evaluated.
    assert all(np.isfinite(epoch.loss) for epoch in epochs)


def test_with_nothing_to_evaluate_on_the_same_seed_gives_the_same_model() -> None:
    config = dataclasses.replace(TINY, epochs=1)
    data = toy.catalogue(), toy.sequences(num_users=8), toy.sequences(num_users=3, num_targets=0, num_history=2)
    epochs = []
    first, second = (training.train(*data, config, epochs.append) for _ in range(2))
    np.testing.assert_array_equal(first.candidates, second.candidates)
    np.testing.assert_array_equal(first.linear.decode, second.linear.decode)
    assert len(epochs) == 2
    assert np.isnan(epochs[0].ndcg)


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(ValueError, match="no interaction"):
        training.fit_towers(
            toy.catalogue(), toy.sequences(num_users=2, num_targets=0, num_history=1), toy.sequences(), TINY
        )


def test_no_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="`epochs` is 0"):
        training.fit_towers(toy.catalogue(), toy.sequences(), toy.sequences(), Hyperparameters(epochs=0))


def test_shares_of_the_training_data_become_times() -> None:
    config = Hyperparameters(cold_start_share=0.3, cold_start_span=0.25)
    timestamp = np.array([2_000, 1_000, 1_100, 1_500, 1_200])
    # The data span 1,000 seconds; three tenths of five events are past at the second of them.
    assert training.cold_start(timestamp, config) == ColdStart(0.3, 250, 1_100)
    assert training.cold_start(timestamp[:0], config) == ColdStart(0.3, 0, 0)


def test_shares_of_targets_are_of_what_was_had_for_the_first_time() -> None:
    """One user has an item twice, another one two items: three targets."""
    sequences = dataclasses.replace(
        toy.sequences(num_users=2, num_targets=2), item_index=np.array([2, 2, 1, 2], np.int32)
    )
    shares = training.target_shares(sequences, 4, Hyperparameters())
    np.testing.assert_allclose(shares, [0, 1 / 3, 2 / 3, 0])


def test_an_item_is_first_seen_at_its_earliest_event() -> None:
    sequences = dataclasses.replace(
        toy.sequences(num_users=1),
        row_splits=np.array([0, 4]),
        item_index=np.array([3, 1, 3, 1], np.int32),
        timestamp=np.array([50, 20, 40, 70]),
    )
    never = np.iinfo(np.int64).max
    assert training.first_seen(sequences, 5).tolist() == [never, 20, never, 40, never]


@pytest.fixture(scope="module")
def trained() -> Any:
    """Towers and linear model, and what they are judged by."""
    evaluation = toy.sequences(num_users=6, num_targets=1, num_history=2, seed=1)
    config = dataclasses.replace(TINY, epochs=2, cold_start_price=0.5)
    made = windows.Windows(evaluation, 4)
    return training.train(toy.catalogue(), toy.sequences(num_users=20), evaluation, config), made


def test_cold_start_items_get_the_boost_and_no_other(trained: Any) -> None:
    model, _ = trained
    assert model.cold_start_boost != 0
    expected = model.towers.embed_all().numpy()
    expected[toy.NEW_ITEM, -1] += model.cold_start_boost
    np.testing.assert_allclose(model.candidates, expected, rtol=1e-6)


def test_scores_are_those_of_the_towers_and_of_the_linear_model_and_one_product(trained: Any) -> None:
    model = dataclasses.replace(trained[0], linear=_says_something(trained[0].linear))
    made = trained[1]
    towers = evaluating.embed_queries(model.towers, made, made.targets) @ model.candidates.T
    linear = model.linear.scores(made.histories(made.targets))
    scores = model.scores(made, made.targets)
    np.testing.assert_allclose(scores, towers + linear, rtol=1e-4, atol=1e-5)
    candidates = np.concatenate([model.candidates, model.linear.decode], axis=1)
    np.testing.assert_allclose(model.queries(made, made.targets) @ candidates.T, scores, rtol=1e-4, atol=1e-5)


def test_the_linear_model_reads_the_most_recent_events_alone(trained: Any) -> None:
    model = dataclasses.replace(trained[0], max_linear_events=1, linear=_says_something(trained[0].linear))
    made, width = trained[1], trained[0].candidates.shape[1]
    last = [history[-1:] for history in made.histories(made.targets)]
    linear = model.queries(made, made.targets)[:, width:]
    np.testing.assert_allclose(linear, model.linear.queries(last), rtol=1e-5)


def _says_something(linear: Any) -> Any:
    rng = np.random.default_rng(0)
    tables = (rng.normal(size=linear.encode.shape).astype(np.float32) for _ in range(2))
    return dataclasses.replace(linear, **dict(zip(("encode", "decode"), tables, strict=True)))


def test_training_stops_when_patience_is_over() -> None:
    epochs = []
    config = dataclasses.replace(TINY, epochs=20, patience=2, learning_rate=1e-9)
    evaluation = toy.sequences(num_users=10, num_targets=1, num_history=2, seed=1)
    training.fit_towers(toy.catalogue(), toy.sequences(num_users=8), evaluation, config, epochs.append)
    # Nothing is learnt: the evaluation of epoch 1 stays the best, and two epochs later training ends.
    assert [epoch.epoch for epoch in epochs] == [0, 1, 2, 3]
