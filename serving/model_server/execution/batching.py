"""Runs concurrent requests as one batch.

Requests of one kind (see `batch_rows.kind`) are joined along dimension 0. The thread of the first request of a batch
leads it: it waits until the batch is full or old enough and a slot is free, runs it, and hands each of the others its
rows. So a lone request runs in its own thread without a detour, and under load every batch collects what arrives
while the slots are taken. When a joined run fails, its halves run apart, until whoever is at fault fails alone.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from homefeed.serving.model_server.errors import Code, StatusError, invalid_argument
from homefeed.serving.model_server.execution import batch_rows
from homefeed.serving.model_server.execution.batching_parameters import Parameters
from homefeed.serving.model_server.loading.servable import Array, Runner, Shapes
from homefeed.serving.model_server.metrics import Metrics
from homefeed.serving.model_server.observation import micros_since

# With these the run was stopped, whatever was in it.
_STOPPED = frozenset({Code.DEADLINE_EXCEEDED, Code.CANCELLED})


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
        self._waiting: list[_Batch] = []

    @contextlib.contextmanager
    def slot(self, batch: "_Batch") -> Iterator[None]:
        """Waits until a batch may run, closes it, and holds a slot for the time of a `with`."""
        with self.changed:
            self._waiting.append(batch)
            while not (self._free_slots and self._is_next(batch)):
                waits_for_age = self._free_slots and self._seconds_until_ready(batch)
                self.changed.wait(waits_for_age or None)
            self._waiting.remove(batch)
            self._free_slots -= 1
            batch.close()
            # It may have been in the way of another, for which there is a slot as well.
            self.changed.notify_all()
        try:
            yield
        finally:
            with self.changed:
                self._free_slots += 1
                self.changed.notify_all()

    def _is_next(self, batch: "_Batch") -> bool:
        """Whether it is ready, and none that waits for longer is."""
        return next((first for first in self._waiting if not self._seconds_until_ready(first)), None) is batch

    def _seconds_until_ready(self, batch: "_Batch") -> float:
        return 0.0 if batch.is_full else max(0.0, self.parameters.batch_timeout_seconds - batch.age())


class _Task:
    """One request on its way through a batch."""

    def __init__(self, feeds: Mapping[str, Array], size: int, timeout_seconds: float | None):
        self.feeds = feeds
        self.size = size
        self.is_large = batch_rows.is_large(feeds)
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
        return not (self.is_full or task.is_large) and self.size + task.size <= self._max_size

    def add(self, task: _Task) -> None:
        self.tasks.append(task)
        self.size += task.size
        self.is_full = task.is_large or self.size >= self._max_size

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
        shapes: what the signatures say of the inputs.
    """

    def __init__(self, runner: Runner, scheduler: Scheduler, shapes: Shapes):
        self._runner = runner
        self._scheduler = scheduler
        self._shapes = shapes
        self._queues: dict[Any, _Queue] = {}

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_seconds: float | None = None
    ) -> list[Array]:
        """See `Session.run`.

        Raises:
            StatusError: also INVALID_ARGUMENT (cannot be batched), UNAVAILABLE (queue full), RESOURCE_EXHAUSTED
                (deadline over while it waited), FAILED_PRECONDITION (outputs do not split).
        """
        task = _Task(feeds, self._size(feeds), timeout_seconds)
        batch, leads = self._enqueue(task, fetches)
        if leads:
            self._lead(batch, fetches)
        elif not task.done.wait(timeout_seconds):
            raise StatusError(Code.DEADLINE_EXCEEDED, "Timed out waiting for notification")
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
        parameters = self._scheduler.parameters
        pads = parameters.pad_variable_length_inputs
        key = (batch_rows.kind(task.feeds, self._shapes, pads=pads), tuple(fetches))
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
        try:
            with self._scheduler.slot(batch):
                for task in batch.tasks:
                    queued = micros_since(task.start)
                    self._scheduler.metrics.queuing_latency.observe(
                        queued, self._scheduler.parameters.thread_pool_name
                    )
                self._run_tasks(batch.tasks, fetches)
        except Exception as failure:
            broken = StatusError(Code.INTERNAL, f"The batch broke down with {type(failure).__name__}: {failure}")
            for task in batch.tasks:
                task.error = task.error or broken
        finally:
            for task in batch.tasks:
                task.done.set()

    def _run_tasks(self, tasks: list[_Task], fetches: Sequence[str]) -> None:
        """Runs them together, or else each half by itself."""
        try:
            outputs = self._run_joined(tasks, fetches)
        except StatusError as error:
            if len(tasks) == 1 or error.code in _STOPPED:
                for task in tasks:
                    task.error = error
                return
            middle = len(tasks) // 2
            self._run_tasks(tasks[:middle], fetches)
            self._run_tasks(tasks[middle:], fetches)
            return
        start = 0
        for task in tasks:
            task.outputs = [output[start : start + task.size] for output in outputs]
            start += task.size

    def _run_joined(self, tasks: list[_Task], fetches: Sequence[str]) -> list[Array]:
        """The outputs of all rows."""
        parameters = self._scheduler.parameters
        timeout_seconds = _longest_time_left(tasks)
        feeds = batch_rows.join([task.feeds for task in tasks])
        total = sum(task.size for task in tasks)
        chunks = []
        for start in range(0, max(total, 1), parameters.max_execution_batch_size):
            size = min(parameters.max_execution_batch_size, total - start)
            rows = {name: value[start : start + size] for name, value in feeds.items()}
            self._scheduler.metrics.wrapped_run_count.add()
            padded_size = parameters.padded_size(size, always_alone=tasks[0].is_large)
            outputs = self._runner.run(batch_rows.fill_up(rows, padded_size), fetches, timeout_seconds)
            batch_rows.check_outputs(outputs, padded_size)
            chunks.append([output[:size] for output in outputs])
        return chunks[0] if len(chunks) == 1 else [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


def _longest_time_left(tasks: list[_Task]) -> float | None:
    deadlines = [task.deadline for task in tasks if task.deadline is not None]
    if len(deadlines) < len(tasks):
        return None
    seconds = max(deadlines) - time.monotonic()
    if seconds <= 0:
        raise StatusError(Code.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")
    return seconds
