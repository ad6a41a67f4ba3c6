import json
import pathlib

import numpy as np
import pytest

from homefeed.models.behaviour_text import SPECIAL_TOKENS
from homefeed.models.text import bert

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
