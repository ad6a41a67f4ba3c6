"""The same request has the same answer, whatever else is in its batch."""

import concurrent.futures
import contextlib
import csv
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from homefeed.serving.model_server.errors import Code, StatusError
from homefeed.serving.model_server.execution.batching import BatchingRunner, Scheduler
from homefeed.serving.model_server.execution.batching_parameters import Parameters
from homefeed.serving.model_server.loading import servable
from homefeed.serving.model_server.messages import ConfigProto
from homefeed.serving.model_server.metrics import Metrics
from tests.serving.servers import eventually

NUM_NEIGHBOURS = 200
# Of the largest figure of a page, or of 1.
TOLERANCE = 1e-6
NOTHING = np.finfo(np.float32).min
NUMBERS = {1: np.float32, 3: np.int32, 9: np.int64}
STRING = 7

Answer = dict[str, np.ndarray[Any, Any]] | Code


class Crowd:
    """A model whose requests all wait until they run in as few batches as they can."""

    def __init__(self, path: pathlib.Path, signature: str) -> None:
        self.parameters = Parameters(
            max_batch_size=1000, num_batch_threads=1, pad_variable_length_inputs=True, max_enqueued_batches=1000
        )
        self.scheduler = Scheduler(self.parameters, Metrics())
        # As `homefeed serve` has it: several threads would share a matrix out by its size.
        config = ConfigProto(intra_op_parallelism_threads=1)
        self.model = servable.load("model", 1, path, wrap_runner=self._wrap, session_config=config)
        self.signature = self.model.signatures[signature]
        infos = self.model.signature_def.signature_def[signature].inputs
        self.sizes = {alias: [dim.size for dim in infos[alias].tensor_shape.dim] for alias in infos}
        self.batch_sizes: list[int] = []

    def _wrap(self, runner: Any, _: pathlib.Path, shapes: Any) -> BatchingRunner:
        self.runner = BatchingRunner(_Counted(runner, self), self.scheduler, shapes)
        return self.runner

    def answer(self, inputs: Mapping[str, Any]) -> Answer:
        feeds = {self.signature.inputs[alias]: value for alias, value in inputs.items()}
        try:
            values = self.model.run(feeds, list(self.signature.outputs.values()), None)
        except StatusError as error:
            return error.code
        return dict(zip(self.signature.outputs, values, strict=True))

    def answers_at_once(self, requests: list[Mapping[str, Any]]) -> list[Answer]:
        with contextlib.ExitStack() as stack:
            pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(len(requests)))
            with self.scheduler.changed:
                self.scheduler._free_slots = 0
            futures = [pool.submit(self.answer, request) for request in requests]
            eventually(lambda: self._queued() + sum(future.done() for future in futures) == len(requests))
            with self.scheduler.changed:
                self.scheduler._free_slots = 1
                self.scheduler.changed.notify_all()
            return [future.result() for future in futures]

    def _queued(self) -> int:
        with self.scheduler.changed:
            return sum(len(batch.tasks) for queue in self.runner._queues.values() for batch in queue)


class _Counted:
    """Notes how many rows ran together."""

    def __init__(self, runner: servable.Runner, crowd: Crowd) -> None:
        self._runner, self._crowd = runner, crowd
        self.close = runner.close

    def run(self, feeds: Any, fetches: Any, timeout_seconds: float | None = None) -> Any:
        self._crowd.batch_sizes.append(max(map(len, feeds.values())))
        return self._runner.run(feeds, fetches, timeout_seconds)


