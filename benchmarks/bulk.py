"""Recommendations for everybody: BulkInferrer against one gRPC call a user, on the same models and users.

    python -m benchmarks.bulk [--users N] [--copies N]

The models are small ones of the simulated store, and each of its shoppers stands for some more with the same past.
Both sides are counted in CPU seconds: the gRPC side has those of client and server together once the server is
warm; the bulk side has all, with Beam's start and loading the model.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import tempfile
import time
from typing import Any

from benchmarks import results
from benchmarks.loop import SETTINGS

TABLE = pathlib.Path(__file__).with_suffix(".md")


def train(folder: pathlib.Path, num_users: int) -> pathlib.Path:
    """Runs the pipeline on a simulated store; gives the root."""
    import contextlib

    from homefeed.components.artifacts.types import DatasetDir
    from homefeed.pipeline.config import load_config
    from homefeed.pipeline.datasets.sample import write_sample
    from homefeed.pipeline.recommender import recommender
    from homefeed.pipeline.runner.local_runner import run_pipeline
    from homefeed.pipeline.runner.root import RunRoot

    data, root = folder / "data", folder / "root"
    write_sample(data, num_users=num_users, num_events=num_users * 12)
    dag = recommender(DatasetDir(data))
    configs = load_config(dag, settings=SETTINGS, defaults=RunRoot(root).defaults())
    run_pipeline(
        dag,
        configs,
        root,
        name="bulk",
        observer=lambda title: contextlib.nullcontext(lambda step: None),
        until="pusher",
    )
    return root


def copied(root: pathlib.Path, folder: pathlib.Path, copies: int) -> Any:
    """What the run's shoppers did, several times under other names, a shard each."""
    import pyarrow as pa

    from homefeed.components.artifacts import example_io
    from homefeed.components.artifacts.types import ALL, SPLITS, Examples, TransformGraph
    from homefeed.components.artifacts.user_requests import UserTables
    from homefeed.pipeline.runner.root import RunRoot

    transform, ingested = (next((RunRoot(root).artifacts / name).iterdir()) for name in ("Transform", "ExampleGen"))
    to = Examples(folder / "examples"), Examples(folder / "users")
    names = ((to[0], split, transform / "examples") for split in SPLITS)
    for table, split, place in (*names, (to[1], ALL, ingested / "users")):
        batch = example_io.read_split(Examples(place), split)
        at = batch.schema.get_field_index("user_id")
        for copy in range(copies):
            user_ids = pa.array([[user[0] + b"-%d" % copy] for user in batch.column(at).to_pylist()])
            columns = {**dict(zip(batch.schema.names, batch.columns, strict=True)), "user_id": user_ids}
            example_io.write_split(table, split, pa.RecordBatch.from_pydict(columns), copy, copies)
    return UserTables.of(TransformGraph(transform / "transform_graph"), *to)


def measure(root: pathlib.Path, folder: pathlib.Path, num_calls: int, copies: int) -> dict[str, Any]:
    """Users a CPU second, of both ways."""
    from homefeed.components import bulk_inferrer
    from homefeed.components.bulk_inferrer.beam import Asked, infer
    from homefeed.components.bulk_inferrer.shards import count_users, make_shards
    from homefeed.pipeline.runner.root import RunRoot
    from homefeed.serving.predictors import GrpcPredictor, LocalPredictor
    from homefeed.serving.process import model_server
    from homefeed.serving.profiles import ProfileStore
    from homefeed.serving.recommender import FUSED, Recommender

    profiles = ProfileStore(RunRoot(root).profiles)
    known = [profiles.get(user_id) for user_id in profiles.user_ids()]
    tables = copied(root, folder, copies)
    saved_model = RunRoot(root).serving / FUSED / "1"
    Recommender(LocalPredictor({FUSED: saved_model})).recommend(known[:1])  # TensorFlow has started.
    config = bulk_inferrer.Config()
    asked = Asked(config.k, int(time.time()), config.batch_size)
    started = time.process_time()
    made = infer(make_shards(tables), tables, saved_model, folder, asked)
    bulk_seconds = time.process_time() - started
    with model_server({FUSED: RunRoot(root).serving / FUSED}, folder) as address:
        served = Recommender(GrpcPredictor(address))
        for request in known[:20]:
            served.recommend([request])
        before = _children(), time.process_time()
        for request in known[:num_calls]:
            served.recommend([request])
        client = time.process_time() - before[1]
        server = _children() - before[0]
    calls = min(num_calls, len(known))
    num_users = count_users(made, folder)
    bulk, single = num_users / bulk_seconds, calls / (client + server)
    return {
        "users": num_users,
        "users_per_cpu_second": round(bulk),
        "grpc.calls": calls,
        "grpc.users_per_cpu_second": round(single),
        "times_grpc": round(bulk / single, 1),
    }


def _children() -> float:
    """CPU seconds of the running child processes: what /proc says, for they have not ended yet."""
    ticks, mine = os.sysconf("SC_CLK_TCK"), os.getpid()
    seconds = 0.0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == mine:
            seconds += (int(fields[11]) + int(fields[12])) / ticks
    return seconds


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=2_000)
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--calls", type=int, default=500)
    arguments, _ = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="homefeed-bulk-") as name:
        folder = pathlib.Path(name)
        root = train(folder, arguments.users)
        figures = measure(root, folder, arguments.calls, arguments.copies)
    figures["peak_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    results.merge("bulk", figures)
    lines = ["`make bench PART=bulk`", "", "| figure | value |", "|---|---:|"]
    TABLE.write_text("\n".join([*lines, *(f"| {n} | {v} |" for n, v in figures.items())]) + "\n", encoding="utf-8")
    print(figures)


if __name__ == "__main__":
    main()
