"""Weights of what speaks for a hot item to a reader, fitted to what readers chose from the board."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pydantic

from homefeed.models.errors import ModelError
from homefeed.models.hot.board import HALF_LIVES, Board, ItemFacts, Look, feature_names, replay
from homefeed.models.hot.counts import Floats, Rows
from homefeed.models.sequences import Sequences

FILE = "assets.extra/hot.json"  # In the folder of a retrieval SavedModel.
MAX_POINTS = 2_000
MIN_POINTS = 50  # With fewer the order is that of the counts alone.
PENALTY = 1e-3  # On squared weights of standardised features.


@dataclasses.dataclass(frozen=True)
class Blend:
    """What a board is sorted by.

    Attributes:
        half_lives: of the counts, seconds.
        weights: feature, as `feature_names` says → weight; one that is not here counts nothing.
    """

    half_lives: Annotated[tuple[pydantic.PositiveFloat, ...], pydantic.Field(min_length=2)] = HALF_LIVES
    weights: Mapping[str, float] = dataclasses.field(default_factory=lambda: {f"hot_{HALF_LIVES[1]:g}": 1.0})

    def scores(self, board: Board, look: Look, history: Rows) -> Floats:
        """[num_leaders] float64, higher is better.

        Args:
            board: of the same half-lives.
            look: of it.
            history: rows that the reader took, oldest first.
        """
        names = feature_names(self.half_lives, board.columns)
        return board.features(look, history) @ np.array([self.weights.get(name, 0.0) for name in names])

    def write(self, folder: pathlib.Path) -> None:
        """Writes it into a SavedModel's folder."""
        path = folder / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_BLEND.dump_json(self, indent=1))

    @staticmethod
    def read(folder: pathlib.Path | None) -> Blend:
        """That of a SavedModel's folder; one without the file has the counts alone.

        Raises:
            ModelError: the file says something else.
        """
        path = folder / FILE if folder else None
        if path is None or not path.is_file():
            return Blend()
        try:
            return _BLEND.validate_json(path.read_bytes())
        except pydantic.ValidationError as error:
            raise ModelError(f"{path} holds no weights of what is hot: push the models again ({error})") from error


_BLEND = pydantic.TypeAdapter(Blend)


def log_of(*splits: Sequences) -> tuple[Rows, npt.NDArray[np.int64]]:
    """Rows and times of all events of some splits, but for those with an item that their user had before."""
    targets = [split.targets[split.is_first[split.targets]] for split in splits]
    pairs = list(zip(splits, targets, strict=True))
    return (
        np.concatenate([split.item_index[at] for split, at in pairs]),
        np.concatenate([split.timestamp[at] for split, at in pairs]),
    )


def fit(train: Sequences, evaluation: Sequences, facts: ItemFacts) -> Blend:
    """The weights under which readers of the eval split most likely chose what they did among what was hot then.

    Args:
        train, evaluation: splits, one after the other in time.
        facts: of the items.
    """
    board = Board(facts)
    features, chosen = choices(board, train, evaluation)
    if len(chosen) < MIN_POINTS:
        return Blend()
    names = feature_names(HALF_LIVES, board.columns)
    return Blend(HALF_LIVES, dict(zip(names, most_likely(features, chosen).tolist(), strict=True)))


def choices(board: Board, train: Sequences, evaluation: Sequences) -> tuple[list[npt.NDArray[np.float32]], list[int]]:
    """What readers of the eval split chose, and from what.

    A log is replayed: each choice is told only what had happened before its second. What the board did not hold, or
    the reader had had before, teaches nothing.

    Args:
        board: an empty one.
        train, evaluation: splits, one after the other in time.

    Returns:
        Of each choice, in the order of time, [num_items, num_features] of what its reader had not had, and the place
        of what they chose; at most MAX_POINTS choices, evenly spread.
    """
    ends = evaluation.targets
    ends = ends[(evaluation.item_index[ends] > 0) & evaluation.is_first[ends]]
    ends = ends[np.linspace(0, len(ends) - 1, min(len(ends), MAX_POINTS)).astype(np.int64)]
    ends = ends[np.argsort(evaluation.timestamp[ends], kind="stable")]
    looks = replay(board, *log_of(train, evaluation), evaluation.timestamp[ends])
    features, chosen = list[npt.NDArray[np.float32]](), list[int]()
    for look, history, target in zip(looks, histories(evaluation, ends), evaluation.item_index[ends], strict=True):
        is_new = ~np.isin(look.rows, history)
        (place,) = np.nonzero(look.rows[is_new] == target)
        if len(place) and is_new.sum() > 1:
            features.append(board.features(look, history)[is_new].astype(np.float32))
            chosen.append(int(place[0]))
    return features, chosen


def histories(sequences: Sequences, ends: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int32]]:
    """What each event's user had before it."""
    rows = np.searchsorted(sequences.row_splits, ends, side="right") - 1
    return [sequences.item_index[a:b] for a, b in zip(sequences.row_splits[rows], ends, strict=True)]


def most_likely(features: Sequence[npt.NDArray[np.float32]], chosen: Sequence[int]) -> Floats:
    """Weights of a conditional logit (McFadden, 1974), features taken by their deviation.

    Args:
        features: of each choice, [num_items, num_features].
        chosen: of each choice, the place of the item that was chosen.

    Returns:
        [num_features] float64.
    """
    import scipy.optimize

    splits = np.concatenate([[0], np.cumsum([len(each) for each in features])])
    table = np.concatenate(features)
    means, deviations = table.mean(axis=0), table.std(axis=0)
    table = (table - means) / np.where(deviations > 1e-6, deviations, np.inf)
    starts, taken = splits[:-1], splits[:-1] + np.array(chosen)

    def loss(weights: Floats) -> tuple[float, Any]:
        scores = table @ weights.astype(np.float32)
        scores -= np.repeat(np.maximum.reduceat(scores, starts), np.diff(splits))
        odds = np.exp(scores)
        sums = np.add.reduceat(odds, starts)
        shares = odds / np.repeat(sums, np.diff(splits))
        likelihood = (scores[taken] - np.log(sums)).mean()
        gradient = (shares @ table - table[taken].sum(axis=0)) / len(taken)
        return float(PENALTY * weights @ weights - likelihood), gradient.astype(np.float64) + 2 * PENALTY * weights

    found = scipy.optimize.minimize(loss, np.zeros(table.shape[1]), jac=True, method="L-BFGS-B").x
    return found / np.where(deviations > 1e-6, deviations, np.inf)
