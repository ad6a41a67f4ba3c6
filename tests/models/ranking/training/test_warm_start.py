import dataclasses
import pathlib

import numpy as np

from homefeed.models.ranking.training.warm_start import Snapshot, warm_start
from tests.models.ranking.toy import make_ranker
from tests.toy_data import toy_catalogue, toy_sequences


def test_rows_follow_their_items(tmp_path: pathlib.Path) -> None:
    before, train = toy_catalogue(), toy_sequences()
    earlier = make_ranker(before, train)
    for variable in earlier.trainable_variables:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    Snapshot.of(earlier, before, train).save(tmp_path)

    item_ids = before.item_ids.copy()
    item_ids[1], item_ids[2], item_ids[3] = item_ids[2], item_ids[1], b"never-seen"
    after = dataclasses.replace(before, item_ids=item_ids)
    later = make_ranker(after, train)
    fresh = np.array(later.items.ids)
    copied = warm_start(later, Snapshot.load(tmp_path), after, train)

    ids, old_ids = np.array(later.items.ids), np.array(earlier.items.ids)
    np.testing.assert_array_equal(ids[[1, 2, 4]], old_ids[[2, 1, 4]])
    np.testing.assert_array_equal(ids[3], fresh[3])
    assert copied["items/id_embedding"] == len(item_ids) - 1
    np.testing.assert_array_equal(np.array(later._hidden.kernel), np.array(earlier._hidden.kernel))
