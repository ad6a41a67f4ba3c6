"""The client against a real model server."""

import concurrent.futures
import pathlib
import threading
import time
from collections.abc import Iterator

import grpc
import homefeed_client
import numpy as np
import pytest
from homefeed_client import PredictionClient
from homefeed_client.failures import from_rpc_error

from tests.serving.conftest import Models
from tests.serving.servers import eventually, free_port, running_server


@pytest.fixture(scope="module")
def target(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("served")
    models.publish("half_plus_two", root / "half", 1)
    models.publish("half_plus_three", root / "half", 2)
    config = root / "models.config"
    config.write_text(
        "model_config_list { config {"
        f"  name: 'half' base_path: '{root}/half' model_platform: 'tensorflow' model_version_policy {{ all {{}} }}"
        "} }"
    )
    with running_server(model_config_file=str(config)) as server:
        yield f"127.0.0.1:{server.grpc_port}"


@pytest.fixture
def client(target: str) -> Iterator[PredictionClient]:
    with PredictionClient(target, timeout_seconds=20) as client:
        client.wait_until_available("half", version=1)
        yield client


@pytest.mark.parametrize("x", [[[2], [6]], [[2.0], [6.0]], np.array([[2], [6]], np.float64)])
def test_numbers_are_cast_to_what_the_model_takes(client: PredictionClient, x: object) -> None:
    y = client.predict("half", {"x": x}, version=1).outputs["y"]
    np.testing.assert_array_equal(y, np.array([[3.0], [5.0]], np.float32))
    assert y.dtype == np.float32


def test_one_example_without_batch_axis_becomes_a_batch_of_one(client: PredictionClient) -> None:
    np.testing.assert_array_equal(client.predict("half", {"x": [2]}, version=1).outputs["y"], [[3.0]])


def test_strings_go_as_text_or_bytes_and_come_back_as_bytes(client: PredictionClient) -> None:
    outputs = client.predict("half", {"words": ["ab", b"c", "中"]}, signature="shout").outputs
    assert outputs["upper"].tolist() == [b"AB", b"C", "中".encode()]
    assert outputs["upper"].dtype == object
    assert outputs["length"].tolist() == [2, 1, 3]


def test_latest_and_exact_version(client: PredictionClient) -> None:
    client.wait_until_available("half", version=2)
    assert client.predict("half", {"x": [[2]]}).model_version == 2
    assert client.predict("half", {"x": [[2]]}, version=1).model_version == 1
    with pytest.raises(ValueError, match="not for both"):
        client.predict("half", {"x": [[2]]}, version=1, label="stable")


def test_only_the_outputs_that_were_asked_for_come_back(client: PredictionClient) -> None:
    matrices = {"a": np.ones([1, 2]), "b": np.ones([2, 3])}
    outputs = client.predict("half", matrices, signature="multiply", outputs=("total",)).outputs
    assert {name: float(value) for name, value in outputs.items()} == {"total": 6.0}


def test_all_mismatches_are_told_at_once_and_nothing_is_sent(client: PredictionClient) -> None:
    with pytest.raises(homefeed_client.InvalidInputsError) as raised:
        client.predict("half", {"a": ["text"], "c": 1}, signature="multiply")
    problems = raised.value.problems
    assert len(problems) == 3
    assert "`a`: numbers expected (float[?, 2])" in str(raised.value)
    assert "`b` is missing: float[2, ?] expected." in problems
    assert "`c` is not an input; expected: `a`, `b`." in problems


@pytest.mark.parametrize(
    ("inputs", "signature", "problem"),
    [
        ({"words": [1]}, "shout", "strings expected"),
        ({"words": [["a", "b"]]}, "shout", r"shape \[1, 2\] given, string\[\?\] expected"),
        ({"a": [[1, 2, 3]], "b": [[1], [2]]}, "multiply", r"shape \[1, 3\] given, float\[\?, 2\] expected"),
        ({"x": [[True]]}, "serving_default", "bool values given"),
        ({"x": 1}, "nope", "it has `count`, `multiply`, `serving_default`, `shout`"),
    ],
)
def test_a_mismatch_says_what_was_given_and_expected(
    client: PredictionClient, inputs: dict[str, object], signature: str, problem: str
) -> None:
    with pytest.raises(homefeed_client.InvalidInputsError, match=problem):
        client.predict("half", inputs, signature=signature)


def test_metadata_lists_the_signatures(client: PredictionClient) -> None:
    metadata = client.metadata("half", version=1)
    assert (metadata.name, metadata.version) == ("half", 1)
    assert list(metadata.signatures) == ["count", "multiply", "serving_default", "shout"]
    multiply = metadata.signatures["multiply"]
    assert {name: str(spec) for name, spec in multiply.inputs.items()} == {"a": "float[?, 2]", "b": "float[2, ?]"}
    assert str(metadata.signatures["shout"].inputs["words"]) == "string[?]"


def test_status_lists_the_versions(client: PredictionClient) -> None:
    client.wait_until_available("half", version=2)
    assert [(status.version, status.state, status.error_code) for status in client.status("half")] == [
        (2, "AVAILABLE", "OK"),
        (1, "AVAILABLE", "OK"),
    ]


def test_errors_are_typed_and_carry_the_servers_words(client: PredictionClient) -> None:
    with pytest.raises(homefeed_client.ModelNotFoundError, match=r"Specific\(half, 9\)") as raised:
        client.predict("half", {"x": [[1]]}, version=9)
    assert raised.value.code is grpc.StatusCode.NOT_FOUND
    with pytest.raises(homefeed_client.ModelNotFoundError):
        client.status("other")
    with pytest.raises(homefeed_client.InvalidRequestError, match="Unrecognized servable version label"):
        client.predict("half", {"x": [[1]]}, label="stable")
    with pytest.raises(homefeed_client.InvalidRequestError, match="output tensor alias not found"):
        client.predict("half", {"x": [[1]]}, outputs=("z",))
    with pytest.raises(homefeed_client.DeadlineExceededError):
        client.predict("half", {"limit": 10**12}, signature="count", timeout_seconds=0.5)


def test_every_grpc_code_has_an_error() -> None:
    class Failure(grpc.RpcError):
        def __init__(self, code: grpc.StatusCode) -> None:
            super().__init__()
            self.code, self.details = lambda: code, lambda: "words"

    for code in grpc.StatusCode:
        error = from_rpc_error(Failure(code), "there:1")
        assert isinstance(error, homefeed_client.ServerError)
        assert error.code is code
        assert "there:1" in str(error)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with (
        PredictionClient(f"127.0.0.1:{free_port()}", timeout_seconds=2) as client,
        pytest.raises((homefeed_client.ServerUnavailableError, homefeed_client.DeadlineExceededError)),
    ):
        client.status("half")


def test_waits_for_a_server_that_starts_later_and_finds_it_again(models: Models, tmp_path: pathlib.Path) -> None:
    port = free_port()
    models.publish("half_plus_two", tmp_path / "half", 1)
    flags = {"port": port, "model_name": "half", "model_base_path": str(tmp_path / "half")}
    with PredictionClient(f"127.0.0.1:{port}", timeout_seconds=20) as client:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(client.wait_until_available, "half", timeout_seconds=60)
            time.sleep(0.3)
            with running_server(**flags):
                assert waiting.result() == 1
        # Gone and back: the same client and channel recover by themselves.
        with running_server(**flags):
            assert client.wait_until_available("half") == 1
            assert client.predict("half", {"x": [[2]]}).model_version == 1


def test_a_call_survives_a_restart_within_its_deadline(models: Models, tmp_path: pathlib.Path) -> None:
    port = free_port()
    models.publish("half_plus_two", tmp_path / "half", 1)
    flags = {"port": port, "model_name": "half", "model_base_path": str(tmp_path / "half")}
    with PredictionClient(f"127.0.0.1:{port}", timeout_seconds=30) as client:
        with running_server(**flags):
            client.predict("half", {"x": [[2]]})
        results = []
        calling = threading.Thread(target=lambda: results.append(client.predict("half", {"x": [[2]]})))
        calling.start()
        with running_server(**flags):
            calling.join()
        assert [result.model_version for result in results] == [1]


def test_gives_up_waiting_and_says_why(client: PredictionClient) -> None:
    with pytest.raises(homefeed_client.ModelNotFoundError):
        client.wait_until_available("other", timeout_seconds=1.0)
    with pytest.raises(homefeed_client.ServerUnavailableError, match="version 9 of model `half` did not become"):
        client.wait_until_available("half", version=9, timeout_seconds=1.0)


def test_follows_a_version_with_other_signatures(tf: object, models: Models, tmp_path: pathlib.Path) -> None:
    class Doubler(tf.Module):  # type: ignore[name-defined]
        @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="n")])  # type: ignore[attr-defined]
        def double(self, n: object) -> object:
            return {"twice": 2 * n}

    models.publish("half_plus_two", tmp_path / "half", 1)
    with running_server(model_name="half", model_base_path=str(tmp_path / "half")) as server:
        client = PredictionClient(f"127.0.0.1:{server.grpc_port}", timeout_seconds=20)
        assert client.predict("half", {"x": [[2]]}).model_version == 1
        module = Doubler()
        tf.saved_model.save(module, str(tmp_path / "new"), signatures=module.double)  # type: ignore[attr-defined]
        (tmp_path / "new").rename(tmp_path / "half" / "2")
        client.wait_until_available("half", version=2)
        assert client.predict("half", {"n": [21]}).outputs["twice"].tolist() == [42]
        with pytest.raises(homefeed_client.InvalidInputsError, match=r"7.5 is not an int64"):
            client.predict("half", {"n": [7.5]})
        client.close()


