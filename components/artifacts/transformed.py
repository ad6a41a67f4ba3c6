"""How Transform's outputs lie on disk: the loaders of every trainer, and the writers of Transform."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.example_io import Column
from homefeed.components.artifacts.types import SPLITS, Examples, TransformGraph
from homefeed.models.catalogue import Catalogue
from homefeed.models.exposures import OUTCOMES, Exposures
from homefeed.models.sequences import Sequences
from homefeed.schemas.features import Input

if TYPE_CHECKING:
    import pyarrow as pa

CATALOGUE_FILE, WORDPIECE_FILE, REQUEST_FILE = "catalogue.npz", "wordpiece.txt", "request.json"
BERT_PRESET_FILE = "bert_preset.json"
CATALOGUE_VOCABULARIES_FILE = "catalogue_vocabularies.json"
REQUEST_FIELDS = ("inputs", "objectives", "vocabularies", "event_vocabularies", "time_zone", "guards")
_OUTCOME = "outcome_"
_EXPOSURES = "_exposures"  # Ends the name of the split beside one of Sequences.
_QUERIES = "query_token_ids"
_CATEGORICAL, _NUMERIC = "categorical.", "numeric."
_EVENT_CATEGORICAL, _EVENT_NUMERIC = "event_categorical.", "event_numeric."


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a model is trained on: the catalogue, two splits, and the vocabulary of behaviour text."""

    catalogue: Catalogue
    train: Sequences
    evaluation: Sequences
    wordpiece: list[str]
    shown: Exposures | None = None  # In training; None: nothing says what was.
    shown_in_evaluation: Exposures | None = None


def load_training_data(graph: TransformGraph, examples: Examples) -> TrainingData:
    """Reads what trainers need of Transform's outputs; never the test split."""
    train, evaluation = (load_sequences(graph, examples, split) for split in SPLITS[:2])
    shown = (load_exposures(examples, split) for split in SPLITS[:2])
    return TrainingData(load_catalogue(graph), train, evaluation, load_wordpiece(graph), *shown)


def save_catalogue(graph: TransformGraph, catalogue: Catalogue) -> None:
    """Writes the catalogue; equal catalogues give equal bytes."""
    graph.write_json(CATALOGUE_VOCABULARIES_FILE, catalogue.vocabularies)
    arrays: dict[str, Any] = {"token_ids": catalogue.token_ids, "train_counts": catalogue.train_counts}
    arrays["available_from"] = catalogue.available_from
    arrays |= {f"{_CATEGORICAL}{name}": array for name, array in catalogue.categorical.items()}
    arrays |= {f"{_NUMERIC}{name}": array for name, array in catalogue.numeric.items()}
    for name, strings in (("item_ids", catalogue.item_ids), ("titles", catalogue.titles)):
        arrays[name], arrays[f"{name}.row_splits"] = _pack(strings)
    np.savez(graph.path / CATALOGUE_FILE, **arrays)


def load_catalogue(graph: TransformGraph) -> Catalogue:
    """Reads the catalogue."""
    vocabularies = graph.read_json(CATALOGUE_VOCABULARIES_FILE)
    with np.load(graph.path / CATALOGUE_FILE) as arrays:
        return Catalogue(
            item_ids=_unpack(arrays["item_ids"], arrays["item_ids.row_splits"]),
            titles=_unpack(arrays["titles"], arrays["titles.row_splits"]),
            token_ids=arrays["token_ids"],
            categorical=_with_prefix(arrays, _CATEGORICAL),
            numeric=_with_prefix(arrays, _NUMERIC),
            vocabularies={name: tuple(values) for name, values in vocabularies.items()},
            train_counts=arrays["train_counts"],
            available_from=arrays["available_from"],
        )


def save_wordpiece(graph: TransformGraph, vocabulary: list[str]) -> None:
    """Writes the WordPiece vocabulary, one token a line, as BERT's `vocab.txt`."""
    (graph.path / WORDPIECE_FILE).write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")


def load_wordpiece(graph: TransformGraph) -> list[str]:
    """Reads the WordPiece vocabulary: tokens by id."""
    return (graph.path / WORDPIECE_FILE).read_text(encoding="utf-8").split("\n")[:-1]


