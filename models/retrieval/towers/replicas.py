"""How the replicas of a `tf.distribute` strategy share a batch, so that together they do what one alone would."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

OTHERS = "others"  # [num_others] int32, the targets of the batch's windows that other replicas have.


def part(batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """This replica's windows of a batch, and which targets the others have.

    It takes every n-th: windows of one length, or padding, may stand side by side.
    """
    place, num_replicas = _place()
    if num_replicas == 1:
        return dict(batch)
    is_own = tf.range(tf.shape(batch["item"])[0]) % num_replicas == place
    own = {name: tf.boolean_mask(column, is_own) for name, column in batch.items()}
    is_target = (batch["weight"] > 0) & ~is_own[:, None]
    return own | {OTHERS: tf.boolean_mask(batch["item"], is_target)}


def count_of_first(share: float, num_windows: tf.Tensor) -> tf.Tensor:
    """[] int32: how many of this replica's `num_windows` are among the first `share` of the whole batch."""
    place, num_replicas = _place()
    count = tf.cast(share * tf.cast(num_windows * num_replicas, tf.float32), tf.int32)
    return (count - place + num_replicas - 1) // num_replicas


def by_weight(total: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """A sum over this replica's targets by their weight: the mean of all replicas' is that of the whole batch."""
    weight, (_, num_replicas) = tf.reduce_sum(weight), _place()
    if num_replicas > 1:
        weight = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, weight)
    return num_replicas * total / tf.maximum(weight, 1.0)


def _place() -> tuple[tf.Tensor | int, int]:
    """This replica's number, and how many there are; outside of replicas 0 of 1.

    One replica alone gets no operation: how many there are before it is part of a random operation's seed, and a
    training in one process would draw other numbers.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 0, 1
    return tf.cast(context.replica_id_in_sync_group, tf.int32), context.num_replicas_in_sync
