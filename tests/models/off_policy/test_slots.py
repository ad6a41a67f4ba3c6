import itertools

import numpy as np
import pytest

from homefeed.models.off_policy import estimators, slots

SCORES = np.array([[2.0, 1.0, 0.0, -np.inf], [0.0, 0.0, 0.0, 3.0]])


def test_cards_are_drawn_from_those_left() -> None:
    first, second = slots.probabilities(SCORES, np.array([[1, 0], [-1, 3]]), 1.0)
    weights = np.exp([2.0, 1.0, 0.0])
    assert first[0] == pytest.approx([*weights / weights.sum(), 0])
    assert second[0] == pytest.approx([np.exp(2) / (np.exp(2) + 1), 0, 1 / (np.exp(2) + 1), 0])
    assert second[1] == pytest.approx(first[1])  # What was served above was no candidate.
    assert slots.of_shown(first, np.array([1, -1])) == pytest.approx([first[0, 1], 0])


def test_without_temperature_the_best_is_drawn_and_ties_are_shared() -> None:
    first, second = slots.probabilities(SCORES, np.array([[0, 1], [3, 0]]), 0.0)
    assert first.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
    assert second[0].tolist() == [0, 1, 0, 0] and second[1] == pytest.approx([1 / 3] * 3 + [0])


def test_where_nobody_is_left_nothing_is_drawn() -> None:
    *_, last = slots.probabilities(np.array([[1.0, 2.0]]), np.array([[0, 1, -1]]), 1.0)
    assert last.tolist() == [[0, 0]]


def test_the_product_is_exact_where_cards_above_matter_and_the_slot_alone_in_the_first() -> None:
    """Every page of three candidates and two slots, each as often as it is served: no chance is left in the sums."""
    served, ours = np.array([[0.3, 0.0, -0.4]]), np.array([[1.0, -1.0, 0.2]])
    pages = np.array(list(itertools.permutations(range(3), 2)))
    drawn, policy = (
        np.stack(
            [
                slots.of_shown(p, pages[:, slot])
                for slot, p in enumerate(slots.probabilities(np.repeat(scores, 6, axis=0), pages, 1.0))
            ],
            axis=1,
        )
        for scores in (served, ours)
    )
    chance = drawn.prod(axis=1)
    assert chance.sum() == pytest.approx(1) and policy.prod(axis=1).sum() == pytest.approx(1)
    # A click on a card takes from the cards below it.
    rewards = np.stack([np.array([0.5, 0.2, 0.9])[pages[:, 0]], 0.3 + 0.2 * (pages[:, 1] - pages[:, 0])], axis=1)
    truth = (policy.prod(axis=1)[:, None] * rewards).sum(axis=0)
    by_product = (chance[:, None] * slots.products(policy / drawn) * rewards).sum(axis=0)
    alone = (chance[:, None] * policy / drawn * rewards).sum(axis=0)
    assert by_product == pytest.approx(truth)
    assert alone[0] == pytest.approx(truth[0]) and abs(alone[1] - truth[1]) > 0.01
    # Where the click is the card's alone, what each slot is worth still depends on what stands above it.
    assert (chance[:, None] * policy / drawn).sum(axis=0) == pytest.approx([1, 1])


def test_weights_of_the_product_tell_less() -> None:
    ratios = np.random.default_rng(0).choice([0.25, 1.75], (4000, 6))
    alone, product = (
        estimators.snips(np.zeros(4000), weights[:, 5], np.arange(4000)).effective_sample_size
        for weights in (ratios, slots.products(ratios))
    )
    assert product < alone / 4
