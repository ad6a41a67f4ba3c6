"""Concurrent requests are joined, and each gets its own rows back."""

import concurrent.futures
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import pytest

from homefeed.serving.model_server.errors import Code, StatusError
from homefeed.serving.model_server.execution import batch_rows
from homefeed.serving.model_server.execution.batching import BatchingRunner, Scheduler
from homefeed.serving.model_server.execution.batching_parameters import Parameters
from homefeed.serving.model_server.metrics import Metrics
from tests.serving.conftest import Models
from tests.serving.servers import Stubs, column, eventually, fails, predict_request, running_server, values


class Recorder:
    """A session that keeps what it was asked to run, and runs only when it may.

    It doubles `x` into `y`; `total` is a scalar and `short` lacks a row, as outputs should not.
    """

    def __init__(self) -> None:
        self.batches: list[np.ndarray[Any, Any]] = []
        self.timeouts: list[float | None] = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.error: StatusError | None = None
        # A value that the session does not take.
        self.refused: float | None = None

    def run(
        self, feeds: Mapping[str, Any], fetches: Sequence[str], timeout_seconds: float | None = None
    ) -> list[Any]:
        self.batches.append(feeds["x"])
        self.timeouts.append(timeout_seconds)
        self.may_run.wait(20)
        if self.error:
            raise self.error
        if self.refused in feeds["x"]:
            raise StatusError(Code.INVALID_ARGUMENT, f"{len(feeds['x'])} rows")
        outputs = {"y": feeds["x"] * 2, "total": np.float32(feeds["x"].sum()), "short": feeds["x"][1:]}
        return [np.asarray(outputs[name]) for name in fetches]

    def close(self) -> None:
        self.may_run.set()


class Bench:
    """A batching runner over a recorder whose only slot can be kept busy."""

    def __init__(self, shape: Sequence[int | None] | None = (None, 1), **parameters: Any) -> None:
        self.recorder = Recorder()
        self.metrics = Metrics()
        scheduler = Scheduler(Parameters(**({"num_batch_threads": 1} | parameters)), self.metrics)
        self.runner = BatchingRunner(self.recorder, scheduler, {"x": shape})
        self.pool = concurrent.futures.ThreadPoolExecutor(16)

    def submit(self, *xs: float, fetches: Sequence[str] = ("y",), timeout: float | None = None, **feeds: Any) -> Any:
        feeds = feeds or {"x": column(*xs)}
        return self.pool.submit(self.runner.run, feeds, list(fetches), timeout)

    def occupy(self) -> Any:
        """Fills the slot with a batch that runs until `release`."""
        self.recorder.may_run.clear()
        running = self.submit(-1)
        eventually(lambda: self.recorder.batches)
        return running

    def release(self) -> None:
        self.recorder.may_run.set()

    def queued(self) -> list[int]:
        """Sizes of the batches that wait."""
        return [batch.size for queue in self.runner._queues.values() for batch in queue]


@pytest.fixture
def make_bench() -> Iterator[Any]:
    benches: list[Bench] = []

    def make(**parameters: Any) -> Bench:
        benches.append(Bench(**parameters))
        return benches[-1]

    yield make
    for bench in benches:
        bench.release()
        bench.pool.shutdown()


def test_a_lone_request_runs_at_once_and_alone(make_bench: Any) -> None:
    bench = make_bench()
    np.testing.assert_array_equal(bench.submit(1, 2).result(10)[0], column(2, 4))
    assert [len(batch) for batch in bench.recorder.batches] == [2]


def test_a_lone_row_has_a_copy_beside_it(make_bench: Any) -> None:
    bench = make_bench()
    np.testing.assert_array_equal(bench.submit(3).result(10)[0], column(6))
    np.testing.assert_array_equal(bench.recorder.batches[0], column(3, 3))


def test_a_large_request_is_a_batch_by_itself_without_a_copy(make_bench: Any) -> None:
    waits = make_bench(batch_timeout_seconds=30.0)
    assert waits.submit(x=np.ones([1, 100_001], np.float32)).result(10)[0].shape == (1, 100_001)
    bench = make_bench(shape=(None, None), pad_variable_length_inputs=True)
    bench.occupy()
    small, large, another = (bench.submit(x=np.ones([1, width], np.float32)) for width in (70_000, 100_001, 100_001))
    eventually(lambda: sorted(bench.queued()) == [1, 1, 1])
    bench.release()
    assert [result.result(10)[0].shape[1] for result in (small, large, another)] == [70_000, 100_001, 100_001]
    assert sorted(len(batch) for batch in bench.recorder.batches) == [1, 1, 2, 2]


