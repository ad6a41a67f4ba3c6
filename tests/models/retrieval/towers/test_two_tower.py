import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.towers.two_tower import ColdStart
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training import windows
from tests.models.retrieval import toy

TINY = Hyperparameters(width=4, num_layers=1, num_heads=2, max_events=4, dropout=0.0)


def _model_and_batch(config: Any) -> Any:
    tf.keras.utils.set_random_seed(0)
    train = toy.sequences()
    model = training.build(toy.catalogue(), train, config)
    batch = next(windows.Windows(train, config.max_events).epoch(np.random.default_rng(0), 4))
    return model, {name: tf.constant(column) for name, column in batch.items()}


@pytest.mark.parametrize("cold_start_share", [0.0, 1.0], ids=["all known", "some played through as new"])
def test_loss_is_the_cross_entropy_over_what_could_be_had(cold_start_share: Any) -> None:
    config = dataclasses.replace(TINY, cold_start_share=cold_start_share, cold_start_span=0.5)
    model, batch = _model_and_batch(config)
    for weight in model.trainable_variables:  # Biases start at 0, where they say nothing.
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.2))
    known, new = (table.numpy() for table in model.embed_candidates(tf.range(8)))
    known[0] = 0
    items, weights, times = (batch[name].numpy() for name in ("item", "weight", "timestamp"))
    queries = model.embed_queries(batch, tf.constant(known[items][..., :-1])).numpy()
    train = toy.sequences()
    first_seen = training.first_seen(train, 8)
    simulated = training.cold_start(train.timestamp, config)
    total = num_new = num_absent = 0.0
    for row, place in np.argwhere(weights > 0):
        time, logits = times[row, place], {}
        for candidate in set(range(1, 7)) - set(items[row, :place]):
            if cold_start_share and time >= simulated.start:
                is_new = first_seen[candidate] > time - simulated.seconds
                num_new += is_new
                logits[candidate] = queries[row, place] @ (new if is_new else known)[candidate]
            elif first_seen[candidate] <= time:
                logits[candidate] = queries[row, place] @ known[candidate]
            else:
                num_absent += 1
        total += np.log(np.sum(np.exp(list(logits.values())))) - logits[items[row, place]]
    assert num_new if cold_start_share else num_absent  # The case that this test is about does occur.
    assert model.compute_loss(batch).numpy() == pytest.approx(total / weights.sum(), abs=1e-4)


def _sampled_loss(model: Any, batch: Any, sampled: Any, train_counts: Any, cold_start: ColdStart) -> Any:
    """The sampled softmax of one batch, a target and a candidate at a time, every window simulating a cold start."""
    known, new = (table.numpy() for table in model.embed_candidates(tf.range(8)))
    items, weights, times = (batch[name].numpy() for name in ("item", "weight", "timestamp"))
    queries = model.embed_queries(batch, tf.constant(known[items][..., :-1])).numpy()
    first_seen = training.first_seen(toy.sequences(), 8)
    draws = [*items[weights > 0], *sampled]
    trained, num_targets = np.count_nonzero(train_counts), np.count_nonzero(weights)
    losses, kinds = [], set()
    for window, place in np.argwhere(weights):
        target, query, time = items[window, place], queries[window, place], times[window, place]
        own, others = 0.0, 0.0
        for item in set(draws):
            is_new = time >= cold_start.start and first_seen[item] > time - cold_start.seconds
            likelihood = np.exp(query @ (new if is_new else known)[item])
            kinds.add(("new" if is_new else "known", item == target))
            if item == target:
                own = likelihood
            elif item not in items[window] and first_seen[item] <= time:
                share = train_counts[item] / train_counts.sum()
                expected = (num_targets - num_targets / len(items)) * share + len(sampled) / trained
                others += draws.count(item) / expected * likelihood
            else:
                kinds.add("none")
        losses.append(np.log(own + others) - np.log(own))
    assert kinds == {"none", *((kind, is_own) for kind in ("new", "known") for is_own in (True, False))}
    return np.average(losses, weights=weights[weights > 0])


