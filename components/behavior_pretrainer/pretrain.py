"""A BERT, new or a preset's, and how it reads what people did."""

from __future__ import annotations

import pathlib
from typing import Any

from homefeed.components.artifacts.transformed import TrainingData
from homefeed.models.behaviour_text.user_sequence import UserSequence, text_tables
from homefeed.models.text.bert import check_fit, keras_seed, load_bert, new_bert, save_bert
from homefeed.models.ranking.training import masked_lm

__all__ = ["make_backbone", "pretrain", "save_bert"]


def make_backbone(
    vocabulary: list[str], preset: str, *, num_layers: int, width: int, max_tokens: int, dropout: float, seed: int
) -> Any:
    """The BERT to train: the preset's or, where it is "", a compact one.

    Raises:
        ValueError: the preset does not fit the vocabulary.
    """
    keras_seed(seed)
    if preset:
        backbone = load_bert(preset)
        check_fit(backbone, vocabulary, preset)
        return backbone
    return new_bert(len(vocabulary), layers=num_layers, width=width, length=max_tokens, dropout=dropout)


def pretrain(
    backbone: Any,
    data: TrainingData,
    *,
    num_tokens: int,
    points_per_user: int,
    mask_rate: float,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    log_dir: pathlib.Path,
) -> dict[str, list[float]]:
    """Trains on the texts of users by masked-language modelling.

    Args:
        backbone: is changed.
        data: transformed.
        num_tokens: length of the texts.
        points_per_user: texts of each user.
        mask_rate: share of words that are masked.
        epochs: passes over the texts.
        batch_size: texts a step.
        learning_rate: at its highest.
        seed: of moments and masks.
        log_dir: gets the curves for TensorBoard.

    Returns:
        The curves: name → figure before the first and after each epoch.
    """
    text = UserSequence(text_tables(data.wordpiece, data.catalogue, data.train), num_tokens)
    return masked_lm.pretrain(
        backbone,
        masked_lm.Masking(data.wordpiece, mask_rate),
        masked_lm.behaviour_tokens(data.train, points_per_user, text, seed),
        masked_lm.behaviour_tokens(data.evaluation, 1, text, seed),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        log_dir=log_dir,
    )
