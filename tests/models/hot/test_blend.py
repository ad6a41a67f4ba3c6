import dataclasses
import pathlib

import numpy as np
import pytest

from homefeed.models.errors import ModelError
from homefeed.models.hot.blend import FILE, Blend, choices, fit, histories, log_of
from homefeed.models.hot.board import LEADERS, Board, ItemFacts, replay
from homefeed.models.sequences import Sequences
from tests.models.hot.readers import make_readers


@pytest.fixture(scope="module")
def splits() -> tuple[ItemFacts, Sequences, Sequences, Sequences]:
    return make_readers()


Splits = tuple[ItemFacts, Sequences, Sequences, Sequences]


def test_finds_what_readers_choose_by(splits: Splits) -> None:
    facts, train, evaluation, test = splits
    blend = fit(train, evaluation, facts)
    assert blend.weights["taste_categories"] > 0.5  # They choose by category alone,
    assert _first_places(blend, splits) > 2 * _first_places(Blend(), splits)  # also on a split that was not used.
    assert len(test.targets) > 100


def test_a_choice_is_among_what_was_there_before_its_second_and_was_not_had(splits: Splits) -> None:
    facts, train, evaluation, _ = splits
    features, chosen = choices(Board(facts), train, evaluation)
    ends = evaluation.targets[np.argsort(evaluation.timestamp[evaluation.targets], kind="stable")]
    at, rows = evaluation.timestamp[ends], evaluation.item_index[ends]
    log_rows, log_at = log_of(train, evaluation)
    found = 0
    for now, target, history in zip(at, rows, histories(evaluation, ends), strict=True):
        there = np.setdiff1d(log_rows[log_at < now], history)
        if target not in there:
            continue
        assert len(features[found]) == len(there) < LEADERS and there[chosen[found]] == target
        slow = [(0.5 ** ((now - log_at[(log_rows == row) & (log_at < now)]) / 604_800)).sum() for row in there]
        np.testing.assert_allclose(np.expm1(features[found][:, 3]), slow, rtol=1e-4)
        found += 1
    assert found == len(chosen) > 100


def test_later_events_change_no_feature_of_an_earlier_moment(splits: Splits) -> None:
    facts, train, evaluation, test = splits
    ends = np.sort(evaluation.timestamp[evaluation.targets])[:50]

    def features(*log: Sequences) -> list[np.ndarray]:
        board = Board(facts)
        return [look.plain for look in replay(board, *log_of(*log), ends)]

    early = features(train, evaluation)
    for one, other in zip(early, features(train, evaluation, test), strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(len(one) for one in early)


def test_too_few_choices_leave_the_counts_alone(splits: Splits) -> None:
    facts, train, evaluation, _ = splits
    nobody = dataclasses.replace(evaluation, num_history=np.diff(evaluation.row_splits))
    assert fit(train, nobody, facts) == Blend()


def test_written_and_read(tmp_path: pathlib.Path) -> None:
    blend = Blend((60.0, 3_600.0), {"hot_60": 0.25, "age": -1.5})
    blend.write(tmp_path)
    assert Blend.read(tmp_path) == blend
    assert Blend.read(tmp_path / "elsewhere") == Blend.read(None) == Blend()
    for said in (
        "",
        '{"half_lives": [60], "weights": {}}',
        '{"half_lives": [60, 90], "weights": {"age": "x"}}',
    ):
        (tmp_path / FILE).write_text(said)
        with pytest.raises(ModelError, match="push the models again"):
            Blend.read(tmp_path)


def _first_places(blend: Blend, splits: Splits) -> float:
    """How often what was chosen is the first of ten, roughly: the share within the best tenth of the board."""
    facts, train, evaluation, test = splits
    ends = test.targets[np.argsort(test.timestamp[test.targets], kind="stable")]
    board = Board(facts)
    looks = replay(board, *log_of(train, evaluation, test), test.timestamp[ends])
    hits = []
    for look, history, target in zip(looks, histories(test, ends), test.item_index[ends], strict=True):
        order = look.rows[np.argsort(-blend.scores(board, look, history), kind="stable")]
        order = order[~np.isin(order, history)]
        hits.append(target in order[: max(1, len(order) // 10)])
    return float(np.mean(hits))
