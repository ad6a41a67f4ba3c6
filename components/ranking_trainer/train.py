"""A ranker: trained, exported and recorded."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable

from homefeed.components.artifacts.transformed import TrainingData
from homefeed.components.artifacts.types import Model, ModelRun, PretrainedBert
from homefeed.models.behaviour_text.user_sequence import UserSequence, text_tables
from homefeed.models.ranking.examples.retrieval_client import RetrievalClient
from homefeed.models.ranking.export import RankingModule
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.text import bert
from homefeed.models.ranking.training import fit as training
from homefeed.models.ranking.training.trained import Trained
from homefeed.models.ranking.training.trainer import Epoch
from homefeed.models.ranking.training.warm_start import Snapshot, warm_start
from homefeed.models.shared.training_log import TrainingLog


def fit(
    data: TrainingData,
    preset: PretrainedBert,
    retrieval_model: Model,
    config: Hyperparameters,
    log: Callable[[Epoch], None] = lambda epoch: None,
) -> Trained:
    """Trains a ranker; under distillation its teacher first.

    Args:
        data: transformed.
        preset: the BERT to fine-tune.
        retrieval_model: finds the candidates.
        config: how.
        log: is told of each epoch.
    """
    text = UserSequence(text_tables(data.wordpiece, data.catalogue, data.train), config.num_tokens)
    retrieve = RetrievalClient(retrieval_model.serving_dir, data.catalogue)

    start = None
    if config.base_model:
        base = Snapshot.load(Model(pathlib.Path(config.base_model)).snapshot_dir)
        start = functools.partial(warm_start, snapshot=base, catalogue=data.catalogue, train=data.train)

    def fit_one(config: Hyperparameters, teacher: Ranker | None = None) -> Trained:
        bert.keras_seed(config.seed)
        backbone = bert.load_bert(str(preset.path))
        bert.check_fit(backbone, data.wordpiece, str(preset.path))
        ranker = Ranker(backbone, text, data.catalogue, data.train, config)
        splits = (data.catalogue, data.train, data.evaluation)
        return training.fit(ranker, *splits, retrieve, config, log, teacher, start)

    if config.interaction == "late" and config.distil_weight:
        return fit_one(config, fit_one(dataclasses.replace(config, interaction="cross")).ranker)
    return fit_one(config)


def train(
    data: TrainingData,
    preset: PretrainedBert,
    retrieval_model: Model,
    model: Model,
    model_run: ModelRun,
    config: Hyperparameters,
) -> str:
    """Fits, exports and records; returns the line for the progress display."""
    num_epochs = config.epochs_without_text + config.epochs_with_text
    with TrainingLog[Epoch](model_run.path, num_epochs) as log:
        trained = fit(data, preset, retrieval_model, config, log.write)
    Snapshot.of(trained.ranker, data.catalogue, data.train).save(model.snapshot_dir)
    RankingModule(trained, data.catalogue, data.train).save(model.serving_dir)
    fitted = {"blend": dataclasses.asdict(trained.blend), "calibration": dataclasses.asdict(trained.calibration)}
    sizes = bert.num_parameters(trained.ranker.bert)
    curves = {"epochs": log.curve(), "text_losses": trained.text_losses}
    model_run.write_json("curve.json", {**curves, **fitted, **sizes})
    return log.summary()
