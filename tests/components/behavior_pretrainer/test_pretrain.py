import pathlib

import numpy as np
import pytest

from homefeed.components.artifacts.transformed import TrainingData
from homefeed.components.behavior_pretrainer.pretrain import make_backbone, pretrain, save_bert
from homefeed.models.ranking.text import bert
from tests.components.ranking_toys import VOCABULARY
from tests.toy_data import toy_catalogue, toy_sequences

COMPACT = {"num_layers": 1, "width": 8, "max_tokens": 12, "dropout": 0.0}


def test_a_compact_bert_has_the_sizes_that_are_asked_for() -> None:
    backbone = make_backbone(VOCABULARY, "", num_layers=2, width=64, max_tokens=12, dropout=0.0, seed=0)
    assert (backbone.num_layers, backbone.hidden_dim, backbone.max_sequence_length) == (2, 64, 12)
    assert backbone.vocabulary_size == len(VOCABULARY)


def test_a_seed_decides_how_it_starts() -> None:
    first, again, other = (make_backbone(VOCABULARY, "", **COMPACT, seed=seed) for seed in (3, 3, 4))
    same = [np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights(), strict=True)]
    assert all(same)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])


def test_a_preset_is_gone_on_with_whatever_the_sizes(tmp_path: pathlib.Path) -> None:
    before = make_backbone(VOCABULARY, "", **COMPACT, seed=1)
    save_bert(before, VOCABULARY, tmp_path / "preset")
    large = {"num_layers": 3, "width": 128, "max_tokens": 99, "dropout": 0.5}
    after = make_backbone(VOCABULARY, str(tmp_path / "preset"), **large, seed=2)
    for one, other in zip(before.get_weights(), after.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_preset_of_another_vocabulary_is_refused(tmp_path: pathlib.Path) -> None:
    save_bert(make_backbone(VOCABULARY, "", **COMPACT, seed=1), VOCABULARY, tmp_path / "preset")
    with pytest.raises(bert.PresetError, match=f"has {len(VOCABULARY)} tokens, the data's vocabulary"):
        make_backbone([*VOCABULARY, "more"], str(tmp_path / "preset"), **COMPACT, seed=1)


@pytest.mark.parametrize("epochs", [0, 2])
def test_curves_begin_before_the_first_epoch(epochs: int, tmp_path: pathlib.Path) -> None:
    backbone = make_backbone(VOCABULARY, "", **COMPACT, seed=0)
    before = [weight.copy() for weight in backbone.get_weights()]
    data = TrainingData(toy_catalogue(), toy_sequences(), toy_sequences(num_history=2), VOCABULARY)
    curves = pretrain(
        backbone,
        data,
        num_tokens=12,
        points_per_user=1,
        mask_rate=0.3,
        epochs=epochs,
        batch_size=4,
        learning_rate=1e-2,
        seed=0,
        log_dir=tmp_path,
    )
    assert {len(curve) for curve in curves.values()} == {epochs + 1} and "masked_accuracy" in curves
    assert all(np.isfinite(curve).all() for curve in curves.values())
    changed = [not np.array_equal(a, b) for a, b in zip(before, backbone.get_weights(), strict=True)]
    assert any(changed) is bool(epochs)
