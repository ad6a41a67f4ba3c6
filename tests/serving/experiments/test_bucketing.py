"""Buckets are GrowthBook's: on cases of ours, and on its own suite where HOMEFEED_GROWTHBOOK_CASES names it."""

from __future__ import annotations

import collections
import json
import os
import pathlib
from typing import Any

import pytest

from homefeed.serving.experiments import bucketing
from homefeed.serving.experiments.assignment import arm_of
from homefeed.serving.experiments.design import Experiment

PARTS = ("hash", "getBucketRange", "chooseVariation", "inNamespace", "getEqualWeights", "stickyBucket")
FILES = [pathlib.Path(__file__).with_name("growthbook.json")]
FILES += [pathlib.Path(path) for path in os.environ.get("HOMEFEED_GROWTHBOOK_CASES", "").split(":") if path]
CASES = {(file.name, part): json.loads(file.read_text())[part] for file in FILES for part in PARTS}


def cases(part: str) -> list[Any]:
    return [case for (_, name), found in CASES.items() if name == part for case in found]


def test_there_are_cases_of_every_part() -> None:
    assert all(len(cases(part)) >= 6 for part in PARTS)


@pytest.mark.parametrize(("seed", "unit", "version", "expected"), cases("hash"))
def test_hash(seed: str, unit: str, version: int, expected: float | None) -> None:
    assert bucketing.bucket(seed, unit, version) == expected


@pytest.mark.parametrize("case", cases("getBucketRange"), ids=lambda case: case[0])
def test_ranges(case: Any) -> None:
    _, (count, coverage, weights), expected = case
    found = bucketing.ranges(count, coverage, weights)
    assert [list(part) for part in found] == [pytest.approx(part, abs=1e-9) for part in expected]


@pytest.mark.parametrize("case", cases("chooseVariation"), ids=lambda case: case[0])
def test_choose(case: Any) -> None:
    _, place, parts, expected = case
    assert bucketing.choose(place, parts) == expected


@pytest.mark.parametrize("case", cases("inNamespace"), ids=lambda case: case[0])
def test_layers(case: Any) -> None:
    _, unit, (layer, begin, end), expected = case
    assert bucketing.in_layer(unit, layer, (begin, end)) is expected


@pytest.mark.parametrize("case", cases("getEqualWeights"), ids=str)
def test_equal_weights(case: Any) -> None:
    count, expected = case
    assert bucketing.equal_weights(count) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("case", cases("stickyBucket"), ids=lambda case: case[0])
def test_sticky(case: Any) -> None:
    """A GrowthBook rule as an experiment of ours: what is known of a user counts before that of their session."""
    _, context, known, feature, expected, after = case
    (rule,) = context["features"][feature]["rules"]
    attributes = context["attributes"]
    is_sticky = not rule.get("disableStickyBucketing")
    names = [rule["hashAttribute"], *([rule["fallbackAttribute"]] if is_sticky else [])]
    by = next((name for name in names if attributes.get(name)), "")
    keys = [one["key"] for one in rule.get("meta", [])] or [str(n) for n in range(len(rule["variations"]))]
    weights = rule.get("weights") or bucketing.equal_weights(len(keys))
    name = rule.get("key", feature)
    experiment = Experiment(
        arms={key: {"weight": weight} for key, weight in zip(keys, weights, strict=True)},
        coverage=rule.get("coverage", 1),
        seed=rule.get("seed", ""),
        hash_version=rule.get("hashVersion", 1),
        version=rule.get("bucketVersion", 0),
        min_version=rule.get("minBucketVersion", 0),
    )
    documents = {(doc["attributeName"], doc["attributeValue"]): doc["assignments"] for doc in known}
    stored = dict[str, str]()
    for attribute in reversed(names):
        stored |= documents.get((attribute, attributes.get(attribute)), {})
    arm = arm_of(name, experiment, attributes.get(by, ""), stored if is_sticky else {})
    if expected is None or not expected["inExperiment"]:
        assert arm is None
        return
    assert (arm, by) == (expected["key"], expected["hashAttribute"])
    assert bucketing.bucket(experiment.seed or name, attributes[by], experiment.hash_version) == expected["bucket"]
    key = bucketing.sticky_key(name, experiment.version)
    assert (is_sticky and key in stored) is expected["stickyBucketUsed"]
    if is_sticky:
        assert after[f"{by}||{attributes[by]}"]["assignments"][key] == arm


def test_fnv_is_that_of_its_authors() -> None:
    """Vectors that are published with the hash."""
    known = {"": 0x811C9DC5, "a": 0xE40C292C, "foobar": 0xBF9CF968, "chongo was here!\n": 0xD49930D5}
    assert {text: bucketing.fnv1a(text) for text in known} == known


def test_shares_of_many_are_the_weights() -> None:
    parts = bucketing.ranges(3, 0.8, [0.5, 0.25, 0.25])
    arms = collections.Counter(bucketing.choose(bucketing.bucket("x", f"u{n}") or 0.0, parts) for n in range(40_000))
    assert [arms[arm] / 40_000 for arm in (0, 1, 2, -1)] == pytest.approx([0.4, 0.2, 0.2, 0.2], abs=0.01)
