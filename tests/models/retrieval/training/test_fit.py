import dataclasses

import numpy as np
import pytest

from homefeed.models.evaluation import metrics
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.training import evaluation as evaluating
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training import windows
from tests.models.retrieval import toy

TINY = Hyperparameters(width=8, num_layers=1, max_events=4, batch_size=4, num_epochs=6, learning_rate=0.02)


@pytest.fixture(scope="module")
def fitted():
    epochs = []
    evaluation = toy.sequences(num_users=10, num_targets=1, num_history=2, seed=1)
    model = training.fit_towers(toy.catalogue(), toy.sequences(num_users=40), evaluation, TINY, epochs.append)
    return model, evaluation, epochs


def test_learns_that_users_stay_within_their_genre(fitted):
    model, evaluation, _ = fitted
    made = windows.Windows(evaluation, 4)
    scores = evaluating.score_queries(model, made, made.targets)
    for items, row in zip(made.histories(made.targets), scores, strict=True):
        own = [1, 2, 3] if items[0] <= 3 else [4, 5, 6]
        others = [4, 5, 6] if items[0] <= 3 else [1, 2, 3]
        unseen = [item for item in own if item not in items]
        assert row[unseen].min() > row[others].max()


def test_keeps_the_best_epoch(fitted):
    model, evaluation, epochs = fitted
    kept = metrics.ndcg(evaluating.evaluate(model, windows.Windows(evaluation, 4)), 100).mean()
    assert kept == pytest.approx(np.nanmax([epoch.ndcg_100 for epoch in epochs]), abs=1e-6)
    assert [np.isnan(epoch.ndcg_100) for epoch in epochs] == [True, False] * 3  # Every second epoch is evaluated.
    assert all(np.isfinite(epoch.loss) for epoch in epochs)


def test_with_nothing_to_evaluate_on_the_same_seed_gives_the_same_model():
    config = dataclasses.replace(TINY, num_epochs=1)
    data = toy.catalogue(), toy.sequences(num_users=8), toy.sequences(num_users=3, num_targets=0, num_history=2)
    epochs = []
    first, second = (training.train(*data, config, epochs.append) for _ in range(2))
    np.testing.assert_array_equal(first.candidates, second.candidates)
    np.testing.assert_array_equal(first.linear.decode, second.linear.decode)
    assert len(epochs) == 2
    assert np.isnan(epochs[0].ndcg)


def test_nothing_to_train_on_is_an_error():
    with pytest.raises(ValueError, match="no interaction"):
        training.fit_towers(
            toy.catalogue(), toy.sequences(num_users=2, num_targets=0, num_history=1), toy.sequences(), TINY
        )


def test_no_epoch_is_refused():
    with pytest.raises(ValueError, match="`num_epochs` is 0"):
        training.fit_towers(toy.catalogue(), toy.sequences(), toy.sequences(), Hyperparameters(num_epochs=0))