def test_the_sampled_loss_is_corrected_by_how_often_each_item_is_drawn() -> None:
    counts = np.array([0, 30, 1, 2, 9, 5, 1, 0])  # Row 1 is expected 2.8 times, most others less than once.
    catalogue = dataclasses.replace(toy.catalogue(), train_counts=counts)
    config = dataclasses.replace(TINY, max_softmax_items=0, cold_start_share=1.0, cold_start_span=0.5, max_events=2)
    model = training.build(catalogue, toy.sequences(), config)
    model._target_shares = tf.constant(counts / counts.sum(), tf.float32)
    batch = next(windows.Windows(toy.sequences(), config.max_events).epoch(np.random.default_rng(0), 6))
    batch["weight"][0] *= 3
    batch = {name: tf.constant(column) for name, column in batch.items()}
    model.compute_loss(batch)
    for weight in model.trainable_variables:
        weight.assign_add(tf.random.stateless_normal(weight.shape, (1, 2), stddev=0.2))
    sampled = [2, 4, 4]
    found = model.sampled_loss(batch, tf.constant(sampled))
    expected = _sampled_loss(model, batch, sampled, counts, training.cold_start(toy.sequences().timestamp, config))
    assert float(found) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("limit", [0, 20_000], ids=["sampled", "full"])
def test_an_event_in_the_same_second_on_the_same_item_is_no_reason_not_to_choose_it(limit: int) -> None:
    """Events of one second are shuffled: a click may stand before the first view, which is the target."""
    model, batch = _model_and_batch(dataclasses.replace(TINY, max_softmax_items=limit))
    batch["item"] = tf.repeat(batch["item"][:, :1], 4, axis=1)
    batch["timestamp"] = tf.repeat(tf.reduce_max(batch["timestamp"], axis=1, keepdims=True), 4, axis=1)
    batch["weight"] = tf.one_hot([1] * len(batch["item"]), 4)
    assert float(model.compute_loss(batch)) < 10


def test_the_sampled_loss_reaches_the_id_table_as_training_traces_it() -> None:
    config = dataclasses.replace(TINY, max_softmax_items=0, num_sampled=64)
    model, batch = _model_and_batch(config)
    model.compute_loss(batch)

    @tf.function(autograph=False)
    def gradients() -> Any:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
        return loss, tape.gradient(loss, model.candidate_tower.ids)

    loss, gradient = gradients()
    assert np.isfinite(loss.numpy())
    assert np.abs(tf.convert_to_tensor(gradient).numpy()).max() > 0


def test_before_anybody_had_an_item_it_is_no_negative() -> None:
    config = dataclasses.replace(TINY, max_softmax_items=0, num_sampled=500)
    model, batch = _model_and_batch(config)
    batch = {name: column[:1] for name, column in batch.items()}
    only = batch["item"].numpy()[0, 0]
    batch["weight"] = tf.one_hot([0], batch["weight"].shape[1])
    assert float(model.compute_loss(batch)) > 0.1
    # Had everything but the target come later, there would be nothing to tell it from.
    model._first_seen = tf.constant(np.where(np.arange(8) == only, 0, tf.int32.max), tf.int32)
    assert float(model.compute_loss(batch)) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("limit", [0, 20_000], ids=["sampled", "full"])
def test_a_placeholder_of_a_time_closes_nothing(limit: int) -> None:
    """One event in 1900 among those of today: more seconds than int32 has."""
    losses = []
    for first in (700_000_000, -2_208_988_800):
        tf.keras.utils.set_random_seed(0)
        train = toy.sequences()
        times = train.timestamp + 1_700_000_000
        times[0] = first
        train = dataclasses.replace(train, timestamp=times)
        config = dataclasses.replace(TINY, max_softmax_items=limit, num_sampled=500, cold_start_share=0.5)
        model = training.build(toy.catalogue(), train, config)
        batch = next(windows.Windows(train, config.max_events).epoch(np.random.default_rng(0), 4))
        losses.append(float(model.compute_loss({name: tf.constant(column) for name, column in batch.items()})))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3) and losses[0] > 0.5


def test_row_0_is_nothing() -> None:
    model, _ = _model_and_batch(TINY)
    assert not model.embed_all().numpy()[0].any()


