"""What a model is asked at a point of a history, recomputed an event at a time, over histories of any shape.

Training reads points and windows, the Evaluator and the gateway make requests: they must speak of the same past.
"""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pytest

from homefeed.components.evaluator.queries import make_queries
from homefeed.models.ranking.examples.labelled_points import hold_out
from homefeed.models.requests import TensorSpec, batch_inputs, requests_from_sequences
from homefeed.models.retrieval.training.targets import target_weights
from homefeed.models.retrieval.training.windows import Windows
from homefeed.models.sequences import Sequences
from homefeed.models.shared import prediction_points as points_of
from tests.models.any_data import any_catalogue, any_sequences

SEEDS = range(12)


@pytest.fixture(params=SEEDS)
def sequences(request: pytest.FixtureRequest) -> Sequences:
    return any_sequences(request.param)


def bounds(sequences: Sequences) -> list[tuple[int, int, int]]:
    """Of each user: the first event, the first of the split, and the end."""
    splits = sequences.row_splits.tolist()
    return [(a, a + int(n), b) for a, b, n in zip(splits[:-1], splits[1:], sequences.num_history, strict=True)]


def same(found: Any, expected: list[Any]) -> None:
    np.testing.assert_array_equal(np.asarray(found), np.array(expected).reshape(np.shape(found)))


def test_points_are_before_each_event_of_the_split(sequences: Sequences) -> None:
    every = [(row, at) for row, (_, split, end) in enumerate(bounds(sequences)) for at in range(split, end)]
    found = points_of.every_target(sequences)
    assert list(zip(found.row.tolist(), found.cut.tolist(), strict=True)) == every
    assert sequences.targets.tolist() == [at for _, at in every]
    first = points_of.first_targets(sequences)
    assert first.cut.tolist() == [split for _, split, end in bounds(sequences) if split < end]
    rng = np.random.default_rng(0)
    drawn = points_of.random_points(sequences, 2, rng)
    of_user = collections.Counter(drawn.row.tolist())
    assert of_user == {
        row: min(2, end - split) for row, (_, split, end) in enumerate(bounds(sequences)) if end > split
    }
    assert len(set(drawn.cut.tolist())) == len(drawn) and set(drawn.cut.tolist()) <= set(sequences.targets.tolist())


def test_features_of_a_point_are_the_newest_events_before_it(sequences: Sequences) -> None:
    points, length = points_of.every_target(sequences), 4
    found = points_of.features(sequences, points, length)
    first = [sequences.row_splits[row] for row in points.row]
    past = [list(range(cut - 1, start - 1, -1))[:length] for start, cut in zip(first, points.cut, strict=True)]

    def column(values: Any, nothing: float) -> list[list[Any]]:
        return [[values[at] for at in places] + [nothing] * (length - len(places)) for places in past]

    same(found["recent_items"], column(sequences.item_index, 0))
    same(found["recent_timestamps"], column(sequences.timestamp, 0))
    same(found["recent_event_type"], column(sequences.event_categorical["event_type"], 0))
    same(found["recent_value"], column(sequences.value, np.nan))
    same(found["timestamp"], [sequences.timestamp[cut] for cut in points.cut])
    same(found["context_event_type"], [sequences.event_categorical["event_type"][cut] for cut in points.cut])
    same(found["user_gender"], [sequences.categorical["gender"][row] for row in points.row])
    assert ("query_token_ids" in found) == (sequences.query_token_ids is not None)
    if sequences.query_token_ids is not None:
        same(found["query_token_ids"], [sequences.query_token_ids[cut] for cut in points.cut])
    coming = points_of.coming_events(sequences, points, 3)
    ends = [sequences.row_splits[row + 1] for row in points.row]
    nexts = [
        [at if at < end else -1 for at in range(cut, cut + 3)] for cut, end in zip(points.cut, ends, strict=True)
    ]
    same(coming, nexts)


def test_a_request_knows_what_training_knows_at_the_same_point(sequences: Sequences) -> None:
    catalogue, points = any_catalogue(0), points_of.every_target(sequences)
    requests = list(requests_from_sequences(sequences, catalogue, points.row, points.cut))
    known = points_of.features(sequences, points, 8)
    rows = {item_id.decode(): row for row, item_id in enumerate(catalogue.item_ids)}
    for at, request in enumerate(requests):
        assert request.user_id.encode() == sequences.user_ids[points.row[at]]
        newest_first = [rows[event.item_id] for event in reversed(request.history)]
        assert newest_first == [row for row in known["recent_items"][at].tolist() if row], (
            "unknown items are left out"
        )
        kept = known["recent_items"][at] > 0
        times, values = known["recent_timestamps"][at][kept], known["recent_value"][at][kept]
        assert [event.timestamp for event in reversed(request.history)] == times.tolist()
        same([event.value for event in reversed(request.history)], values.tolist())
        words = ["", "[UNK]", *sequences.event_vocabularies["event_type"]]
        types = known["recent_event_type"][at][kept]
        assert [event.event_type for event in reversed(request.history)] == [words[position] for position in types]
        assert request.timestamp == known["timestamp"][at]
        assert request.context.get("event_type", "") == words[known["context_event_type"][at]]
        assert ("age" in request.features) == bool(np.isfinite(known["user_age"][at]).all())
        tokens = known["query_token_ids"][at] if "query_token_ids" in known else np.empty(0)
        assert list(request.query_token_ids) == [token for token in tokens if token > 0]


