"""The simulated store: its items, its shoppers and what they like."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from homefeed.pipeline.datasets.sample.words import CATEGORIES, MATERIALS, STYLES

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LATE_FRACTION = 0.1  # Of items and of users.
LATE_ITEMS_FROM = 0.7  # As a part of the time span.
LATE_USERS_FROM = 0.85
DRIFT = 1.5  # How far the fashion of an item moves between the first and the last day, in standard deviations.


@dataclasses.dataclass(frozen=True)
class Items:
    """Arrays are [num_items]."""

    category: Ints
    style: Ints
    material: Ints
    language: Ints
    log_price: Floats  # About standard normal.
    appeal: Floats  # Popularity with everybody, as a logit.
    available_from: Floats  # Part of the time span; 0: from the start.


@dataclasses.dataclass(frozen=True)
class Users:
    """Arrays are [num_users, …]."""

    age: Floats
    language: Ints
    membership: Ints
    categories: Floats  # [num_users, num_categories], rows sum to 1.
    styles: Floats  # [num_users, num_styles] logits.
    materials: Floats  # [num_users, num_materials] logits.
    log_price: Floats  # What they like to spend.
    joins: Floats  # Part of the time span.


@dataclasses.dataclass(frozen=True)
class Drift:
    """What the store has become on its last day."""

    users: Users  # The same people with another taste.
    trend: Floats  # [num_items] logits by which an item comes into or goes out of fashion.


def make_items(rng: np.random.Generator, size: int) -> Items:
    """Items of every category in turn; some come late."""
    late = rng.random(size) < LATE_FRACTION
    late[: len(CATEGORIES)] = False  # These are one of each category: something can always be picked.
    return Items(
        category=np.arange(size) % len(CATEGORIES),
        style=rng.integers(len(STYLES), size=size),
        material=rng.integers(len(MATERIALS), size=size),
        language=(rng.random(size) < 0.4).astype(np.int64),
        log_price=rng.normal(size=size),
        appeal=rng.gumbel(size=size) * 0.7,
        available_from=np.where(late, rng.uniform(LATE_ITEMS_FROM, 0.95, size), 0.0),
    )


def make_users(rng: np.random.Generator, size: int) -> Users:
    """Shoppers whose taste in categories goes with their age; some come late."""
    age = np.clip(rng.gamma(9.0, 4.0, size), 16, 90).round()
    by_age = rng.normal(size=(3, len(CATEGORIES))) * 1.5
    group = np.digitize(age, (28, 45))
    logits = by_age[group] + rng.gumbel(size=(size, len(CATEGORIES)))
    spends = rng.normal(size=size)
    late = rng.random(size) < LATE_FRACTION
    late[0] = False  # A store of one shopper has events all along.
    return Users(
        age=age,
        language=(rng.random(size) < 0.4).astype(np.int64),
        membership=np.digitize(spends + rng.normal(size=size) * 0.5, (0.3, 1.3)),
        categories=np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True),
        styles=rng.normal(size=(size, len(STYLES))) * 1.5,
        materials=rng.normal(size=(size, len(MATERIALS))),
        log_price=spends,
        joins=np.where(late, rng.uniform(LATE_USERS_FROM, 0.97, size), rng.uniform(0, 0.3, size)),
    )


def arrivals(rng: np.random.Generator, size: int, late_fraction: float, always: int) -> Floats:
    """[size] parts of the time span at which somebody or something comes; the first `always` are there all along."""
    late = rng.random(size) < late_fraction
    late[:always] = False
    return np.where(late, rng.uniform(0.05, 0.95, size), 0.0)


def make_transitions(rng: np.random.Generator) -> Floats:
    """[num_categories, num_categories]: each category has one other that mostly follows it."""
    count = len(CATEGORIES)
    ring = rng.permutation(count)
    transitions = np.full((count, count), 0.15 / count)
    np.fill_diagonal(transitions, 0.25 + 0.15 / count)
    transitions[ring, np.roll(ring, -1)] += 0.6
    return transitions


def liking(items: Items, users: Users, who: Ints, item: Ints) -> Floats:
    """How well items suit users in the long run, in about standard deviations; the arguments broadcast."""
    taste = users.styles[who, items.style[item]] + users.materials[who, items.material[item]]
    price = -np.abs(users.log_price[who] - items.log_price[item])
    language = np.where(users.language[who] == items.language[item], 1.0, -1.0)
    return (taste + price + language + 1.0) / 2.2
