import numpy as np
import pytest

from benchmarks import few_shot
from benchmarks.retrieval import Data
from homefeed.models.text.fitting import FROZEN, PRESET
from tests.models.text.worlds import make_world


def _known_users(parts: Data) -> set[int]:
    user = np.repeat(np.arange(parts.train.num_users), np.diff(parts.train.row_splits))
    return set(user[parts.train.item_index > 0].tolist())


def test_few_users_are_all_that_training_knows() -> None:
    catalogue, train = make_world()
    whole = Data(catalogue, train, train, train)
    three, five = (few_shot.few(whole, number, seed=0) for number in (3, 5))
    assert len(_known_users(three)) == 3 and len(_known_users(five)) == 5
    assert _known_users(three) < _known_users(five)
    np.testing.assert_array_equal(three.test.item_index, train.item_index)
    picked = three.train.item_index[three.train.targets]
    assert three.catalogue.train_counts[1:].sum() == (picked > 0).sum() > 0
    assert not three.catalogue.train_counts[np.setdiff1d(np.arange(catalogue.num_rows), picked)].any()


def test_a_row_compares_each_reading_with_a_random_one() -> None:
    users = np.array([0, 0, 1])
    ndcg = {"16 users": {FROZEN: np.array([0.2, 0.2, 0.4]), PRESET: np.array([0.4, 0.4, 0.8])}}
    lines, figures = few_shot.report([few_shot.Run(ndcg, users)] * 2)
    assert figures["16 users.preset frozen"] == pytest.approx(1.6 / 3)
    assert lines[-1].startswith(
        "| preset frozen | 16 users | 0.5333 | 0.5333 0.5333 | +100.0% (+100.0% to +100.0%) |"
    )
