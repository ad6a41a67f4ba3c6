import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from models.behaviour_text.user_sequence import UserSequence, text_tables
from models.catalogue import Catalogue
from models.ranking import bert, examples, requests
from models.ranking.hyperparameters import Hyperparameters
from models.ranking.ranker import Ranker
from models.ranking.warm_start import Snapshot, warm_start
from tests.components.ranking_toys import VOCABULARY
from tests.toy_data import toy_catalogue, toy_sequences

CONFIG = Hyperparameters(num_targets=2, num_negatives=0, width=4, num_events=3, num_tokens=16, num_factors=2)


def make_ranker(catalogue: Catalogue, vocabulary: list[str]) -> Ranker:
    train = toy_sequences()
    text = UserSequence(text_tables(vocabulary, catalogue, train), CONFIG.num_tokens)
    backbone = bert.new_bert(len(vocabulary), layers=1, width=8, length=32, dropout=0.0)
    ranker = Ranker(backbone, text, catalogue, train, CONFIG)
    moments = requests.every_target(train)[:2]
    batch = examples.batch(
        examples.unlisted(train, moments, 1, False), np.arange(2), CONFIG, np.random.default_rng(0)
    )
    ranker({name: tf.convert_to_tensor(array) for name, array in batch.items()})
    return ranker


def test_rows_follow_their_items_and_words(tmp_path: pathlib.Path) -> None:
    before, train = toy_catalogue(), toy_sequences()
    earlier = make_ranker(before, VOCABULARY)
    for variable in earlier.trainable_variables:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    Snapshot.of(earlier, before, train).save(tmp_path)

    item_ids = before.item_ids.copy()
    item_ids[1], item_ids[2], item_ids[3] = item_ids[2], item_ids[1], b"never-seen"
    after, words = dataclasses.replace(before, item_ids=item_ids), [*VOCABULARY[:5], "new", *VOCABULARY[5:]]
    later = make_ranker(after, words)
    fresh = np.array(later.items._ids)
    copied = warm_start(later, Snapshot.load(tmp_path), after, train)

    ids, old_ids = np.array(later.items._ids), np.array(earlier.items._ids)
    np.testing.assert_array_equal(ids[[1, 2, 4]], old_ids[[2, 1, 4]])
    np.testing.assert_array_equal(ids[3], fresh[3])
    assert copied["items/id_embedding"] == len(item_ids) - 1
    tokens, old_tokens = (np.array(ranker.bert.token_embedding.embeddings) for ranker in (later, earlier))
    np.testing.assert_array_equal(tokens[words.index("title")], old_tokens[VOCABULARY.index("title")])
    np.testing.assert_array_equal(np.array(later._hidden.kernel), np.array(earlier._hidden.kernel))