class Strangers:
    """Makes requests of every kind; about a quarter of them are wrong."""

    def __init__(self, crowd: Crowd, words: list[bytes], seed: int) -> None:
        self._crowd = crowd
        self._words = words
        self._random = np.random.default_rng(seed)

    def request(self) -> dict[str, Any]:
        rows = int(self._random.choice([1, 1, 1, 1, 2, 3]))
        num_events = int(self._random.choice([0, 1, 2, 5, 20, 20, 20, 100, 2000]))
        inputs = {alias: self._value(alias, rows, num_events) for alias in self._crowd.sizes}
        return self._spoilt(inputs) if self._random.random() < 0.25 else inputs

    def _value(self, alias: str, rows: int, num_events: int) -> Any:
        width = num_events if alias.startswith("history") else int(self._random.choice([0, 1, 1, 1, 3]))
        shape = [rows, *(width if size < 0 else size for size in self._crowd.sizes[alias][1:])]
        if self._crowd.signature.dtypes[alias] == STRING:
            value = np.empty(shape, object)
            places = self._random.integers(len(self._words), size=value.size)
            value.reshape(-1)[:] = [self._words[place] for place in places]
            return value
        dtype = NUMBERS[self._crowd.signature.dtypes[alias]]
        if alias == "k":
            return self._random.choice([-1, 0, 1, 5, 10, 10, 10, 10, 50, 500], shape[:1]).astype(dtype)
        if dtype is np.float32:
            return self._random.choice([np.nan, 1.0, 3.5, -2.0, 1e9], shape).astype(dtype)
        return self._random.integers(-1, 10_000, shape).astype(dtype)

    def _spoilt(self, inputs: dict[str, Any]) -> dict[str, Any]:
        alias = str(self._random.choice(list(inputs)))
        value = inputs[alias]
        wrong = [
            value[:, None],
            np.zeros(value.shape, np.float64),
            np.concatenate([value, value], axis=-1),
            np.zeros([len(value), 2, 2, 2], value.dtype),
            np.asarray(value[0], value.dtype),
        ]
        return inputs | {alias: wrong[self._random.integers(len(wrong))]}


def assert_same(given: Answer, expected: Answer) -> None:
    if isinstance(expected, Code) or isinstance(given, Code):
        assert given == expected
        return
    for alias, value in expected.items():
        assert given[alias].shape == value.shape, alias
        if value.dtype == np.float32:
            largest = np.max(np.abs(value), initial=1.0, where=np.isfinite(value) & (value > NOTHING))
            np.testing.assert_allclose(given[alias], value, rtol=0, atol=TOLERANCE * largest, err_msg=alias)
        else:
            np.testing.assert_array_equal(given[alias], value, err_msg=alias)


def check(crowd: Crowd, words: list[bytes], count: int, seed: int) -> None:
    """As many requests among random neighbours, each held against its answer alone."""
    strangers = Strangers(crowd, words, seed)
    while count > 0:
        requests = [strangers.request() for _ in range(NUM_NEIGHBOURS + 1)]
        alone = [crowd.answer(request) for request in requests]
        assert sum(isinstance(answer, Code) for answer in alone) > 10
        for given, expected in zip(crowd.answers_at_once(requests), alone, strict=True):
            assert_same(given, expected)
        count -= len(requests)


@pytest.fixture(scope="module")
def words(sample_data: pathlib.Path) -> list[bytes]:
    """Ids of items, values of their features, and strings that the model does not know."""
    with (sample_data / "items.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    known = {value for row in rows for value in (row["item_id"], row["language"])}
    known |= {value for row in rows for value in row["categories"].split("|")}
    return [b"", b"nobody", *(value.encode() for value in sorted(known))]


@pytest.fixture(scope="module")
def crowd(sample_root: pathlib.Path) -> Iterator[Crowd]:
    crowd = Crowd(sample_root / "serving" / "fused" / "1", "recommend")
    yield crowd
    crowd.model.close()


def test_random_neighbours(crowd: Crowd, words: list[bytes]) -> None:
    check(crowd, words, 2 * (NUM_NEIGHBOURS + 1), seed=1)
    assert max(crowd.batch_sizes) > 5


@pytest.mark.slow
def test_ten_thousand_answers_beside_random_neighbours(crowd: Crowd, words: list[bytes]) -> None:
    check(crowd, words, 10_000, seed=2)
