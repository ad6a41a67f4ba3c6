"""RetrievalTrainer: two towers that turn a user's recent history into items worth showing."""

from __future__ import annotations

import dataclasses

from components.artifacts import Examples, Model, ModelRun, TransformGraph
from models.catalogue import Catalogue
from models.retrieval.hyperparameters import Hyperparameters
from models.sequences import Sequences

# mypy and readers find the fields, their defaults and units in Hyperparameters.
Config = Hyperparameters


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The transformed examples."""

    transform_graph: TransformGraph
    examples: Examples


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The SavedModel, and how its training went."""

    model: Model
    model_run: ModelRun


def train(
    catalogue: Catalogue, train_split: Sequences, eval_split: Sequences, outputs: Outputs, config: Config
) -> str:
    """Fits, exports and records; returns the line for the progress display."""
    from models.retrieval import export, retriever, training
    from models.retrieval.training_log import TrainingLog

    with TrainingLog(outputs.model_run.path) as log:
        trained = training.train(catalogue, train_split, eval_split, config, log.write)
    export.save(retriever.Retriever(trained, catalogue, train_split), outputs.model.serving_dir)
    outputs.model_run.write_json("curve.json", log.curve())
    return log.summary()


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the splits, trains, writes the model."""
    from components import transformed

    catalogue = transformed.load_catalogue(inputs.transform_graph)
    train_split, eval_split = (
        transformed.load_sequences(inputs.transform_graph, inputs.examples, split) for split in ("train", "eval")
    )
    return train(catalogue, train_split, eval_split, outputs, config)
