"""BehaviorPretrainer: masked-language modelling of a BERT on behaviour text."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from pydantic import Field

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import Examples, ModelRun, PretrainedBert, TransformGraph
from homefeed.models.shared.training_run import SeededRun
from homefeed.schemas.settings import Count, CountOrNone, Fraction, LearningRate

HEAD_WIDTH = 64  # Of an attention head of a compact BERT.


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The transformed examples."""

    transform_graph: TransformGraph
    examples: Examples


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Backbone and vocabulary as a KerasNLP preset, and how the training went."""

    bert: PretrainedBert
    model_run: ModelRun


@dataclasses.dataclass(frozen=True)
class Config(SeededRun):
    """What is trained, and for how long. Whose BERT it continues from is said once, in `transform.bert_preset`."""

    num_layers: Count = 2  # Of a compact BERT.
    width: Count = 128  # Of a compact BERT; a head takes 64.
    max_tokens: Count = 128  # Longest text that a compact BERT can read.
    dropout: Fraction = 0.0  # Of a compact BERT.
    num_tokens: Count = 64  # Length of the texts that it learns from.
    points_per_user: Count = 6  # Texts of each user, at prediction points drawn from the training split.
    epochs: CountOrNone = 2  # Passes over the texts, each with other masks; 0: no pre-training.
    mask_rate: Annotated[float, Field(gt=0, lt=1)] = 0.15  # Share of words that are masked.
    batch_size: Count = 64  # Texts a step.
    learning_rate: LearningRate = 1e-3  # At its highest; 5e-5 suits a preset.

    def check(self) -> list[str]:
        """The rules between fields."""
        heads = max(1, self.width // HEAD_WIDTH)
        fits = HEAD_WIDTH * heads
        wrong = f"width should be a multiple of {HEAD_WIDTH}, or smaller, such as {fits}, got {self.width}"
        return [wrong] if self.width % heads else []


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the splits, trains, writes preset and curves."""
    from homefeed.components.behavior_pretrainer import pretrain

    data = transformed.load_training_data(inputs.transform_graph, inputs.examples)
    backbone = pretrain.make_backbone(
        data.wordpiece,
        transformed.load_bert_preset(inputs.transform_graph),
        num_layers=config.num_layers,
        width=config.width,
        max_tokens=config.max_tokens,
        dropout=config.dropout,
        seed=config.seed,
    )
    curves = pretrain.pretrain(
        backbone,
        data,
        num_tokens=config.num_tokens,
        points_per_user=config.points_per_user,
        mask_rate=config.mask_rate,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        seed=config.seed,
        log_dir=outputs.model_run.path,
    )
    pretrain.save_bert(backbone, data.wordpiece, outputs.bert.path)
    outputs.model_run.write_json("curves.json", curves)
    before, after = curves["masked_accuracy"][0], curves["masked_accuracy"][-1]
    return f"masked accuracy on eval {before:.1%} → {after:.1%}"
