"""Which distance fits a column, and the limit over which it is drift."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.drift.distances import (
    KS_CRITICAL,
    KS_MEAN,
    Counts,
    design_effect,
    jensen_shannon,
    jensen_shannon_by_chance,
    kolmogorov_smirnov,
    ks_gap,
    share,
    unseen_mass,
)
from homefeed.components.drift.findings import USER_ID, Finding
from homefeed.components.drift.summary import Column, bin_values
from homefeed.schemas.features import MIN_DIVERGENCE, MIN_SHARE

Floats = npt.NDArray[np.float64]

MIN_KS = 0.04
MIN_MISSING = 0.005
MIN_UNSEEN = 0.02
MIN_CHANGED = 0.1
NUM_ERRORS = 4  # Standard errors: one false alarm in 30,000.
NUM_BUCKETS = 20  # Of numbers, where a comparator wants their Jensen-Shannon divergence.


def judge(name: str, before: Column, after: Column, matters: Mapping[str, float]) -> list[Finding]:
    """The findings of one column, among them those that comparators ask for (`matters`: measure → change)."""
    if not before.num_values and not after.num_values:
        return []  # Nobody fills it in.
    findings = [_missing(name, before, after)]
    if not before.num_values or not after.num_values:
        return findings  # All values are missing on one side: the rate says so.
    if before.kind == "number":
        findings.append(_number(name, before, after))
        if "jensen_shannon" in matters:
            findings.append(_ids(name, *_in_buckets(before, after), matters["jensen_shannon"]))
        return findings
    are_categories = before.kind == after.kind == "category"
    if are_categories or "l_infinity" in matters:
        findings.append(_category(name, before, after, matters.get("l_infinity", MIN_SHARE)))
    are_ids = before.kind != "text" and not are_categories and name != USER_ID
    if are_ids or "jensen_shannon" in matters:
        findings.append(_ids(name, before.values, after.values, matters.get("jensen_shannon", MIN_DIVERGENCE)))
    if not are_categories:
        findings.append(_unseen(name, before.values, after.values))
    if before.by_key.keys() & after.by_key.keys():
        findings.append(_changed(name, before.by_key, after.by_key))
    return findings


def judge_events_per_user(before: Counter[int], after: Counter[int]) -> Finding:
    """By how much the number of events that users have differs."""
    value, _ = kolmogorov_smirnov(before, after)
    gap = ks_gap(sum(before.values()), sum(after.values()))
    detail = f"mean {_mean(before):.1f} → {_mean(after):.1f}"
    limit = max(MIN_KS, KS_CRITICAL * gap)
    return Finding(USER_ID, "events_per_user", value, KS_MEAN * gap, limit, detail)


def _ids(name: str, before: Counts, after: Counts, matters: float) -> Finding:
    values = list(before.keys() | after.keys())
    pair = np.array([[side.get(value, 0) for value in values] for side in (before, after)], np.int64)
    order = np.lexsort((pair[1], pair[0]))  # Whatever the order of the rows was.
    pair, values = pair[:, order], [values[place] for place in order]
    sizes = pair.sum(axis=1)
    chance, spread = jensen_shannon_by_chance(*pair)
    # A tenth of what chance does, because users, not events, are what is sampled.
    limit = chance + max(matters, 6 * spread, 0.1 * chance)
    change = pair[1] / sizes[1] - pair[0] / sizes[0]
    return Finding(name, "jensen_shannon", jensen_shannon(*pair), chance, limit, _moved(name, values, change))


def _category(name: str, before: Column, after: Column, matters: float) -> Finding:
    shares = [_shares(side) for side in (before, after)]
    values = sorted(shares[0].keys() | shares[1].keys())
    absent = (0.0, 0.0)
    pairs = [[side.get(value, absent) for value in values] for side in shares]
    change = np.array([b[0] - a[0] for a, b in zip(*pairs, strict=True)])
    errors = np.array([math.hypot(a[1], b[1]) for a, b in zip(*pairs, strict=True)])
    limits = np.maximum(matters, NUM_ERRORS * errors)
    worst = int(np.argmax(np.abs(change) / limits))
    found = (float(abs(change[worst])), float(errors[worst]), float(limits[worst]))
    return Finding(name, "l_infinity", *found, _moved(name, values, change))


def _shares(column: Column) -> dict[Any, tuple[float, float]]:
    """Each value's share and its standard error; of ids, without the resemblance of one user's events."""
    if column.kind == "category":
        totals = np.sum(list(column.grouped.values()), axis=0, dtype=np.int64)
        return {value: share(counts, totals) for value, counts in column.grouped.items()}
    total = column.num_values
    return {
        value: (count / total, math.sqrt(count / total * (1 - count / total) / total))
        for value, count in column.values.items()
    }


def _in_buckets(before: Column, after: Column) -> tuple[Counts, Counts]:
    """Two columns of numbers as counts of common buckets that hold about the same number of both together."""
    together = before.values + after.values
    places = sorted(together)
    ranks = np.cumsum([together[place] for place in places])
    bucket = dict(zip(places, (NUM_BUCKETS * (ranks - 1) // ranks[-1]).tolist(), strict=True))
    counted: list[Counter[int]] = [Counter(), Counter()]
    for counts, side in zip(counted, (before, after), strict=True):
        for place, count in side.values.items():
            counts[bucket[place]] += round(count)
    return counted[0], counted[1]


def _missing(name: str, before: Column, after: Column) -> Finding:
    (old, old_error), (new, new_error) = (share(side.missing, side.rows) for side in (before, after))
    error = math.hypot(old_error, new_error)
    limit = max(MIN_MISSING, NUM_ERRORS * error)
    return Finding(name, "missing_rate", abs(new - old), error, limit, f"{old:.2%} → {new:.2%}")


def _number(name: str, before: Column, after: Column) -> Finding:
    value, where = kolmogorov_smirnov(before.values, after.values)
    gap = ks_gap(*(side.num_values / design_effect(side.sums) for side in (before, after)))
    limit = max(MIN_KS, KS_CRITICAL * gap) + max(before.coarseness, after.coarseness)
    at = float(bin_values(np.array([where]))[0])
    means = [float(side.sums[1].sum() / side.sums[0].sum()) for side in (before, after)]
    detail = f"mean {means[0]:.4g} → {means[1]:.4g}; widest apart at {at:.4g}"
    return Finding(name, "kolmogorov_smirnov", value, KS_MEAN * gap, limit, detail)


def _unseen(name: str, before: Counts, after: Counts) -> Finding:
    size, new_size = sum(before.values()), sum(after.values())
    new = {value: count for value, count in after.items() if value not in before}
    share = sum(new.values()) / new_size
    expected = unseen_mass(before)
    # Twice the binomial variance: new values come in clusters (an item's words, a user's events).
    error = math.sqrt(2 * max(expected, share) * (1 / size + 1 / new_size))
    limit = expected + max(MIN_UNSEEN, NUM_ERRORS * error)
    top = sorted(new, key=lambda value: (-new[value], str(value)))[:3] if name != USER_ID else []
    detail = f"{len(new):,} new" + (f", as {', '.join(map(str, top))}" if top else "")
    return Finding(name, "unseen_share", share, expected, limit, detail)


def _changed(name: str, before: Mapping[str, int], after: Mapping[str, int]) -> Finding:
    shared = sorted(before.keys() & after.keys())
    changed = [key for key in shared if before[key] != after[key]]
    some = f", as of {', '.join(changed[:3])}" if changed else ""
    detail = f"{len(changed):,} of {len(shared):,} that both have{some}"
    limit = max(MIN_CHANGED, 1 / len(shared))
    return Finding(name, "changed_share", len(changed) / len(shared), 0.0, limit, detail)


def _mean(counts: Counter[int]) -> float:
    return sum(value * count for value, count in counts.items()) / sum(counts.values())


def _moved(name: str, values: list[Any], change: Floats) -> str:
    """The values whose shares changed most."""
    if name == USER_ID:
        return ""
    places = np.argsort(-np.abs(change), kind="stable")[:3]
    return ", ".join(f"{values[place]} {change[place]:+.2%}" for place in places)