def test_what_arrives_while_the_slot_is_taken_runs_as_one_batch(make_bench: Any) -> None:
    bench = make_bench()
    first = bench.occupy()
    waiting = [bench.submit(*xs) for xs in ((1,), (2, 3), (4,))]
    eventually(lambda: bench.queued() == [4])
    bench.release()
    assert [result.result(10)[0].ravel().tolist() for result in waiting] == [[2], [4, 6], [8]]
    np.testing.assert_array_equal(first.result(10)[0], column(-2))
    assert [len(batch) for batch in bench.recorder.batches] == [2, 4]
    assert bench.metrics.wrapped_run_count.text().splitlines()[1].endswith("} 2")
    assert ":tensorflow:serving:batching_session:queuing_latency_count" in bench.metrics.text()


def test_a_full_batch_closes_and_the_next_one_opens(make_bench: Any) -> None:
    bench = make_bench(max_batch_size=3)
    bench.occupy()
    waiting = [bench.submit(1), bench.submit(2)]
    eventually(lambda: bench.queued() == [2])
    waiting.append(bench.submit(3, 4))  # Does not fit any more.
    eventually(lambda: sorted(bench.queued()) == [2, 2])
    bench.release()
    assert sorted(value for result in waiting for value in result.result(10)[0].ravel()) == [2, 4, 6, 8]
    assert [len(batch) for batch in bench.recorder.batches] == [2, 2, 2]


def test_with_a_timeout_the_oldest_request_waits_for_others(make_bench: Any) -> None:
    bench = make_bench(max_batch_size=3, batch_timeout_seconds=30.0)
    waiting = [bench.submit(1), bench.submit(2)]
    eventually(lambda: bench.queued() == [2])
    assert not bench.recorder.batches
    waiting.append(bench.submit(3))  # Full: no need to wait any longer.
    assert sorted(float(result.result(10)[0][0, 0]) for result in waiting) == [2, 4, 6]
    assert [len(batch) for batch in bench.recorder.batches] == [3]


def test_a_timeout_that_is_over_starts_the_batch(make_bench: Any) -> None:
    bench = make_bench(batch_timeout_seconds=0.05)
    assert bench.submit(1).result(10)[0][0, 0] == 2


def test_other_outputs_and_other_types_are_other_queues(make_bench: Any) -> None:
    bench = make_bench()
    bench.occupy()
    waiting = [bench.submit(1), bench.submit(2, fetches=("y", "y")), bench.submit(x=np.array([[3]]))]
    eventually(lambda: sorted(bench.queued()) == [1, 1, 1])
    bench.release()
    assert [result.result(10)[0].ravel().tolist() for result in waiting] == [[2], [4], [6]]
    assert bench.submit(1).result(10)
    assert not bench.queued()


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ({}, "Batching Run() must have at least one input tensor"),
        ({"x": np.float32(1)}, "Batching Run() input tensors must have at least one dimension"),
        ({"x": np.zeros([2, 1]), "z": np.zeros([3, 1])}, "must have equal 0th-dimension size"),
        ({"x": np.zeros([5, 1])}, "Task size 5 is larger than maximum input batch size 4"),
    ],
)
def test_a_request_that_cannot_be_batched_fails_alone(make_bench: Any, feeds: Any, words: str) -> None:
    bench = make_bench(max_batch_size=4)
    with pytest.raises(StatusError) as raised:
        bench.runner.run(feeds, ["y"])
    assert raised.value.code is Code.INVALID_ARGUMENT
    assert words in raised.value.message


def test_a_full_queue_is_unavailable(make_bench: Any) -> None:
    bench = make_bench(max_batch_size=1, max_enqueued_batches=2)
    bench.occupy()
    waiting = [bench.submit(1), bench.submit(2)]
    eventually(lambda: bench.queued() == [1, 1])
    with pytest.raises(StatusError, match="The batch scheduling queue to which this task was submitted is full") as r:
        bench.runner.run({"x": column(3)}, ["y"])
    assert r.value.code is Code.UNAVAILABLE
    bench.release()
    assert sorted(float(result.result(10)[0][0, 0]) for result in waiting) == [2, 4]


