"""Pusher: publishes blessed models as numbered versions, and the profiles that requests are made from."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from components.artifacts import (
    Examples,
    GateClosed,
    InfraBlessing,
    Model,
    ModelBlessing,
    PushedModel,
    TransformGraph,
)
from models.catalogue import Catalogue
from models.requests import Feature, Request, requests_from_sequences
from serving.profiles import FILE_NAME, write_profiles
from serving.recommender import FUSED, RANKING, RETRIEVAL
from serving.releases import WARMUP_FILE, Releases

if TYPE_CHECKING:
    import pyarrow as pa


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The models with both blessings, and what profiles are made of."""

    transform_graph: TransformGraph
    examples: Examples
    users: Examples
    retrieval_model: Model
    ranking_model: Model
    fused_model: Model
    blessing: ModelBlessing
    infra_blessing: InfraBlessing


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where everything was published."""

    pushed: PushedModel


@dataclasses.dataclass(frozen=True)
class Config:
    """Where servers read."""

    serving_dir: str = "serving"  # Gets `<model>/<version>/`, `model.config` and the profiles; a folder or a URL.
    canary: bool = False  # Leave the label `stable` where it is, and give the new version the label `canary`.


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Publishes profiles, then the models with their warm-up requests under one common version.

    Raises:
        GateClosed: a blessing was refused.
    """
    for gate in (inputs.blessing, inputs.infra_blessing):
        if reasons := gate.reasons():
            raise GateClosed(type(gate).__name__, reasons)
    releases = Releases(config.serving_dir)
    with tempfile.TemporaryDirectory() as folder:
        profiles = pathlib.Path(folder) / FILE_NAME
        _publish_profiles(inputs, profiles)
        published = releases.put_file(profiles, FILE_NAME)
    # The fused model comes last: who finds its version finds that of its parts too.
    models = {RETRIEVAL: inputs.retrieval_model, RANKING: inputs.ranking_model, FUSED: inputs.fused_model}
    warmup = {name: inputs.infra_blessing.warmup_file(name) for name in models}
    version = releases.push(
        {name: model.serving_dir for name, model in models.items()},
        canary=config.canary,
        extras={name: {WARMUP_FILE: file} for name, file in warmup.items() if file.is_file()},
    )
    paths = [releases.path(name, version) for name in models]
    outputs.pushed.write_json(PushedModel.FILE, {"version": version, "paths": [*paths, published]})
    return f"version {version} in {config.serving_dir}"


def _publish_profiles(inputs: Inputs, path: pathlib.Path) -> None:
    from components import example_io, transformed

    catalogue = transformed.load_catalogue(inputs.transform_graph)
    features = _user_features(example_io.read_split(inputs.users, "all"))
    profiles: dict[str, Request] = {
        user_id: Request(user_id, features=values) for user_id, values in features.items()
    }
    for split in ("train", "eval", "test"):  # A later split repeats the events of those before it.
        for request in _histories(inputs, catalogue, split):
            known = features.get(request.user_id, {})
            profiles[request.user_id] = dataclasses.replace(request, features=known, timestamp=0)
    titles = zip(catalogue.item_ids[1:], catalogue.titles[1:], strict=True)
    named = {item_id.decode(): title.decode() for item_id, title in titles}
    write_profiles(path, profiles.values(), named, inputs.users.user_key())


def _histories(inputs: Inputs, catalogue: Catalogue, split: str) -> Iterator[Request]:
    from components import transformed

    sequences = transformed.load_sequences(inputs.transform_graph, inputs.examples, split)
    rows = np.arange(sequences.num_users, dtype=np.int64)
    return requests_from_sequences(sequences, catalogue, rows, sequences.row_splits[1:])


def _user_features(users: pa.RecordBatch) -> Mapping[str, dict[str, Feature]]:
    """User id → feature → value, as in the users table."""
    columns = users.to_pydict()
    ids = columns.pop("user_id", [])
    return {
        user_id[0].decode(): {name: _plain(cells[row]) for name, cells in columns.items() if cells[row]}
        for row, user_id in enumerate(ids)
    }


def _plain(cell: list[Any]) -> Feature:
    values = [value.decode() if isinstance(value, bytes) else value for value in cell]
    plain: Feature = values[0] if len(values) == 1 else values
    return plain
