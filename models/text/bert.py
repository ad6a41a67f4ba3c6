"""BERT backbones: a compact one from nothing, or one by a preset's name or folder."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import keras_nlp

from homefeed.models.behaviour_text import wordpiece
from homefeed.models.errors import ModelError

_KERAS_VOCABULARY = pathlib.Path("assets", "tokenizer", "vocabulary.txt")
_HUGGING_FACE_VOCABULARY = pathlib.Path("vocab.txt")


class PresetError(ModelError):
    """A BERT preset cannot be used."""


def new_bert(vocabulary_size: int, *, layers: int, width: int, length: int, dropout: float) -> Any:
    """A `BertBackbone` with fresh weights: heads of 64, feed-forward layers four times as wide."""
    return keras_nlp.models.BertBackbone(
        vocabulary_size=vocabulary_size,
        num_layers=layers,
        num_heads=max(1, width // 64),
        hidden_dim=width,
        intermediate_dim=4 * width,
        dropout=dropout,
        max_sequence_length=length,
    )


def preset_vocabulary(preset: str) -> list[str]:
    """The WordPiece vocabulary of a preset: tokens by id.

    Args:
        preset: a folder in KerasNLP's or Hugging Face's format, or the name of a KerasNLP preset.

    Raises:
        PresetError: the folder holds no vocabulary, or one that behaviour text cannot use.
    """
    folder = pathlib.Path(preset)
    if folder.is_dir():
        files = [folder / name for name in (_KERAS_VOCABULARY, _HUGGING_FACE_VOCABULARY)]
        found = [file for file in files if file.is_file()]
        if not found:
            raise PresetError(
                f"No vocabulary in the BERT preset {folder}: expected {_KERAS_VOCABULARY} (KerasNLP) or "
                f"{_HUGGING_FACE_VOCABULARY} (Hugging Face). {_holds(folder)}"
            )
        vocabulary = found[0].read_text(encoding="utf-8").split("\n")
        vocabulary = vocabulary[:-1] if not vocabulary[-1] else vocabulary
    else:
        vocabulary = _from_preset(keras_nlp.models.BertTokenizer, preset).get_vocabulary()
    try:
        wordpiece.check_vocabulary(vocabulary)
    except ValueError as error:
        raise PresetError(f"BERT preset {preset}: {error}") from error
    return vocabulary


def load_bert(preset: str) -> Any:
    """The `BertBackbone` of a preset.

    Raises:
        PresetError: there is no such preset, a file is missing or broken, or it is no BERT.
    """
    folder = pathlib.Path(preset)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise PresetError(f"No config.json in the BERT preset {folder}. {_holds(folder)}")
    return _from_preset(keras_nlp.models.BertBackbone, preset)


def save_bert(backbone: Any, vocabulary: Sequence[str], folder: pathlib.Path) -> None:
    """Writes backbone and vocabulary as a KerasNLP preset that `load_bert` and KerasNLP read."""
    backbone.save_to_preset(str(folder))
    keras_nlp.models.BertTokenizer(vocabulary=list(vocabulary), lowercase=True).save_to_preset(str(folder))
    # KerasNLP stamps the time; equal training should give equal bytes.
    metadata_file = folder / "metadata.json"
    metadata = json.loads(metadata_file.read_text(encoding="utf-8"))
    metadata.pop("date_saved", None)
    metadata_file.write_text(json.dumps(metadata, indent=4), encoding="utf-8")


def check_fit(backbone: Any, vocabulary: Sequence[str], preset: str) -> None:
    """Checks that token ids of `vocabulary` are token ids of `backbone`.

    Raises:
        PresetError: they are not.
    """
    if backbone.vocabulary_size != len(vocabulary):
        raise PresetError(
            f"BERT preset {preset} has {backbone.vocabulary_size} tokens, the data's vocabulary "
            f"{len(vocabulary)}. Transform must use the preset's own vocabulary: give both the same preset."
        )


def _from_preset(kind: Any, preset: str) -> Any:
    try:
        return kind.from_preset(preset)
    except Exception as error:  # KerasNLP raises many kinds for a file that is missing, broken or not a BERT.
        raise PresetError(
            f"{preset!r} is no usable BERT preset ({type(error).__name__}: {str(error).splitlines()[0]}). Expected "
            "a folder in KerasNLP's or Hugging Face's format, or one of "
            f"{', '.join(sorted(keras_nlp.models.BertBackbone.presets))}. {_holds(pathlib.Path(preset))}"
        ) from error


def _holds(folder: pathlib.Path) -> str:
    if not folder.is_dir():
        return ""
    return f"It holds {', '.join(sorted(p.name for p in folder.iterdir())) or 'nothing'}."


def keras_seed(seed: int) -> None:
    """Makes everything that Keras draws from now on repeatable."""
    keras.utils.set_random_seed(seed)