@pytest.mark.parametrize(
    ("fetch", "words"),
    [
        ("total", "Batched output tensor has 0 dimensions"),
        ("short", "Batched output tensor's 0th dimension does not equal the sum of"),
    ],
)
def test_outputs_without_a_row_for_each_request(make_bench: Any, fetch: str, words: str) -> None:
    bench = make_bench()
    bench.occupy()
    waiting = [bench.submit(1, fetches=(fetch,)) for _ in range(2)]
    eventually(lambda: bench.queued() == [2])
    bench.release()
    for result in waiting:
        error = result.exception(10)
        assert error.code is Code.FAILED_PRECONDITION
        assert words in error.message


def test_who_is_refused_fails_alone(make_bench: Any) -> None:
    bench = make_bench()
    bench.occupy()
    bench.recorder.refused = 3
    waiting = [bench.submit(x) for x in (1, 2, 3, 4, 5)]
    eventually(lambda: bench.queued() == [5])
    bench.release()
    answers = [result.exception(10) or float(result.result()[0][0, 0]) for result in waiting]
    error = answers.pop(2)
    assert answers == [2, 4, 8, 10]
    # In the words of its own run, which holds it and its copy.
    assert (error.code, error.message) == (Code.INVALID_ARGUMENT, "2 rows")


def test_a_run_that_was_stopped_is_not_tried_again_in_parts(make_bench: Any) -> None:
    bench = make_bench()
    bench.occupy()
    bench.recorder.error = StatusError(Code.DEADLINE_EXCEEDED, "late")
    waiting = [bench.submit(x) for x in (1, 2, 3)]
    eventually(lambda: bench.queued() == [3])
    bench.release()
    assert {result.exception(10).code for result in waiting} == {Code.DEADLINE_EXCEEDED}
    assert [len(batch) for batch in bench.recorder.batches] == [2, 3]


WIDTHS = {"a": (None, None), "b": (None, None), "fixed": (None, 3)}


def kind_of(pads: bool = True, **feeds: Any) -> Any:
    return batch_rows.kind(feeds, WIDTHS, pads=pads)


def test_requests_of_other_widths_are_of_one_kind() -> None:
    narrow, wide = np.zeros([1, 2], np.float32), np.zeros([1, 900], np.float32)
    assert kind_of(a=narrow, b=narrow) == kind_of(a=wide, b=wide)
    assert kind_of(a=narrow, b=narrow) != kind_of(a=wide, b=wide, pads=False)
    # Filled up, inputs that disagree in one request would agree.
    assert kind_of(a=narrow, b=narrow) != kind_of(a=narrow, b=wide)
    assert kind_of(a=narrow, b=wide) != kind_of(a=wide, b=narrow)
    # Nobody is filled up to what only a few need.
    widest = np.zeros([1, 5000], np.float32)
    assert kind_of(a=narrow, b=narrow) != kind_of(a=widest, b=widest)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("fixed", np.zeros([1, 3]), np.zeros([1, 4])),
        ("a", np.zeros([1, 3]), np.zeros([1, 3, 1])),
        ("a", np.zeros([1, 3]), np.zeros([1, 3], np.float32)),
        ("unknown", np.zeros([1, 3]), np.zeros([1, 4])),
        ("k", np.array([10], np.int32), np.array([500], np.int32)),
    ],
)
def test_what_could_change_the_others_is_another_kind(name: str, one: Any, other: Any) -> None:
    assert kind_of(**{name: one}) == kind_of(**{name: one + 0})
    assert kind_of(**{name: one}) != kind_of(**{name: other})


def test_batches_run_in_the_order_in_which_they_came(make_bench: Any) -> None:
    bench = make_bench(shape=None)
    bench.occupy()
    waiting = []
    for number, dtype in enumerate((np.float32, np.float64, np.int64, np.int16), 1):
        waiting.append(bench.submit(x=np.full([1, 1], number, dtype)))
        eventually(lambda: len(bench.queued()) == len(waiting))
    bench.release()
    assert [result.result(10)[0][0, 0] for result in waiting] == [2, 4, 6, 8]
    assert [batch[0, 0] for batch in bench.recorder.batches] == [-1, 1, 2, 3, 4]


def test_who_follows_a_batch_waits_no_longer_than_its_own_deadline(make_bench: Any) -> None:
    bench = make_bench()
    bench.occupy()
    patient = bench.submit(1, timeout=50)
    eventually(lambda: bench.queued() == [1])
    assert bench.submit(2, timeout=0.05).exception(10).code is Code.DEADLINE_EXCEEDED
    bench.release()
    assert patient.result(10)[0][0, 0] == 2


