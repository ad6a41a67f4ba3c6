"""Transform: raw ids and text to what models work on — vocabularies, the catalogue, histories, token ids."""

from __future__ import annotations

import collections
import dataclasses
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts.types import DatasetDir, Examples, TransformGraph
from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences
from homefeed.schemas.dataset import Feature, Positive, load_dataset

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS = ("train", "eval", "test")  # In the order of time.
PAD, OOV, NUM_RESERVED = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The raw examples of the three tables."""

    dataset: DatasetDir
    interactions: Examples
    items: Examples
    users: Examples


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What every trainer reads; `homefeed.components.artifacts.transformed` loads it."""

    transform_graph: TransformGraph
    examples: Examples


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of vocabularies and texts."""

    wordpiece_size: int = 8000  # The most tokens in the vocabulary of behaviour text.
    bert_preset: str = ""  # A KerasNLP preset, or a folder in KerasNLP's or Hugging Face's format: its vocabulary is
    # taken, and BehaviorPretrainer continues from its weights. "": a vocabulary and a compact BERT of our own.
    item_tokens: int = 24  # Tokens kept of an item's text.
    user_tokens: int = 16  # Tokens kept of the text of a user's features.
    query_tokens: int = 12  # Tokens kept of what a user searched for.
    max_categories: int = 8  # Values kept of a feature that has several.
    min_count: int = 1  # A category seen less often is out-of-vocabulary.


def learn_wordpiece(texts: Iterable[str], names: Iterable[str], config: Config) -> list[str]:
    """The WordPiece vocabulary of behaviour text: of items, of training users, and of what may happen."""
    from homefeed.models import behaviour_text

    if config.bert_preset:
        from homefeed.models.ranking.text.bert import preset_vocabulary

        return preset_vocabulary(config.bert_preset)
    return behaviour_text.learn_vocabulary([*texts, *names], config.wordpiece_size)


def build_catalogue(
    items: pa.RecordBatch,
    features: Mapping[str, Feature],
    train_item_ids: Iterable[bytes] | Mapping[bytes, int],
    wordpiece: list[str],
    config: Config,
    vocabularies: Mapping[str, tuple[str, ...]] = types.MappingProxyType({}),
) -> Catalogue:
    """The items table as arrays.

    Args:
        items: one row an item, as ExampleGen wrote it.
        features: the table's columns.
        train_item_ids: the item of each training interaction, or how many there are of each.
        wordpiece: the vocabulary of behaviour text.
        config: sizes.
        vocabularies: of features that are not to be learnt anew.
    """
    from homefeed.components.artifacts import example_io
    from homefeed.models import behaviour_text

    ids = example_io.single(items, "item_id", b"")
    counts = collections.Counter(train_item_ids)
    categorical, numeric, learnt = _encode(items, features, vocabularies, config)
    token_ids = behaviour_text.tokenize(item_texts(items, features), wordpiece, config.item_tokens)
    return Catalogue(
        item_ids=_with_row_0(ids, b""),
        titles=_with_row_0(example_io.single(items, "title", b""), b""),
        token_ids=_with_row_0(token_ids, PAD),
        categorical={name: _with_row_0(array, PAD) for name, array in categorical.items()},
        numeric={name: _with_row_0(array, np.nan) for name, array in numeric.items()},
        vocabularies=learnt,
        train_counts=_with_row_0(np.array([counts[item_id] for item_id in ids], np.int64), 0),
        available_from=_available_from(items),
    )


def _available_from(items: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """As in Catalogue."""
    from homefeed.components.artifacts import example_io

    always = np.iinfo(np.int64).min
    times = example_io.single(items, "available_from", always).astype(np.int64)
    return _with_row_0(times, always) if (times != always).any() else np.empty(0, np.int64)


def extended_vocabularies(
    items: pa.RecordBatch, features: Mapping[str, Feature], known: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """The known vocabularies of item features, each followed by what the table has beyond it."""
    from homefeed.components.artifacts import example_io

    extended = dict(known)
    for name in _model_features(features, ("category", "categories")).keys() & known.keys():
        found = example_io.ragged(items, name)
        values = _vocabulary(found[0]) if found else ()
        old = set(known[name])
        extended[name] = (*known[name], *(value for value in values if value not in old))
    return extended


def item_texts(items: pa.RecordBatch, features: Mapping[str, Feature]) -> list[str]:
    """The text of each item."""
    from homefeed.models import behaviour_text

    return [behaviour_text.item_text(row) for row in _rows(items, features)]


def user_texts(users: pa.RecordBatch, features: Mapping[str, Feature]) -> list[str]:
    """The text of each user's features."""
    from homefeed.models import behaviour_text

    return [behaviour_text.user_text(row) for row in _rows(users, features)]


