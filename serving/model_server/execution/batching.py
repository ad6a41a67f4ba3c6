"""Runs concurrent requests as one batch.

Requests for the same inputs and outputs of a version are joined along dimension 0. The thread of the first request of
a batch leads it: it waits until the batch is full or old enough and a slot is free, runs it, and hands each of the
others its rows. So a lone request runs in its own thread without a detour, and under load every batch collects what
arrives while the slots are taken.
"""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from homefeed.serving.model_server.config import read_text_proto
from homefeed.serving.model_server.errors import Code, StatusError, failed_precondition, invalid_argument
from homefeed.serving.model_server.loading.servable import Array, Runner
from homefeed.serving.model_server.messages import BatchingParameters
from homefeed.serving.model_server.metrics import Metrics
from homefeed.serving.model_server.observation import micros_since

PARAMETERS_FILE = "batching_params.pbtxt"


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

    def padded_size(self, size: int) -> int:
        """The size that a batch of `size` rows runs with."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)


class Scheduler:
    """Limits how many batches run at the same time; all models share one.

    Args:
        parameters: how to batch.
        metrics: where queuing times and runs are counted.
    """

    def __init__(self, parameters: Parameters, metrics: Metrics):
        self.parameters = parameters
        self.metrics = metrics
        self.changed = threading.Condition()
        self._free_slots = parameters.num_batch_threads

    @contextlib.contextmanager
    def slot(self, batch: "_Batch") -> Iterator[None]:
        """Waits until a batch may run, closes it, and holds a slot for the time of a `with`."""
        parameters = self.parameters
        with self.changed:
            while not (self._free_slots and (batch.is_full or batch.age() >= parameters.batch_timeout_seconds)):
                waits_for_age = self._free_slots and not batch.is_full
                self.changed.wait(parameters.batch_timeout_seconds - batch.age() if waits_for_age else None)
            self._free_slots -= 1
            batch.close()
        try:
            yield
        finally:
            with self.changed:
                self._free_slots += 1
                self.changed.notify_all()


class _Task:
    """One request on its way through a batch."""

    def __init__(self, feeds: Mapping[str, Array], size: int, timeout_seconds: float | None):
        self.feeds = feeds
        self.size = size
        self.start = time.monotonic()
        self.deadline = None if timeout_seconds is None else self.start + timeout_seconds
        self.done = threading.Event()
        self.outputs: list[Array] = []
        self.error: StatusError | None = None


class _Batch:
    """Requests that will run together. Its fields belong to the scheduler's condition."""

    def __init__(self, queue: "_Queue", max_size: int):
        self._queue = queue
        self._max_size = max_size
        queue.append(self)
        self.tasks: list[_Task] = []
        self.size = 0
        self.is_full = False

    def has_room_for(self, task: _Task) -> bool:
        return not self.is_full and self.size + task.size <= self._max_size

    def add(self, task: _Task) -> None:
        self.tasks.append(task)
        self.size += task.size
        self.is_full = self.size >= self._max_size

    def age(self) -> float:
        return time.monotonic() - self.tasks[0].start

    def close(self) -> None:
        """Takes it out of its queue: nothing joins it any more."""
        self._queue.remove(self)


# The batches of one set of inputs and outputs that do not run yet; only the last one takes requests.
_Queue = list[_Batch]


