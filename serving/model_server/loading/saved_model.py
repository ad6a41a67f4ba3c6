"""What happens to a version between its folder and its first request: checks, load, batching, warm-up."""

import pathlib
from typing import Any

from homefeed.serving.model_server.errors import StatusError
from homefeed.serving.model_server.execution.batcher import Batcher
from homefeed.serving.model_server.flags import Flags
from homefeed.serving.model_server.loading import safety, servable, sources, warmup
from homefeed.serving.model_server.messages import ConfigProto
from homefeed.serving.model_server.metrics import Metrics


class ModelLoader:
    """Loads versions as the command line says.

    Args:
        flags: the command line.
        metrics: where warm-ups and batches are counted.

    Raises:
        StatusError: INVALID_ARGUMENT, the batching parameters cannot be read.
    """

    def __init__(self, flags: Flags, metrics: Metrics):
        self._flags = flags
        self._metrics = metrics
        self._session_config = _session_config(flags)
        self._batcher: Batcher | None = None
        if flags.enable_batching:
            self._batcher = Batcher(
                flags.batching_parameters_file, flags.enable_per_model_batching_parameters, metrics
            )

    def __call__(self, name: str, version: int, path: pathlib.Path) -> servable.Servable:
        """Loads one version and warms it up.

        Args:
            name, version: which.
            path: its folder when it was found; it may be taken back while it is read.

        Raises:
            StatusError: it is refused, cannot be loaded, or a warm-up record failed.
        """
        place = sources.place_of(path)
        try:
            return self._load(name, version, place)
        except StatusError:
            moved = sources.place_of(path)
            if moved == place:
                raise
            return self._load(name, version, moved)

    def _load(self, name: str, version: int, path: pathlib.Path) -> servable.Servable:
        safety.check(path, path.parent, allow_file_system_ops=self._flags.allow_file_system_ops)
        wrap = self._batcher.wrap if self._batcher else None
        loaded = servable.load(
            name,
            version,
            path,
            tags=self._flags.saved_model_tags.split(","),
            session_config=self._session_config,
            wrap_runner=wrap,
        )
        try:
            if self._flags.enable_model_warmup:
                warmup.warm_up(loaded, self._metrics, self._flags.num_request_iterations_for_warmup)
        except BaseException:
            loaded.close()
            raise
        return loaded


def _session_config(flags: Flags) -> Any:
    both = flags.tensorflow_session_parallelism
    return ConfigProto(
        intra_op_parallelism_threads=flags.tensorflow_intra_op_parallelism or both,
        inter_op_parallelism_threads=flags.tensorflow_inter_op_parallelism or both,
    )
