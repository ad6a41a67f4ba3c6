"""BulkInferrer: recommendations for every user at once, on Beam, with the model that is served."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import tempfile
import time

from homefeed.components.artifacts.types import (
    Examples,
    InferenceResult,
    InfraBlessing,
    Model,
    ModelBlessing,
    TransformGraph,
)
from homefeed.components.artifacts.user_requests import UserTables
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
    at: TimeOrNone = ""  # The requests' time, such as 2024-01-31T18:00; empty: when the component runs.
    max_users: CountOrNone = 0  # Only so many, the first of the first shards; 0: all.
    work_dir: str = ""  # Where finished files wait for the others; empty: the system's place for temporary files.


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Recommends for every user of the tables, from all that they did.

    Raises:
        GateClosed: a blessing was refused.
    """
    from homefeed.components.bulk_inferrer import beam, shards

    for gate in (inputs.blessing, inputs.infra_blessing):
        gate.require_open()
    tables = UserTables.of(inputs.transform_graph, inputs.examples, inputs.users)
    all_shards = shards.make_shards(tables, config.max_users)
    asked = beam.Asked(config.k, times.moment(config.at) or int(time.time()), config.batch_size)
    folder = work_folder(inputs, outputs, config, tables.shards.num_shards)
    started = time.process_time()
    made = beam.infer(
        all_shards, tables, inputs.fused_model.serving_dir, folder, asked, config.runner, config.beam_options
    )
    seconds = time.process_time() - started
    num_made, num_users = (shards.count_users(some, folder) for some in (made, all_shards))
    outputs.recommendations.path.mkdir(parents=True)
    for shard, suffix in itertools.product(all_shards, (shards.JSON_LINES, shards.PARQUET)):
        shutil.copy2(shard.file(folder, suffix), outputs.recommendations.path)
    shutil.rmtree(folder)
    kept = f", {num_users - num_made:,} kept from before" if num_made < num_users else ""
    rate = f", {num_made / seconds:,.0f} a CPU second with the start" if num_made and seconds else ""
    return f"{num_users:,} users{rate}{kept}"


def work_folder(inputs: Inputs, outputs: Outputs, config: Config, num_shards: int) -> pathlib.Path:
    """Named after all that the files depend on, so that only what is the very same work is gone on with.

    In the system's place for temporary files, where others may read and write, it is this user's alone. There it is
    named after the outputs' place too: another root with the same models and users may be at the same work right now.

    Raises:
        BeamError: somebody else has made it there.
    """
    digests = [artifact.digest() for artifact in (inputs.fused_model, inputs.examples, inputs.users)]
    place = "" if config.work_dir else str(outputs.recommendations.path.absolute())
    facts = json.dumps([*digests, config.k, config.max_users, config.at, num_shards, place])
    name = hashlib.sha256(facts.encode()).hexdigest()[:32]
    folder = pathlib.Path(config.work_dir or tempfile.gettempdir()) / f"homefeed-bulk-{name}"
    folder.mkdir(mode=0o777 if config.work_dir else 0o700, parents=True, exist_ok=True)
    if not config.work_dir and (folder.is_symlink() or folder.stat().st_uid != os.getuid()):
        raise BeamError(f"{folder} is somebody else's: remove it, or name another place as `work_dir`")
    return folder
