"""BehaviorPretrainer: a BERT that has read what people did, by masked-language modelling on behaviour text."""

from __future__ import annotations

import dataclasses

from homefeed.components.artifacts.types import Examples, ModelRun, PretrainedBert, TransformGraph
from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences


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
class Config:
    """What is trained, and for how long. Whose BERT it continues from is said once, in `transform.bert_preset`."""

    num_layers: int = 2  # Of a compact BERT.
    width: int = 128  # Of a compact BERT; a head takes 64.
    max_tokens: int = 128  # Longest text that a compact BERT can read.
    dropout: float = 0.0  # Of a compact BERT.
    num_tokens: int = 64  # Length of the texts that it learns from.
    points_per_user: int = 6  # Texts of each user, at prediction points drawn from the training split.
    epochs: int = 2  # Passes over the texts, each with other masks; 0: no pre-training.
    mask_rate: float = 0.15  # Share of words that are masked.
    batch_size: int = 64  # Texts a step.
    learning_rate: float = 1e-3  # At its highest; 5e-5 suits a preset.
    seed: int = 0


def pretrain(
    catalogue: Catalogue,
    train: Sequences,
    evaluation: Sequences,
    vocabulary: list[str],
    preset: str,
    outputs: Outputs,
    config: Config,
) -> str:
    """Trains, writes preset and curves; returns the line for the progress display."""
    from homefeed.models.behaviour_text.user_sequence import UserSequence, text_tables
    from homefeed.models.ranking.text import bert
    from homefeed.models.ranking.training import masked_lm

    bert.keras_seed(config.seed)
    if preset:
        backbone = bert.load_bert(preset)
        bert.check_fit(backbone, vocabulary, preset)
    else:
        backbone = bert.new_bert(
            len(vocabulary),
            layers=config.num_layers,
            width=config.width,
            length=config.max_tokens,
            dropout=config.dropout,
        )
    text = UserSequence(text_tables(vocabulary, catalogue, train), config.num_tokens)
    curves = masked_lm.pretrain(
        backbone,
        masked_lm.Masking(vocabulary, config.mask_rate),
        masked_lm.behaviour_tokens(train, config.points_per_user, text, config.seed),
        masked_lm.behaviour_tokens(evaluation, 1, text, config.seed),
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        seed=config.seed,
        log_dir=outputs.model_run.path,
    )
    bert.save_bert(backbone, vocabulary, outputs.bert.path)
    outputs.model_run.write_json("curves.json", curves)
    before, after = curves["masked_accuracy"][0], curves["masked_accuracy"][-1]
    return f"masked accuracy on eval {before:.1%} → {after:.1%}"


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the splits, trains, writes the preset."""
    from homefeed.components.artifacts import transformed

    catalogue = transformed.load_catalogue(inputs.transform_graph)
    train, evaluation = (
        transformed.load_sequences(inputs.transform_graph, inputs.examples, split) for split in ("train", "eval")
    )
    vocabulary = transformed.load_wordpiece(inputs.transform_graph)
    preset = transformed.load_bert_preset(inputs.transform_graph)
    return pretrain(catalogue, train, evaluation, vocabulary, preset, outputs, config)