@dataclasses.dataclass(frozen=True)
class Events:
    """The interactions of all splits, in the order of time inside each user.

    Attributes:
        user: [num_events] int64 positions in `user_ids`.
        split: [num_events] int64 positions in SPLITS.
        columns: name → [num_events], as ExampleGen wrote them.
        user_ids: [num_users] object (bytes).
    """

    user: npt.NDArray[np.int64]
    split: npt.NDArray[np.int64]
    columns: dict[str, npt.NDArray[Any]]
    user_ids: npt.NDArray[np.object_]


def join_splits(batches: Mapping[str, pa.RecordBatch]) -> Events:
    """Puts each user's events of all splits behind each other."""
    from homefeed.components.artifacts import example_io

    ids, lengths, splits = [], [], []
    columns: dict[str, list[npt.NDArray[Any]]] = collections.defaultdict(list)
    for position, split in enumerate(SPLITS):
        batch = batches[split]
        found = {name: example_io.ragged(batch, name) for name in batch.schema.names if name != "user_id"}
        present = {name: value for name, value in found.items() if value is not None}
        num_events = np.diff(present["item_id"][1]) if present else np.zeros(0, np.int64)
        ids.append(example_io.single(batch, "user_id", b""))
        lengths.append(num_events)
        splits.append(np.full(num_events.sum(), position))
        for name, (values, _) in present.items():
            columns[name].append(values)
    user_ids, user = np.unique(np.concatenate(ids), return_inverse=True)
    user = np.repeat(user, np.concatenate(lengths))
    order = np.argsort(user, kind="stable")  # The splits came in the order of time.
    joined = {name: np.concatenate(parts)[order] for name, parts in columns.items()}
    return Events(user[order], np.concatenate(splits)[order].astype(np.int64), joined, user_ids)


def training_queries(events: Events) -> list[str]:
    """What was searched for in training, each query once."""
    if "query" not in events.columns:
        return []
    return [query.decode() for query in np.unique(events.columns["query"][events.split == 0]) if query]


def build_sequences(
    events: Events,
    users: UserTable,
    split: str,
    item_rows: Mapping[bytes, int],
    positive: Positive,
    event_types: tuple[str, ...],
    query_token_ids: npt.NDArray[np.int32] | None = None,
) -> Sequences:
    """The users of one split, each with the events before it and in it; `query_token_ids` are of all events."""
    position = SPLITS.index(split)
    chosen = np.unique(events.user[events.split == position])
    keep = np.isin(events.user, chosen) & (events.split <= position)
    columns = {name: values[keep] for name, values in events.columns.items()}
    kept_user, in_history = events.user[keep], events.split[keep] < position
    row = np.searchsorted(chosen, kept_user)
    num_events = np.bincount(row, minlength=len(chosen))
    num_history = np.bincount(row, weights=in_history, minlength=len(chosen))
    value = columns.get("value", np.full(keep.sum(), np.nan)).astype(np.float32)
    event_type = columns.get("event_type", np.full(keep.sum(), b"", object))
    features = users.take(events.user_ids[chosen])
    return Sequences(
        user_ids=events.user_ids[chosen],
        row_splits=np.concatenate([[0], np.cumsum(num_events)]).astype(np.int64),
        num_history=num_history.astype(np.int64),
        item_index=np.array([item_rows.get(item, 0) for item in columns["item_id"]], np.int32),
        timestamp=columns["timestamp"].astype(np.int64),
        value=value,
        event_type_index=_look_up(event_type, event_types),
        positive=_is_positive(positive, value, event_type),
        categorical=features.categorical,
        numeric=features.numeric,
        vocabularies=users.vocabularies | {"event_type": event_types},
        token_ids=features.token_ids,
        query_token_ids=None if query_token_ids is None else query_token_ids[keep],
    )


def tokenize_queries(events: Events, wordpiece: list[str], config: Config) -> npt.NDArray[np.int32] | None:
    """[num_events, query_tokens] int32, as in Sequences; None where nobody ever searched."""
    from homefeed.models import behaviour_text

    texts, which = np.unique(events.columns.get("query", np.empty(0, object)), return_inverse=True)
    if not any(texts):
        return None
    return behaviour_text.tokenize([text.decode() for text in texts], wordpiece, config.query_tokens)[which]


