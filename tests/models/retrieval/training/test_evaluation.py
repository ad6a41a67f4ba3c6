import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.evaluation import metrics
from homefeed.models.evaluation.metrics import Ranks
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.training import evaluation
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training.windows import Windows
from tests.models.retrieval import toy

TINY = Hyperparameters(width=4, num_layers=1, max_events=4)


@pytest.fixture(scope="module")
def model() -> Any:
    tf.keras.utils.set_random_seed(3)
    towers = training.build(toy.catalogue(), toy.sequences(), TINY)
    batch = next(Windows(toy.sequences(), 4).epoch(np.random.default_rng(0), 4))
    towers.compute_loss(evaluation.tensors(batch))
    return towers


def test_an_epoch_is_what_its_ranks_are() -> None:
    ranks = Ranks(np.array([0, 2, 20, 500]), np.zeros(4, np.int64))
    epoch = evaluation.Epoch.of(3, 1.5, ranks)
    # The ranks 1, 3, 21 and 501: 1 / log2(1 + rank) within the first 10, and within the first 100.
    assert epoch.ndcg == pytest.approx((1 + 1 / 2) / 4)
    assert epoch.ndcg_100 == pytest.approx((1 + 1 / 2 + 1 / math.log2(22)) / 4)
    assert (epoch.recall, epoch.epoch, epoch.loss) == (0.75, 3, 1.5)
    assert epoch.quality == epoch.ndcg_100 and epoch.figure == "NDCG@10 0.3750"


def test_an_epoch_without_targets_is_not_measured() -> None:
    nothing = evaluation.Epoch.of(0, 1.5, Ranks(np.empty(0, np.int64), np.empty(0, np.int64)))
    assert nothing.loss == 1.5 and math.isnan(nothing.quality)


def test_queries_are_embedded_one_by_one_as_in_batches(model: Any) -> None:
    windows = Windows(toy.sequences(num_users=3, num_targets=1, num_history=2), 4)
    together = evaluation.embed_queries(model, windows, windows.targets)
    alone = [evaluation.embed_queries(model, windows, windows.targets[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    by_two = evaluation.embed_queries(model, windows, windows.targets, batch_size=2)
    np.testing.assert_allclose(together, by_two, atol=1e-5)
    assert evaluation.embed_queries(model, windows, windows.targets[:0]).shape == (0, 5)


def test_what_training_has_never_seen_is_left_out_of_the_ranking(model: Any) -> None:
    windows = Windows(toy.sequences(num_users=3, num_targets=1, num_history=2), 4)
    scores = evaluation.scores_of_known(model, windows, windows.targets)(slice(None))
    known = np.isfinite(scores)
    assert known.tolist() == [[False, True, True, True, True, True, True, False]] * 3
    plain = evaluation.embed_queries(model, windows, windows.targets) @ model.embed_all().numpy().T
    np.testing.assert_array_equal(scores[known], plain[known])


def test_parts_rank_as_the_whole_does(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = Windows(toy.sequences(num_users=5, num_targets=1, num_history=2), 4)
    whole = evaluation.evaluate(model, windows)
    monkeypatch.setattr(metrics, "MAX_SCORES", 2 * model.num_rows)
    parts = evaluation.evaluate(model, windows)
    assert parts.above.tolist() == whole.above.tolist() and parts.tied.tolist() == whole.tied.tolist()


def test_the_history_is_no_candidate(model: Any) -> None:
    windows = Windows(toy.sequences(num_users=2, num_targets=1, num_history=2), 4)
    ranks = evaluation.evaluate(model, windows)
    scores = evaluation.scores_of_known(model, windows, windows.targets)(slice(None))
    for query, (target, history) in enumerate(
        zip(windows.items(windows.targets), windows.histories(windows.targets), strict=True)
    ):
        others = [row for row in range(1, 7) if row not in history and row != target]
        assert ranks.above[query] == sum(scores[query, row] > scores[query, target] for row in others)
