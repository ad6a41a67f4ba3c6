"""Masked-language modelling on behaviour text: BERT learns which items, words and values go together."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import keras_nlp
import numpy as np
import numpy.typing as npt

from homefeed.models.behaviour_text import wordpiece
from homefeed.models.behaviour_text.user_sequence import UserSequence
from homefeed.models.ranking.examples import prediction_points
from homefeed.models.ranking.examples.prediction_points import PredictionPoints
from homefeed.models.ranking.training import optimizers
from homefeed.models.sequences import Sequences
from homefeed.models.shared import progress

Masked = tuple[dict[str, npt.NDArray[np.int32]], npt.NDArray[np.int32], npt.NDArray[np.float32]]


@dataclasses.dataclass(frozen=True)
class Masking:
    """Whole-word masking (Devlin et al., 2019, BERT, section 3.1, and its whole-word release).

    A word is a piece and the `##` pieces after it. Of the chosen words 80% become [MASK], 10% random tokens,
    10% stay. Special tokens are never chosen.
    """

    vocabulary: Sequence[str]
    rate: float = 0.15

    def __call__(self, token_ids: npt.NDArray[np.int32], rng: np.random.Generator) -> Masked:
        """Masks a batch.

        Args:
            token_ids: [batch, length] int32, 0-padded.
            rng: where chance comes from.

        Returns:
            The inputs of `BertMaskedLM`; labels [batch, num_masks] int32; weights of the labels, float32, 0
            where a row has fewer masks.
        """
        special = np.isin(token_ids, [self.vocabulary.index(token) for token in wordpiece.SPECIAL_TOKENS])
        follows = np.array([token.startswith("##") for token in self.vocabulary])[token_ids]
        word = np.cumsum(~follows, axis=1) - 1
        chosen_words = rng.random(token_ids.shape) < self.rate
        chosen = np.take_along_axis(chosen_words, np.maximum(word, 0), axis=1) & ~special
        positions, weights = _first_true(chosen, num=max(1, int(token_ids.shape[1] * self.rate * 1.5)))
        labels = np.take_along_axis(token_ids, positions, axis=1)
        return self._inputs(token_ids, positions, weights, rng), labels, weights

    def _inputs(
        self,
        token_ids: npt.NDArray[np.int32],
        positions: npt.NDArray[np.int32],
        weights: npt.NDArray[np.float32],
        rng: np.random.Generator,
    ) -> dict[str, npt.NDArray[np.int32]]:
        original = np.take_along_axis(token_ids, positions, axis=1)
        random = rng.integers(len(wordpiece.SPECIAL_TOKENS), len(self.vocabulary), positions.shape)
        chance = rng.random(positions.shape)
        mask = self.vocabulary.index(wordpiece.MASK)
        replaced = np.where(chance < 0.8, mask, np.where(chance < 0.9, random, original))
        masked = token_ids.copy()
        rows, places = np.nonzero(weights)
        masked[rows, positions[rows, places]] = replaced[rows, places]
        return {
            "token_ids": masked,
            "segment_ids": np.zeros_like(masked),
            "padding_mask": (token_ids > 0).astype(np.int32),
            "mask_positions": positions,
        }


def behaviour_tokens(sequences: Sequences, per_user: int, text: UserSequence, seed: int) -> npt.NDArray[np.int32]:
    """[num_sequences, length] int32: users at up to `per_user` prediction points each."""
    points = prediction_points.random_points(sequences, per_user, np.random.default_rng(seed))
    return text_of(sequences, points, text)


def text_of(sequences: Sequences, points: PredictionPoints, text: UserSequence) -> npt.NDArray[np.int32]:
    """[num_points, length] int32: the behaviour text at those points."""
    chunks = [np.zeros((0, text.length), np.int32)]
    for start in range(0, len(points), 1024):
        chunk = prediction_points.features(sequences, points[start : start + 1024], text.length // 2)
        chunks.append(text({name: chunk[name] for name in chunk}).numpy())
    return np.concatenate(chunks)


def pretrain(
    backbone: Any,
    masking: Masking,
    train: npt.NDArray[np.int32],
    evaluation: npt.NDArray[np.int32],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    log_dir: pathlib.Path | None = None,
) -> dict[str, list[float]]:
    """Trains the backbone in place.

    Returns:
        `masked_accuracy` and `masked_loss` on `evaluation`: before training, then after each epoch.
    """
    model = keras_nlp.models.BertMaskedLM(backbone)
    backbone.pooled_dense.trainable = False  # Masked-language modelling does not use it.
    model.compile(
        optimizer=optimizers.adamw(learning_rate, -(-len(train) // batch_size) * epochs),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    held_out = masking(evaluation, np.random.default_rng(seed))
    curves: dict[str, list[float]] = {"masked_accuracy": [], "masked_loss": []}

    def measure() -> None:
        result = model.evaluate(*held_out[:2], sample_weight=held_out[2], batch_size=256, verbose=0, return_dict=True)
        curves["masked_accuracy"].append(float(result["accuracy"]))
        curves["masked_loss"].append(float(result["loss"]))

    measure()
    callbacks = [keras.callbacks.TensorBoard(str(log_dir), write_graph=False)] if log_dir else []
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        inputs, labels, weights = masking(rng.permutation(train), rng)
        model.fit(
            inputs,
            labels,
            sample_weight=weights,
            batch_size=batch_size,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )
        measure()
        progress.report(epoch + 1, epochs, f"loss {curves['masked_loss'][-1]:.4f}")
    backbone.pooled_dense.trainable = True
    return curves


def _first_true(chosen: npt.NDArray[np.bool_], num: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Positions of the first `num` True of each row, and 1 for those, 0 for filler."""
    order = np.argsort(~chosen, axis=1, kind="stable")[:, :num]
    return order.astype(np.int32), np.take_along_axis(chosen, order, axis=1).astype(np.float32)
