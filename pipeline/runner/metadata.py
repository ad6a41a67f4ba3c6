"""Lineage and cache in ML Metadata: what ran, from which artifacts, with which configuration, into which."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from ml_metadata import errors
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from homefeed.components.artifacts.types import Artifact
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.root import RunRoot


@dataclasses.dataclass(frozen=True)
class Run:
    """One finished execution of a component, as recorded.

    Attributes:
        component: its title (`ExampleGen`).
        key: the cache key, unique for the component.
        properties: what a person wants to know of it: config, code version, seconds, summary, pipeline run.
    """

    component: str
    key: str
    properties: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Record:
    """An artifact as recorded."""

    id: int
    type: str
    path: pathlib.Path
    digest: str


class MetadataStore:
    """ML Metadata with TFX's type names. What lies below the root is recorded relative to it.

    Args:
        root: of the runs.
        connection: a path of a SQLite file, or `mysql://user:password@host:port/database`; default: in the root.

    Raises:
        RunError: it cannot be opened.
    """

    def __init__(self, root: RunRoot, connection: str | None = None):
        self._root = root.path
        self._store = _open(connection or str(root.metadata))
        self._types: dict[str, int] = {}

    def find(self, component: str, key: str) -> dict[str, Record] | None:
        """The outputs of an execution that was recorded under this key, by output name; None if none was."""
        execution = self._store.get_execution_by_type_and_name(component, key)
        return None if execution is None else dict(self._artifacts(execution.id, mlmd.Event.OUTPUT))

    def record(
        self,
        run: Run,
        pipeline: str,
        inputs: Mapping[str, tuple[Artifact, str]],
        outputs: Mapping[str, tuple[Artifact, str]],
    ) -> None:
        """Records a finished execution with its artifacts (each with its digest) in one transaction."""
        execution = mlmd.Execution(
            type_id=self._execution_type(run.component),
            name=run.key,
            last_known_state=mlmd.Execution.COMPLETE,
        )
        existing = self._store.get_execution_by_type_and_name(run.component, run.key)
        if existing is not None:  # Its artifacts were deleted and made again.
            execution.id = existing.id
        for name, value in run.properties.items():
            execution.custom_properties[name].string_value = value
        pairs = [self._pair(*item, mlmd.Event.INPUT) for item in inputs.items()]
        pairs += [self._pair(*item, mlmd.Event.OUTPUT) for item in outputs.items()]
        if existing is not None:
            self._store.put_artifacts([artifact for artifact, _ in pairs])
            self._store.put_executions([execution])
            return
        contexts = [self._context("pipeline", pipeline), self._context("node", f"{pipeline}.{run.component}")]
        self._store.put_execution(execution, pairs, contexts, reuse_context_if_already_exist=True)

    def latest(self, type_name: str) -> Record | None:
        """The newest artifact of a type."""
        artifacts = self._store.get_artifacts_by_type(type_name)
        return self._record(max(artifacts, key=lambda a: a.last_update_time_since_epoch)) if artifacts else None

    def all(self, type_name: str) -> list[Record]:
        """All artifacts of a type."""
        return [self._record(artifact) for artifact in self._store.get_artifacts_by_type(type_name)]

    def configs(self, component: str) -> list[dict[str, Any]]:
        """The configuration of every execution of a component."""
        runs = self._store.get_executions_by_type(component)
        return [json.loads(run.custom_properties["config"].string_value or "{}") for run in runs]

    def producer(self, artifact: Record) -> tuple[Run, dict[str, Record]] | None:
        """The execution that made an artifact and its inputs by name; None for what came from outside."""
        events = self._store.get_events_by_artifact_ids([artifact.id])
        made = [event.execution_id for event in events if event.type == mlmd.Event.OUTPUT]
        if not made:
            return None
        (execution,) = self._store.get_executions_by_id(made[-1:])
        properties = {name: value.string_value for name, value in execution.custom_properties.items()}
        run = Run(execution.type, execution.name, properties)
        return run, dict(self._artifacts(execution.id, mlmd.Event.INPUT))

    def _artifacts(self, execution_id: int, direction: int) -> Iterator[tuple[str, Record]]:
        events = [e for e in self._store.get_events_by_execution_ids([execution_id]) if e.type == direction]
        artifacts = {a.id: a for a in self._store.get_artifacts_by_id([e.artifact_id for e in events])}
        for event in events:
            yield event.path.steps[0].key, self._record(artifacts[event.artifact_id])

    def _pair(
        self, name: str, artifact_and_digest: tuple[Artifact, str], direction: Any
    ) -> tuple[mlmd.Artifact, mlmd.Event]:
        artifact, digest = artifact_and_digest
        type_name = type(artifact).__name__
        path = artifact.path.absolute()
        uri = str(path.relative_to(self._root) if path.is_relative_to(self._root) else path)
        proto = mlmd.Artifact(
            type_id=self._artifact_type(type_name),
            uri=uri,
            # Unique for a type. An output's path holds its cache key; a path outside may change its content.
            name=f"{uri}@{digest}" if artifact.EXTERNAL else uri,
            state=mlmd.Artifact.LIVE,
        )
        proto.custom_properties["digest"].string_value = digest
        existing = self._store.get_artifact_by_type_and_name(type_name, proto.name)
        if existing is not None:
            proto.id = existing.id
        event = mlmd.Event(type=direction)
        event.path.steps.add().key = name
        return proto, event

    def _record(self, artifact: mlmd.Artifact) -> Record:
        digest = artifact.custom_properties["digest"].string_value
        return Record(artifact.id, artifact.type, self._root / artifact.uri, digest)

    def _context(self, type_name: str, name: str) -> mlmd.Context:
        type_id = self._type(type_name, mlmd.ContextType, self._store.put_context_type)
        return mlmd.Context(type_id=type_id, name=name)

    def _artifact_type(self, name: str) -> int:
        return self._type(name, mlmd.ArtifactType, self._store.put_artifact_type)

    def _execution_type(self, name: str) -> int:
        return self._type(name, mlmd.ExecutionType, self._store.put_execution_type)

    def _type(self, name: str, proto: Any, put: Any) -> int:
        if name not in self._types:
            self._types[name] = put(proto(name=name))
        return self._types[name]


def _open(connection: str) -> Any:
    try:
        return metadata_store.MetadataStore(_connection_config(connection))
    except (errors.StatusError, RuntimeError, ValueError) as error:
        place = re.sub(r"//[^@/]*@", "//", connection)  # Without user and password.
        reason = " ".join(str(error).split())
        raise RunError(
            f"the metadata {place} cannot be opened: {reason}; expected the path of a SQLite file, or "
            "mysql://user:password@host:port/database"
        ) from error


def _connection_config(connection: str) -> mlmd.ConnectionConfig:
    config = mlmd.ConnectionConfig()
    url = urllib.parse.urlsplit(connection)
    if url.scheme == "mysql":
        config.mysql.host = url.hostname or ""
        config.mysql.port = url.port or 3306
        config.mysql.user = urllib.parse.unquote(url.username or "")
        config.mysql.password = urllib.parse.unquote(url.password or "")
        config.mysql.database = url.path.lstrip("/")
    else:
        config.sqlite.filename_uri = connection
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return config