def test_shorter_inputs_are_filled_up_when_asked_for(make_bench: Any) -> None:
    bench = make_bench(shape=(None, None), pad_variable_length_inputs=True)
    bench.occupy()
    waiting = [bench.submit(x=np.ones([1, 1], np.float32)), bench.submit(x=np.ones([2, 3], np.float32))]
    eventually(lambda: bench.queued() == [3])
    bench.release()
    shapes = {result.result(10)[0].shape for result in waiting}
    assert shapes == {(1, 3), (2, 3)}
    rows = sorted(bench.recorder.batches[1].tolist())
    assert rows == [[1, 0, 0], [1, 1, 1], [1, 1, 1]]


def test_a_batch_is_filled_up_to_an_allowed_size_with_copies_of_a_row(make_bench: Any) -> None:
    bench = make_bench(max_batch_size=8, max_execution_batch_size=8, allowed_batch_sizes=(4, 8))
    assert bench.submit(1, 2, 3).result(10)[0].ravel().tolist() == [2, 4, 6]
    assert bench.recorder.batches[0].ravel().tolist() == [1, 2, 3, 1]


def test_a_large_batch_is_split_when_asked_for(make_bench: Any) -> None:
    bench = make_bench(max_batch_size=8, max_execution_batch_size=2)
    assert bench.submit(1, 2, 3, 4, 5).result(10)[0].ravel().tolist() == [2, 4, 6, 8, 10]
    assert [len(batch) for batch in bench.recorder.batches] == [2, 2, 2]


def test_a_batch_runs_with_the_longest_time_left_in_it(make_bench: Any) -> None:
    bench = make_bench()
    bench.occupy()
    waiting = [bench.submit(1, timeout=50), bench.submit(2, timeout=90)]
    eventually(lambda: bench.queued() == [2])
    bench.release()
    assert all(result.result(10) for result in waiting)
    assert 50 < bench.recorder.timeouts[1] <= 90
    assert bench.recorder.timeouts[0] is None


def test_a_batch_that_is_late_before_it_runs_is_given_up(make_bench: Any) -> None:
    bench = make_bench()
    bench.occupy()
    waiting = bench.submit(1, timeout=0.01)
    eventually(lambda: bench.queued() == [1])
    threading.Event().wait(0.05)
    bench.release()
    error = waiting.exception(10)
    assert error.code is Code.RESOURCE_EXHAUSTED
    assert error.message == "Run() timeout exceeded while waiting in batching queue"


@pytest.fixture(scope="module")
def stubs(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    root = tmp_path_factory.mktemp("served")
    models.publish("half_plus_two", root / "half", 1)
    parameters = root / "batching.config"
    # A long timeout: only a full batch starts, so what runs must have been joined.
    parameters.write_text(
        "max_batch_size { value: 4 } batch_timeout_micros { value: 60000000 } num_batch_threads { value: 2 }"
    )
    with running_server(
        model_name="half",
        model_base_path=str(root / "half"),
        enable_batching=True,
        batching_parameters_file=str(parameters),
    ) as server:
        yield Stubs(f"127.0.0.1:{server.grpc_port}")


def test_requests_over_grpc_are_joined(stubs: Stubs) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda x: values(stubs.predict("half", {"x": column(x)}))["y"], range(8)))
    assert [float(answer[0, 0]) for answer in answers] == [x / 2 + 2 for x in range(8)]


def test_errors_over_grpc(stubs: Stubs) -> None:
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "Task size 5 is larger than maximum input batch size 4"):
        stubs.predict("half", {"x": column(1, 2, 3, 4, 5)})
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "Expects arg[0] to be float but double is provided"):
        stubs.predict("half", {"x": np.zeros([4, 1])})
    # Two requests that are right alone make a product that is not: each is run alone then.
    matrices = {"a": np.ones([2, 2], np.float32), "b": np.ones([2, 2], np.float32)}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(stubs.predict, "half", matrices, signature="multiply", outputs=("product",)) for _ in range(2)
        ]
        for call in calls:
            np.testing.assert_array_equal(values(call.result())["product"], np.full([2, 2], 2.0))


def test_strings_are_joined_too(stubs: Stubs) -> None:
    def shout(word: str) -> bytes:
        return bytes(values(stubs.predict("half", {"words": [word]}, signature="shout"))["upper"][0])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(shout, "abcd")) == [b"A", b"B", b"C", b"D"]


def test_scalar_inputs_cannot_be_batched(stubs: Stubs) -> None:
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "at least one dimension"):
        stubs.prediction.Predict(predict_request("half", {"limit": np.int64(3)}, signature="count"), timeout=20)
