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

    def reload(
        self, model_server_config: Any, *, waits: bool = True, gives_up: Callable[[], bool] = lambda: False
    ) -> None:
        """Replaces the configuration.

        Args:
            model_server_config: the complete new ModelServerConfig message.
            waits: return when the models that are new in it are available; else at once.
            gives_up: asked while waiting; True ends the wait.

        Raises:
            StatusError: it cannot be applied, and what was served is still served; or a new model failed for good.
        """
        models = config.parse(model_server_config)
        config.check_reload(self._models, models)
        new_models = models.keys() - self._models.keys()
        self._apply(models, new_models if waits else (), gives_up)

    def _apply(
        self, models: dict[str, ModelConfig], wait_for: Collection[str], gives_up: Callable[[], bool] = lambda: False
    ) -> None:
        with self._reloading:
            self._check_labels(models)
            with self._polling:
                dropped = self._models.keys() - models.keys()
                self._models = models
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
                found = {
                    name: self._in_force(model) | sources.aspired_versions(model)
                    for name, model in self._models.items()
                }
            except StatusError as error:
                _logger.error("FileSystemStoragePathSource encountered a filesystem access error: %s", error.message)
                return
            for name, versions in found.items():
                self._manager.set_aspired_versions(name, versions)

    def _in_force(self, model: ModelConfig) -> dict[int, pathlib.Path]:
        """The versions that a label names and that are served: they stay, whatever the disk and the policy say."""
        labelled = self._labels.get(model.name, {}).values()
        served = [version for version in labelled if self._manager.is_available(model.name, version)]
        return {version: model.base_path / str(version) for version in served}

    def _poll_config_file(self, wait_seconds: float) -> None:
        told = ""
        while not self._stopped.wait(wait_seconds):
            try:
                # Without waiting: a model that never comes must not keep its correction from being read.
                self.reload(config.from_flags(self._flags), waits=False)
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