def test_a_request_reads_the_same_whatever_else_is_in_its_batch(sequences: Sequences) -> None:
    specs = {name: TensorSpec(_numpy(given.dtype), given.shape) for name, given in sequences.inputs.items()}
    specs["query_token_ids"] = TensorSpec(np.int32, (-1, -1))
    points = points_of.every_target(sequences)
    requests = list(requests_from_sequences(sequences, any_catalogue(0), points.row, points.cut))
    together = batch_inputs(requests, specs)
    for row, request in enumerate(requests):
        for name, alone in batch_inputs([request], specs).items():
            beside = together[name][row]
            width = alone.shape[1] if alone.ndim > 1 else None
            np.testing.assert_array_equal(beside[:width] if width else beside, alone[0], err_msg=name)
            if width:
                padding = {b"", 0} if beside.dtype != np.float32 else {float("nan")}
                assert all(cell in padding or cell != cell for cell in beside[width:].tolist()), "the rest is padding"


def _numpy(name: str) -> Any:
    return np.object_ if name == "string" else np.dtype(name)


@pytest.mark.parametrize("length", [1, 3, 16])
def test_windows_of_queries_hold_what_came_before(sequences: Sequences, length: int) -> None:
    windows = Windows(sequences, length)
    seen: list[int] = []
    for batch in windows.queries(windows.targets, 4):
        for row in np.flatnonzero(batch["now"]):
            at = int(windows.targets[len(seen)])
            start = max(sequences.row_splits[sequences.row_splits <= at].max(), at - length)
            places = list(range(start, at))
            same(batch["item"][row], [*sequences.item_index[places], *[0] * (length - len(places))])
            assert batch["now"][row] == sequences.timestamp[at]
            assert batch["context_event_type"][row] == sequences.event_categorical["event_type"][at]
            assert (np.diff(batch["timestamp"][row]) >= 0).all()
            seen.append(at)
    assert seen == windows.targets.tolist()


@pytest.mark.parametrize("length", [1, 3])
def test_an_epoch_asks_for_every_target_once_and_mixes_no_two_users(sequences: Sequences, length: int) -> None:
    weights = np.arange(1, len(sequences.item_index) + 1, dtype=np.float32)  # Every event, by a number of its own.
    windows = Windows(sequences, length, weights)
    asked: list[float] = []
    for batch in windows.epoch(np.random.default_rng(1), 3):
        for items, numbers in zip(batch["item"], batch["weight"], strict=True):
            events = (numbers[numbers > 0] - 1).astype(int)
            assert len({int(np.searchsorted(sequences.row_splits, at, side="right")) for at in events}) <= 1
            assert (np.diff(sequences.timestamp[events]) >= 0).all(), "only what shares a second changes places"
            same(items[: len(events)], sequences.item_index[events].tolist())
            assert not items[len(events) :].any()
            asked += events.tolist()
    assert sorted(asked) == list(range(len(sequences.item_index)))


@pytest.mark.parametrize("value_weight", [0.0, 2.0])
def test_a_target_weighs_by_what_happened(sequences: Sequences, value_weight: float) -> None:
    found = target_weights(sequences, 0.25, {"buy": 3.0}, value_weight)
    known = sequences.value[np.isfinite(sequences.value)]
    low, high = (known.min(), known.max()) if len(known) else (0, 0)
    for start, split, end in bounds(sequences):
        for at in range(start, end):
            item, value = sequences.item_index[at], sequences.value[at]
            if at < split or not item or item in sequences.item_index[start:at]:
                assert found[at] == 0
                continue
            weight = 1.0 if sequences.positive[at] else 0.25
            weight *= 3.0 if sequences.event_categorical["event_type"][at] == 3 else 1.0
            if np.isfinite(value) and high > low:
                weight *= 1 + value_weight * (value - low) / (high - low)
            assert found[at] == pytest.approx(weight, rel=1e-5)


@pytest.mark.parametrize("most", [2, 100])
def test_the_evaluator_asks_for_what_is_new_to_a_user(sequences: Sequences, most: int) -> None:
    found = make_queries(sequences, most)
    valid = []
    for start, split, end in bounds(sequences):
        items = sequences.item_index
        valid += [at for at in range(split, end) if items[at] and items[at] not in items[start:at]]
    assert len(found) == min(most, len(valid)) and set(found.ends.tolist()) <= set(valid)
    assert [len(history) for history in found.histories] == sorted(len(history) for history in found.histories)
    for row, end, target, history in zip(found.rows, found.ends, found.targets, found.histories, strict=True):
        assert sequences.row_splits[row] <= end < sequences.row_splits[row + 1]
        assert target == sequences.item_index[end]
        same(history, sequences.item_index[sequences.row_splits[row] : end].tolist())


def test_events_held_out_are_a_reordering_of_each_users_own(sequences: Sequences) -> None:
    held = hold_out(sequences, 0.4, np.random.default_rng(3))
    same(held.row_splits, sequences.row_splits.tolist())
    for start, _, end in bounds(sequences):
        before, after = (
            sorted(zip(s.item_index[start:end], s.timestamp[start:end], map(str, s.value[start:end]), strict=True))
            for s in (sequences, held)
        )
        assert before == after
    for start, split, _ in bounds(held):
        assert (np.diff(held.timestamp[start:split]) >= 0).all(), "history keeps its order"
