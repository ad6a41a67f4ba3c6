"""The server without its protocols: configuration, versions, labels, and which servable a request means."""

import contextlib
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from homefeed.serving.model_server import config
from homefeed.serving.model_server.config import ModelConfig
from homefeed.serving.model_server.errors import Code, StatusError, failed_precondition, invalid_argument
from homefeed.serving.model_server.flags import Flags
from homefeed.serving.model_server.loading import sources
from homefeed.serving.model_server.loading.manager import Loader, Manager
from homefeed.serving.model_server.loading.servable import Servable
from homefeed.serving.model_server.loading.versions import VersionStatus

_logger = logging.getLogger(__name__)


class ServerCore:
    """Serves the models of a ModelServerConfig and follows its changes.

    Args:
        flags: the command line.
        loader: loads one version.
        stopped: set when the server stops; ends every wait.
    """

    def __init__(self, flags: Flags, loader: Loader, stopped: threading.Event):
        self._flags = flags
        self._manager = Manager(
            loader,
            max_num_load_retries=flags.max_num_load_retries,
            load_retry_interval_seconds=flags.load_retry_interval_micros / 1e6,
            num_load_threads=flags.num_load_threads,
            num_unload_threads=flags.num_unload_threads,
        )
        self._models: dict[str, ModelConfig] = {}
        self._labels: dict[str, Mapping[str, int]] = {}
        # The configuration whose labels wait for their versions; empty: none does.
        self._coming: dict[str, ModelConfig] = {}
        # Held while a configuration is applied, so that two reloads come one after the other.
        self._reloading = threading.Lock()
        # Held while versions are looked for, so that a poll never undoes what a reload just set.
        self._polling = threading.Lock()
        # Held while a label is followed to its version, so that it cannot move and the version go in between.
        self._labelling = threading.Lock()
        self._stopped = stopped
        self._threads: list[threading.Thread] = []

    def start(self, model_server_config: Any) -> None:
        """Loads the configured models and returns when each is available; then keeps following the disk.

        Raises:
            StatusError: the configuration is wrong, or a model failed for good.
        """
        models = config.parse(model_server_config)
        self._start_thread(self._poll_file_system, self._flags.file_system_poll_wait_seconds)
        self._apply(models, wait_for=models.keys())
        if self._flags.model_config_file:
            self._start_thread(self._poll_config_file, self._flags.model_config_file_poll_wait_seconds)

    def reload(self, model_server_config: Any, *, gives_up: Callable[[], bool] = lambda: False) -> None:
        """Replaces the configuration, and returns when the models that are new in it are available.

        Args:
            model_server_config: the complete new ModelServerConfig message.
            gives_up: asked while waiting; True ends the wait.

        Raises:
            StatusError: it cannot be applied, and what was served is still served; or a new model failed for good.
        """
        models = config.parse(model_server_config)
        config.check_reload(self._models, models)
        self._apply(models, models.keys() - self._models.keys(), gives_up)

    def _apply(
        self,
        models: dict[str, ModelConfig],
        wait_for: Collection[str] = (),
        gives_up: Callable[[], bool] = lambda: False,
        coming: dict[str, ModelConfig] | None = None,
    ) -> None:
        with self._reloading:
            self._check_labels(models)
            with self._polling:
                dropped = self._models.keys() - models.keys()
                self._models, self._coming = models, coming or {}
                with self._labelling:
                    self._labels = {name: model.labels for name, model in models.items()}
                for name in dropped:
                    self._manager.set_aspired_versions(name, {})
            self._poll_once()
            failed = self._manager.wait_until_available(
                wait_for, gives_up=lambda: self._stopped.is_set() or gives_up()
            )
        if failed and not self._stopped.is_set():
            words = "".join(
                f"{{name: {name} version: {version}}} due to error: {status.code.name}: {status.message}}}, "
                for (name, version), status in failed.items()
            )
            raise StatusError(Code.UNKNOWN, f"{len(failed)} servable(s) did not become available: {{{words}}}")

    def _check_labels(self, models: Mapping[str, ModelConfig]) -> None:
        for name, model in models.items():
            for label, version in model.labels.items():
                assigned = self._labels.get(name, {}).get(label)
                accepted = self._flags.allow_version_labels_for_unavailable_models and assigned in (
                    None,
                    version,
                )
                if not accepted and not self._manager.is_available(name, version):
                    raise failed_precondition(
                        f"Request to assign label to version {version} of model {name}, which is not currently "
                        "available for inference"
                    )

    def _start_thread(self, target: Any, wait_seconds: float) -> None:
        if wait_seconds > 0:
            thread = threading.Thread(target=target, args=[wait_seconds], name=target.__name__, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _poll_file_system(self, wait_seconds: float) -> None:
        while not self._stopped.wait(wait_seconds):
            self._poll_once()

    def _poll_once(self) -> None:
        """One look at the disk; what cannot be read leaves everything as it is."""
        with self._polling:
            try:
                waits = self._is_on_its_way(self._coming)
                found = {name: self._wanted(model, waits) for name, model in self._models.items()}
            except StatusError as error:
                _logger.error("FileSystemStoragePathSource encountered a filesystem access error: %s", error.message)
                return
            for name, versions in found.items():
                self._manager.set_aspired_versions(name, versions)

    def _wanted(self, model: ModelConfig, labels_wait: bool) -> dict[int, pathlib.Path]:
        """What the policy selects, and what labels name.

        While labels wait for their versions no other load begins: pushes that come faster than a load would have each
        given up for the next, and of several models each would stand at another version.
        """
        selected = self._selected(model)
        if not selected:
            _logger.warning("No versions of servable %s found under base path %s.", model.name, model.base_path)
        if labels_wait:
            begun = self._manager.aspired_versions(model.name).keys() | self._labelled_next(model.name)
            selected = {version: path for version, path in selected.items() if version in begun}
        return self._in_force(model) | selected

    def _selected(self, model: ModelConfig) -> dict[int, pathlib.Path]:
        """What the policy selects of what is on disk, and what it selected before and a label waits for.

        That also where it was taken back meanwhile, as each push of a canary does with the one before: else, of
        canaries that come faster than a load, none would ever be served. Without a label there is no wait.
        """
        on_disk = sources.list_versions(model.base_path)
        begun, waited_for = self._manager.aspired_versions(model.name), self._labelled_next(model.name)
        kept = {v: path for v, path in begun.items() if v in waited_for and sources.place_of(path).is_dir()}
        return sources.apply_policy(on_disk, model.policy) | kept

    def _labelled_next(self, name: str) -> set[int]:
        return set(self._coming[name].labels.values()) if name in self._coming else set()

    def _is_on_its_way(self, models: Mapping[str, ModelConfig]) -> bool:
        """Whether there are labels, each on a version that is served or will be, as far as is known."""
        return bool(models) and all(
            self._manager.is_available(name, version)
            or (
                name in self._models
                and version in self._selected(self._models[name])
                and not self._manager.has_failed(name, version)
            )
            for name, model in models.items()
            for version in model.labels.values()
        )

    def _in_force(self, model: ModelConfig) -> dict[int, pathlib.Path]:
        """The versions that a label names and that are served: they stay, whatever the disk and the policy say."""
        labelled = self._labels.get(model.name, {}).values()
        served = [version for version in labelled if self._manager.is_available(model.name, version)]
        return {version: model.base_path / str(version) for version in served}

    def _poll_config_file(self, wait_seconds: float) -> None:
        told = ""
        while not self._stopped.wait(wait_seconds):
            try:
                self._follow(config.parse(config.from_flags(self._flags)))
                told = ""
            except StatusError as error:
                # A label that waits for its version is no error, and what was said once is known.
                waits = error.code is Code.FAILED_PRECONDITION
                if error.message != told:
                    level = logging.INFO if waits else logging.ERROR
                    _logger.log(
                        level, "The model config file is not applied, what was served stays: %s", error.message
                    )
                told = error.message

    def _follow(self, newest: dict[str, ModelConfig]) -> None:
        """Applies what the file says, or else what it said before, as soon as the labels' versions are there.

        Without waiting for models: one that never comes must not keep its correction from being read.

        Raises:
            StatusError: the newest cannot be applied, or not yet.
        """
        config.check_reload(self._models, newest)
        try:
            self._apply(newest)
        except StatusError:
            with self._polling:
                before = self._coming
                if not self._is_on_its_way(before):
                    before = self._coming = newest
            with contextlib.suppress(StatusError):
                self._apply(before, coming=newest)
            raise

    @contextlib.contextmanager
    def lend(self, model_spec: Any) -> Iterator[Servable]:
        """Lends the servable that a ModelSpec message means for the time of a `with`.

        Raises:
            StatusError: INVALID_ARGUMENT (no name, unknown label), NOT_FOUND (no such version is ready).
        """
        if not model_spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        with contextlib.ExitStack() as stack:
            with self._labelling:
                servable = stack.enter_context(self._manager.lend(model_spec.name, self._version(model_spec)))
            yield servable

    def _version(self, model_spec: Any) -> int | None:
        choice = model_spec.WhichOneof("version_choice")
        if choice == "version":
            return int(model_spec.version.value)
        if choice == "version_label":
            version = self._labels.get(model_spec.name, {}).get(model_spec.version_label)
            if version is None:
                raise invalid_argument(f"Unrecognized servable version label: {model_spec.version_label}")
            return version
        return None

    def statuses(self, name: str) -> dict[int, VersionStatus]:
        """The status of every version of a model seen since the start, highest first."""
        return self._manager.statuses(name)

    def stop(self, seconds: float) -> bool:
        """Stops following changes and unloads everything, after the requests in flight.

        Returns:
            Whether that was done in time.
        """
        self._stopped.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(deadline - time.monotonic())
        stopped = self._manager.stop(deadline - time.monotonic())
        return stopped and not any(thread.is_alive() for thread in self._threads)
