import math

from homefeed.models.retrieval.training.evaluation import Epoch
from homefeed.models.shared.training_log import TrainingLog


def test_says_which_epoch_was_best(tmp_path):
    with TrainingLog(tmp_path) as log:
        log.write(Epoch(0, 2.0, 0.125, 0.3, 0.5))
        log.write(Epoch(1, 1.0, 0.25, 0.2, 0.5))
    assert log.summary() == "2 epochs, NDCG@10 0.1250 on eval"
    assert log.curve()[1] == {"epoch": 1, "loss": 1.0, "ndcg": 0.25, "ndcg_100": 0.2, "recall": 0.5}
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_what_could_not_be_measured_is_none(tmp_path):
    with TrainingLog(tmp_path) as log:
        log.write(Epoch(0, 2.0, math.nan, math.nan, math.nan))
    assert log.summary() == "1 epochs, nothing to evaluate on"
    assert log.curve()[0]["ndcg"] is None
