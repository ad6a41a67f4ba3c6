"""How requests are joined: TensorFlow Serving's BatchingParameters, checked."""

import dataclasses
import itertools
import os
from typing import Any

from homefeed.serving.model_server.errors import invalid_argument


@dataclasses.dataclass(frozen=True)
class Parameters:
    """How to batch; the defaults are the reference's.

    Attributes:
        max_batch_size: rows of one request and, without splitting, of one batch.
        batch_timeout_seconds: how long the oldest request waits for others.
        max_enqueued_batches: batches that may wait for a slot, per queue.
        num_batch_threads: batches that run at the same time.
        allowed_batch_sizes: a batch is filled up to the next of these; empty: any size.
        pad_variable_length_inputs: fill up shorter inputs with zeros (or empty strings) instead of refusing.
        max_execution_batch_size: rows that run at once; larger batches are split.
    """

    max_batch_size: int = 1000
    batch_timeout_seconds: float = 0.0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    max_execution_batch_size: int = 1000

    @classmethod
    def from_proto(cls, proto: Any) -> "Parameters":
        """Reads a BatchingParameters message.

        Raises:
            StatusError: INVALID_ARGUMENT, the allowed sizes do not fit.
        """
        values: dict[str, Any] = {
            name: getattr(proto, name).value
            for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads", "thread_pool_name")
            if proto.HasField(name)
        }
        if proto.HasField("batch_timeout_micros"):
            values["batch_timeout_seconds"] = proto.batch_timeout_micros.value / 1e6
        parameters = cls(
            **values,
            allowed_batch_sizes=tuple(proto.allowed_batch_sizes),
            pad_variable_length_inputs=proto.pad_variable_length_inputs,
        )
        splits = proto.enable_large_batch_splitting.value and proto.HasField("max_execution_batch_size")
        largest = proto.max_execution_batch_size.value if splits else parameters.max_batch_size
        parameters = dataclasses.replace(parameters, max_execution_batch_size=largest)
        parameters._check()
        return parameters

    def _check(self) -> None:
        if min(self.max_batch_size, self.max_enqueued_batches, self.num_batch_threads) < 1:
            raise invalid_argument("max_batch_size, max_enqueued_batches and num_batch_threads must be at least 1.")
        if not 0 < self.max_execution_batch_size <= self.max_batch_size:
            raise invalid_argument(
                f"max_execution_batch_size must be from 1 to max_batch_size ({self.max_batch_size}), but is "
                f"{self.max_execution_batch_size}."
            )
        sizes = self.allowed_batch_sizes
        if any(size <= 0 for size in sizes) or any(a >= b for a, b in itertools.pairwise(sizes)):
            raise invalid_argument("allowed_batch_sizes entries must be positive and monotonically increasing")
        if sizes and sizes[-1] != self.max_execution_batch_size:
            raise invalid_argument(
                f"Last entry in allowed_batch_sizes must match max_batch_size; last entry was {sizes[-1]}; "
                f"expected {self.max_execution_batch_size}"
            )

    def padded_size(self, size: int, *, always_alone: bool = False) -> int:
        """The size that a batch of `size` rows runs with.

        A row that is alone has a copy beside it: TensorFlow multiplies one row by other kernels than several, and the
        last digits of its answer would say whether there were others.

        Args:
            size: rows of the requests in it.
            always_alone: it holds a request that is never joined with others.
        """
        if not size:
            return 0
        fewest = size if always_alone else max(size, min(2, self.max_execution_batch_size))
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), fewest)