class BatchingRunner:
    """Stands before a session and joins concurrent runs.

    Args:
        runner: the session.
        scheduler: limits how many batches run.
    """

    def __init__(self, runner: Runner, scheduler: Scheduler):
        self._runner = runner
        self._scheduler = scheduler
        self._queues: dict[Any, _Queue] = {}

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_seconds: float | None = None
    ) -> list[Array]:
        """See `Session.run`; the errors of a joined run go to every request in it.

        Raises:
            StatusError: also INVALID_ARGUMENT (cannot be batched), UNAVAILABLE (queue full), RESOURCE_EXHAUSTED
                (deadline over while it waited), FAILED_PRECONDITION (shapes do not join, outputs do not split).
        """
        task = _Task(feeds, self._size(feeds), timeout_seconds)
        batch, leads = self._enqueue(task, fetches)
        if leads:
            self._lead(batch, fetches)
        else:
            task.done.wait()
        if task.error:
            raise task.error
        return task.outputs

    def close(self) -> None:
        """Frees the model."""
        self._runner.close()

    def _size(self, feeds: Mapping[str, Array]) -> int:
        if not feeds:
            raise invalid_argument("Batching Run() must have at least one input tensor")
        if any(not value.ndim for value in feeds.values()):
            raise invalid_argument("Batching Run() input tensors must have at least one dimension")
        sizes = {len(value) for value in feeds.values()}
        if len(sizes) > 1:
            raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
        (size,) = sizes
        largest = self._scheduler.parameters.max_batch_size
        if size > largest:
            raise invalid_argument(f"Task size {size} is larger than maximum input batch size {largest}")
        return size

    def _enqueue(self, task: _Task, fetches: Sequence[str]) -> tuple[_Batch, bool]:
        """Puts a task into the open batch, or opens one, which the task then leads."""
        # A wrong element type fails alone: it never meets requests of the right one.
        key = (tuple(sorted((name, value.dtype.str) for name, value in task.feeds.items())), tuple(fetches))
        parameters = self._scheduler.parameters
        with self._scheduler.changed:
            # Requests choose the outputs: what was asked for only once must not stay in memory.
            self._queues = {known: queue for known, queue in self._queues.items() if queue}
            queue = self._queues.setdefault(key, [])
            if queue and queue[-1].has_room_for(task):
                batch = queue[-1]
                batch.add(task)
                if batch.is_full:
                    self._scheduler.changed.notify_all()
                return batch, False
            if queue:
                # Nothing may join it any more: later requests must not overtake this one.
                queue[-1].is_full = True
                self._scheduler.changed.notify_all()
            if len(queue) >= parameters.max_enqueued_batches:
                raise StatusError(
                    Code.UNAVAILABLE,
                    "The batch scheduling queue to which this task was submitted is full; currently "
                    f"{len(queue)} batches enqueued and max_enqueued_batches is "
                    f"{parameters.max_enqueued_batches}",
                )
            batch = _Batch(queue, parameters.max_batch_size)
            batch.add(task)
            return batch, True

    def _lead(self, batch: _Batch, fetches: Sequence[str]) -> None:
        error: StatusError | None = None
        try:
            with self._scheduler.slot(batch):
                self._run_batch(batch.tasks, fetches)
        except StatusError as failure:
            error = failure
        except Exception as failure:
            error = StatusError(Code.INTERNAL, f"The batch broke down with {type(failure).__name__}: {failure}")
        finally:
            for task in batch.tasks:
                task.error = error
                task.done.set()

    def _run_batch(self, tasks: list[_Task], fetches: Sequence[str]) -> None:
        parameters, metrics = self._scheduler.parameters, self._scheduler.metrics
        for task in tasks:
            metrics.queuing_latency.observe(micros_since(task.start), parameters.thread_pool_name)
        timeout_seconds = _longest_time_left(tasks)
        feeds = {name: _join(name, tasks, parameters) for name in tasks[0].feeds}
        total = sum(task.size for task in tasks)
        chunks = []
        for start in range(0, max(total, 1), parameters.max_execution_batch_size):
            size = min(parameters.max_execution_batch_size, total - start)
            chunk = {name: _padded(value[start : start + size], parameters) for name, value in feeds.items()}
            metrics.wrapped_run_count.add()
            outputs = self._runner.run(chunk, fetches, timeout_seconds)
            _check_outputs(outputs, parameters.padded_size(size))
            chunks.append([output[:size] for output in outputs])
        joined = chunks[0] if len(chunks) == 1 else [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
        start = 0
        for task in tasks:
            task.outputs = [output[start : start + task.size] for output in joined]
            start += task.size


def _longest_time_left(tasks: list[_Task]) -> float | None:
    deadlines = [task.deadline for task in tasks if task.deadline is not None]
    if len(deadlines) < len(tasks):
        return None
    seconds = max(deadlines) - time.monotonic()
    if seconds <= 0:
        raise StatusError(Code.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")
    return seconds


def _join(name: str, tasks: list[_Task], parameters: Parameters) -> Array:
    """All rows of an input."""
    parts = [task.feeds[name] for task in tasks]
    if len(parts) == 1:
        return parts[0]
    if len({part.shape[1:] for part in parts}) > 1:
        if not parameters.pad_variable_length_inputs:
            raise failed_precondition(
                f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. "
                "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
                "dimensions starting with the first dim."
            )
        parts = _equally_long(name, parts)
    return np.concatenate(parts)


def _equally_long(name: str, parts: list[Array]) -> list[Array]:
    if len({part.ndim for part in parts}) > 1:
        raise failed_precondition(f"Tensors with name '{name}' from different tasks should have the same rank.")
    longest = np.max([part.shape[1:] for part in parts], axis=0)
    padded = []
    for part in parts:
        filled = np.full((len(part), *longest), b"" if part.dtype.hasobject else 0, part.dtype)
        filled[tuple(slice(size) for size in part.shape)] = part
        padded.append(filled)
    return padded


def _padded(value: Array, parameters: Parameters) -> Array:
    """Filled up to an allowed size with copies of its first row."""
    missing = parameters.padded_size(len(value)) - len(value)
    if missing <= 0 or not len(value):
        return value
    return np.concatenate([value, np.repeat(value[:1], missing, axis=0)])


def _check_outputs(outputs: list[Array], size: int) -> None:
    for output in outputs:
        if not output.ndim:
            raise failed_precondition("Batched output tensor has 0 dimensions")
        if len(output) != size:
            raise failed_precondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                f"input tensors: {len(output)} vs. {size}"
            )


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

    def wrap(self, runner: Runner, version_path: pathlib.Path) -> Runner:
        """The runner of a version that is being loaded.

        Raises:
            StatusError: INVALID_ARGUMENT, its parameters do not fit together.
        """
        if not self._per_model:
            return BatchingRunner(runner, self._shared_scheduler())
        own_file = version_path / PARAMETERS_FILE
        if not own_file.is_file():
            return runner
        parameters = Parameters.from_proto(read_text_proto(str(own_file), BatchingParameters))
        return BatchingRunner(runner, Scheduler(parameters, self._metrics))

    def _shared_scheduler(self) -> Scheduler:
        with self._lock:
            if self._scheduler is None:
                self._scheduler = Scheduler(Parameters.from_proto(self._proto), self._metrics)
            return self._scheduler
