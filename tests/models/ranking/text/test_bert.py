import json
import pathlib

import numpy as np
import pytest

from homefeed.models.behaviour_text import SPECIAL_TOKENS
from homefeed.models.ranking.text import bert

VOCABULARY = [*SPECIAL_TOKENS, "a"]


def _tiny() -> object:
    return bert.new_bert(len(VOCABULARY), layers=2, width=4, length=8, dropout=0)


def _output(backbone: object) -> np.ndarray:
    tokens = np.array([[2, 5, 3, 0]], np.int32)
    inputs = {"token_ids": tokens, "segment_ids": tokens * 0, "padding_mask": (tokens > 0).astype(np.int32)}
    return np.array(backbone(inputs)["sequence_output"])


def test_a_preset_survives_saving(tmp_path: pathlib.Path) -> None:
    backbone = _tiny()
    bert.save_bert(backbone, VOCABULARY, tmp_path)
    assert bert.preset_vocabulary(str(tmp_path)) == VOCABULARY
    np.testing.assert_array_equal(_output(bert.load_bert(str(tmp_path))), _output(backbone))
    assert "date_saved" not in json.loads((tmp_path / "metadata.json").read_text())


@pytest.mark.parametrize("missing", ["config.json", "model.weights.h5"])
def test_a_missing_file_is_named(tmp_path: pathlib.Path, missing: str) -> None:
    bert.save_bert(_tiny(), VOCABULARY, tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(bert.PresetError, match=missing.removesuffix("h5")):
        bert.load_bert(str(tmp_path))


def test_no_vocabulary_and_a_wrong_one(tmp_path: pathlib.Path) -> None:
    with pytest.raises(bert.PresetError, match=r"vocab\.txt \(Hugging Face\)\. It holds nothing"):
        bert.preset_vocabulary(str(tmp_path))
    (tmp_path / "vocab.txt").write_text("[PAD]\nword\n")
    with pytest.raises(bert.PresetError, match=r"lacks \[UNK\], \[CLS\]"):
        bert.preset_vocabulary(str(tmp_path))


@pytest.mark.parametrize(("fine_tune", "trained"), [("full", 39), ("head", 0), ("last_n", 16), ("lora", 12)])
def test_what_trains(fine_tune: str, trained: int) -> None:
    backbone = _tiny()
    bert.choose_trainable(backbone, fine_tune, last_n=1, lora_rank=2)
    assert len(backbone.trainable_variables) == trained  # type: ignore[attr-defined]


def test_merged_lora_gives_the_same() -> None:
    backbone = _tiny()
    bert.choose_trainable(backbone, "lora", last_n=1, lora_rank=2)
    for variable in backbone.trainable_variables:  # type: ignore[attr-defined]
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    before = _output(backbone)
    bert.merge_lora(backbone)
    np.testing.assert_allclose(_output(backbone), before, atol=1e-5)
    for variable in backbone.trainable_variables:  # type: ignore[attr-defined]
        assert "lora_kernel_b" not in variable.path or not np.array(variable).any()
