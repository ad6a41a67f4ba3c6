"""A user's token sequence, assembled inside the graph from tables of token ids.

    [CLS] the user's features [SEP] newest event [SEP] older event [SEP] …

An event is its features (type, value, …) and its item's text. Pre-training, training, batch inference and serving all
call this one layer; it is made of gather, concat and ragged operations alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from homefeed.models.behaviour_text import wordpiece
from homefeed.models.behaviour_text.templates import user_text
from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences
from homefeed.models.shared.request_specs import MAX_QUERY_TOKENS

MAX_NUMBERS = 100  # How many different numbers of one feature are told apart in text.
_FEATURE_TOKENS = 8  # The longest text of one feature's name, or of one value.


@dataclasses.dataclass(frozen=True)
class NumberTable:
    """Text for a number: that of the nearest number in a table.

    Attributes:
        numbers: [num_numbers] float32, ascending.
        token_ids: [num_numbers, num_tokens] int32, 0-padded.
    """

    numbers: npt.NDArray[np.float32]
    token_ids: npt.NDArray[np.int32]

    def lookup(self, values: tf.Tensor) -> tf.Tensor:
        """[...] float32 → [..., num_tokens] int32; NaN has no text."""
        if not len(self.numbers):
            return tf.zeros(tf.concat([tf.shape(values), [1]], 0), tf.int32)
        middles = ((self.numbers[1:] + self.numbers[:-1]) / 2).astype(np.float32)
        known = tf.math.is_finite(values)
        flat = tf.reshape(tf.where(known, values, tf.zeros_like(values)), [-1])
        nearest = tf.reshape(tf.searchsorted(tf.constant(middles), flat, side="right"), tf.shape(values))
        return tf.gather(tf.constant(self.token_ids), nearest) * tf.cast(known, tf.int32)[..., None]


@dataclasses.dataclass(frozen=True)
class TextTables:
    """The token ids of every piece that a sequence is made of.

    Attributes:
        vocabulary: tokens by id.
        items: [num_rows, item_tokens] int32, `Catalogue.token_ids`.
        event_categorical: event feature → [num_values + 2, num_tokens] int32.
        event_numeric: event feature → the texts of its numbers.
        names: user feature → [num_tokens] int32, the text of its name.
        categorical: user feature → [num_values + 2, num_tokens] int32.
        numeric: user feature → the texts of its numbers.
    """

    vocabulary: tuple[str, ...]
    items: npt.NDArray[np.int32]
    event_categorical: dict[str, npt.NDArray[np.int32]]
    event_numeric: dict[str, NumberTable]
    names: dict[str, npt.NDArray[np.int32]]
    categorical: dict[str, npt.NDArray[np.int32]]
    numeric: dict[str, NumberTable]

    @property
    def events(self) -> list[str]:
        """The event features that have a text, in the order in which it is written."""
        return [*self.event_categorical, *self.event_numeric]

    def read_event(self, name: str, values: tf.Tensor) -> tf.Tensor:
        """[...] int32 positions or float32 numbers of an event feature → [..., num_tokens] int32."""
        if name in self.event_numeric:
            return self.event_numeric[name].lookup(values)
        return tf.gather(tf.constant(self.event_categorical[name]), values)


def text_tables(vocabulary: Sequence[str], catalogue: Catalogue, train: Sequences) -> TextTables:
    """Tokenises once what sequences will be assembled from.

    Args:
        vocabulary: the one that `catalogue.token_ids` was made with.
        catalogue: the items.
        train: the training split, which decides the numbers that have a text of their own.
    """
    unknown = wordpiece.UNK
    unknown_id = list(vocabulary).index(unknown)

    def strings(values: Sequence[str]) -> npt.NDArray[np.int32]:
        table = _tokens(["", "", *values], vocabulary)
        table[1, 0] = unknown_id
        return table

    numbers = {name: values[:, 0] for name, values in train.numeric.items() if values.shape[1] == 1}
    return TextTables(
        vocabulary=tuple(vocabulary),
        items=catalogue.token_ids,
        event_categorical={name: strings(values) for name, values in train.event_vocabularies.items()},
        event_numeric={name: _number_table(values, vocabulary) for name, values in train.event_numeric.items()},
        names={
            name: _tokens([user_text({name: "x"}).removesuffix("x")], vocabulary)[0]
            for name in (*train.categorical, *numbers)
        },
        categorical={name: strings(train.vocabularies[name]) for name in train.categorical},
        numeric={name: _number_table(values, vocabulary) for name, values in numbers.items()},
    )


class UserSequence:
    """Assembles token sequences.

    Example:
        `UserSequence(tables, 128)({"recent_items": rows, "recent_value": values, "user_gender": positions})`
    """

    def __init__(self, tables: TextTables, length: int):
        """Keeps `length` tokens, the newest events'."""
        self.tables = tables
        self.length = length
        self._cls, self._sep = (tables.vocabulary.index(t) for t in (wordpiece.CLS, wordpiece.SEP))

    def __call__(self, request: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Token ids of a batch of users.

        Args:
            request: `recent_items` [batch, num_events] int32 catalogue rows, newest first, 0 for none; and where
                known, aligned with it, `recent_<feature>` int32 positions or float32;
                `user_<feature>`: [batch, num_values] int32 positions or [batch, 1] float32; `query_token_ids`
                [batch, query_tokens] int32.

        Returns:
            [batch, length] int32, 0-padded.
        """
        items = request["recent_items"][:, : self.length // 2]
        batch = tf.shape(items)[0]
        sep = tf.fill([batch, 1], self._sep)
        pieces = [tf.fill([batch, 1], self._cls), *self._user(request, batch), sep]
        if "query_token_ids" in request:
            query = request["query_token_ids"][:, :MAX_QUERY_TOKENS]
            pieces += [query, tf.where(tf.reduce_any(query > 0, 1, keepdims=True), sep, 0)]
        pieces.append(self._events(items, request))
        everything = tf.concat(pieces, axis=1)
        return _close_up(everything, self.length)

    def of_items(self, token_ids: tf.Tensor) -> tf.Tensor:
        """[num_items, tokens] int32 texts, 0-padded → [num_items, tokens + 2] int32: [CLS] text [SEP]."""
        ends = [tf.shape(token_ids)[0], 1]
        return _close_up(tf.concat([tf.fill(ends, self._cls), token_ids, tf.fill(ends, self._sep)], axis=1))

    def pairs(self, candidates: tf.Tensor, users: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Each candidate's text with its user's: [CLS] item [SEP] what `__call__` gives, without its [CLS].

        Args:
            candidates: [batch, num_candidates, tokens] int32, 0-padded.
            users: [batch, length] int32.

        Returns:
            Token ids [batch × num_candidates, length] int32 and segment ids, 0 for the item and 1 for the user.
        """
        shape = tf.shape(candidates)
        items = self.of_items(tf.reshape(candidates, [shape[0] * shape[1], candidates.shape[2]]))
        user = tf.repeat(users[:, 1:], shape[1], axis=0)
        tokens = _close_up(tf.concat([items, user], axis=1), self.length)
        num_first = tf.math.count_nonzero(items, axis=1, keepdims=True, dtype=tf.int32)
        return tokens, tf.cast((tf.range(self.length) >= num_first) & (tokens > 0), tf.int32)

    def _events(self, items: tf.Tensor, request: Mapping[str, tf.Tensor]) -> tf.Tensor:
        num_events = tf.shape(items)[1]
        parts = [tf.gather(tf.constant(self.tables.items), items)]
        said = {
            name: request[f"recent_{name}"][:, :num_events]
            for name in self.tables.events
            if f"recent_{name}" in request
        }
        parts = [self.tables.read_event(name, column) for name, column in said.items()] + parts
        parts.append(tf.fill(tf.concat([tf.shape(items), [1]], 0), self._sep))
        events = tf.concat(parts, axis=2) * tf.cast(items > 0, tf.int32)[..., None]
        return tf.reshape(events, [tf.shape(items)[0], num_events * events.shape[2]])

    def _user(self, request: Mapping[str, tf.Tensor], batch: tf.Tensor) -> list[tf.Tensor]:
        pieces = []
        for name in self.tables.names:
            value = request.get(f"user_{name}")
            if value is None:
                continue
            if name in self.tables.categorical:
                tokens = tf.gather(tf.constant(self.tables.categorical[name]), value)
                tokens = tf.reshape(tokens, [batch, tf.shape(value)[1] * tokens.shape[2]])
            else:
                tokens = self.tables.numeric[name].lookup(value[:, 0])
            known = tf.cast(tf.reduce_any(tokens > 0, 1, keepdims=True), tf.int32)
            pieces += [known * tf.constant(self.tables.names[name])[None], tokens]
        return pieces


def _close_up(tokens: tf.Tensor, length: int | None = None) -> tf.Tensor:
    """Moves the zeros of each row to its end, and cuts or pads it to a length (its own, if none is given)."""
    closed = tf.ragged.boolean_mask(tokens, tokens > 0)
    return closed.to_tensor(shape=[None, tokens.shape[1] if length is None else length])


def _number_table(values: npt.NDArray[np.float32], vocabulary: Sequence[str]) -> NumberTable:
    values = np.unique(values[np.isfinite(values)])
    if len(values) > MAX_NUMBERS:
        values = np.unique(np.quantile(values, np.linspace(0, 1, MAX_NUMBERS), method="nearest"))
    texts = [user_text({"": float(value)}) for value in values]
    return NumberTable(values.astype(np.float32), _tokens(texts, vocabulary))


def _tokens(texts: Sequence[str], vocabulary: Sequence[str]) -> npt.NDArray[np.int32]:
    """[num_texts, num_tokens] int32, no wider than the longest text needs."""
    tokens = wordpiece.tokenize(texts, vocabulary, _FEATURE_TOKENS)
    width = max(1, int((tokens > 0).sum(axis=1).max(initial=0)))
    return np.ascontiguousarray(tokens[:, :width])
