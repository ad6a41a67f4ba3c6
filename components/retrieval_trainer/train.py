"""Two towers: trained, exported and recorded."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import shutil

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
from homefeed.models.retrieval.training.devices import Devices, devices
from homefeed.models.retrieval.training.evaluation import Epoch
from homefeed.models.retrieval.training.targets import sample_targets
from homefeed.models.retrieval.training.warm_start import warm_start
from homefeed.models.retrieval.training.windows import Windows
from homefeed.models.shared.training_log import TrainingLog
from homefeed.models.text.text_model import TextModel


def train(
    data: TrainingData, pretrained: PretrainedBert, model: Model, model_run: ModelRun, config: Hyperparameters
) -> str:
    """Fits, exports and records; returns the line for the progress display.

    Of several workers the chief alone exports and records; the others end when it has.
    """
    where, text = devices(config.strategy), TextModel.load(pretrained.path)
    data = dataclasses.replace(data, catalogue=text.describe(data.catalogue))

    def start(towers: TwoTower) -> None:
        if config.base_model:
            base = Snapshot.load(Model(pathlib.Path(config.base_model)).snapshot_dir)
            warm_start(towers, base, data.catalogue, data.train, data.wordpiece)

    kept = _checkpoints(model, where)
    fit = functools.partial(
        training.fit_towers, data.catalogue, data.train, data.evaluation, config, start=start, checkpoints=kept
    )
    if not where.is_chief:
        fit()
        where.wait()
        return "took part; the chief has written the model"
    with TrainingLog[Epoch](model_run.path, config.epochs) as log:
        towers = fit(on_epoch=log.write)
    measured = _export(towers, data, text, model, config)
    model_run.write_json("curve.json", log.curve())
    where.wait()  # If a worker was lost meanwhile, all start again, and go on from what is kept.
    if kept is not None:
        shutil.rmtree(kept)
    return "; ".join(filter(None, (log.summary(), measured)))


def _checkpoints(model: Model, where: Devices) -> pathlib.Path | None:
    """Beside the model, which is removed when a command is given again, and in a folder that workers share anyway."""
    return None if where.cluster is None else model.path.with_name(f"{model.path.name}.epochs")


def _export(towers: TwoTower, data: TrainingData, text: TextModel, model: Model, config: Hyperparameters) -> str:
    """Completes the model by what needs no gradients, and writes it; returns what was measured of its index."""
    trained = training.complete(towers, data.catalogue, data.train, data.evaluation, config)
    windows = Windows(data.evaluation, config.max_events)
    sample = trained.queries(windows, sample_targets(windows.targets, choice.TUNING_QUERIES))
    facts = ItemFacts.of(data.catalogue, trained.item_vectors)
    hot = blend.fit(data.train, data.evaluation, facts)
    snapshot = Snapshot.of(trained, data.catalogue, data.train, config, data.wordpiece, sample, hot)
    snapshot.save(model.snapshot_dir)
    text.save(model.text_dir)
    served = retriever.Retriever(snapshot, data.catalogue, text)
    served.save(model.serving_dir)
    return served.choice.measured
