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

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import (
    Examples,
    InferenceResult,
    InfraBlessing,
    Model,
    ModelBlessing,
    TransformGraph,
)
from homefeed.components.artifacts.user_requests import UserRequests
from homefeed.components.beam.errors import BeamError
from homefeed.components.beam.settings import BeamSettings
from homefeed.schemas import times
from homefeed.schemas.settings import Count, CountOrNone
from homefeed.schemas.times import TimeOrNone


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
class Config(BeamSettings):
    """What is written, and how."""

    k: Count = 10  # Items for each user; nothing of the user's history is among them.
    batch_size: Count = 128  # Users in one call of the model.
    shard_users: Count = 10_000  # Users in one file; a finished file is not made again after a crash.
    at: TimeOrNone = ""  # The requests' time, such as 2024-01-31T18:00; empty: when the component runs.
    max_users: CountOrNone = 0  # Only so many, the first by their ids; 0: all.
    work_dir: str = ""  # Where finished files wait for the others; empty: the system's place for temporary files.


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Recommends for every user of the tables, from all that they did.

    Raises:
        GateClosed: a blessing was refused.
    """
    from homefeed.components.bulk_inferrer import beam, shards

    for gate in (inputs.blessing, inputs.infra_blessing):
        gate.require_open()
    catalogue = transformed.load_catalogue(inputs.transform_graph)
    requests = UserRequests(inputs.transform_graph, inputs.examples, inputs.users, catalogue)
    chosen = requests.user_ids[: config.max_users or None]
    now = times.moment(config.at) or int(time.time())
    parts = shards.make_shards(chosen, config.shard_users)
    folder = work_folder(inputs, config)
    started = time.process_time()
    num_users = beam.infer(
        parts,
        lambda user_ids: (dataclasses.replace(request, timestamp=now) for request in requests.of(user_ids)),
        inputs.fused_model.serving_dir,
        folder,
        k=config.k,
        batch_size=config.batch_size,
        runner=config.runner,
        beam_options=config.beam_options,
    )
    seconds = time.process_time() - started
    shutil.copytree(folder, outputs.recommendations.path, ignore=shutil.ignore_patterns(".*"))
    shutil.rmtree(folder)
    kept = f", {len(chosen) - num_users:,} kept from before" if num_users < len(chosen) else ""
    rate = f", {num_users / seconds:,.0f} a CPU second with the start" if num_users and seconds else ""
    return f"{len(chosen):,} users{rate}{kept}"


def work_folder(inputs: Inputs, config: Config) -> pathlib.Path:
    """Named after all that the files depend on, so that only what is the very same work is gone on with.

    In the system's place for temporary files, where others may read and write, it is this user's alone.

    Raises:
        BeamError: somebody else has made it there.
    """
    digests = [artifact.digest() for artifact in (inputs.fused_model, inputs.examples, inputs.users)]
    facts = json.dumps([*digests, config.k, config.shard_users, config.max_users, config.at])
    name = hashlib.sha256(facts.encode()).hexdigest()[:32]
    folder = pathlib.Path(config.work_dir or tempfile.gettempdir()) / f"homefeed-bulk-{name}"
    folder.mkdir(mode=0o777 if config.work_dir else 0o700, parents=True, exist_ok=True)
    if not config.work_dir and (folder.is_symlink() or folder.stat().st_uid != os.getuid()):
        raise BeamError(f"{folder} is somebody else's: remove it, or name another place as `work_dir`")
    return folder
