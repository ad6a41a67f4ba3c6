"""Where a person may be found beside the data: the root, what was pushed elsewhere, and what broke off."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from collections.abc import Collection

from homefeed.components.artifacts.types import PushedModel
from homefeed.pipeline.runner.metadata import MetadataStore
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas import scratch, tables


@dataclasses.dataclass(frozen=True)
class Places:
    """What is searched.

    Attributes:
        folders: whose files the person is taken out of; none is below another one.
        leftovers: files and folders of runs and pushes that broke off; these are removed.
        remote: URLs of profiles, which are not searched.
    """

    folders: tuple[pathlib.Path, ...] = ()
    leftovers: tuple[pathlib.Path, ...] = ()
    remote: tuple[str, ...] = ()


def find_places(root: pathlib.Path, store: MetadataStore | None, elsewhere: Collection[pathlib.Path] = ()) -> Places:
    """The places of all runs of a root.

    Args:
        root: absolute; nobody else is at work in it.
        store: what the runs recorded; None: nothing.
        elsewhere: folders that no run knows of.
    """
    published = [PushedModel(file.parent).read_json(file.name)["paths"][-1] for file in root.rglob(PushedModel.FILE)]
    folders = {root, *elsewhere, *((root / path).parent for path in published if not tables.is_uri(path))}
    broken_off = {RunRoot(root).staging, *scratch.abandoned()}
    for folder, pattern in _work_folders(store):
        found = [path for path in folder.glob(f"{scratch.PREFIX}{pattern}") if path.is_dir()]
        (folders if pattern == BULK else broken_off).update(found)
    outermost = sorted(folder for folder in folders if folder.is_dir() and not folders & set(folder.parents))
    staged = [path for folder in outermost for path in folder.rglob(".*") if _is_staged(path)]
    leftovers = sorted(path for path in {*broken_off, *staged} if path.exists())
    return Places(tuple(outermost), tuple(leftovers), tuple(sorted(filter(tables.is_uri, published))))


BULK = "bulk-*"  # Of a BulkInferrer that goes on where it was killed.


def _work_folders(store: MetadataStore | None) -> list[tuple[pathlib.Path, str]]:
    """Folders in which components work beside the root, and what the names of theirs look like."""
    found = [(pathlib.Path(tempfile.gettempdir()), BULK)]
    for component, field, pattern in (("BulkInferrer", "work_dir", BULK), ("ExampleGen", "temp_dir", "[0-9a-f]*")):
        chosen = {config.get(field, "") for config in store.configs(component)} if store else set()
        found += [(pathlib.Path(place), pattern) for place in chosen if place and not tables.is_uri(place)]
    return found


def _is_staged(path: pathlib.Path) -> bool:
    return scratch.is_staged(path) or path.name.startswith((".forgetting-", ".shard-"))
