"""Pusher: publishes blessed models as numbered versions, and the profiles that requests are made from."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.table_rows import item_cards
from homefeed.components.artifacts.types import (
    ALL,
    Examples,
    InfraBlessing,
    Model,
    ModelBlessing,
    ModelEvaluation,
    PushedModel,
    TransformGraph,
)
from homefeed.components.artifacts.user_requests import UserTables
from homefeed.schemas.scratch import scratch
from homefeed.serving.profiles import FILE_NAME, write_profiles
from homefeed.serving.recommender import FUSED, RANKING, RETRIEVAL
from homefeed.serving.releases import WARMUP_FILE, ReleaseError, Releases

RELATIONS_AT_ONCE = 10_000
BESIDE = ("model_card.md", "evaluation.json")  # Of the evaluation: what goes along with each model.


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The models with both blessings, and what profiles are made of."""

    transform_graph: TransformGraph
    examples: Examples
    users: Examples
    items: Examples
    relations: Examples
    retrieval_model: Model
    ranking_model: Model
    fused_model: Model
    blessing: ModelBlessing
    infra_blessing: InfraBlessing
    evaluation: ModelEvaluation


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where everything was published."""

    pushed: PushedModel


@dataclasses.dataclass(frozen=True)
class Config:
    """Where servers read."""

    serving_dir: str = ""  # Folder or URL for `<model>/<version>/` and the profiles; a run: ROOT/serving.
    canary: bool = False  # Leave the label `stable` where it is, and give the new version the label `canary`.


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Publishes profiles, then the models, with model card and warm-up requests, under one common version.

    Raises:
        ReleaseError: the configuration does not say where to.
        GateClosed: a blessing was refused.
    """
    if not config.serving_dir:
        raise ReleaseError("pusher.serving_dir names no place: give a folder or a URL that servers read")
    for gate in (inputs.blessing, inputs.infra_blessing):
        gate.require_open()
    releases = Releases(config.serving_dir)
    with scratch() as folder:
        profiles = folder / FILE_NAME
        _publish_profiles(inputs, profiles)
        published = releases.put_file(profiles, FILE_NAME)
    # The fused model comes last: who finds its version finds that of its parts too.
    models = {RETRIEVAL: inputs.retrieval_model, RANKING: inputs.ranking_model, FUSED: inputs.fused_model}
    beside = {f"assets.extra/{name}": inputs.evaluation.path / name for name in BESIDE}
    extras = {name: beside | {WARMUP_FILE: inputs.infra_blessing.warmup_file(name)} for name in models}
    version = releases.push(
        {name: model.serving_dir for name, model in models.items()},
        canary=config.canary,
        extras={name: {at: file for at, file in files.items() if file.is_file()} for name, files in extras.items()},
    )
    outputs.pushed.write(version, [*(releases.path(name, version) for name in models), published])
    return f"version {version} in {config.serving_dir}"


def _publish_profiles(inputs: Inputs, path: pathlib.Path) -> None:
    profiles = UserTables.of(inputs.transform_graph, inputs.examples, inputs.users)
    titles = zip(profiles.catalogue.item_ids[1:], profiles.catalogue.titles[1:], strict=True)
    named = {item_id.decode(): title.decode() for item_id, title in titles}
    cards = item_cards(example_io.read_split(inputs.items, ALL))
    write_profiles(
        path,
        profiles,
        named,
        inputs.users.user_key(),
        cards,
        inputs.items.facts(),
        _relations(inputs.relations),
        inputs.items.declared(),
    )


def _relations(examples: Examples) -> Iterator[tuple[str, str]]:
    """User and other, of each relation."""
    for file in examples.split_files(ALL):
        for batch in example_io.read_batches(file, RELATIONS_AT_ONCE):
            pairs = (example_io.single(batch, name, b"").tolist() for name in ("user_id", "other_id"))
            yield from ((user.decode(), other.decode()) for user, other in zip(*pairs, strict=True))
