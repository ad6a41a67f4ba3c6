import dataclasses

import numpy as np
import pytest

from homefeed.models.hot import board as boards
from homefeed.models.hot.board import Board, ItemFacts, feature_names, replay

NUM_ROWS, START = 2_000, 1_700_000_000


@pytest.fixture
def facts() -> ItemFacts:
    rng = np.random.default_rng(1)
    categories = rng.integers(0, 9, (NUM_ROWS, 2)).astype(np.int32)
    categories[0] = 0
    vectors = rng.normal(size=(NUM_ROWS, 4)).astype(np.float32)
    vectors[0] = 0
    available_from = np.where(np.arange(NUM_ROWS) % 2, START - 7_200, boards.NEVER)
    can_lead = np.arange(NUM_ROWS) > 0
    return ItemFacts({"categories": categories}, available_from, can_lead, lambda rows: vectors[rows])


def events(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.minimum(rng.zipf(1.2, size), NUM_ROWS - 1), START + rng.integers(86_400, size=size)


def test_those_that_lead_among_all(facts: ItemFacts) -> None:
    board = Board(dataclasses.replace(facts, can_lead=np.arange(NUM_ROWS) % 7 > 0))
    rows, at = events(20_000)
    for part in np.array_split(np.argsort(at), 50):
        board.add(rows[part], at[part])
    leading = set(board.look(START + 86_400).rows.tolist())
    sums = np.where(np.arange(NUM_ROWS) % 7 > 0, board.counts.sums, 0)
    for of_half_life in sums:
        bar = np.sort(of_half_life)[-boards.LEADERS]
        assert bar > 0
        assert set(np.flatnonzero(of_half_life > bar).tolist()) <= leading
    assert not any(row % 7 == 0 for row in leading)
    assert len(leading) <= boards.LEADERS * len(boards.HALF_LIVES)


def test_features_mean_what_their_names_say(facts: ItemFacts) -> None:
    board = Board(facts)
    rows, at = events(3_000)
    board.add(rows, at)
    now, history = START + 90_000, np.array([4, 9, 11])
    look = board.look(now)
    names = feature_names(board.counts.half_lives.tolist(), board.columns)
    table = dict(zip(names, board.features(look, history).T, strict=True))
    categories = facts.groups["categories"]
    group_of_event, second = categories[rows].ravel(), np.repeat(at, 2)
    fading = 0.5 ** ((now - at) / 14_400)
    slow = np.array([(0.5 ** ((now - second[group_of_event == g]) / 604_800)).sum() for g in range(9)])
    shares = np.append(0.0, slow[1:]) + 1
    shares /= shares.sum()
    taken = np.bincount(categories[history].ravel(), minlength=9)
    taken[0] = 0
    for place, row in list(enumerate(look.rows.tolist()))[:20]:
        count = fading[rows == row].sum()
        assert table["hot_14400"][place] == pytest.approx(np.log1p(count))
        own = [g for g in categories[row].tolist() if g]
        of_group = [(0.5 ** ((now - second[group_of_event == g]) / 14_400)).sum() for g in own]
        assert table["share_categories"][place] == pytest.approx(np.log((1 + count) / (1 + max(of_group, default=0))))
        lifts = [np.log((taken[g] + 2 * shares[g]) / ((taken.sum() + 2) * shares[g])) for g in own]
        assert table["taste_categories"][place] == pytest.approx(np.mean(lifts) if lifts else 0.0)
        since = START - 7_200 if row % 2 else at[rows == row].min()
        assert table["age"][place] == pytest.approx(np.log1p((now - since) / 3_600))
        liked = facts.vectors(history).mean(axis=0)
        assert table["likeness"][place] == pytest.approx(facts.vectors(np.array([row]))[0] @ liked, abs=1e-5)


def test_a_reader_of_whom_nothing_is_known_has_no_taste(facts: ItemFacts) -> None:
    board = Board(facts)
    board.add(*events(500))
    look = board.look(START + 86_400)
    features = board.features(look, np.empty(0, np.int64))
    assert not features[:, len(look.plain[0]) :].any()


def test_items_that_are_not_there_yet_do_not_lead(facts: ItemFacts) -> None:
    available_from = facts.available_from.copy()
    available_from[5] = START + 1_000
    board = Board(dataclasses.replace(facts, available_from=available_from))
    board.add(np.array([5, 6]), np.array([START, START]))
    assert board.look(START + 999).rows.tolist() == [6]
    assert board.look(START + 1_000).rows.tolist() == [5, 6]


def test_other_facts_later_are_as_if_they_had_been_there(facts: ItemFacts) -> None:
    few = 50
    early = ItemFacts(
        {"categories": facts.groups["categories"][:few]},
        facts.available_from[:few],
        facts.can_lead[:few],
        facts.vectors,
    )
    rows, at = events(2_000)
    first = at < START + 43_200
    known = rows < few
    board, whole = Board(early), Board(facts)
    board.add(rows[first & known], at[first & known])
    board.take_over(facts)
    board.add(rows[~first], at[~first])
    whole.add(rows[first & known], at[first & known])
    whole.add(rows[~first], at[~first])
    one, other = board.look(START + 86_400), whole.look(START + 86_400)
    assert one.rows.tolist() == other.rows.tolist()
    history = np.array([3, 8])
    np.testing.assert_allclose(board.features(one, history), whole.features(other, history))


def test_a_moment_knows_what_happened_before_its_second_and_not_itself(facts: ItemFacts) -> None:
    rows, at = np.array([4, 4, 6, 4]), np.array([START, START + 10, START + 10, START + 20])
    board = Board(facts)
    looks = list(replay(board, rows, at, np.array([START, START + 10, START + 20])))
    slow = [np.expm1(look.plain[:, 3]).round(3).tolist() for look in looks]
    counted = [dict(zip(look.rows.tolist(), counts, strict=True)) for look, counts in zip(looks, slow, strict=True)]
    assert counted == [{}, {4: 1.0}, {4: 2.0, 6: 1.0}]
