"""The optimiser of the towers."""

from __future__ import annotations

import tensorflow as tf

from homefeed.models.retrieval.hyperparameters import Hyperparameters

NOT_DECAYED = ["bias", "gamma", "beta", "start"]  # Parts of the names of biases, norms and the start vector.


def adamw(config: Hyperparameters, num_steps: int) -> tf.keras.optimizers.Optimizer:
    """AdamW (Loshchilov and Hutter, 2019) whose learning rate rises from 0 and falls to 0 along a cosine.

    Args:
        config: learning rate, share of warm-up, weight decay.
        num_steps: length of the training.
    """
    warmup = max(1, int(config.warmup_fraction * num_steps))
    schedule = tf.keras.optimizers.schedules.CosineDecay(
        0.0, num_steps - warmup, alpha=0.0, warmup_target=config.learning_rate, warmup_steps=warmup
    )
    optimizer = tf.keras.optimizers.AdamW(
        schedule, weight_decay=config.weight_decay, clipnorm=None, jit_compile=False
    )
    optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


def decay_of(variable: tf.Variable, config: Hyperparameters) -> float:
    """The weight decay of one variable, as `adamw` applies it."""
    return 0.0 if any(part in variable.name for part in NOT_DECAYED) else config.weight_decay
