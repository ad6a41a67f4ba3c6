"""The optimiser of the ranker and of the text model."""

from __future__ import annotations

from typing import Any

import keras

CLIP_NORM = 1.0  # Of all gradients of a step together.


def adamw(
    learning_rate: float, steps: int, weight_decay: float = 0.01, warmup_fraction: float = 0.1, final: float = 0.0
) -> Any:
    """AdamW (Loshchilov and Hutter, 2019): linear warm-up, cosine decay, gradients clipped to `CLIP_NORM`.

    Args:
        learning_rate: at its highest.
        steps: length of the training.
        weight_decay: decoupled; biases, normalisation and embedding tables are left alone.
        warmup_fraction: share of the steps in which the rate rises.
        final: what is left of the rate at the end, as a share of its highest; 1: it stays there.
    """
    warmup_steps = max(1, int(steps * warmup_fraction))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup_steps), alpha=final, warmup_target=learning_rate, warmup_steps=warmup_steps
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=weight_decay, global_clipnorm=CLIP_NORM)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "embedding"])
    return optimizer
