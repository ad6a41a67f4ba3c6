"""RetrievalTrainer: trains the two-tower model that finds candidates for a user's history."""

from __future__ import annotations

import dataclasses

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import Examples, Model, ModelRun, PretrainedBert, TransformGraph
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.training import cluster

# mypy and readers find the fields, their defaults and units in Hyperparameters.
Config = Hyperparameters


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The transformed examples, and the text model that reads queries."""

    transform_graph: TransformGraph
    examples: Examples
    bert: PretrainedBert


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The SavedModel, and how its training went."""

    model: Model
    model_run: ModelRun


def is_helper(config: Config) -> bool:
    """Whether this process only takes part in a training whose outputs another one, the chief, writes."""
    return cluster.is_helper(config)


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the splits, trains, writes the model."""
    from homefeed.components.retrieval_trainer.train import train
    from homefeed.models.retrieval.training.devices import devices

    devices(config.strategy)  # Workers meet before TensorFlow does anything else.
    data = transformed.load_training_data(inputs.transform_graph, inputs.examples)
    return train(data, inputs.bert, outputs.model, outputs.model_run, config)