def save_bert_preset(graph: TransformGraph, preset: str) -> None:
    """Writes which BERT the vocabulary comes from; "": it is our own."""
    graph.write_json(BERT_PRESET_FILE, {"preset": preset})


def load_bert_preset(graph: TransformGraph) -> str:
    """Reads which BERT the vocabulary comes from."""
    return str(graph.read_json(BERT_PRESET_FILE)["preset"])


def save_request(graph: TransformGraph, request: Mapping[str, Any]) -> None:
    """Writes what is the same for all splits: the inputs of a request, and the vocabularies of users and events.

    Args:
        graph: gets it.
        request: REQUEST_FIELDS of Sequences, and perhaps others.
    """
    shared = {name: request[name] for name in REQUEST_FIELDS}
    shared["inputs"] = {name: dataclasses.asdict(spec) for name, spec in request["inputs"].items()}
    # The first is the default, and the keys of a JSON file are sorted.
    shared["objectives"] = [[name, values] for name, values in request["objectives"].items()]
    graph.write_json(REQUEST_FILE, shared)


def load_request(graph: TransformGraph) -> dict[str, Any]:
    """Reads it, as fields of Sequences."""
    read = graph.read_json(REQUEST_FILE)
    for kind in ("vocabularies", "event_vocabularies"):
        read[kind] = {name: tuple(values) for name, values in read[kind].items()}
    read["objectives"], read["guards"] = dict(read["objectives"]), tuple(read.get("guards", ()))
    read["inputs"] = {name: Input(spec["dtype"], tuple(spec["shape"])) for name, spec in read["inputs"].items()}
    return dict(read)


def numbers_of(inputs: Mapping[str, Input], prefix: str) -> list[str]:
    """The columns of numbers that a request holds, of events (`history_`) or of a user (`user_`)."""
    return [
        name.removeprefix(prefix)
        for name, spec in inputs.items()
        if name.startswith(prefix) and spec.dtype == "float32"
    ]


def save_sequences(examples: Examples, split: str, sequences: Sequences) -> None:
    """Writes a split: one tf.train.Example a user."""
    save_parts(examples, split, [sequences])


def save_parts(
    examples: Examples, split: str, parts: Iterable[Sequences], shard: int = 0, num_shards: int = 1
) -> None:
    """Writes a shard of a split some users at a time, with the bytes of all at once."""
    example_io.write_batches(examples, split, map(_batch_of, parts), shard, num_shards)


def _batch_of(sequences: Sequences) -> pa.RecordBatch:
    splits = sequences.row_splits
    columns = {
        "user_id": example_io.rectangular(sequences.user_ids),
        "num_history": example_io.rectangular(sequences.num_history),
        "item_index": (sequences.item_index, splits),
        "timestamp": (sequences.timestamp, splits),
        "positive": (sequences.positive.astype(np.int64), splits),
    }
    if sequences.query_token_ids is not None:
        width = sequences.query_token_ids.shape[1]
        columns[_QUERIES] = (sequences.query_token_ids.reshape(-1), splits * width)
    for prefix, arrays in ((_CATEGORICAL, sequences.categorical), (_NUMERIC, sequences.numeric)):
        columns |= {f"{prefix}{name}": example_io.rectangular(array) for name, array in arrays.items()}
    for prefix, arrays in (
        (_EVENT_CATEGORICAL, sequences.event_categorical),
        (_EVENT_NUMERIC, sequences.event_numeric),
    ):
        columns |= {f"{prefix}{name}": (array, splits) for name, array in arrays.items()}
    return example_io.record_batch(columns)


def load_sequences(graph: TransformGraph, examples: Examples, split: str) -> Sequences:
    """Reads a split.

    Raises:
        ArtifactError: there is no such split; the message names those that exist.
    """
    return _sequences(example_io.join_columns(example_io.read_parts(examples, split)), graph)


def load_newest(graph: TransformGraph, files: Mapping[str, Sequence[pathlib.Path]]) -> Sequences:
    """Each user once, with all that they did in any split, and without what they searched for.

    Args:
        graph: vocabularies.
        files: split → shards.
    """
    seen: set[bytes] = set()

    def parts() -> Iterator[pa.RecordBatch]:
        for split in reversed(SPLITS):  # A later one repeats the events of those before it.
            for batch in example_io.read_shards(files[split]):
                user_ids = example_io.single(batch, "user_id", b"").tolist()
                is_new = np.array([user not in seen for user in user_ids], bool)
                seen.update(user_ids)
                yield example_io.some_of(batch, is_new, without=(_QUERIES,))

    return _sequences(example_io.join_columns(parts()), graph)


