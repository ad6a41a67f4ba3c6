"""Two towers: trained, exported and recorded."""

from __future__ import annotations

import dataclasses
import pathlib

from homefeed.components.artifacts.transformed import TrainingData
from homefeed.components.artifacts.types import Model, ModelRun, PretrainedBert
from homefeed.models.hot import blend
from homefeed.models.hot.board import ItemFacts
from homefeed.models.retrieval import retriever
from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.index import choice
from homefeed.models.retrieval.snapshot import Snapshot
from homefeed.models.retrieval.towers.two_tower import TwoTower
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training.evaluation import Epoch
from homefeed.models.retrieval.training.targets import sample_targets
from homefeed.models.retrieval.training.warm_start import warm_start
from homefeed.models.retrieval.training.windows import Windows
from homefeed.models.shared.training_log import TrainingLog
from homefeed.models.text.text_model import TextModel


def train(
    data: TrainingData, pretrained: PretrainedBert, model: Model, model_run: ModelRun, config: Hyperparameters
) -> str:
    """Fits, exports and records; returns the line for the progress display."""

    text = TextModel.load(pretrained.path)
    data = dataclasses.replace(data, catalogue=text.describe(data.catalogue))

    def start(towers: TwoTower) -> None:
        if config.base_model:
            base = Snapshot.load(Model(pathlib.Path(config.base_model)).snapshot_dir)
            warm_start(towers, base, data.catalogue, data.train, data.wordpiece)

    with TrainingLog[Epoch](model_run.path, config.epochs) as log:
        trained = training.train(data.catalogue, data.train, data.evaluation, config, log.write, start)
    windows = Windows(data.evaluation, config.max_events)
    tuned_by = sample_targets(windows.targets)[: choice.TUNING_QUERIES]
    sample = trained.queries(windows, tuned_by)
    facts = ItemFacts.of(data.catalogue, trained.item_vectors)
    hot = blend.fit(data.train, data.evaluation, facts)
    snapshot = Snapshot.of(trained, data.catalogue, data.train, config, data.wordpiece, sample, hot)
    snapshot.save(model.snapshot_dir)
    text.save(model.text_dir)
    served = retriever.Retriever(snapshot, data.catalogue, text)
    served.save(model.serving_dir)
    model_run.write_json("curve.json", log.curve())
    return "; ".join(filter(None, (log.summary(), served.choice.measured)))
