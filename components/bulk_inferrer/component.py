"""BulkInferrer: recommendations for every user at once, on Beam, with the model that is served."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from typing import Any

from homefeed.components.artifacts.types import (
    Examples,
    GateClosed,
    InferenceResult,
    InfraBlessing,
    Model,
    ModelBlessing,
    TransformGraph,
)
from homefeed.models.requests import Request
from homefeed.serving.recommender import FUSED

JSON_LINES, PARQUET = ".jsonl", ".parquet"


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Who is recommended to, the model that does it, and the blessings that allow it."""

    transform_graph: TransformGraph
    examples: Examples
    users: Examples
    fused_model: Model
    blessing: ModelBlessing
    infra_blessing: InfraBlessing


@dataclasses.dataclass(frozen=True)
class Outputs:
    """One row a user: `user_id`, `items`, `scores`, best first."""

    recommendations: InferenceResult


@dataclasses.dataclass(frozen=True)
class Config:
    """What is written, and how."""

    k: int = 10  # Items for each user; nothing of the user's history is among them.
    batch_size: int = 128  # Users in one call of the model.
    shard_users: int = 10_000  # Users in one file; a finished file is not made again after a crash.
    max_users: int = 0  # Only so many, the first by their ids; 0: all.
    work_dir: str = ""  # Where finished files wait for the others; empty: the system's place for temporary files.
    runner: str = "FnApiRunner"  # Beam's runner; FnApiRunner is in this process.
    beam_options: tuple[str, ...] = ()  # Options passed to Beam, such as "--project=my-project".


@dataclasses.dataclass(frozen=True)
class Shard:
    """Users that share a file."""

    name: str
    requests: tuple[Request, ...]


def make_shards(requests: Iterable[Request], shard_users: int) -> list[Shard]:
    """Users in the order of their ids, in shards named after their places, each by length of history.

    Equal lengths side by side: a batch is padded to its longest history.
    """
    ordered = sorted(requests, key=lambda request: request.user_id)
    parts = [ordered[start : start + shard_users] for start in range(0, len(ordered), shard_users)]
    return [
        Shard(f"shard-{place:05d}-of-{len(parts):05d}", tuple(sorted(part, key=lambda r: len(r.history))))
        for place, part in enumerate(parts)
    ]


def write_shard(rows: Sequence[dict[str, Any]], folder: pathlib.Path, name: str) -> None:
    """Writes a shard as JSON lines and as Parquet, each in one step, the Parquet file last."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    strings, floats = pa.list_(pa.string()), pa.list_(pa.float32())
    types = pa.schema([("user_id", pa.string()), ("items", strings), ("scores", floats)])
    for suffix in (JSON_LINES, PARQUET):
        staging = folder / f".{name}{suffix}.{os.getpid()}.tmp"
        if suffix == JSON_LINES:
            staging.write_text(lines, encoding="utf-8")
        else:
            pq.write_table(pa.Table.from_pylist(list(rows), types), staging)
        os.replace(staging, folder / f"{name}{suffix}")


def infer(shards: Sequence[Shard], saved_model: pathlib.Path, folder: pathlib.Path, config: Config) -> int:
    """Recommends for the shards that are not in the folder yet; gives the number of users in those."""
    from homefeed.components.bulk_inferrer.beam import recommend_shards

    waiting = [shard for shard in shards if not (folder / f"{shard.name}{PARQUET}").is_file()]
    if waiting:
        recommend_shards(waiting, {FUSED: saved_model}, folder, config)
    return sum(len(shard.requests) for shard in waiting)


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Recommends for every user of the tables, as of after their last event.

    Raises:
        GateClosed: a blessing was refused.
    """
    from homefeed.components.artifacts import transformed
    from homefeed.components.artifacts.user_requests import user_requests

    for gate in (inputs.blessing, inputs.infra_blessing):
        if reasons := gate.reasons():
            raise GateClosed(type(gate).__name__, reasons)
    catalogue = transformed.load_catalogue(inputs.transform_graph)
    requests = user_requests(inputs.transform_graph, inputs.examples, inputs.users, catalogue)
    chosen = sorted(requests)[: config.max_users or None]
    shards = make_shards((requests[user_id] for user_id in chosen), config.shard_users)
    folder = _work_folder(inputs, config)
    started = time.process_time()
    num_users = infer(shards, inputs.fused_model.serving_dir, folder, config)
    seconds = time.process_time() - started
    shutil.copytree(folder, outputs.recommendations.path, ignore=shutil.ignore_patterns(".*"))
    shutil.rmtree(folder)
    kept = f", {len(chosen) - num_users:,} kept from before" if num_users < len(chosen) else ""
    rate = f", {num_users / seconds:,.0f} a CPU second with the start" if num_users and seconds else ""
    return f"{len(chosen):,} users{rate}{kept}"


def _work_folder(inputs: Inputs, config: Config) -> pathlib.Path:
    """Named after all that the files depend on, so that only what is the very same work is gone on with."""
    digests = [artifact.digest() for artifact in (inputs.fused_model, inputs.examples, inputs.users)]
    facts = json.dumps([*digests, config.k, config.shard_users, config.max_users])
    name = hashlib.sha256(facts.encode()).hexdigest()[:32]
    folder = pathlib.Path(config.work_dir or tempfile.gettempdir()) / f"homefeed-bulk-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