def _sequences(columns: Mapping[str, Column], graph: TransformGraph) -> Sequences:
    user_ids, _ = columns.get("user_id", (np.empty(0, object), None))
    user_ids = np.array(user_ids.tolist(), object)
    request = load_request(graph)

    def events(name: str, dtype: Any) -> npt.NDArray[Any]:
        return np.asarray(columns[name][0], dtype) if name in columns else np.empty(0, dtype)

    def features(prefix: str, dtype: Any) -> dict[str, npt.NDArray[Any]]:
        names = sorted(name for name in columns if name.startswith(prefix))
        return {name.removeprefix(prefix): events(name, dtype).reshape(len(user_ids), -1) for name in names}

    item_index = events("item_index", np.int32)
    queries = events(_QUERIES, np.int32).reshape(len(item_index), -1) if _QUERIES in columns else None
    return Sequences(
        user_ids=user_ids,
        row_splits=columns["item_index"][1] if "item_index" in columns else np.zeros(1, np.int64),
        num_history=events("num_history", np.int64),
        item_index=item_index,
        timestamp=events("timestamp", np.int64),
        event_categorical={n: events(_EVENT_CATEGORICAL + n, np.int32) for n in request["event_vocabularies"]},
        event_numeric={n: events(_EVENT_NUMERIC + n, np.float32) for n in numbers_of(request["inputs"], "history_")},
        positive=events("positive", bool),
        categorical=features(_CATEGORICAL, np.int32),
        numeric=features(_NUMERIC, np.float32),
        **request,
        query_token_ids=queries,
    )


def save_exposures(examples: Examples, split: str, exposures: Exposures, shard: int = 0, num_shards: int = 1) -> None:
    """Writes a shard of what was shown in a split, beside it: one tf.train.Example an impression."""
    columns = {name: example_io.rectangular(getattr(exposures, name)) for name in ("user_ids", "timestamp")}
    for name in ("item_index", "position", "propensity", "clicked"):
        array = getattr(exposures, name)
        columns[name] = (array.astype(np.int64) if array.dtype == bool else array, exposures.row_splits)
    for name, happened in exposures.outcomes.items():
        columns[_OUTCOME + name] = (happened.astype(np.int64), exposures.row_splits)
    columns["user_id"] = columns.pop("user_ids")  # The name by which a person is found, to be forgotten.
    example_io.write_split(examples, f"{split}{_EXPOSURES}", example_io.record_batch(columns), shard, num_shards)


def load_exposures(examples: Examples, split: str) -> Exposures | None:
    """Reads what was shown in a split; None: nothing, or nothing that is known."""
    name = f"{split}{_EXPOSURES}"
    if name not in examples.splits:
        return None
    batch = example_io.read_split(examples, name)
    item_index, position, propensity, clicked = (
        example_io.ragged(batch, name) for name in ("item_index", "position", "propensity", "clicked")
    )
    if item_index is None or position is None or propensity is None or clicked is None:  # All were forgotten.
        return None
    outcomes = {name: example_io.ragged(batch, _OUTCOME + name) for name in OUTCOMES}
    return Exposures(
        example_io.single(batch, "user_id", b""),
        example_io.single(batch, "timestamp", 0).astype(np.int64),
        item_index[1],
        item_index[0].astype(np.int32),
        position[0].astype(np.int32),
        propensity[0].astype(np.float32),
        clicked[0].astype(bool),
        {name: happened[0].astype(bool) for name, happened in outcomes.items() if happened is not None},
    )


def _pack(strings: npt.NDArray[np.object_]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Strings as one run of bytes and where each begins: npz holds objects only by pickle."""
    lengths = [len(value) for value in strings]
    return np.frombuffer(b"".join(strings), np.uint8), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _unpack(data: npt.NDArray[np.uint8], row_splits: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    raw = data.tobytes()
    strings = np.empty(len(row_splits) - 1, object)
    strings[:] = [raw[start:stop] for start, stop in itertools.pairwise(row_splits)]
    return strings


def _with_prefix(arrays: Any, prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): arrays[name] for name in arrays.files if name.startswith(prefix)}
