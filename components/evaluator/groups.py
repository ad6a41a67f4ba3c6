"""Groups of readers and of items whose quality is told apart: who is in them."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from homefeed.components.evaluator.queries import Queries
from homefeed.components.evaluator.slices import LENGTHS, length_name
from homefeed.models.catalogue import Catalogue
from homefeed.models.sequences import Sequences

Mask = npt.NDArray[np.bool_]
Groups = dict[str, Mask]

NUM_BANDS = 3  # Of a number, with equally many users of the training split in each.
MAX_VALUES = 20  # Of a feature, a language or a category: the most frequent ones. Nobody reads more.
DAY_SECONDS = 86_400
AGES = (7, 30)  # Days; where bands of items' ages end.
FIRST_CATEGORY = 2  # Position of the first name of a vocabulary: 0 is padding, 1 is unknown.


def guarded_users(people: Sequences, train: Sequences) -> Groups:
    """Name → [num_users] bool: the groups that features with `guard: true` make.

    Args:
        people: whose groups.
        train: says where the bands of numbers end, and which values are frequent.
    """
    found: Groups = {}
    for name in people.guards:
        if name in people.numeric:
            found |= _bands(name, people.numeric[name][:, 0], train.numeric[name][:, 0])
        elif name in people.categorical:
            found |= _values(name, people.categorical[name], train.categorical[name], people.vocabularies[name])
    return found


def _bands(name: str, values: npt.NDArray[np.float32], learnt: npt.NDArray[np.float32]) -> Groups:
    known = learnt[np.isfinite(learnt)]
    if not len(known):
        return {}
    ends = np.unique(np.quantile(known, np.arange(1, NUM_BANDS) / NUM_BANDS, method="lower")).tolist()
    bands = itertools.pairwise([-np.inf, *ends, np.inf])
    return {_band_name(name, low, high): (values > low) & (values <= high) for low, high in bands}


def _band_name(name: str, low: float, high: float) -> str:
    above, to = (f"above {low:g}" if np.isfinite(low) else ""), (f"up to {high:g}" if np.isfinite(high) else "")
    return f"{name}: {', '.join(part for part in (above, to) if part) or 'any'}"


def _values(
    name: str, values: npt.NDArray[np.int32], learnt: npt.NDArray[np.int32], vocabulary: Sequence[str]
) -> Groups:
    counts = np.bincount(learnt.ravel(), minlength=FIRST_CATEGORY + len(vocabulary))[FIRST_CATEGORY:]
    most = np.argsort(-counts, kind="stable")[:MAX_VALUES].tolist()
    return {f"{name}: {vocabulary[at]}": (values == FIRST_CATEGORY + at).any(axis=1) for at in most}


def readers(queries: Queries, sequences: Sequences, catalogue: Catalogue, wordpiece: Sequence[str]) -> Groups:
    """Name → [num_queries] bool: readers by how much they have done, and by languages.

    Nobody decides on them; what `guard` declares is beside.
    """
    lengths = np.array([len(history) for history in queries.histories], np.int64)
    found = {
        length_name(low, high): (lengths >= low) & (lengths <= (np.inf if high is None else high))
        for low, high in LENGTHS
    }
    found |= _languages_read(queries, catalogue)
    found |= _scripts_asked_in(queries, sequences, wordpiece)
    return {name: mask for name, mask in found.items() if mask.any()}


def _languages_read(queries: Queries, catalogue: Catalogue) -> Groups:
    """By the language that most items of the history have."""
    if "language" not in catalogue.categorical:
        return {}
    of_items, names = catalogue.categorical["language"], catalogue.vocabularies["language"]
    size = FIRST_CATEGORY + len(names)
    counts = np.array([np.bincount(of_items[history].ravel(), minlength=size) for history in queries.histories])
    if not len(counts):
        return {}
    counts[:, :FIRST_CATEGORY] = 0
    most = np.where(counts.any(axis=1), counts.argmax(axis=1), 0)
    return {f"mostly in {name}": most == FIRST_CATEGORY + at for at, name in enumerate(names[:MAX_VALUES])}


def _scripts_asked_in(queries: Queries, sequences: Sequences, wordpiece: Sequence[str]) -> Groups:
    """By the writing of what was searched for: a query tells no language, its letters tell a script."""
    if sequences.query_token_ids is None:
        return {}
    tokens = sequences.query_token_ids[queries.ends]
    known = np.unique(tokens[tokens > 0]).tolist()
    of_token = {token: script(wordpiece[token]) for token in known}
    scripts = sorted(set(of_token.values()) - {""})
    first = np.zeros(len(tokens), np.int64)  # Of the first word that has letters.
    for column in tokens.T[::-1]:
        of_column = [scripts.index(of_token[token]) + 1 if of_token.get(token) else 0 for token in column.tolist()]
        first = np.where(of_column, of_column, first)
    return {f"query in {name}": first == at for at, name in enumerate(scripts, start=1)}


def script(token: str) -> str:
    """Such as "LATIN" or "CJK", by the Unicode names of letters; "" of what has none, as special tokens.

    >>> script("##ing"), script("灯"), script("42"), script("[UNK]")
    ('LATIN', 'CJK', '', '')
    """
    letters = "" if token.startswith("[") else "".join(filter(str.isalpha, token))
    return unicodedata.name(letters[0], "").partition(" ")[0] if letters else ""


def items(sequences: Sequences, train: Sequences, catalogue: Catalogue) -> Groups:
    """Name → [num_rows] bool: items by age when the split began, by language and by category."""
    found = _ages(sequences, train, catalogue)
    for name, label in (("language", "in "), ("categories", "category: ")):
        if name in catalogue.categorical:
            positions, vocabulary = catalogue.categorical[name], catalogue.vocabularies[name]
            counts = np.bincount(positions.ravel(), minlength=FIRST_CATEGORY + len(vocabulary))[FIRST_CATEGORY:]
            most = np.argsort(-counts, kind="stable")[:MAX_VALUES].tolist()
            found |= {f"{label}{vocabulary[at]}": (positions == FIRST_CATEGORY + at).any(axis=1) for at in most}
    return {name: mask for name, mask in found.items() if mask.any()}


def _ages(sequences: Sequences, train: Sequences, catalogue: Catalogue) -> Groups:
    """By when an item became available or, where that is not said, was first in an event of training."""
    if not len(sequences.targets):
        return {}
    born = np.full(catalogue.num_rows, np.iinfo(np.int64).max)
    np.minimum.at(born, train.item_index, train.timestamp)
    if len(catalogue.available_from):
        said = catalogue.available_from > np.iinfo(np.int64).min
        born = np.where(said, catalogue.available_from, born)
    began = sequences.timestamp[sequences.targets].min()
    days = np.where(born < began, (began - np.minimum(born, began)) / DAY_SECONDS, -1.0)
    there = np.arange(catalogue.num_rows) > 0
    found = {"not there in training": there & (days < 0)}
    for low, high in itertools.pairwise([-1.0, *AGES, np.inf]):
        inside = there & (days >= 0) & (days > low) & (days <= high)
        found["older" if high == np.inf else f"{max(low, 0):g} to {high:g} days old"] = inside
    return found


def at_queries(of_users: Mapping[str, Mask], queries: Queries) -> Groups:
    """[num_users] masks as [num_queries] ones."""
    return {name: mask[queries.rows] for name, mask in of_users.items()}
