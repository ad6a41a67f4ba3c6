"""New items without training: the catalogue is embedded again, and published as a new version of the models."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import pathlib
import uuid
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts import types
from homefeed.components.artifacts.table_rows import item_cards
from homefeed.components.artifacts.types import Artifact, DatasetDir, Model, PushedModel
from homefeed.components.example_gen.items_table import read_items
from homefeed.components.transform.refresh import catalogue_for
from homefeed.models.catalogue import NEVER
from homefeed.models.fused import Fused
from homefeed.models.retrieval.retriever import Retriever
from homefeed.models.retrieval.snapshot import Snapshot
from homefeed.models.text.text_model import TextModel
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.metadata import MetadataStore, Record, Run
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas.dataset import load_dataset
from homefeed.schemas.scratch import scratch
from homefeed.serving.profiles import update_items
from homefeed.serving.recommender import FUSED, RANKING, RETRIEVAL, num_candidates_of
from homefeed.serving.releases import WARMUP_FILE, Releases

TITLE = "IndexRefresh"  # Of its executions in the metadata.


@dataclasses.dataclass(frozen=True)
class Refreshed:
    """What was published."""

    version: int
    items: int  # In the catalogue now.
    new_items: int  # That training did not know, or knew without any interaction.
    gone_items: int  # That training knew and the table no longer holds.
    denied_items: int  # Of the catalogue, that rules keep out of every list.


def refresh(root: pathlib.Path, data_dir: pathlib.Path, metadata: str | None = None) -> Refreshed:
    """Embeds the current items table with the last pushed model's weights and publishes the result.

    The ranking model is published beside it as it is. Until the next training it knows a new item by its text,
    which the fused model hands it, and by what retrieval says.

    Args:
        root: of the runs.
        data_dir: folder of `dataset.yaml`; of its tables only the items are read.
        metadata: ML Metadata; None: `metadata.sqlite` in the root.

    Raises:
        RunError: nothing has been pushed yet.
        DatasetError: the items table cannot be read.
    """
    store, pushed, inputs = _last_push(root, metadata)
    model = Model(inputs["retrieval_model"].path)
    snapshot = Snapshot.load(model.snapshot_dir)
    text = TextModel.load(model.text_dir)
    catalogue = text.describe(catalogue_for(snapshot, data_dir))
    with scratch() as folder:
        saved_model, fused = folder / "retrieval", folder / "fused"
        Retriever(snapshot, catalogue, text).save(saved_model)
        titles = {i.decode(): t.decode() for i, t in zip(catalogue.item_ids[1:], catalogue.titles[1:], strict=True)}
        known = set(snapshot.item_ids)
        rows = [row for row in range(1, catalogue.num_rows) if catalogue.item_ids[row] not in known]
        new_texts = {catalogue.item_ids[row]: catalogue.token_ids[row] for row in rows}
        dataset = load_dataset(data_dir)
        cards = item_cards(read_items(data_dir))
        update_items(RunRoot(root).profiles, titles, cards, [*dataset.facts], dataset.declared("items"))
        version = _publish(saved_model, fused, new_texts, RunRoot(root).serving)
    _record(RunRoot(root), store, version, inputs | {"pushed_model": pushed}, DatasetDir(data_dir))
    num_denied = int((catalogue.available_from == NEVER).sum())
    num_known = sum(item_id in known for item_id in catalogue.item_ids[1:])
    return Refreshed(
        version, catalogue.num_rows - 1, catalogue.num_rows - 1 - num_known, len(known) - num_known, num_denied
    )


def _last_push(root: pathlib.Path, metadata: str | None) -> tuple[MetadataStore, Record, dict[str, Record]]:
    """The metadata, what was pushed last, and what that was made from, by input name."""
    place = RunRoot(root)
    store = MetadataStore(place, metadata) if metadata else MetadataStore(place.recorded())
    pushed = store.latest("PushedModel")
    made = store.producer(pushed) if pushed else None
    if pushed is None or made is None:
        raise RunError(f"no model of {root} has been pushed yet: `homefeed run --root {root}` pushes one")
    _, inputs = made
    return store, pushed, inputs


def _record(
    root: RunRoot, store: MetadataStore, version: int, sources: Mapping[str, Record], dataset: DatasetDir
) -> None:
    """The new version in the lineage: made from the one before, from what that was made from, and from the items."""
    pushed = PushedModel(root.artifacts / TITLE / str(version) / "pushed")
    releases = Releases(root.serving)
    names = [name for release in releases.versions() if release.version == version for name in release.models]
    paths = [releases.path(name, version) for name in names]
    pushed.write(version, [*paths, str(root.profiles)])
    inputs: dict[str, tuple[Artifact, str]] = {
        name: (getattr(types, record.type)(record.path), record.digest) for name, record in sources.items()
    }
    properties = {
        "code_version": importlib.metadata.version("homefeed"),
        "config": "{}",
        "summary": f"version {version} with the items of {dataset.path}",
        "finished_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    run = Run(TITLE, uuid.uuid4().hex, properties)
    inputs["dataset"] = (dataset, dataset.digest())
    store.record(run, TITLE, inputs, {"pushed": (pushed, pushed.digest())})


def _publish(
    retrieval: pathlib.Path,
    fused: pathlib.Path,
    new_texts: Mapping[bytes, npt.NDArray[np.int32]],
    serving_dir: pathlib.Path,
) -> int:
    """Publishes models as Pusher does, the unchanged ranking model under the new version too."""
    releases = Releases(serving_dir)
    stable = releases.stable()
    now = {name: pathlib.Path(releases.path(name, stable)) for name in releases.models()}
    models = {RETRIEVAL: retrieval, RANKING: now[RANKING]}
    if FUSED in now:
        Fused(retrieval, now[RANKING], num_candidates_of(now[FUSED]), new_texts).save(fused)
        models[FUSED] = fused  # Last: who finds its version finds that of its parts too.
    # The inputs are what they were, so that the requests of before warm up the new models too.
    warmup = {name: now[name] / WARMUP_FILE for name in models if models[name] != now[name]}
    extras = {name: {WARMUP_FILE: file} for name, file in warmup.items() if file.is_file()}
    return releases.push(models, extras=extras)
