"""A ranker: trained, exported and recorded."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable

from homefeed.components.artifacts.transformed import TrainingData
from homefeed.components.artifacts.types import Model, ModelRun, PretrainedBert
from homefeed.models.ranking.examples.retrieval_client import RetrievalClient
from homefeed.models.ranking.export import RankingModule
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training import fit as training
from homefeed.models.ranking.training.trained import Trained
from homefeed.models.ranking.training.trainer import Epoch
from homefeed.models.ranking.training.warm_start import Snapshot, warm_start
from homefeed.models.shared.training_log import TrainingLog
from homefeed.models.text import bert
from homefeed.models.text.text_model import TextModel


def fit(
    data: TrainingData,
    pretrained: PretrainedBert,
    retrieval_model: Model,
    config: Hyperparameters,
    log: Callable[[Epoch], None] = lambda epoch: None,
) -> Trained:
    """Trains a ranker.

    Args:
        data: transformed.
        pretrained: the text model, which has read the items.
        retrieval_model: finds the candidates.
        config: how.
        log: is told of each epoch.
    """
    retrieve = RetrievalClient(retrieval_model.serving_dir, data.catalogue)
    start = None
    if config.base_model:
        base = Snapshot.load(Model(pathlib.Path(config.base_model)).snapshot_dir)
        start = functools.partial(warm_start, snapshot=base, catalogue=data.catalogue, train=data.train)
    bert.keras_seed(config.seed)
    text = TextModel.load(pretrained.path)
    for backbone in text.berts:
        bert.check_fit(backbone, data.wordpiece, str(pretrained.path))
    ranker = Ranker(text, data.catalogue, data.train, config)
    impressions = data.shown, data.shown_in_evaluation
    return training.fit(ranker, data.train, data.evaluation, retrieve, config, log, start, *impressions)


def train(
    data: TrainingData,
    pretrained: PretrainedBert,
    retrieval_model: Model,
    model: Model,
    model_run: ModelRun,
    config: Hyperparameters,
) -> str:
    """Fits, exports and records; returns the line for the progress display."""
    with TrainingLog[Epoch](model_run.path, config.epochs) as log:
        trained = fit(data, pretrained, retrieval_model, config, log.write)
    Snapshot.of(trained.ranker, data.catalogue, data.train).save(model.snapshot_dir)
    RankingModule(trained, data.catalogue, data.train).save(model.serving_dir)
    fitted = {
        "blend": dataclasses.asdict(trained.blend),
        "calibration": dataclasses.asdict(trained.calibration),
        "types": dict(zip(trained.ranker.objectives.types, map(dataclasses.asdict, trained.types), strict=True)),
        "objectives": {name: dataclasses.asdict(blend) for name, blend in trained.objectives.items()},
    }
    model_run.write_json("curve.json", {"epochs": log.curve(), **fitted})
    return log.summary()
