"""A compact BERT, fine-tuned, beside a sentence encoder where there is one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from homefeed.components.artifacts.transformed import TrainingData
from homefeed.components.artifacts.types import TEXTS_FILE, ModelRun, PretrainedBert
from homefeed.models.evaluation import metrics
from homefeed.models.text import bert as berts
from homefeed.models.text import fitting
from homefeed.models.text.settings import Settings


def pretrain(data: TrainingData, preset: str, bert: PretrainedBert, model_run: ModelRun, config: Settings) -> str:
    """Fits and writes the text model.

    Args:
        data: transformed.
        preset: a sentence encoder that is read, frozen, beside the compact BERT; "" for none.
        bert: gets the text model.
        model_run: gets `texts.json`, the arms.
        config: sizes, rates and lengths.

    Returns:
        The line for the progress display.

    Raises:
        ValueError: the preset does not fit the vocabulary.
    """
    berts.keras_seed(config.seed)
    beside = None
    if preset:
        beside = berts.load_bert(preset)
        berts.check_fit(beside, data.wordpiece, preset)
    compact = berts.new_bert(
        len(data.wordpiece),
        layers=config.num_layers,
        width=config.width,
        length=config.max_tokens,
        dropout=config.bert_dropout,
    )
    start = compact.get_weights()
    fit = fitting.fit(data.catalogue, data.train, data.evaluation, data.wordpiece, compact, beside, config)
    fit.model.save(bert.path)
    changed = sum(not np.array_equal(*pair) for pair in zip(start, compact.get_weights(), strict=True))
    arms = describe(fit.arms)
    facts = {"arms": arms, "tensors": len(start), "tensors_changed": changed}
    bert.write_json(TEXTS_FILE, facts)
    model_run.write_json(TEXTS_FILE, facts)
    return summary(arms, fit.kept)


def describe(arms: Mapping[str, fitting.Arm]) -> dict[str, dict[str, Any]]:
    """Arm → nats, NDCG@10 on hidden items, and its difference to the random frozen one with a 95% interval."""
    found: dict[str, dict[str, Any]] = {}
    for name, arm in arms.items():
        difference = metrics.paired_bootstrap(arm.ndcg, arms[fitting.FROZEN].ndcg, num_samples=1000)
        found[name] = {
            "nats_hidden": arm.nats,
            "nats_all": arm.warm_nats,
            "ndcg@10_hidden": float(arm.ndcg.mean()),
            "against_frozen": list(difference),
            "steps": arm.steps,
            "ridge": arm.ridge if math.isfinite(arm.ridge) else None,
        }
    return found


def summary(arms: Mapping[str, Mapping[str, Any]], kept: bool) -> str:
    """NDCG@10 on hidden items, frozen and fine-tuned, and the nats by which fine-tuning was kept or not."""
    if not arms:
        return "no texts to learn from"
    frozen, tuned = (arms[name] for name in (fitting.FROZEN, fitting.FINE_TUNED))
    before, after = (arm["nats_hidden"] + arm["nats_all"] for arm in (frozen, tuned))
    return (
        f"NDCG@10 of hidden items by text alone {frozen['ndcg@10_hidden']:.4f} → {tuned['ndcg@10_hidden']:.4f}; "
        f"nats of hidden and known items {before:.3f} → {after:.3f}: fine-tuning {'kept' if kept else 'taken back'}"
    )
