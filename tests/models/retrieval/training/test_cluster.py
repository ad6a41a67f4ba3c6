import json

import pytest

from homefeed.models.retrieval.training.cluster import Cluster

WORKERS = {"worker": ["a:1", "b:2", "c:3"]}
WITH_CHIEF = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}


@pytest.mark.parametrize(
    ("jobs", "task", "place"),
    [
        (WORKERS, ("worker", 0), 0),
        (WORKERS, ("worker", 2), 2),
        (WITH_CHIEF, ("chief", 0), 0),
        (WITH_CHIEF, ("worker", 0), 1),
        (WITH_CHIEF, ("worker", "1"), 2),  # As Vertex AI has written it.
    ],
)
def test_the_chief_comes_first(jobs: dict[str, list[str]], task: tuple[str, object], place: int) -> None:
    text = json.dumps({"cluster": jobs, "task": {"type": task[0], "index": task[1]}, "environment": "cloud"})
    assert Cluster.of({"TF_CONFIG": text}) == Cluster(("a:1", "b:2", "c:3"), place)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "{}",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": 3}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": null, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a", "b:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", null]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"chief": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 0}}',
    ],
)
def test_what_is_no_cluster_is_told_with_one_that_is(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT") as refused:
        Cluster.of({"TF_CONFIG": text})
    assert repr(text) in str(refused.value) and "\n" not in str(refused.value)


def test_nothing_is_told_too() -> None:
    with pytest.raises(ValueError, match="needs TF_CONFIG, which is not set"):
        Cluster.of({})
