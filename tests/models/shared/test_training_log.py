import math
import pathlib

import tensorflow as tf

from homefeed.models.ranking.training.trainer import Epoch as RankingEpoch
from homefeed.models.retrieval.training.evaluation import Epoch
from homefeed.models.shared.training_log import TrainingLog


def test_says_which_epoch_was_best(tmp_path: pathlib.Path) -> None:
    with TrainingLog(tmp_path) as log:
        log.write(Epoch(0, 2.0, 0.125, 0.3, 0.5))
        log.write(Epoch(1, 1.0, 0.25, 0.2, 0.5))
    assert log.summary() == "2 epochs, NDCG@10 0.1250 on eval"
    assert log.curve()[1] == {"epoch": 1, "loss": 1.0, "ndcg": 0.25, "ndcg_100": 0.2, "recall": 0.5}
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_what_could_not_be_measured_is_none(tmp_path: pathlib.Path) -> None:
    with TrainingLog(tmp_path) as log:
        log.write(Epoch(0, 2.0, math.nan, math.nan, math.nan))
    assert log.summary() == "1 epochs, nothing to evaluate on"
    assert log.curve()[0]["ndcg"] is None


def test_nothing_was_trained(tmp_path: pathlib.Path) -> None:
    with TrainingLog(tmp_path) as log:
        assert log.summary() == "not trained" and log.curve() == []


def test_an_epoch_of_ranking_is_better_the_lower_its_loss(tmp_path: pathlib.Path) -> None:
    with TrainingLog(tmp_path) as log:
        for loss in (3.0, 1.25, 2.0, math.inf):
            log.write(RankingEpoch(True, 9.0, loss, 1.0, 1.0, 1.0))
    assert log.summary() == "4 epochs, loss 1.2500 on eval"
    assert [row["eval_loss"] for row in log.curve()] == [3.0, 1.25, 2.0, None]


def test_tensorboard_reads_each_number_at_its_epoch(tmp_path: pathlib.Path) -> None:
    with TrainingLog(tmp_path) as log:
        log.write(Epoch(0, 2.0, math.nan, math.nan, math.nan))
        log.write(Epoch(1, 1.5, 0.25, 0.5, 0.75))
    (file,) = map(str, tmp_path.glob("events.out.tfevents.*"))
    found = [
        (event.step, value.tag, float(tf.make_ndarray(value.tensor)))
        for event in tf.compat.v1.train.summary_iterator(file)
        for value in event.summary.value
    ]
    assert found == [
        *[(1, "epoch", 0.0), (1, "loss", 2.0), (2, "epoch", 1.0), (2, "loss", 1.5)],
        *[(2, "ndcg", 0.25), (2, "ndcg_100", 0.5), (2, "recall", 0.75)],
    ]
