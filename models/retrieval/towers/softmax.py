"""Softmax cross-entropy over a catalogue, or over what was drawn of it.

The logits are the largest arrays of a training step, and each of many operations reads and writes them. So loss and
gradient are made of some targets at a time, whose logits stay in the processor's cache, and in one go.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

CLOSED = -1e9  # Logit of a masked candidate.
LOGITS_AT_A_TIME = 1_000_000


class Targets(NamedTuple):
    """What is to be told from all that could be had instead.

    Attributes:
        query: [num_targets, width] float32.
        item: [num_targets] int32, the candidate that was had.
        others: [num_targets, length] int32, what the window had at other times and is no candidate for this target;
            with candidate 0, which is nothing, in each row, and without `item`.
        now: [num_targets] int32, when.
        new_after: [num_targets] int32: a candidate that was first seen later is known by its features alone.
        weight: [num_targets] float32.
    """

    query: tf.Tensor
    item: tf.Tensor
    others: tf.Tensor
    now: tf.Tensor
    new_after: tf.Tensor
    weight: tf.Tensor


class Candidates(NamedTuple):
    """Among what a target is to be told.

    Attributes:
        known, new: [num_candidates, width] float32, as they are embedded by all that is known of them, and by their
            features alone; the last is a bias, and 1 in each query.
        first_seen: [num_candidates] int32; before it nobody could have had the candidate.
        correction: [num_candidates] float32, added to its logit where a candidate is not the target itself, which is
            there for sure (Khrylchenko et al. 2025, "Correcting the LogQ Correction").
    """

    known: tf.Tensor
    new: tf.Tensor
    first_seen: tf.Tensor
    correction: tf.Tensor


def cross_entropy(targets: Targets, candidates: Candidates, num_simulated: tf.Tensor) -> tf.Tensor:
    """[] float32: the sum over targets by their weight, with a gradient by queries and candidates.

    Args:
        targets, candidates: see there.
        num_simulated: [] int32: the first so many targets simulate a cold start, and `new_after` is of them alone.
    """

    @tf.custom_gradient
    def summed(query: tf.Tensor, known: tf.Tensor, new: tf.Tensor) -> Any:
        known, new = (_with_bias(table, candidates.correction) for table in (known, new))
        corrected = candidates._replace(known=known, new=new)
        loss, *gradients = _in_parts(targets._replace(query=query), corrected, num_simulated)
        return loss, lambda upstream: [upstream * gradient for gradient in gradients]

    total: tf.Tensor = summed(targets.query, candidates.known, candidates.new)
    return total


def _with_bias(table: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """The table with something added to the bias of each candidate."""
    return tf.concat([table[:, :-1], table[:, -1:] + bias[:, None]], axis=1)


def _in_parts(targets: Targets, candidates: Candidates, num_simulated: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The loss, and its gradients by queries, `known` and `new`."""
    num_targets = tf.size(targets.item)
    size = tf.maximum(LOGITS_AT_A_TIME // tf.size(candidates.first_seen), 1)

    def part(
        start: tf.Tensor, loss: tf.Tensor, of_query: tf.Tensor, of_known: tf.Tensor, of_new: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        simulates = start < num_simulated
        stop = tf.minimum(start + size, tf.where(simulates, num_simulated, num_targets))
        some = Targets(*(column[start:stop] for column in targets))
        more, of_some, on_known, of_new = tf.cond(
            simulates,
            lambda: _simulated(some, candidates, of_new),
            lambda: _plain(some, candidates, of_new),
        )
        of_query = tf.tensor_scatter_nd_update(of_query, tf.range(start, stop)[:, None], of_some)
        return stop, loss + more, of_query, of_known + on_known, of_new

    begin = tf.constant(0), tf.zeros([]), *map(tf.zeros_like, (targets.query, candidates.known, candidates.new))
    return tf.while_loop(lambda start, *_: start < num_targets, part, begin, parallel_iterations=1)[1:]


def _plain(targets: Targets, candidates: Candidates, of_new: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The loss, its gradients by queries and `known`, and `of_new` as it is."""
    logits = tf.matmul(targets.query, candidates.known, transpose_b=True)
    loss, gradient = _loss(_closed(logits, targets, candidates), targets)
    return loss, gradient @ candidates.known, tf.matmul(gradient, targets.query, transpose_a=True), of_new


def _simulated(targets: Targets, candidates: Candidates, of_new: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The same where some candidates are new; adds to `of_new`."""
    known, new = candidates.known, candidates.new
    is_new = candidates.first_seen > targets.new_after[:, None]
    logits = tf.where(is_new, *(tf.matmul(targets.query, table, transpose_b=True) for table in (new, known)))
    loss, gradient = _loss(_closed(logits, targets, candidates), targets)
    on_new = tf.where(is_new, gradient, 0.0)
    on_known = gradient - on_new
    more_known, more_new = (tf.matmul(on, targets.query, transpose_a=True) for on in (on_known, on_new))
    return loss, on_known @ known + on_new @ new, more_known, of_new + more_new


def _closed(logits: tf.Tensor, targets: Targets, candidates: Candidates) -> tf.Tensor:
    """Logits without those that are no candidates or that nobody could have had yet, the target's own as it is."""
    own = tf.gather(logits, targets.item, batch_dims=1) - tf.gather(candidates.correction, targets.item)
    logits = tf.where(candidates.first_seen > targets.now[:, None], CLOSED, logits)
    columns = tf.concat([targets.others, targets.item[:, None]], axis=1)
    rows = tf.broadcast_to(tf.range(tf.size(targets.item))[:, None], tf.shape(columns))
    values = tf.concat([tf.fill(tf.shape(targets.others), CLOSED), own[:, None]], axis=1)
    return tf.tensor_scatter_nd_update(logits, tf.stack([rows, columns], axis=-1), values)


def _loss(logits: tf.Tensor, targets: Targets) -> tuple[tf.Tensor, tf.Tensor]:
    """[] float32, and the gradient by the logits, [num_targets, num_candidates] float32."""
    logits -= tf.reduce_max(logits, axis=1, keepdims=True)
    exponentials = tf.exp(logits)
    sums = tf.reduce_sum(exponentials, axis=1)
    own = tf.gather(logits, targets.item, batch_dims=1)
    places = tf.stack([tf.range(tf.size(targets.item)), targets.item], axis=1)
    gradient = tf.tensor_scatter_nd_sub(exponentials * (targets.weight / sums)[:, None], places, targets.weight)
    return tf.reduce_sum(targets.weight * (tf.math.log(sums) - own)), gradient
