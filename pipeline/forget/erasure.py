"""Forgetting as a whole: where to look, in which order, and what is left."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import pathlib
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from homefeed.components.artifacts.types import Examples
from homefeed.pipeline.forget.files import REPORTS, USERS, content, from_file, from_json
from homefeed.pipeline.forget.guests import find_guests, forget_guests
from homefeed.pipeline.forget.logs import leave_out_of_copies, logged_stores, tell_logs
from homefeed.pipeline.forget.person import Person
from homefeed.pipeline.forget.places import Places, find_places
from homefeed.pipeline.forget.tables import from_parquet, from_table
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.local_runner import locked
from homefeed.pipeline.runner.metadata import MetadataStore, Record
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas import tables
from homefeed.schemas.columns import TABLES, TableName
from homefeed.schemas.dataset import load_dataset
from homefeed.schemas.privacy import load_key, pseudonym
from homefeed.schemas.scratch import remove
from homefeed.serving.audit import Trail, operator
from homefeed.serving.audit.trail import FILE_NAME as AUDIT_FILE
from homefeed.serving.feedback.layout import FEEDBACK, STAGING
from homefeed.serving.profiles.published import FILE_NAME, user_key_of
from homefeed.serving.profiles.wishes import WISHES_FILE_NAME, Wishes

MODEL_TYPES = ("Model", "PretrainedBert")


@dataclasses.dataclass(frozen=True)
class Forgotten:
    """What was done."""

    removed: dict[str, int]  # File → rows, Examples, values or lines taken out of it (1: it is gone, or broke off).
    models: list[str]  # Models that were trained with this person, by path: they know patterns, not the id.
    traces: list[str]  # Files that still hold the id or cannot be searched: should be none; not of short ids.


def forget(
    user_id: str,
    data_dir: pathlib.Path | None = None,
    root: pathlib.Path | None = None,
    user_key: str = "",
    metadata: str | None = None,
    store: str = "",
    audit_dir: pathlib.Path | None = None,
) -> Forgotten:
    """Removes a person from the stored tables, the artifacts and the serving stores.

    Train again afterwards: models that were trained with the person are named, not changed.

    Args:
        user_id: as it is in the tables.
        data_dir: folder of `dataset.yaml`; its local tables are rewritten.
        root: root of the runs, with artifacts; where these pushed to, elsewhere too, is known from them.
        user_key: where a key of pseudonyms is, besides those that the runs below the root say they used.
        metadata: ML Metadata; None: `metadata.sqlite` in the root.
        store: URL of the Redis where gateways keep live profiles; "": they use the file below the root.
        audit_dir: where gateways of the root have their audit trail, if not beside the models.

    Raises:
        DatasetError: the data folder or a key cannot be read.
        RunError: there is no such root, another run is using it, or the metadata cannot be opened.
        StoreError: the Redis cannot be reached.
        AuditError: an audit trail cannot be written; nothing is done yet, or the trail still has entries about them.
    """
    data_dir = data_dir and data_dir.resolve()
    if root is None:
        return _forget(_names({user_id}, {user_key}), data_dir, None, Places(), [], store, None)
    root = root.resolve()
    if not root.is_dir():
        raise RunError(f"there is no root {root}, so that nothing was looked for: name the one of the runs")
    local = metadata or str(RunRoot(root).metadata)
    with locked(RunRoot(root).lock, f"a run is using {root}: wait until it has finished"):
        lineage = MetadataStore(RunRoot(root), metadata) if metadata or pathlib.Path(local).is_file() else None
        searched = [path for path in (pathlib.Path(local).resolve(),) if path.is_file()]
        elsewhere = {audit_dir.resolve()} if audit_dir else set()
        keys, places = {user_key, *_keys_of(root)}, find_places(root, lineage, elsewhere)
        user = _names({user_id}, keys)
        found = _files(*places.folders)
        names = user | _names(find_guests(found, user), keys)
        trails = {path.parent for path in found if path.name == AUDIT_FILE}
        with contextlib.ExitStack() as stack:
            folders = [*filter(pathlib.Path.is_dir, trails | {RunRoot(root).serving} | elsewhere)]
            entries = [stack.enter_context(Trail.beside(one).forgetting(names, operator())) for one in folders]
            done = _forget(names, data_dir, lineage, places, searched, store, RunRoot(root).serving)
            for wishes in folders:
                Wishes(wishes).end(names)  # The last step: who dies before it is asked again.
            for entry in entries:
                entry |= {"files": len(done.removed), "traces": len(done.traces)}
        return done


def _forget(
    names: Collection[str],
    data_dir: pathlib.Path | None,
    lineage: MetadataStore | None,
    places: Places,
    searched: Sequence[pathlib.Path],
    store: str,
    serving: pathlib.Path | None,
) -> Forgotten:
    person = Person(names)
    removed = {str(path): 1 for path in places.leftovers}
    redis = asyncio.run(_from_redis(store, person)) if store else _FromRedis()
    stores = logged_stores(_files(*places.folders))
    copied_to = serving if redis.is_logged and serving and serving.is_dir() else None
    logs = leave_out_of_copies(_files(*places.folders), stores, copied_to, person.names)
    for path in places.leftovers:
        remove(path)
    if data_dir is not None:
        removed |= _from_tables(data_dir, person)
    found = _files(*places.folders)
    # Reports last: by then it is known who else has an id like this one.
    for path in sorted(found, key=lambda path: (path.suffix in REPORTS, path)):
        removed[str(path)] = from_file(path, person)
    forget_guests(found, names)
    removed = {path: count for path, count in removed.items() if count}
    touched = {str(pathlib.Path(path).parents[1]) for path in removed if "Split-" in path}
    models = _trained_with(lineage, touched) if touched and lineage else []
    files = [*_files(*places.folders, *([data_dir] if data_dir else ())), *searched]
    left = [str(path) for path in dict.fromkeys(files) if person.is_in_bytes(content(path))]
    left += [str(path) for path in places.leftovers if path.exists()]
    left += [*logs, *tell_logs(stores, person.names)]
    removed |= {store: redis.events} if redis.events else {}
    left += [] if redis.is_compact else [f"{store} (its files were not written anew)"]
    return Forgotten(removed, models, left + [f"{url} (not searched)" for url in places.remote])


def _names(ids: Collection[str], keys: Collection[str]) -> set[str]:
    """What somebody is called by their ids and keys of pseudonyms."""
    known = [load_key(key) for key in keys if key]
    return {*ids, *(pseudonym(one, key) for one in ids for key in known)}


class _FromRedis(NamedTuple):
    events: int = 0  # That were removed.
    is_compact: bool = True  # Its files are without them.
    is_logged: bool = False  # Its gateways write to a log, which they will tell.


async def _from_redis(url: str, person: Person) -> _FromRedis:
    from homefeed.serving.profiles.redis_store import RedisStore

    store = RedisStore(url)
    try:
        is_logged = await store.is_logged()
        events = sum([await store.forget(name, is_logged) for name in sorted(person.names)])
        return _FromRedis(events, await store.compact(), is_logged)
    finally:
        await store.close()


def _from_tables(data_dir: pathlib.Path, person: Person) -> dict[str, int]:
    dataset = load_dataset(data_dir)
    names: tuple[TableName, ...] = ("interactions", "users", "exposures", "relations")
    removed: Counter[str] = Counter()
    for folder in data_dir.glob(f"{STAGING}*"):  # A span of feedback that broke off: the next seal writes it again.
        remove(folder)
    for file_of_rest in (data_dir / FEEDBACK).glob("*.parquet"):
        removed[str(file_of_rest)] += from_parquet(file_of_rest, person)
    for table in (name for name in names if not dataset.is_derived(name) or name in TABLES):
        of_users = [name for name in USERS if name in dataset.columns(table)]
        for file in tables.find_files(data_dir, dataset.table(table), table).files:
            if not tables.is_uri(file.path):
                removed[file.path] += from_table(file, dataset.table(table), person, of_users)
    for beside in set(data_dir.rglob("*.json")) - {pathlib.Path(path) for path in removed}:
        removed[str(beside)] += from_json(beside, person)
    return removed


def _keys_of(root: pathlib.Path) -> set[str]:
    """Of runs, and of profiles that are served where the runs' artifacts are gone."""
    runs = {Examples(file.parent).user_key() for file in root.rglob(Examples.USER_KEY_FILE)}
    return runs | {user_key_of(file) for file in root.rglob(FILE_NAME)}


def _files(*folders: pathlib.Path) -> list[pathlib.Path]:
    """All files, but the one that says who is to be forgotten: who is has their line until the end."""
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not path.name.startswith(WISHES_FILE_NAME))


def _trained_with(store: MetadataStore, examples: Collection[str]) -> list[str]:
    """The models whose lineage goes back to one of the artifacts, by path."""

    def comes_from(artifact: Record) -> bool:
        if str(artifact.path.resolve()) in examples:
            return True
        made = store.producer(artifact)
        return made is not None and any(map(comes_from, made[1].values()))

    found = [record for name in MODEL_TYPES for record in store.all(name) if comes_from(record)]
    return sorted(str(record.path) for record in found)
