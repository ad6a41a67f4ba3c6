"""Writes `growthbook.json`: what GrowthBook's Python SDK says of cases of ours, in the form of its own suite.

    pip install growthbook==4.0.0   # In an environment of its own.
    python tests/serving/experiments/ask_growthbook.py

This file is no test and needs nothing of ours. GrowthBook's own `cases.json` is not kept here; whoever has it runs
the same tests on it with HOMEFEED_GROWTHBOOK_CASES=FILE.
"""

import copy
import json
import pathlib
import random
from typing import Any

OUT = pathlib.Path(__file__).with_name("growthbook.json")


def main() -> None:
    from growthbook import GrowthBook, core
    from growthbook.growthbook import InMemoryStickyBucketService

    draw = random.Random(4)
    names = ["", "a", "u-17", "1234567", "咖啡", "Zoë|x", *(f"user-{draw.randrange(10**6)}" for _ in range(20))]
    hashes = [[seed, name, version] for seed in ("", "layout-咖") for name in names for version in (1, 2)]
    hashes.append(["s", "a", 3])
    sizes = [(2, 1, None), (3, 0.7, [0.2, 0.2, 0.6]), (4, 0, None), (2, 1.4, [0.1, 0.9]), (2, -1, None)]
    sizes += [(2, 0.5, [0.6, 0.6]), (3, 1, [0.5, 0.5]), (2, 0.1, [0.5, 0.495]), (1, 0.3, None), (5, 1, None)]
    places = [(n / 8, core.getBucketRanges(3, 0.5, [0.2, 0.3, 0.5])) for n in range(9)]
    layers = [(name, ("layer", part / 4, (part + 2) / 4)) for name in names for part in range(3)]
    found: dict[str, Any] = {
        "hash": [[*case, core.gbhash(*case)] for case in hashes],
        "getBucketRange": [[str(case), case, core.getBucketRanges(*case)] for case in sizes],
        "chooseVariation": [[str(case), *case, core.chooseVariation(*case)] for case in places],
        "inNamespace": [[str(case), *case, core.inNamespace(*case)] for case in layers],
        "getEqualWeights": [[n, core.getEqualWeights(n)] for n in range(-2, 8)],
        "stickyBucket": [],
    }
    rule = {"key": "exp", "hashAttribute": "id", "fallbackAttribute": "session", "hashVersion": 2}
    rule |= {"variations": ["no", "red", "blue"], "meta": [{"key": "n"}, {"key": "r"}, {"key": "b"}]}
    whos = [{"id": "u1"}, {"id": "u2"}, {"session": "s1"}, {"id": "u1", "session": "s1"}]
    docs = [
        {"attributeName": "id", "attributeValue": "u1", "assignments": {"exp__0": "b"}},
        {"attributeName": "session", "attributeValue": "s1", "assignments": {"exp__0": "r", "exp__1": "n"}},
    ]
    for changes in (
        {},
        {"bucketVersion": 1},
        {"bucketVersion": 2, "minBucketVersion": 1},
        {"disableStickyBucketing": True},
        {"weights": [0.8, 0.1, 0.1], "coverage": 0.3},
        {"seed": "other", "hashVersion": 1},
    ):
        for who in whos:
            for known in ([], docs[:1], docs[1:], docs):
                service = InMemoryStickyBucketService()
                for doc in known:
                    service.save_assignments(copy.deepcopy(doc))
                features = {"f": {"defaultValue": "none", "rules": [rule | changes]}}
                book = GrowthBook(attributes=who, features=features, sticky_bucket_service=service)
                result = book.eval_feature("f").experimentResult
                told = result and {
                    name: getattr(result, name)
                    for name in ("bucket", "hashAttribute", "hashValue", "inExperiment", "key", "stickyBucketUsed")
                }
                context = {"attributes": who, "features": features}
                found["stickyBucket"].append(
                    [f"{changes} {who} {len(known)}", context, known, "f", told, service.docs]
                )
    lines = [f"{json.dumps(part)}: [\n" + ",\n".join(map(json.dumps, cases)) + "\n]" for part, cases in found.items()]
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