@pytest.mark.parametrize("limit", [0, 20_000], ids=["sampled", "full"])
def test_cold_starts_are_simulated_in_a_share_of_the_windows(limit: int) -> None:
    """In half of four windows: those come first in a batch."""
    model, batch = _model_and_batch(dataclasses.replace(TINY, cold_start_share=0.5, max_softmax_items=limit))
    # Candidates 5 and 6 were first seen a while after the others.
    model._first_seen = tf.constant([0, 1, 1, 1, 1, 1_000_000, 1_000_000, tf.int32.max])
    model._begin, model._cold_start = 0, ColdStart(0.5, seconds=500_000, start=0)
    batch = batch | {"timestamp": tf.fill(batch["timestamp"].shape, tf.constant(1_000_001, tf.int64))}
    for weight in model.trainable_variables:
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.2))

    def losses() -> Any:
        """Of the first event of each window; the same negatives each time."""
        tf.random.set_seed(0)
        weights = [tf.one_hot([4 * row], 16)[0] for row in range(4)]
        return np.array([float(model.compute_loss({**batch, "weight": tf.reshape(w, [4, 4])})) for w in weights])

    before = losses()
    model.candidate_tower.new_bias.assign_add(1.0)
    assert (np.abs(losses() - before) > 1e-4).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("limit", "others"),
    [
        (20_000, [[0] * 4, [1, 0, 0, 0], [1, 2, 1, 0], [4, 0, 0, 0], [4, 5, 0, 0]]),
        (0, [[0, 2, 0, 3], [1, 0, 1, 3], [1, 2, 1, 0], [4, 0, 6, 0], [4, 5, 0, 0]]),
    ],
    ids=["in full", "sampled"],
)
def test_targets_by_hand(limit: int, others: list[list[int]]) -> None:
    model, _ = _model_and_batch(dataclasses.replace(TINY, max_softmax_items=limit))
    model._begin, model._cold_start = 100, ColdStart(0.5, seconds=50, start=120)
    batch = {
        "timestamp": tf.constant([[100, 150, 181, 181], [140, 141, 142, 0]], tf.int64),
        "weight": tf.constant([[1.0, 2, 0, 3], [0, 5, 6, 0]]),
    }
    item = tf.constant([[1, 2, 1, 3], [4, 5, 6, 0]])
    queries = tf.reshape(tf.range(8.0), [2, 4, 1])
    targets, num_simulated = model._targets(batch, queries, item)
    assert int(num_simulated) == 3  # Of the first of two windows.
    assert targets.query.numpy().ravel().tolist() == [0, 1, 3, 5, 6]
    assert targets.item.numpy().tolist() == [1, 2, 3, 5, 6]
    assert targets.others.numpy().tolist() == others
    assert targets.now.numpy().tolist() == [0, 50, 81, 41, 42]
    # At 100 nothing is called new yet; at 150 what came after 100; at 181 what came after 131.
    assert targets.new_after.numpy().tolist() == [tf.int32.max, 0, 31, -9, -8]
    assert targets.weight.numpy().tolist() == [1, 2, 3, 5, 6]


def test_query_embeddings_end_in_a_one_that_meets_the_bias() -> None:
    model, batch = _model_and_batch(TINY)
    candidates = model.embed_all()
    queries = model.embed_last(batch, candidates)
    assert queries.shape == (4, 5) and set(queries.numpy()[:, -1]) == {1.0}
    all_places = model.embed_queries(batch, tf.gather(candidates, batch["item"])[..., :4]).numpy()
    sizes = np.count_nonzero(batch["item"].numpy(), axis=1)
    np.testing.assert_allclose(queries, all_places[np.arange(4), sizes], rtol=1e-6)


def test_a_loss_without_targets_is_nothing() -> None:
    for softmax in (0, 20_000):
        model, batch = _model_and_batch(dataclasses.replace(TINY, max_softmax_items=softmax, num_sampled=8))
        batch["weight"] = tf.zeros_like(batch["weight"])
        assert float(model.compute_loss(batch)) == 0.0


def test_weights_of_targets_are_weights_of_a_mean() -> None:
    model, batch = _model_and_batch(TINY)
    heavy = float(model.compute_loss({**batch, "weight": batch["weight"] * 5}))
    assert heavy == pytest.approx(float(model.compute_loss(batch)), rel=1e-5)


@pytest.mark.parametrize(("limit", "is_sampled"), [(5, True), (6, False)])
def test_the_softmax_is_sampled_beyond_a_number_of_trained_items(limit: Any, is_sampled: Any) -> None:
    model, _ = _model_and_batch(dataclasses.replace(TINY, max_softmax_items=limit))
    assert model._is_sampled == is_sampled


def test_negatives_are_drawn_evenly_among_trained_items() -> None:
    config = dataclasses.replace(TINY, max_softmax_items=0, num_sampled=3000)
    model, batch = _model_and_batch(config)
    drawn = []
    model.sampled_loss = lambda inputs, sampled, training: drawn.append(sampled.numpy()) or tf.constant(0.0)
    model.compute_loss(batch)
    counts = np.bincount(drawn[0], minlength=8)
    assert counts[[0, 7]].tolist() == [0, 0]
    np.testing.assert_allclose(counts[1:7] / 3000, 1 / 6, atol=0.03)
