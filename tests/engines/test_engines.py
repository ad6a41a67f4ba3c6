"""The data plane on engines whose workers are processes of their own: the same bytes as in this process."""

import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

from homefeed.components import bulk_inferrer, statistics_gen, transform
from homefeed.components.artifacts.types import (
    DatasetDir,
    Examples,
    ExampleStatistics,
    InferenceResult,
    Model,
    TransformGraph,
)
from tests.components.ingested import digests, ingest
from tests.components.transform.shop import NOTE, write_shop
from tests.engines.clusters import Cluster
from tests.runs import ASKED_AT
from tests.serving.servers import eventually
from tests.toy_artifacts import cut, open_gates, transformed_examples

pytestmark = [
    pytest.mark.engines,
    # Spark's client leaves its sockets to the collector of garbage.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

BAD = (
    "user-0001,item-0001,yesterday,view,,\n,item-0001,1735692907,view,,\nuser-0002,item-0002,1735692907,view,nine,\n"
)
JOB_SECONDS = 300.0


def parted(data: pathlib.Path, to: pathlib.Path, num_files: int, times: int) -> pathlib.Path:
    """The store with its events so many times, over so many files, each with bad rows of its own."""
    shutil.copytree(data, to)
    header, *lines = (to / "interactions.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (to / "interactions.csv").unlink()
    for number in range(num_files):
        text = header + "".join(lines[number::num_files] * times) + BAD[number % len(BAD)]
        (to / f"interactions-{number}.csv").write_text(text, encoding="utf-8")
    description = (to / "dataset.yaml").read_text(encoding="utf-8")
    description = description.replace("path: interactions.csv", "path: interactions-*.csv")
    (to / "dataset.yaml").write_text(description + "max_bad_fraction: 0.1\n", encoding="utf-8")
    return to


@pytest.fixture(scope="module")
def store(sample_data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return parted(sample_data, tmp_path_factory.mktemp("store") / "data", num_files=4, times=1)


@pytest.mark.parametrize("shared", ["", "between"], ids=["one machine", "shared folder"])
def test_examples_quarantine_and_counts_are_the_same_bytes(
    cluster: Cluster, store: pathlib.Path, tmp_path: pathlib.Path, shared: str
) -> None:
    temp_dir = str(tmp_path / shared) if shared else ""
    ingest(store, tmp_path / "here")
    ingest(store, tmp_path / "there", runner=cluster.runner, beam_options=cluster.options, temp_dir=temp_dir)
    here = digests(tmp_path / "here")
    assert here == digests(tmp_path / "there")
    assert {"q/counts.json", "q/interactions.jsonl"} < here.keys()
    assert len((tmp_path / "here" / "q" / "interactions.jsonl").read_text().splitlines()) == 4


def test_what_transform_makes_is_the_same_bytes(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    data = write_shop(tmp_path / "data", NOTE)
    found = ingest(data, tmp_path / "examples", shard_megabytes=1)
    inputs = transform.Inputs(DatasetDir(data), found.interactions, found.items, found.users, found.exposures)
    for place, beam in {"here": {}, "there": {"runner": cluster.runner, "beam_options": cluster.options}}.items():
        folder = tmp_path / place
        outputs = transform.Outputs(TransformGraph(folder / "graph"), Examples(folder / "examples"))
        transform.run(inputs, outputs, transform.Config(**beam))
    here = digests(tmp_path / "here")
    assert len(here) > 36 and here == digests(tmp_path / "there")  # Twelve shards a split, and what was shown.


def test_statistics_are_the_same_bytes(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    made = ingest(write_shop(tmp_path / "data", NOTE), tmp_path / "examples", shard_megabytes=1)
    inputs = statistics_gen.Inputs(made.interactions, made.items, made.users)
    for place, beam in {"here": {}, "there": {"runner": cluster.runner, "beam_options": cluster.options}}.items():
        outputs = statistics_gen.Outputs(*(ExampleStatistics(tmp_path / place / str(n)) for n in range(3)))
        statistics_gen.run(inputs, outputs, statistics_gen.Config(**beam))
    here = digests(tmp_path / "here")
    assert len(here) == 5 and here == digests(tmp_path / "there")


def test_recommendations_are_the_same_bytes(
    cluster: Cluster, toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    tables = transformed_examples(tmp_path, lurker="用户")
    for table in tables[1:]:
        cut(table, 4)
    inputs = bulk_inferrer.Inputs(*tables, Model(toy_models["fused"]), *open_gates(tmp_path))
    chosen = {"k": 3, "at": str(ASKED_AT)}
    for place, beam in {"here": {}, "there": {"runner": cluster.runner, "beam_options": cluster.options}}.items():
        config = bulk_inferrer.Config(work_dir=str(tmp_path / f"work-{place}"), **chosen, **beam)
        bulk_inferrer.run(inputs, bulk_inferrer.Outputs(InferenceResult(tmp_path / place)), config)
    here = digests(tmp_path / "here")
    assert len(here) == 8 and here == digests(tmp_path / "there")


def command(data: pathlib.Path, root: pathlib.Path, until: str, settings: dict[str, Any]) -> list[str]:
    """A run up to a component, of which these are settings."""
    config = root.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(settings))
    run = ["run", "--data", str(data), "--root", str(root), "--until", until, "--config", str(config)]
    return [sys.executable, "-c", "from homefeed.pipeline.cli.start import start; start()", *run]


def of_run(root: pathlib.Path, component: str) -> dict[str, str]:
    """File → digest of what the run's only execution of it wrote."""
    (outputs,) = (root / "artifacts" / component).iterdir()
    return digests(outputs)


@pytest.mark.parametrize(("component", "between"), [("ExampleGen", "between"), ("Transform", "there/.staging")])
def test_a_killed_worker_costs_no_row(
    cluster: Cluster, sample_data: pathlib.Path, tmp_path: pathlib.Path, component: str, between: str
) -> None:
    data = parted(sample_data, tmp_path / "data", num_files=8, times=100)
    settings: dict[str, Any] = {"example_gen": {"temp_dir": str(tmp_path / "between"), "shard_megabytes": 1}}
    here = command(data, tmp_path / "here", component, settings)
    subprocess.run(here, check=True, stdout=subprocess.PIPE)
    asked_of = {"ExampleGen": "example_gen", "Transform": "transform"}[component]
    beam = {"runner": cluster.runner, "beam_options": [*cluster.options]}
    asked = command(data, tmp_path / "there", component, settings | {asked_of: settings.get(asked_of, {}) | beam})
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        eventually(lambda: job.poll() is not None or list((tmp_path / between).rglob("*.arrow")), JOB_SECONDS)
        assert job.poll() is None, "the job ended before a worker could be killed"
        cluster.workers()[0].kill()
        said, complained = job.communicate(timeout=JOB_SECONDS)
    if job.returncode:  # Then in a line, and the same command ends right.
        assert job.returncode == 1 and "Traceback" not in said + complained, complained
        assert f"the pipeline on {cluster.runner.rpartition('.')[2]} failed" in complained
        again = subprocess.run(asked, capture_output=True, text=True, timeout=JOB_SECONDS)
        assert again.returncode == 0, again.stderr
    assert of_run(tmp_path / "there", component) == of_run(tmp_path / "here", component)
    assert not [path for path in (tmp_path / between).rglob("*") if path.is_file()]
