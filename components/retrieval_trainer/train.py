"""Two towers: trained, exported and recorded."""

from __future__ import annotations

import pathlib

from homefeed.components.artifacts.transformed import TrainingData
from homefeed.components.artifacts.types import Model, ModelRun
from homefeed.models.retrieval import export, retriever
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.snapshot import Snapshot
from homefeed.models.retrieval.towers.two_tower import TwoTower
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training.training_log import TrainingLog
from homefeed.models.retrieval.training.warm_start import warm_start
from homefeed.models.retrieval.training.windows import Windows


def train(data: TrainingData, model: Model, model_run: ModelRun, config: Hyperparameters) -> str:
    """Fits, exports and records; returns the line for the progress display."""

    def start(towers: TwoTower) -> None:
        if config.base_model:
            base = Snapshot.load(Model(pathlib.Path(config.base_model)).snapshot_dir)
            warm_start(towers, base, data.catalogue, data.train, data.wordpiece)

    with TrainingLog(model_run.path) as log:
        trained = training.train(data.catalogue, data.train, data.evaluation, config, log.write, start)
    windows = Windows(data.evaluation, config.max_events)
    sample = trained.queries(
        windows, training.sample_targets(windows, data.catalogue.num_rows)[: retriever.TUNING_QUERIES]
    )
    snapshot = Snapshot.of(trained, data.catalogue, data.train, config, data.wordpiece, sample)
    snapshot.save(model.snapshot_dir)
    export.save(retriever.Retriever(snapshot, data.catalogue), model.serving_dir)
    model_run.write_json("curve.json", log.curve())
    return log.summary()
