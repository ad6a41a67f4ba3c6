"""RetrievalTrainer: two towers that turn a user's recent history into items worth showing."""

from __future__ import annotations

import dataclasses
import pathlib

from homefeed.components.artifacts.types import Examples, Model, ModelRun, TransformGraph
from homefeed.models.catalogue import Catalogue
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.sequences import Sequences

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
    catalogue: Catalogue,
    train_split: Sequences,
    eval_split: Sequences,
    wordpiece: list[str],
    outputs: Outputs,
    config: Config,
) -> str:
    """Fits, exports and records; returns the line for the progress display."""
    from homefeed.models.retrieval import retriever
    from homefeed.models.retrieval.snapshot import Snapshot
    from homefeed.models.retrieval.towers.two_tower import TwoTower
    from homefeed.models.retrieval.training import fit as training
    from homefeed.models.retrieval.training.evaluation import Epoch
    from homefeed.models.retrieval.training.targets import sample_targets
    from homefeed.models.retrieval.training.warm_start import warm_start
    from homefeed.models.retrieval.training.windows import Windows
    from homefeed.models.shared.training_log import TrainingLog

    def start(model: TwoTower) -> None:
        if config.base_model:
            base = Snapshot.load(Model(pathlib.Path(config.base_model)).snapshot_dir)
            warm_start(model, base, catalogue, train_split, wordpiece)

    with TrainingLog[Epoch](outputs.model_run.path) as log:
        trained = training.train(catalogue, train_split, eval_split, config, log.write, start)
    windows = Windows(eval_split, config.max_events)
    tuned_by = sample_targets(windows.targets, catalogue.num_rows)[: retriever.TUNING_QUERIES]
    sample = trained.queries(windows, tuned_by)
    snapshot = Snapshot.of(trained, catalogue, train_split, config, wordpiece, sample)
    snapshot.save(outputs.model.snapshot_dir)
    retriever.Retriever(snapshot, catalogue).save(outputs.model.serving_dir)
    outputs.model_run.write_json("curve.json", log.curve())
    return log.summary()


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the splits, trains, writes the model."""
    from homefeed.components.artifacts import transformed

    catalogue = transformed.load_catalogue(inputs.transform_graph)
    train_split, eval_split = (
        transformed.load_sequences(inputs.transform_graph, inputs.examples, split) for split in ("train", "eval")
    )
    wordpiece = transformed.load_wordpiece(inputs.transform_graph)
    return train(catalogue, train_split, eval_split, wordpiece, outputs, config)
