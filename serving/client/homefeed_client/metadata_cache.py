"""What is known of the models' signatures, until a new version answers."""

from __future__ import annotations

import threading

from homefeed_client.messages import Asked
from homefeed_client.signatures import ModelMetadata


class MetadataCache:
    """Remembers the metadata of what was asked for, until a version answers that was not seen before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._metadata: dict[Asked, ModelMetadata] = {}
        # Behind one target there may be servers with different versions; only a new one is news.
        self._seen: dict[Asked, set[int]] = {}

    def get(self, model: str, version: int | None, label: str | None) -> ModelMetadata | None:
        """What is known of the version that such a request reaches."""
        with self._lock:
            return self._metadata.get((model, version, label))

    def put(self, model: str, version: int | None, label: str | None, metadata: ModelMetadata) -> None:
        """Remembers it."""
        with self._lock:
            self._metadata[model, version, label] = metadata
            self._seen.setdefault((model, version, label), set()).add(metadata.version)

    def answered_by(self, model: str, version: int | None, label: str | None, answering_version: int) -> None:
        """Notes which version answered such a request; if it is new, the next call asks for its metadata."""
        with self._lock:
            seen = self._seen.setdefault((model, version, label), set())
            if answering_version not in seen:
                seen.add(answering_version)
                self._metadata.pop((model, version, label), None)
