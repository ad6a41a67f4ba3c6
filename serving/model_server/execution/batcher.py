"""Which sessions get batching before them, and with which parameters."""

import pathlib
import threading

from homefeed.serving.model_server.config import read_text_proto
from homefeed.serving.model_server.execution.batching import BatchingRunner, Scheduler
from homefeed.serving.model_server.execution.batching_parameters import Parameters
from homefeed.serving.model_server.loading.servable import Runner, Shapes
from homefeed.serving.model_server.messages import BatchingParameters
from homefeed.serving.model_server.metrics import Metrics

PARAMETERS_FILE = "batching_params.pbtxt"


class Batcher:
    """Puts batching before the sessions of a server, as its flags say.

    Args:
        parameters_file: BatchingParameters in text format; empty: the defaults.
        per_model: read them from each version's own `batching_params.pbtxt`; without that file, no batching.
        metrics: where batches are counted.

    Raises:
        StatusError: INVALID_ARGUMENT, the file cannot be read.
    """

    def __init__(self, parameters_file: str, per_model: bool, metrics: Metrics):
        self._per_model = per_model
        self._metrics = metrics
        proto = BatchingParameters()
        if parameters_file and not per_model:
            proto = read_text_proto(parameters_file, BatchingParameters)
        # Sizes that do not fit are an error of each load, as in the reference.
        self._proto = proto
        self._scheduler: Scheduler | None = None
        self._lock = threading.Lock()

    def wrap(self, runner: Runner, version_path: pathlib.Path, shapes: Shapes) -> Runner:
        """The runner of a version that is being loaded.

        Args:
            runner: its session.
            version_path: its folder.
            shapes: what its signatures say of the inputs.

        Raises:
            StatusError: INVALID_ARGUMENT, its parameters do not fit together.
        """
        if not self._per_model:
            return BatchingRunner(runner, self._shared_scheduler(), shapes)
        own_file = version_path / PARAMETERS_FILE
        if not own_file.is_file():
            return runner
        parameters = Parameters.from_proto(read_text_proto(str(own_file), BatchingParameters))
        return BatchingRunner(runner, Scheduler(parameters, self._metrics), shapes)

    def _shared_scheduler(self) -> Scheduler:
        with self._lock:
            if self._scheduler is None:
                self._scheduler = Scheduler(Parameters.from_proto(self._proto), self._metrics)
            return self._scheduler