def test_many_threads_share_one_client(client: PredictionClient) -> None:
    def call(number: int) -> float:
        return float(client.predict("half", {"x": [[number]]}, version=1).outputs["y"][0, 0])

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(call, range(100))) == [number / 2 + 2 for number in range(100)]


def test_batches_are_answered_in_order_by_one_version(client: PredictionClient) -> None:
    client.wait_until_available("half", version=2)
    x = np.arange(10, dtype=np.float32).reshape(-1, 1)
    prediction = client.predict_batches("half", {"x": x}, batch_size=3, max_in_flight=2)
    assert prediction.model_version == 2
    np.testing.assert_array_equal(prediction.outputs["y"], x / 2 + 3)
    matrices = {"a": np.ones([4, 2]), "b": np.ones([2, 1])}
    with pytest.raises(ValueError, match="same number of rows"):
        client.predict_batches("half", matrices, signature="multiply", batch_size=2)


def test_a_failing_batch_is_a_typed_error(client: PredictionClient) -> None:
    words = {"words": ["a"] * 4}
    with pytest.raises(homefeed_client.InvalidRequestError, match="output tensor alias not found"):
        client.predict_batches("half", words, signature="shout", outputs=("z",), batch_size=1)


def test_several_servers_take_turns_and_one_that_is_gone_is_left_out(models: Models, tmp_path: pathlib.Path) -> None:
    models.publish("half_plus_two", tmp_path / "one", 1)
    models.publish("half_plus_two", tmp_path / "two", 2)
    with running_server(model_name="half", model_base_path=str(tmp_path / "one")) as first:
        with running_server(model_name="half", model_base_path=str(tmp_path / "two")) as second:
            targets = [f"127.0.0.1:{first.grpc_port}", f"localhost:{second.grpc_port}"]
            client = PredictionClient(targets, timeout_seconds=20)

            def versions() -> set[int]:
                return {client.predict("half", {"x": [[2]]}).model_version for _ in range(4)}

            eventually(lambda: versions() == {1, 2})
        assert versions() == {1}
        client.close()


@pytest.mark.parametrize("targets", [[], ["127.0.0.1"], ["127.0.0.1:8500", "host:name"]])
def test_several_targets_are_checked(targets: list[str]) -> None:
    with pytest.raises(ValueError, match="host:port"):
        PredictionClient(targets)


def test_the_public_names() -> None:
    for name in homefeed_client.__all__:
        assert getattr(homefeed_client, name).__module__.startswith("homefeed_client.")
