"""Forgetting as a whole: where to look, in which order, and what is left."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Collection

from homefeed.components.artifacts.types import Examples
from homefeed.pipeline.forget.files import REPORTS, content, from_file
from homefeed.pipeline.forget.person import Person
from homefeed.pipeline.forget.tables import from_table
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.metadata import MetadataStore, Record
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas import tables
from homefeed.schemas.dataset import TableName, load_dataset
from homefeed.schemas.privacy import load_key, pseudonym

MODEL_TYPES = ("Model", "PretrainedBert")


@dataclasses.dataclass(frozen=True)
class Forgotten:
    """What was done."""

    removed: dict[str, int]  # File → rows, Examples, values or lines taken out of it (1: the file itself).
    models: list[str]  # Models that were trained with this person, by path: they know patterns, not the id.
    traces: list[str]  # Files that still hold the id, which should be none; short ids are not searched for.


def forget(
    user_id: str,
    data_dir: pathlib.Path | None = None,
    root: pathlib.Path | None = None,
    user_key: str = "",
    metadata: str | None = None,
) -> Forgotten:
    """Removes a person from the stored tables, the artifacts and the serving stores.

    Train again afterwards: models that were trained with the person are named, not changed.

    Args:
        user_id: as it is in the tables.
        data_dir: folder of `dataset.yaml`; its local tables are rewritten.
        root: root of the runs, with artifacts and served profiles.
        user_key: where a key of pseudonyms is, besides those that the runs below the root say they used.
        metadata: ML Metadata; None: `metadata.sqlite` in the root.

    Raises:
        DatasetError: the data folder or a key cannot be read.
        RunError: there is no such root.
    """
    if root is not None and not root.is_dir():
        raise RunError(f"there is no root {root}, so that nothing was looked for: name the one of the runs")
    keys = {user_key, *_keys_of_runs(root)} - {""}
    person = Person({user_id, *(pseudonym(user_id, load_key(reference)) for reference in keys)})
    removed: dict[str, int] = {}
    if data_dir is not None:
        dataset = load_dataset(data_dir)
        names: tuple[TableName, ...] = ("interactions", "users")
        for table in names:
            for file in tables.find_files(data_dir, dataset.table(table), table).files:
                if not tables.is_uri(file.path):
                    removed[file.path] = removed.get(file.path, 0) + from_table(file, dataset.table(table), person)
    # Reports last: by then it is known who else has an id like this one.
    for path in sorted(_files(root), key=lambda path: (path.suffix in REPORTS, path)):
        removed[str(path)] = from_file(path, person)
    removed = {path: count for path, count in removed.items() if count}
    store = metadata or (str(RunRoot(root).metadata) if root else "")
    touched = {str(pathlib.Path(path).parents[1]) for path in removed if "Split-" in path}
    models = _trained_with(store, touched) if touched and (metadata or pathlib.Path(store).is_file()) else []
    left = [path for path in [*_files(root), *_files(data_dir)] if person.is_in_bytes(content(path))]
    return Forgotten(removed, models, list(map(str, left)))


def _keys_of_runs(root: pathlib.Path | None) -> set[str]:
    files = root.rglob(Examples.USER_KEY_FILE) if root else ()
    return {Examples(file.parent).user_key() for file in files}


def _files(folder: pathlib.Path | None) -> list[pathlib.Path]:
    return [] if folder is None else sorted(path for path in folder.rglob("*") if path.is_file())


def _trained_with(metadata: str, examples: Collection[str]) -> list[str]:
    """The models whose lineage goes back to one of the artifacts, by path."""
    store = MetadataStore(metadata)

    def comes_from(artifact: Record) -> bool:
        if str(artifact.path) in examples:
            return True
        made = store.producer(artifact)
        return made is not None and any(map(comes_from, made[1].values()))

    found = [record for name in MODEL_TYPES for record in store.all(name) if comes_from(record)]
    return sorted(str(record.path) for record in found)
