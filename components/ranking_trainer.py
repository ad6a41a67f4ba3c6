"""RankingTrainer: orders what retrieval found, by a BERT that reads the user, and by ids, features and ratings."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from homefeed.components.artifacts.types import Examples, Model, ModelRun, PretrainedBert, TransformGraph
from homefeed.models.catalogue import Catalogue
from homefeed.models.ranking.hyperparameters import Hyperparameters
from homefeed.models.sequences import Sequences

if TYPE_CHECKING:
    from homefeed.models.ranking.training.trained import Trained
    from homefeed.models.ranking.training.trainer import Epoch

# mypy and readers find the fields, their defaults and units in Hyperparameters.
Config = Hyperparameters


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The transformed examples, the BERT to fine-tune, and the model that finds the candidates."""

    transform_graph: TransformGraph
    examples: Examples
    bert: PretrainedBert
    retrieval_model: Model


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The SavedModel, and how its training went."""

    model: Model
    model_run: ModelRun


def fit(
    catalogue: Catalogue,
    train_split: Sequences,
    eval_split: Sequences,
    vocabulary: list[str],
    inputs: Inputs,
    config: Config,
    log: Callable[[Epoch], None] = lambda epoch: None,
) -> Trained:
    """Trains a ranker; under distillation its teacher first."""
    from homefeed.models.behaviour_text.user_sequence import UserSequence, text_tables
    from homefeed.models.ranking.examples.retrieval_client import RetrievalClient
    from homefeed.models.ranking.ranker import Ranker
    from homefeed.models.ranking.text import bert
    from homefeed.models.ranking.training import fit as training
    from homefeed.models.ranking.training.warm_start import Snapshot, warm_start

    text = UserSequence(text_tables(vocabulary, catalogue, train_split), config.num_tokens)
    retrieve = RetrievalClient(inputs.retrieval_model.serving_dir, catalogue)

    start = None
    if config.base_model:
        base = Snapshot.load(Model(pathlib.Path(config.base_model)).snapshot_dir)
        start = functools.partial(warm_start, snapshot=base, catalogue=catalogue, train=train_split)

    def fit_one(config: Config, teacher: Ranker | None = None) -> Trained:
        bert.keras_seed(config.seed)
        backbone = bert.load_bert(str(inputs.bert.path))
        bert.check_fit(backbone, vocabulary, str(inputs.bert.path))
        ranker = Ranker(backbone, text, catalogue, train_split, config)
        return training.fit(ranker, catalogue, train_split, eval_split, retrieve, config, log, teacher, start)

    if config.interaction == "late" and config.distil_weight:
        return fit_one(config, fit_one(dataclasses.replace(config, interaction="cross")).ranker)
    return fit_one(config)


def train(
    catalogue: Catalogue,
    train_split: Sequences,
    eval_split: Sequences,
    vocabulary: list[str],
    inputs: Inputs,
    outputs: Outputs,
    config: Config,
) -> str:
    """Fits, exports and records; returns the line for the progress display."""
    from homefeed.models.ranking.export import RankingModule
    from homefeed.models.ranking.text import bert
    from homefeed.models.ranking.training.trainer import Epoch
    from homefeed.models.ranking.training.warm_start import Snapshot
    from homefeed.models.shared.training_log import TrainingLog

    with TrainingLog[Epoch](outputs.model_run.path) as log:
        trained = fit(catalogue, train_split, eval_split, vocabulary, inputs, config, log.write)
    Snapshot.of(trained.ranker, catalogue, train_split).save(outputs.model.snapshot_dir)
    RankingModule(trained, catalogue, train_split).save(outputs.model.serving_dir)
    fitted = {"blend": dataclasses.asdict(trained.blend), "calibration": dataclasses.asdict(trained.calibration)}
    sizes = bert.num_parameters(trained.ranker.bert)
    curves = {"epochs": log.curve(), "text_losses": trained.text_losses}
    outputs.model_run.write_json("curve.json", {**curves, **fitted, **sizes})
    return log.summary()


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the splits, trains, writes the model."""
    from homefeed.components.artifacts import transformed

    catalogue = transformed.load_catalogue(inputs.transform_graph)
    train_split, eval_split = (
        transformed.load_sequences(inputs.transform_graph, inputs.examples, split) for split in ("train", "eval")
    )
    vocabulary = transformed.load_wordpiece(inputs.transform_graph)
    return train(catalogue, train_split, eval_split, vocabulary, inputs, outputs, config)
