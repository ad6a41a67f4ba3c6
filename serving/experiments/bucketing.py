"""Which arm somebody gets: the same one each time, from a hash of their id, as GrowthBook's SDKs compute it.

With the same seed, weights and coverage another program that follows GrowthBook's published suite says the same.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Range = tuple[float, float]
"""From the first number to the second, which is not in it."""
FNV_OFFSET, FNV_PRIME = 0x811C9DC5, 0x01000193
MAX_ERROR = 0.01  # Of the sum of weights; others are not meant as they stand.


def fnv1a(text: str) -> int:
    """The 32-bit FNV-1a hash of a text's UTF-16 units, as JavaScript counts them; of ASCII, that of its bytes.

    >>> hex(fnv1a("foobar"))
    '0xbf9cf968'
    """
    found = FNV_OFFSET
    units = text.encode("utf-16-le", "surrogatepass")
    for low, high in zip(units[::2], units[1::2], strict=True):
        found = (found ^ (low | high << 8)) * FNV_PRIME & 0xFFFFFFFF
    return found


def bucket(seed: str, unit: str, version: int = 2) -> float | None:
    """Where somebody stands between 0 and 1; None: there is no such version.

    Args:
        seed: of the experiment: people stand elsewhere in another one.
        unit: who.
        version: 2, or 1, in whose thousand places neighbouring seeds are alike.
    """
    if version == 2:
        return fnv1a(str(fnv1a(seed + unit))) % 10_000 / 10_000
    return fnv1a(unit + seed) % 1_000 / 1_000 if version == 1 else None


def keyed(unit: str, experiment: str, secret: bytes) -> str:
    """A name for somebody that only who has the secret can tell; FNV-1a alone would give a seed away in an hour."""
    return hmac.new(secret, f"{experiment}\0{unit}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def equal_weights(count: int) -> list[float]:
    """Weights of so many arms."""
    return [1 / count] * count if count > 0 else []


def ranges(count: int, coverage: float = 1.0, weights: Sequence[float] | None = None) -> list[Range]:
    """The part of 0 to 1 that belongs to each arm.

    Each arm's part begins where it would with full coverage: whoever has an arm keeps it when coverage grows.

    Args:
        count: of arms.
        coverage: share of people who are in the experiment; brought to 0 to 1.
        weights: of the arms; where there are not as many, or their sum is not about 1, they are equal.

    >>> ranges(2, 0.5, [0.4, 0.6])
    [(0.0, 0.2), (0.4, 0.7)]
    """
    coverage = min(max(coverage, 0.0), 1.0)
    if weights is None or len(weights) != count or abs(sum(weights) - 1) > MAX_ERROR:
        weights = equal_weights(count)
    begins = [math.fsum(weights[:place]) for place in range(count)]
    return [(begin, begin + coverage * weight) for begin, weight in zip(begins, weights, strict=True)]


def choose(place: float, parts: Sequence[Range]) -> int:
    """The arm whose part somebody's place lies in; -1: none."""
    return next((arm for arm, (begin, end) in enumerate(parts) if begin <= place < end), -1)


def in_layer(unit: str, layer: str, part: Range) -> bool:
    """Whether somebody belongs to a part of a layer (GrowthBook: namespace), where experiments exclude each other."""
    place = bucket(f"__{layer}", unit, version=1)
    return place is not None and part[0] <= place < part[1]


class Sticky(NamedTuple):
    """What is remembered of somebody.

    Attributes:
        arm: that they have; None: none.
        is_blocked: they had an arm of a version that is over, and get no other one.
    """

    arm: str | None
    is_blocked: bool


def sticky_key(experiment: str, version: int) -> str:
    """The name under which an arm is remembered."""
    return f"{experiment}__{version}"


def remembered(stored: Mapping[str, str], experiment: str, version: int = 0, min_version: int = 0) -> Sticky:
    """The arm that somebody keeps, whatever weights are now.

    Args:
        stored: `sticky_key` → arm, of what they were given.
        experiment: its name.
        version: of its buckets: with another one all are drawn anew.
        min_version: who had an arm of a version below it is out.
    """
    if any(sticky_key(experiment, old) in stored for old in range(min_version)):
        return Sticky(None, is_blocked=True)
    return Sticky(stored.get(sticky_key(experiment, version)), is_blocked=False)
