"""Loads and unloads versions so that a model that is served stays served.

The source says which versions are wanted; a thread of the manager brings the world there, one step at a time:

* of the wanted versions that are new, the highest is loaded first;
* as long as no wanted version is ready, the last old one stays in service; only then is it unloaded;
* an unload waits for the requests that still use the version.

Who aspires to versions keeps those among them that a label in force names, so that none is unloaded under its label.
"""

import collections
import contextlib
import logging
import pathlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

from homefeed.serving.model_server.errors import Code, StatusError, not_found
from homefeed.serving.model_server.loading.servable import Servable
from homefeed.serving.model_server.loading.versions import (
    Harness,
    State,
    VersionStatus,
    version_to_load,
    versions_to_unload,
)

_logger = logging.getLogger(__name__)


class Loader(Protocol):
    """Loads one version; raises StatusError when it cannot."""

    def __call__(self, name: str, version: int, path: pathlib.Path) -> Servable:
        """Returns the loaded version, warmed up."""


class Manager:
    """Keeps the wanted versions loaded, lends them to requests and knows the status of each.

    Args:
        loader: loads one version.
        max_num_load_retries: further tries after a load failed.
        load_retry_interval_seconds: time between two tries.
        num_load_threads, num_unload_threads: how many versions load (unload) at the same time; 0 counts as 1.
    """

    def __init__(
        self,
        loader: Loader,
        *,
        max_num_load_retries: int = 5,
        load_retry_interval_seconds: float = 60.0,
        num_load_threads: int = 0,
        num_unload_threads: int = 0,
    ):
        self._loader = loader
        self._max_num_load_retries = max_num_load_retries
        self._load_retry_interval_seconds = load_retry_interval_seconds
        self._load_slots = threading.Semaphore(max(1, num_load_threads))
        self._unload_slots = threading.Semaphore(max(1, num_unload_threads))
        # One lock for all state; it is held for microseconds, never while a model loads or runs.
        self._changed = threading.Condition()
        self._wanted: dict[str, Mapping[int, pathlib.Path]] = {}
        self._harnesses: dict[str, dict[int, Harness]] = collections.defaultdict(dict)
        self._statuses: dict[str, dict[int, VersionStatus]] = collections.defaultdict(dict)
        self._stopping = False
        self._thread = threading.Thread(target=self._manage, name="model-manager", daemon=True)
        self._thread.start()

    def set_aspired_versions(self, name: str, versions: Mapping[int, pathlib.Path]) -> None:
        """Says which versions of a model should be served; none unloads the model. Returns at once."""
        with self._changed:
            if self._wanted.get(name) != versions:
                self._wanted[name] = dict(versions)
                self._changed.notify_all()

    @contextlib.contextmanager
    def lend(self, name: str, version: int | None = None) -> Iterator[Servable]:
        """Lends a ready version for the time of a `with`; it is not unloaded meanwhile.

        Args:
            name: the model.
            version: exactly this version, or None for the highest ready one.

        Raises:
            StatusError: NOT_FOUND, no such version is ready.
        """
        with self._changed:
            harness = self._ready(name, version)
            if harness is None or harness.servable is None:
                asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
                raise not_found(f"Servable not found for request: {asked}")
            harness.in_flight += 1
        try:
            yield harness.servable
        finally:
            with self._changed:
                harness.in_flight -= 1
                if not harness.in_flight and harness.state is State.UNLOADING:
                    self._changed.notify_all()

    def _ready(self, name: str, version: int | None) -> Harness | None:
        if name not in self._harnesses:
            return None
        harnesses = self._harnesses[name]
        if version is None:
            ready = [item for item in harnesses.values() if item.state is State.AVAILABLE]
            return max(ready, key=lambda item: item.version, default=None)
        harness = harnesses.get(version)
        return harness if harness and harness.state is State.AVAILABLE else None

    def statuses(self, name: str) -> dict[int, VersionStatus]:
        """The status of each version of a model seen since the start, highest version first."""
        with self._changed:
            return dict(sorted(self._statuses.get(name, {}).items(), reverse=True))

    def is_available(self, name: str, version: int) -> bool:
        """Whether this version can be requested now."""
        with self._changed:
            return self._ready(name, version) is not None

    def aspired_versions(self, name: str) -> dict[int, pathlib.Path]:
        """The versions that should be served, and their folders, as was said last."""
        with self._changed:
            return dict(self._wanted.get(name, {}))

    def has_failed(self, name: str, version: int) -> bool:
        """Whether the last try to load this version failed."""
        with self._changed:
            harness = self._harnesses[name].get(version) if name in self._harnesses else None
            return harness is not None and (harness.failed or harness.waits_for_retry)

    def wait_until_available(
        self, names: Collection[str], gives_up: Callable[[], bool] = lambda: False
    ) -> dict[tuple[str, int], VersionStatus]:
        """Waits until each model has a ready version, or all its wanted ones have failed.

        A model without any version is waited for without a limit.

        Args:
            names: the models.
            gives_up: asked twice a second; True ends the wait.

        Returns:
            The versions that failed of models without a ready one; empty when all is well.
        """
        with self._changed:
            while not (self._stopping or gives_up() or all(self._is_settled(name) for name in names)):
                self._changed.wait(0.5)
            return {
                (name, harness.version): self._statuses[name][harness.version]
                for name in names
                if self._ready(name, None) is None
                for harness in self._harnesses[name].values()
            }

    def _is_settled(self, name: str) -> bool:
        harnesses = self._harnesses[name].values()
        if any(harness.state is State.AVAILABLE for harness in harnesses):
            return True
        return bool(harnesses) and all(harness.state is State.END for harness in harnesses)

    def stop(self, seconds: float) -> bool:
        """Unloads everything, waiting for requests in flight, and ends the manager's thread.

        Returns:
            Whether that was done in time; a load or a request that hangs may never end.
        """
        with self._changed:
            self._stopping = True
            self._wanted = {name: {} for name in self._wanted}
            self._changed.notify_all()
        self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    def _manage(self) -> None:
        with self._changed:
            while True:
                for name in list(self._harnesses.keys() | self._wanted.keys()):
                    self._reconcile(name)
                    self._act(self._harnesses[name].values())
                if self._stopping and not any(self._harnesses.values()):
                    return
                self._changed.wait()

    def _reconcile(self, name: str) -> None:
        """Brings the harnesses in line with what is wanted now."""
        wanted, harnesses = self._wanted.get(name, {}), self._harnesses[name]
        for harness in list(harnesses.values()):
            harness.wanted = harness.version in wanted
            if not harness.wanted and harness.state is State.LOADING:
                harness.cancelled.set()
            if harness.state is State.START and not harness.wanted:
                self._set_state(harness, State.END)
            # A failed version stays as it is, unless its folder went away and came back. One that was unloaded and is
            # wanted again starts anew.
            failed = harness.failed and not harness.cancelled.is_set()
            if harness.state is State.END and not (harness.wanted and failed):
                del harnesses[harness.version]
        for version in wanted.keys() - harnesses.keys():
            harnesses[version] = Harness(name, version, wanted[version])
            self._set_state(harnesses[version], State.START)

    def _act(self, harnesses: Collection[Harness]) -> None:
        for harness in versions_to_unload(harnesses):
            self._set_state(harness, State.UNLOADING)
            threading.Thread(target=self._unload, args=[harness], name="model-unload", daemon=True).start()
        to_load = version_to_load(harnesses)
        if to_load:
            self._set_state(to_load, State.LOADING)
            threading.Thread(target=self._load, args=[to_load], name="model-load", daemon=True).start()

    def _load(self, harness: Harness) -> None:
        for attempt in range(self._max_num_load_retries + 1):
            with self._load_slots:
                failure = self._try_load(harness)
            last = attempt == self._max_num_load_retries
            if failure is None or last or not self._wait_for_retry(harness):
                break
        with self._changed:
            if failure is None:
                self._set_state(harness, State.AVAILABLE)
                _logger.info("Successfully loaded servable version {name: %s version: %d}", *_id(harness))
            else:
                self._set_state(harness, State.END, failure)

    def _try_load(self, harness: Harness) -> StatusError | None:
        try:
            harness.servable = self._loader(harness.name, harness.version, harness.path)
        except StatusError as error:
            failure = error
        except Exception as error:  # A bug in one load must not take the other models down.
            _logger.exception("Loading {name: %s version: %d} broke down.", *_id(harness))
            failure = StatusError(Code.INTERNAL, f"{type(error).__name__}: {error}")
        else:
            return None
        _logger.warning("Loading servable: {name: %s version: %d} failed: %s", *_id(harness), failure)
        return failure

    def _wait_for_retry(self, harness: Harness) -> bool:
        with self._changed:
            harness.waits_for_retry = True
            self._changed.notify_all()
        cancelled = harness.cancelled.wait(self._load_retry_interval_seconds)
        with self._changed:
            harness.waits_for_retry = False
        return not cancelled

    def _unload(self, harness: Harness) -> None:
        with self._changed:
            while harness.in_flight:
                self._changed.wait()
            servable, harness.servable = harness.servable, None
        try:
            with self._unload_slots:
                if servable:
                    servable.close()
        except StatusError as error:
            _logger.error("Unloading servable: {name: %s version: %d} failed: %s", *_id(harness), error)
        finally:
            with self._changed:
                self._set_state(harness, State.END)

    def _set_state(self, harness: Harness, state: State, failure: StatusError | None = None) -> None:
        harness.state = state
        harness.failed = failure is not None
        status = VersionStatus(state, failure.code, failure.message) if failure else VersionStatus(state)
        self._statuses[harness.name][harness.version] = status
        self._changed.notify_all()


def _id(harness: Harness) -> tuple[str, int]:
    return harness.name, harness.version
