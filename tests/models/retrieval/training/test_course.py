import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest

from homefeed.models.retrieval.hyperparameters import Hyperparameters
from homefeed.models.retrieval.training import fit as training
from homefeed.models.retrieval.training.course import Checkpoint
from homefeed.models.retrieval.training.evaluation import Epoch
from tests.models.retrieval import toy

TINY = Hyperparameters(width=4, num_layers=1, max_events=4, batch_size=4, epochs=4, learning_rate=0.1, dropout=0.5)


class KilledError(Exception):
    """The process ends here."""


def trained(folder: pathlib.Path, killed_in: int = TINY.epochs) -> tuple[list[Epoch], list[Any]]:
    """The curve, and the weights, of a training that keeps its epochs in a folder; or it ends in an epoch."""
    rows: list[Epoch] = []

    def on_epoch(row: Epoch) -> None:
        if row.epoch == killed_in:
            raise KilledError
        rows.append(row)

    evaluation = toy.sequences(num_users=5, num_targets=1, num_history=2, seed=1)
    data = toy.catalogue(), toy.sequences(num_users=12), evaluation
    model = training.fit_towers(*data, TINY, on_epoch, checkpoints=folder)
    return rows, model.get_weights()


def test_a_training_that_goes_on_ends_as_one_that_was_never_killed(tmp_path: pathlib.Path) -> None:
    with pytest.raises(KilledError):
        trained(tmp_path / "killed", killed_in=3)
    (kept,) = (tmp_path / "killed").iterdir()
    rows, weights = trained(tmp_path / "killed")
    whole_rows, whole_weights = trained(tmp_path / "whole")
    assert repr(rows) == repr(whole_rows)  # NaN is where nothing was evaluated.
    for ours, theirs in zip(weights, whole_weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [kept.name] == [path.name for path in (tmp_path / "whole").iterdir()]  # Of one training, one name.


def test_another_training_does_not_meet_it(tmp_path: pathlib.Path) -> None:
    catalogue, train, evaluation = toy.catalogue(), toy.sequences(num_users=12), toy.sequences(num_users=5, seed=1)
    values, vectors = {"value": -train.event_numeric["value"]}, 2 * catalogue.text_vectors
    others = (
        (TINY, catalogue, train, evaluation),
        (dataclasses.replace(TINY, seed=1), catalogue, train, evaluation),
        (TINY, catalogue, toy.sequences(num_users=13), evaluation),
        (TINY, catalogue, dataclasses.replace(train, vocabularies={"gender": ("f", "m", "x")}), evaluation),
        (TINY, catalogue, dataclasses.replace(train, event_numeric=values), evaluation),
        (TINY, catalogue, dataclasses.replace(train, positive=~train.positive), evaluation),
        (TINY, catalogue, train, toy.sequences(num_users=5, seed=2)),
        (TINY, dataclasses.replace(catalogue, text_vectors=vectors), train, evaluation),
        (TINY, dataclasses.replace(catalogue, token_ids=catalogue.token_ids[:, ::-1]), train, evaluation),
        (TINY, dataclasses.replace(catalogue, numeric={}), train, evaluation),
    )
    paths = {Checkpoint.of(tmp_path, *other).path for other in others}
    assert len(paths) == len(others) and Checkpoint.of(None, *others[0]).path is None
