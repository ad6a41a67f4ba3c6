"""BehaviorPretrainer: a BERT that is fine-tuned by which texts people pick after which."""

from __future__ import annotations

import dataclasses

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import Examples, ModelRun, PretrainedBert, TransformGraph
from homefeed.models.text.settings import Settings


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The transformed examples."""

    transform_graph: TransformGraph
    examples: Examples


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The text model, which is a KerasNLP preset too, and what each way to read texts was worth."""

    bert: PretrainedBert
    model_run: ModelRun


# mypy and readers find the fields, their defaults and units in Settings.
Config = Settings


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the splits, trains, writes the text model."""
    from homefeed.components.behavior_pretrainer.pretrain import pretrain

    data = transformed.load_training_data(inputs.transform_graph, inputs.examples)
    preset = transformed.load_bert_preset(inputs.transform_graph)
    return pretrain(data, preset, outputs.bert, outputs.model_run, config)
