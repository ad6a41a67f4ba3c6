import dataclasses

import numpy as np
import pytest

from benchmarks import _ratings, ranking
from tests.toy_data import toy_sequences


def test_figures_of_ratings_by_hand() -> None:
    probability, positive = np.array([0.9, 0.6, 0.6, 0.1]), np.array([1.0, 1.0, 0.0, 0.0])
    figures = _ratings.rating_figures(probability, np.array([4.0, 3, 2, 1]), positive, np.array([5.0, 3, 2, 1]))
    assert figures["brier"] == pytest.approx((0.01 + 0.16 + 0.36 + 0.01) / 4)
    assert figures["auc"] == pytest.approx(3.5 / 4), "a tie counts half"
    assert figures["ece"] == pytest.approx((0.1 + 0.2 + 0.1) / 4)
    assert figures["rmse"] == pytest.approx(0.5)


def test_biases_are_found() -> None:
    sequences = toy_sequences(20, 7)
    user = np.repeat(np.arange(20), np.diff(sequences.row_splits))
    truth_user, truth_item = np.linspace(-1, 1, 20), np.r_[0, np.linspace(-0.5, 0.5, 7)]
    labels = 3 + truth_user[user] + truth_item[sequences.item_index]
    mean, of_user, of_item = _ratings.bias_model(sequences, labels, 1e-6, 8)
    found = mean + np.array([of_user[name] for name in sequences.user_ids])[user] + of_item[sequences.item_index]
    np.testing.assert_allclose(found, labels, atol=1e-3)
    _, heavy, _ = _ratings.bias_model(sequences, labels, 1e6, 8)
    assert max(map(abs, heavy.values())) < 1e-3


def test_every_event_is_in_one_part_and_only_training_events_are_history() -> None:
    everything = toy_sequences(20)
    parts = [_ratings.split_ratings(everything, part) for part in range(3)]
    assert sum(len(part.targets) for part in parts) == len(everything.item_index)
    assert not parts[0].num_history.any()
    for part in parts[1:]:
        np.testing.assert_array_equal(part.num_history, np.diff(parts[0].row_splits))


def test_the_table_holds_every_method_and_slice() -> None:
    cost = {
        "cpu_seconds": 1.0,
        "latency.p50_ms": 2.0,
        "latency.p99_ms": 3.0,
        "pretraining.cpu_seconds": 4.0,
        "eval_list": 5.0,
        "text_weight": 0.5,
    }
    run = ranking.Ranked(np.array([1.0, 0.5]), np.array([0.5, 0.5]), cost)
    lines, kept = ranking.report(
        {ranking.DEFAULT: [run, run], ranking.SHUFFLED: [dataclasses.replace(run, ndcg=np.array([0.5, 0.5]))]},
        {"all": np.array([True, True]), "new items": np.array([True, False]), "none": np.array([False, False])},
    )
    assert kept["default.gain"] == pytest.approx(0.5) and kept["slice.new items.gain"] == pytest.approx(1)
    assert kept["slice.all.shuffled.ndcg@10"] == 0.5
    assert [line for line in lines if line.startswith("| new items | 1 | 0.5000 | 1.0000 | +100.0%")]
    assert not [line for line in lines if line.startswith("| none")]
    columns = {line.count("|") for line in lines[: lines.index("")]}
    assert len(columns) == 1


def test_no_gain_over_nothing() -> None:
    assert np.isnan(ranking.gain(np.array([1.0]), np.array([0.0]))["gain"])