@dataclasses.dataclass(frozen=True)
class UserTable:
    """The users table as arrays, behind a row 0 for a user who is not in it.

    Arrays are as in Sequences, one row a user of the table; `rows` finds it by id.
    """

    rows: dict[bytes, int]
    categorical: dict[str, npt.NDArray[np.int32]]
    numeric: dict[str, npt.NDArray[np.float32]]
    vocabularies: dict[str, tuple[str, ...]]
    token_ids: npt.NDArray[np.int32]

    def take(self, user_ids: npt.NDArray[np.object_]) -> UserTable:
        """The rows of these users, in this order."""
        index = np.array([self.rows.get(user_id, 0) for user_id in user_ids], np.int64)
        return dataclasses.replace(
            self,
            categorical={name: array[index] for name, array in self.categorical.items()},
            numeric={name: array[index] for name, array in self.numeric.items()},
            token_ids=self.token_ids[index],
        )


def build_users(
    users: pa.RecordBatch,
    trained_on: npt.NDArray[np.bool_],
    features: Mapping[str, Feature],
    wordpiece: list[str],
    config: Config,
) -> UserTable:
    """The users table as arrays.

    Args:
        users: one row a user, as ExampleGen wrote it.
        trained_on: [num_users] whether the user has training events; vocabularies come from these alone.
        features: the table's columns.
        wordpiece: the vocabulary of behaviour text.
        config: sizes.
    """
    from homefeed.components.artifacts import example_io
    from homefeed.models import behaviour_text

    _, _, vocabularies = _encode(_take(users, trained_on), features, {}, config)
    categorical, numeric, _ = _encode(users, features, vocabularies, config)
    token_ids = behaviour_text.tokenize(user_texts(users, features), wordpiece, config.user_tokens)
    return UserTable(
        rows={user_id: row + 1 for row, user_id in enumerate(example_io.single(users, "user_id", b""))},
        categorical={name: _with_row_0(array, PAD) for name, array in categorical.items()},
        numeric={name: _with_row_0(array, np.nan) for name, array in numeric.items()},
        vocabularies=vocabularies,
        token_ids=_with_row_0(token_ids, PAD),
    )


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the examples, calls the functions above, writes what they return."""
    from homefeed.components.artifacts import example_io, transformed

    dataset = load_dataset(inputs.dataset.path)
    item_features, user_features = dataset.features("items"), dataset.features("users")
    events = join_splits({split: example_io.read_split(inputs.interactions, split) for split in SPLITS})
    items, user_rows = (example_io.read_split(table, "all") for table in (inputs.items, inputs.users))
    in_train = events.split == SPLITS.index("train")
    trained_on = _is_one_of(example_io.single(user_rows, "user_id", b""), events.user_ids[events.user[in_train]])
    event_types = _vocabulary(events.columns["event_type"][in_train]) if "event_type" in events.columns else ()

    texts = item_texts(items, item_features) + user_texts(_take(user_rows, trained_on), user_features)
    texts += training_queries(events)
    wordpiece = learn_wordpiece(texts, event_types, config)
    users = build_users(user_rows, trained_on, user_features, wordpiece, config)
    train_item_ids = events.columns["item_id"][in_train]
    catalogue = build_catalogue(items, item_features, train_item_ids, wordpiece, config)
    queries = tokenize_queries(events, wordpiece, config)

    transformed.save_catalogue(outputs.transform_graph, catalogue)
    transformed.save_wordpiece(outputs.transform_graph, wordpiece)
    transformed.save_bert_preset(outputs.transform_graph, config.bert_preset)
    transformed.save_user_vocabularies(outputs.transform_graph, users.vocabularies | {"event_type": event_types})
    item_rows = {item_id: row for row, item_id in enumerate(catalogue.item_ids) if row}
    for split in SPLITS:
        sequences = build_sequences(events, users, split, item_rows, dataset.positive, event_types, queries)
        transformed.save_sequences(outputs.examples, split, sequences)
    unknown = sum(item not in item_rows for item in events.columns["item_id"])
    return f"{catalogue.num_rows - 1:,} items, {len(wordpiece):,} word pieces" + (
        f", {unknown:,} events on items outside the catalogue" if unknown else ""
    )


def _model_features(features: Mapping[str, Feature], kinds: tuple[str, ...]) -> dict[str, Feature]:
    return {name: feature for name, feature in sorted(features.items()) if feature.kind in kinds}


def _encode(
    batch: pa.RecordBatch,
    features: Mapping[str, Feature],
    vocabularies: Mapping[str, tuple[str, ...]],
    config: Config,
) -> tuple[dict[str, npt.NDArray[np.int32]], dict[str, npt.NDArray[np.float32]], dict[str, tuple[str, ...]]]:
    """Categories as vocabulary positions and numbers as they are; a vocabulary that is not given is learnt."""
    from homefeed.components.artifacts import example_io

    categorical, learnt = {}, {}
    for name, feature in _model_features(features, ("category", "categories")).items():
        found = example_io.ragged(batch, name)
        if found is None and name not in vocabularies:
            continue
        values, row_splits = found or (np.empty(0, object), np.zeros(batch.num_rows + 1, np.int64))
        learnt[name] = vocabularies.get(name) or _vocabulary(values, config.min_count)
        width = 1 if feature.kind == "category" else config.max_categories
        categorical[name] = _pad(_look_up(values, learnt[name]), row_splits, width)
    numeric = {}
    for name, feature in _model_features(features, ("number", "embedding")).items():
        found = example_io.ragged(batch, name)
        if found is not None:
            values, row_splits = found
            numeric[name] = _pad_numbers(values.astype(np.float32), row_splits, feature.size or 1)
    return categorical, numeric, learnt


def _vocabulary(values: npt.NDArray[Any], min_count: int = 1) -> tuple[str, ...]:
    """The values, most frequent first, ties by name."""
    counts = collections.Counter(values.tolist())
    counts.pop(b"", None)
    ranked = sorted((value for value, n in counts.items() if n >= min_count), key=lambda v: (-counts[v], v))
    return tuple(value.decode() for value in ranked)


def _look_up(values: npt.NDArray[Any], vocabulary: tuple[str, ...]) -> npt.NDArray[np.int32]:
    index = {value.encode(): position + NUM_RESERVED for position, value in enumerate(vocabulary)}
    return np.array([index.get(value, OOV if value else PAD) for value in values], np.int32)


def _pad(values: npt.NDArray[np.int32], row_splits: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.int32]:
    padded = np.full((len(row_splits) - 1, width), PAD, np.int32)
    row, column = _places(row_splits)
    kept = column < width
    padded[row[kept], column[kept]] = values[kept]
    return padded


def _pad_numbers(
    values: npt.NDArray[np.float32], row_splits: npt.NDArray[np.int64], size: int
) -> npt.NDArray[np.float32]:
    """A row of another length than `size` is unknown: a half embedding is none."""
    padded = np.full((len(row_splits) - 1, size), np.nan, np.float32)
    row, column = _places(row_splits)
    whole = np.diff(row_splits)[row] == size
    padded[row[whole], column[whole]] = values[whole]
    return padded


def _places(row_splits: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    lengths = np.diff(row_splits)
    row = np.repeat(np.arange(len(lengths)), lengths)
    return row, np.arange(len(row)) - row_splits[:-1][row]


def _with_row_0(array: npt.NDArray[Any], fill: Any) -> npt.NDArray[Any]:
    first = np.full((1, *array.shape[1:]), fill, array.dtype)
    return np.concatenate([first, array])


def _take(batch: pa.RecordBatch, mask: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    import pyarrow as pa

    return batch.filter(pa.array(mask))


def _is_one_of(ids: npt.NDArray[np.object_], known: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    wanted = set(known)
    return np.array([user_id in wanted for user_id in ids], bool)


def _rows(batch: pa.RecordBatch, features: Mapping[str, Feature]) -> Iterator[dict[str, Any]]:
    """What of each row can be written down, in the order in which ranking assembles it again."""
    written = {
        **_model_features(features, ("category", "categories")),
        **_model_features(features, ("number",)),
        **_model_features(features, ("text",)),
    }
    columns = {name: batch.column(name).to_pylist() for name in written if name in batch.schema.names}
    several = {name for name in columns if written[name].kind == "categories"}
    for row in range(batch.num_rows):
        yield {name: _value(column[row], name in several) for name, column in columns.items()}


def _value(cell: list[Any] | None, several: bool) -> Any:
    values = [value.decode() if isinstance(value, bytes) else value for value in cell or ()]
    return values if several else (values[0] if values else None)


def _is_positive(
    positive: Positive, value: npt.NDArray[np.float32], event_type: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    liked = np.ones(len(value), bool)
    if positive.min_value is not None:
        liked &= value >= positive.min_value  # NaN, no value, is not positive.
    if positive.event_types is not None:
        wanted = {name.encode() for name in positive.event_types}
        liked &= np.array([kind in wanted for kind in event_type], bool)
    return liked
