"""What a trained text model is: BERT, what it made of each item, and the heads on it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.behaviour_text import wordpiece
from homefeed.models.catalogue import Catalogue
from homefeed.models.errors import ModelError
from homefeed.models.text import bert as berts
from homefeed.models.text import reading
from homefeed.models.text.heads import TextHeads
from homefeed.models.text.reading import Ends, Scale

Floats = npt.NDArray[np.float32]

ARRAYS, FACTS, BESIDE = "text_model.npz", "text_model.json", "beside"


@dataclasses.dataclass(frozen=True)
class TextModel:
    """Reads texts, and says which suits whom.

    Attributes:
        berts: `BertBackbone`s whose readings stand side by side.
        ends: what each of them reads of a text.
        scale: of their joined readings.
        heads: on standardised readings.
        items: [num_rows, width] float32 standardised readings of the catalogue; 0 for an item without a text.
        item_texts: [num_rows, tokens] int32, 0-padded, what they are readings of.
    """

    berts: tuple[Any, ...]
    ends: tuple[Ends, ...]
    scale: Scale
    heads: TextHeads
    items: Floats
    item_texts: npt.NDArray[np.int32]

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Tokens by id."""
        return tuple(self.ends[0].vocabulary)

    @property
    def width(self) -> int:
        """Size of a reading."""
        return int(self.items.shape[1])

    @property
    def variables(self) -> list[tf.Variable]:
        """What a SavedModel that reads has to hold."""
        return [variable.value for part in (*self.berts, self.heads) for variable in part.variables]

    def with_ids_in_range(self, token_ids: tf.Tensor) -> tf.Tensor:
        """A token of another vocabulary becomes an unknown one."""
        known = (token_ids >= 0) & (token_ids < len(self.vocabulary))
        return tf.where(known, token_ids, self.vocabulary.index(wordpiece.UNK))

    def read(self, token_ids: tf.Tensor) -> tf.Tensor:
        """[num_texts, tokens] int32, 0-padded → [num_texts, width] float32 standardised; 0 for what says nothing.

        A text of words alone that a BERT does not read says nothing to this BERT, as in training.
        """
        given = [ends(token_ids) for ends in self.ends]
        parts = [reading.read(bert, ended) for bert, ended in zip(self.berts, given, strict=True)]
        speaks = [
            tf.ones_like(part) * tf.cast(tf.reduce_any(ended > 0, axis=1), tf.float32)[:, None]
            for part, ended in zip(parts, given, strict=True)
        ]
        return (tf.concat(parts, axis=1) - self.scale.mean) / self.scale.deviation * tf.concat(speaks, axis=1)

    def asked(self, token_ids: tf.Tensor) -> tf.Tensor:
        """What queries ask for: [batch, n] int32 token ids, 0-padded → [batch, size] float32; 0 where nothing is.

        Unknown words alone ask for nothing. BERT reads only where somebody asks.
        """

        def told() -> tf.Tensor:
            words = [tf.reduce_any(ends(token_ids) >= reading.NUM_SPECIAL, axis=1) for ends in self.ends]
            return tf.where(tf.reduce_any(words, axis=0)[:, None], self.heads.query(self.read(token_ids)), 0.0)

        nothing = tf.zeros([tf.shape(token_ids)[0], self.heads.size])
        return tf.cond(tf.reduce_any(token_ids > 0), told, lambda: nothing)

    def describe(self, catalogue: Catalogue) -> Catalogue:
        """The same catalogue with text vectors. BERT reads only the texts that training did not know."""
        known = {_key(text): row for row, text in enumerate(self.item_texts)}
        rows = np.array([known.get(_key(text), -1) for text in catalogue.token_ids])
        readings = self.items[rows]
        readings[rows < 0] = self.read_all(catalogue.token_ids[rows < 0])
        return dataclasses.replace(catalogue, text_vectors=self.heads.offered(tf.constant(readings)).numpy())

    def offer(self, token_ids: tf.Tensor) -> tf.Tensor:
        """Text vectors in the graph: [num_texts, tokens] int32, 0-padded → [num_texts, size] float32."""
        return self.heads.offered(self.read(self.with_ids_in_range(token_ids)))

    def read_all(self, token_ids: npt.NDArray[np.int32]) -> Floats:
        """`read` in batches: [num_texts, tokens] int32 → [num_texts, width] float32."""
        signature = [tf.TensorSpec([None, token_ids.shape[1]], tf.int32)]
        read = tf.function(lambda part: self.read(part), input_signature=signature)
        parts = [np.zeros((0, self.width), np.float32)]
        for start in range(0, len(token_ids), reading.BATCH):
            parts.append(read(tf.constant(token_ids[start : start + reading.BATCH])).numpy())
        return np.concatenate(parts)

    def save(self, folder: pathlib.Path) -> None:
        """Writes it; the folder is a KerasNLP preset of the first BERT, too."""
        for bert, ends, target in zip(self.berts, self.ends, (folder, folder / BESIDE), strict=False):
            berts.save_bert(bert, list(ends.vocabulary), target)
        known = {f"known{place}": ends.known for place, ends in enumerate(self.ends) if ends.known is not None}
        heads = {f"heads{place}": weight for place, weight in enumerate(self.heads.get_weights())}
        np.savez(folder / ARRAYS, items=self.items, item_texts=self.item_texts, **vars(self.scale), **known, **heads)
        facts = {"heads": {"width": self.heads.width, "size": self.heads.size}, "num_berts": len(self.berts)}
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    @classmethod
    def load(cls, folder: pathlib.Path) -> TextModel:
        """The inverse of `save`.

        Raises:
            ModelError: the folder holds none.
        """
        if not (folder / FACTS).is_file():
            raise ModelError(
                f"{folder} holds no text model ({FACTS}): another version of homefeed made it. Train it again."
            )
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        loaded = [berts.load_bert(str(place)) for place in (folder, folder / BESIDE)[: facts["num_berts"]]]
        vocabulary = berts.preset_vocabulary(str(folder))
        heads = TextHeads(**facts["heads"])
        with np.load(folder / ARRAYS) as arrays:
            heads.set_weights([arrays[f"heads{place}"] for place in range(len(heads.weights))])
            known = [arrays[name] if name in arrays.files else None for name in ("known0", "known1")]
            return cls(
                tuple(loaded),
                ends_of(loaded, vocabulary, known),
                Scale(arrays["mean"], arrays["deviation"]),
                heads,
                arrays["items"],
                arrays["item_texts"],
            )


def _key(text: npt.NDArray[np.int32]) -> bytes:
    """A text's tokens, however long the row that holds them."""
    return text[text > 0].astype(np.int32).tobytes()


def ends_of(
    backbones: Sequence[Any], vocabulary: Sequence[str], known: Sequence[npt.NDArray[np.bool_] | None]
) -> tuple[Ends, ...]:
    """What each BERT reads of a text."""
    return tuple(
        Ends(vocabulary, bert.max_sequence_length, words) for bert, words in zip(backbones, known, strict=False)
    )
