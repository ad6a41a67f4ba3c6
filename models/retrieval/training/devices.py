"""What steps of training run on: one device, several of this machine, or those of several workers."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator

import tensorflow as tf

from homefeed.models.errors import ModelError
from homefeed.models.retrieval.training.cluster import Cluster

_OF_THE_OTHERS = (  # What TensorFlow says where another worker does not answer.
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


@dataclasses.dataclass(frozen=True)
class Devices:
    """Where a training runs.

    Attributes:
        strategy: shares batches and weights out.
        cluster: the workers; None: there is this process alone.
    """

    strategy: tf.distribute.Strategy
    cluster: Cluster | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process evaluates, decides and writes."""
        return self.cluster is None or self.cluster.is_chief

    def scope(self) -> contextlib.AbstractContextManager[object]:
        """In which variables are made."""
        is_default = self.strategy is tf.distribute.get_strategy()
        return contextlib.nullcontext() if is_default else self.strategy.scope()

    def from_chief(self, value: float) -> float:
        """The chief's value, on every worker; what a helper gives is not looked at. All must call it."""
        if self.cluster is None:
            return value

        def of_first() -> tf.Tensor:
            is_first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
            return tf.where(is_first, tf.constant(value, tf.float64), 0)

        return float(self.strategy.reduce(tf.distribute.ReduceOp.SUM, self.strategy.run(of_first), axis=None))

    def wait(self) -> None:
        """Until all workers have come here.

        Raises:
            ModelError: one is lost.
        """
        with self.together():
            self.from_chief(0.0)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Within this context a worker that is lost ends the others in one line.

        Raises:
            ModelError: one is.
        """
        try:
            yield
        except _OF_THE_OTHERS as error:
            if self.cluster is None or len(self.cluster.addresses) == 1:
                raise
            raise ModelError(
                f"a worker of {', '.join(self.cluster.addresses)} is lost, and training ended in all of them: start "
                f"all again with the same commands, and they go on after the last epoch ({type(error).__name__})"
            ) from error


@functools.cache
def devices(strategy: str) -> Devices:
    """By a setting `strategy`, once in a process. With `workers` before TensorFlow has done anything else.

    Raises:
        ModelError: `TF_CONFIG` does not say who the workers are, or they cannot be reached.
    """
    if strategy == "mirrored":
        return Devices(tf.distribute.MirroredStrategy())
    if strategy == "workers":
        cluster = Cluster.of()
        return Devices(_connected(cluster), cluster)
    return Devices(tf.distribute.get_strategy())


def _connected(cluster: Cluster) -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:  # "Collective ops must be configured at program startup".
        if "program startup" not in str(error):
            raise
        raise ModelError(
            "`strategy: workers` is for a process that trains and does nothing before: run each worker as `homefeed "
            "component retrieval_trainer`"
        ) from error
    except tf.errors.OpError as error:
        raise ModelError(
            f"worker {cluster.addresses[cluster.place]} does not reach the others of {', '.join(cluster.addresses)}: "
            "start all of them, let them reach each other's ports, and let nothing else listen there "
            f"({type(error).__name__}: {error.message.splitlines()[0]})"
        ) from error
