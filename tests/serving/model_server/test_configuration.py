"""Config files, policies, labels, reloads over gRPC, and what makes a start fail."""

import contextlib
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2

from homefeed.serving.model_server import flags, server
from homefeed.serving.model_server.errors import Code, StatusError
from homefeed.serving.model_server.flags import Flags
from tests.serving.conftest import Models
from tests.serving.servers import RPC_SECONDS, Stubs, column, eventually, fails, free_port, running_server

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def entry(base_path: pathlib.Path, more: str = "", name: str = "half") -> str:
    return f"config {{ name: '{name}' base_path: '{base_path}' model_platform: 'tensorflow' {more} }}"


def config_text(*entries: str) -> str:
    return f"model_config_list {{ {' '.join(entries)} }}"


def reload_config(stubs: Stubs, text: str) -> Any:
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, request.config)
    return stubs.model.HandleReloadConfigRequest(request, timeout=RPC_SECONDS)


@pytest.fixture
def base_path(models: Models, tmp_path: pathlib.Path) -> pathlib.Path:
    for version in (1, 2, 3):
        models.publish("half_plus_two", tmp_path / "half", version)
    return tmp_path / "half"


@pytest.fixture
def config_file(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "models.config"


@contextlib.contextmanager
def serving(config_file: pathlib.Path, text: str, **more: Any) -> Iterator[Stubs]:
    config_file.write_text(text)
    with running_server(model_config_file=str(config_file), **more) as running:
        yield Stubs(f"127.0.0.1:{running.grpc_port}")


def available(stubs: Stubs, name: str = "half") -> set[int]:
    return {version for version, state in stubs.states(name).items() if state == "AVAILABLE"}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", {3}),
        ("model_version_policy { latest { num_versions: 2 } }", {2, 3}),
        ("model_version_policy { latest { num_versions: 0 } }", {3}),
        ("model_version_policy { all {} }", {1, 2, 3}),
        ("model_version_policy { specific { versions: 1 versions: 3 versions: 9 } }", {1, 3}),
    ],
)
def test_version_policies(
    base_path: pathlib.Path, config_file: pathlib.Path, policy: str, expected: set[int]
) -> None:
    with serving(config_file, config_text(entry(base_path, policy))) as stubs:
        eventually(lambda: available(stubs) == expected)
        assert stubs.predict("half", {"x": column(2)}).model_spec.version.value == max(expected)


def test_names_that_are_no_numbers_are_ignored_and_leading_zeros_do_not_count(
    models: Models, base_path: pathlib.Path, config_file: pathlib.Path
) -> None:
    for name in ("v7", "8.tmp", "-9", "1e3", "٣"):
        (base_path / name).mkdir()
    models.publish("half_plus_three", base_path, "0003")  # A second name for 3, earlier in string order.
    with serving(config_file, config_text(entry(base_path, "model_version_policy { all {} }"))) as stubs:
        eventually(lambda: available(stubs) == {1, 2, 3})
        assert list(stubs.predict("half", {"x": column(2)}).outputs["y"].float_val) == [3.0]


def test_a_changed_config_file_is_applied_and_a_broken_one_is_not(
    models: Models, base_path: pathlib.Path, config_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    models.publish("half_plus_three", tmp_path / "other", 7)
    with serving(config_file, config_text(entry(base_path)), model_config_file_poll_wait_seconds=0.1) as stubs:
        config_file.write_text("model_config_list { config {")
        threading.Event().wait(0.5)
        assert available(stubs) == {3}
        config_file.write_text(config_text(entry(base_path), entry(tmp_path / "other", name="other")))
        with contextlib.suppress(grpc.RpcError):
            eventually(lambda: stubs.states("half"))
        eventually(lambda: _predicts(stubs, "other"))
        config_file.write_text(config_text(entry(tmp_path / "other", name="other")))
        eventually(lambda: stubs.states("half") == {3: "END"})
        with fails(grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(half)"):
            stubs.predict("half", {"x": column(2)})


def _predicts(stubs: Stubs, name: str) -> bool:
    try:
        stubs.predict(name, {"x": column(2)})
    except grpc.RpcError:
        return False
    return True


def test_reload_over_grpc_replaces_the_list_and_waits_for_new_models(
    models: Models, base_path: pathlib.Path, config_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    models.publish("half_plus_three", tmp_path / "other", 7)
    with serving(config_file, config_text(entry(base_path))) as stubs:
        response = reload_config(stubs, config_text(entry(tmp_path / "other", name="other")))
        assert (response.status.error_code, response.status.error_message) == (0, "")
        assert list(stubs.predict("other", {"x": column(2)}).outputs["y"].float_val) == [4.0]
        eventually(lambda: stubs.states("half") == {3: "END"})


def test_a_reload_that_cannot_be_applied_changes_nothing(
    base_path: pathlib.Path, config_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with serving(config_file, config_text(entry(base_path)), max_num_load_retries=0) as stubs:
        with fails(INVALID_ARGUMENT, "Only ModelConfigList is currently supported"):
            reload_config(stubs, "")
        with fails(INVALID_ARGUMENT, "multiple times"):
            reload_config(stubs, config_text(entry(base_path), entry(base_path)))
        with fails(INVALID_ARGUMENT, "absolute path"):
            reload_config(stubs, config_text(entry(pathlib.Path("relative"))))
        with fails(INVALID_ARGUMENT, "platform"):
            reload_config(stubs, config_text(entry(base_path)).replace("'tensorflow'", "'other'"))
        assert available(stubs) == {3}

        (tmp_path / "broken" / "1").mkdir(parents=True)
        broken = config_text(entry(base_path), entry(tmp_path / "broken", name="broken"))
        with fails(
            grpc.StatusCode.UNKNOWN,
            "1 servable(s) did not become available: {{name: broken version: 1} due to error: ",
        ):
            reload_config(stubs, broken)
        assert available(stubs) == {3}


def test_a_model_that_never_comes_blocks_neither_later_reloads_nor_the_config_file(
    base_path: pathlib.Path, config_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    waiting = config_text(entry(base_path), entry(tmp_path / "nowhere", name="nowhere"))
    with serving(config_file, config_text(entry(base_path)), model_config_file_poll_wait_seconds=0.1) as stubs:
        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(waiting, request.config)
        with fails(grpc.StatusCode.DEADLINE_EXCEEDED):
            stubs.model.HandleReloadConfigRequest(request, timeout=0.3)
        config_file.write_text(waiting)
        threading.Event().wait(0.3)
        policy = "model_version_policy { specific { versions: 2 } }"
        config_file.write_text(config_text(entry(base_path, policy)))
        eventually(lambda: available(stubs) == {2})


def test_a_changed_policy_and_path_of_a_model_are_applied(
    models: Models, base_path: pathlib.Path, config_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with serving(config_file, config_text(entry(base_path))) as stubs:
        reload_config(stubs, config_text(entry(base_path, "model_version_policy { specific { versions: 1 } }")))
        eventually(lambda: stubs.states("half") == {3: "END", 1: "AVAILABLE"})
        models.publish("half_plus_three", tmp_path / "elsewhere", 9)
        reload_config(stubs, config_text(entry(tmp_path / "elsewhere")))
        eventually(lambda: stubs.states("half") == {9: "AVAILABLE", 3: "END", 1: "END"})


def test_labels_choose_versions_and_may_only_name_available_ones(
    base_path: pathlib.Path, config_file: pathlib.Path
) -> None:
    policy = "model_version_policy { specific { versions: 1 versions: 2 } }"

    def labels(**versions: int) -> str:
        return policy + "".join(
            f" version_labels {{ key: '{label}' value: {version} }}" for label, version in versions.items()
        )

    with serving(config_file, config_text(entry(base_path, policy))) as stubs:
        eventually(lambda: available(stubs) == {1, 2})
        reload_config(stubs, config_text(entry(base_path, labels(stable=1, canary=2))))
        for label, version in (("stable", 1), ("canary", 2)):
            response = stubs.predict("half", {"x": column(2)}, label=label)
            assert response.model_spec.version.value == version
            assert response.model_spec.version_label == ""

        refusal = "Request to assign label to version 3 of model half, which is not currently available for inference"
        with fails(FAILED_PRECONDITION, refusal):
            reload_config(stubs, config_text(entry(base_path, labels(stable=3))))
        assert stubs.predict("half", {"x": column(2)}, label="stable").model_spec.version.value == 1

        # The map is replaced as a whole.
        reload_config(stubs, config_text(entry(base_path, labels(stable=2))))
        assert stubs.predict("half", {"x": column(2)}, label="stable").model_spec.version.value == 2
        with fails(INVALID_ARGUMENT, "Unrecognized servable version label: canary"):
            stubs.predict("half", {"x": column(2)}, label="canary")


def test_labels_at_start_need_the_flag(base_path: pathlib.Path, config_file: pathlib.Path) -> None:
    text = config_text(entry(base_path, "version_labels { key: 'stable' value: 3 }"))
    with pytest.raises(StatusError) as raised, serving(config_file, text):
        pass
    assert raised.value.code is Code.FAILED_PRECONDITION
    with serving(config_file, text, allow_version_labels_for_unavailable_models=True) as stubs:
        assert stubs.predict("half", {"x": column(2)}, label="stable").model_spec.version.value == 3
        # It may stay where it is, but not move to a version that is not there.
        with fails(FAILED_PRECONDITION):
            reload_config(stubs, text.replace("value: 3", "value: 2"))


def test_one_models_missing_folder_skips_the_poll_for_all(
    models: Models, base_path: pathlib.Path, config_file: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    models.publish("half_plus_three", tmp_path / "other", 1)
    text = config_text(entry(base_path), entry(tmp_path / "other", name="other"))
    with serving(config_file, text) as stubs:
        shutil.rmtree(tmp_path / "other")
        models.publish("half_plus_two", base_path, 4)
        threading.Event().wait(0.5)
        assert available(stubs) == {3}
        assert available(stubs, "other") == {1}
        (tmp_path / "other").mkdir()
        eventually(lambda: stubs.states("other") == {1: "END"} and available(stubs) == {4})


def test_the_port_opens_only_when_every_model_is_available(models: Models, tmp_path: pathlib.Path) -> None:
    port = free_port()
    running = server.ModelServer(
        Flags(
            port=port,
            host="127.0.0.1",
            model_name="half",
            model_base_path=str(tmp_path / "half"),
            file_system_poll_wait_seconds=0.1,
        )
    )
    starting = threading.Thread(target=running.start)
    starting.start()
    try:
        threading.Event().wait(0.5)
        with fails(grpc.StatusCode.UNAVAILABLE):
            Stubs(f"127.0.0.1:{port}").predict("half", {"x": column(2)})
        models.publish("half_plus_two", tmp_path / "half", 1)
        starting.join(30)
        assert not starting.is_alive()
        assert stubs_version(port) == 1
    finally:
        running.stop()
        starting.join()


def stubs_version(port: int) -> int:
    return int(Stubs(f"127.0.0.1:{port}").predict("half", {"x": column(2)}).model_spec.version.value)


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homefeed.serving.model_server", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_config_file_that_does_not_parse_ends_the_process(tmp_path: pathlib.Path) -> None:
    bad = tmp_path / "bad.config"
    bad.write_text("model_config_list {\n  improperly formatted file\n}")
    done = run_command(f"--port={free_port()}", f"--model_config_file={bad}")
    assert done.returncode == 255
    assert f"Failed to start server. Error: INVALID_ARGUMENT: Invalid protobuf file: '{bad}'" in done.stdout
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig: 2:" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "Both server_options.model_base_path and server_options.model_config_file are empty"),
        ({"port": 0}, "must be set"),
        ({"model_base_path": "relative"}, "absolute path"),
        ({"model_base_path": "/m", "batching_parameters_file": "/b"}, "enable_batching"),
        ({"model_config_file": "/does/not/exist"}, "'/does/not/exist'"),
        ({"model_base_path": "/m", "enable_batching": True, "batching_parameters_file": "/none"}, "'/none'"),
    ],
)
def test_starts_that_are_refused(capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], words: str) -> None:
    given = {"port": free_port()} | arguments
    status = server.main([f"--{name}={str(value).lower()}" for name, value in given.items()])
    assert status == 255
    output = capsys.readouterr().out
    assert output.startswith("Failed to start server. Error: INVALID_ARGUMENT: ")
    assert words in output


def test_a_platform_must_be_tensorflow(base_path: pathlib.Path, config_file: pathlib.Path) -> None:
    for text in (
        config_text(entry(base_path)).replace("'tensorflow'", "'other'"),
        config_text(f"config {{ name: 'half' base_path: '{base_path}' }}"),
    ):
        with pytest.raises(StatusError, match="platform"), serving(config_file, text):
            pass


def test_a_model_that_fails_for_good_fails_the_start(tmp_path: pathlib.Path) -> None:
    (tmp_path / "half" / "1").mkdir(parents=True)
    with (
        pytest.raises(StatusError, match=r"1 servable\(s\) did not become available") as raised,
        running_server(model_name="half", model_base_path=str(tmp_path / "half"), max_num_load_retries=1),
    ):
        pass
    assert raised.value.code is Code.UNKNOWN


def test_help_wrong_values_and_unknown_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert server.main(["--help"]) == 255
    assert "--model_config_file_poll_wait_seconds" in capsys.readouterr().out
    assert server.main(["--port=abc"]) == 255
    assert "--model_base_path" in capsys.readouterr().out
    assert server.main(["--version"]) == 0
    assert capsys.readouterr().out.count("\n") == 2

    # Reported, and the server starts all the same: it gets as far as the missing model.
    assert server.main(["--no_such_flag=1", f"--port={free_port()}"]) == 255
    output = capsys.readouterr().out
    assert "Unknown arguments: --no_such_flag=1" in output
    assert "server_options.model_base_path" in output


@pytest.mark.parametrize(
    ("argument", "expected"),
    [("--enable_batching", True), ("--enable_batching=TRUE", True), ("--enable_batching=False", False)],
)
def test_booleans(argument: str, expected: bool) -> None:
    assert flags.parse([argument])[0].enable_batching is expected


def test_defaults_are_the_references() -> None:
    parsed, unknown = flags.parse([])
    assert not unknown
    assert (parsed.port, parsed.rest_api_port, parsed.rest_api_timeout_in_ms) == (8500, 0, 30000)
    assert (parsed.model_name, parsed.file_system_poll_wait_seconds) == ("default", 1)
    assert (parsed.max_num_load_retries, parsed.load_retry_interval_micros) == (5, 60_000_000)
    assert (parsed.enable_model_warmup, parsed.enable_batching) == (True, False)


def test_the_process_serves_over_tcp_and_socket_and_finishes_what_it_began(
    models: Models, tmp_path: pathlib.Path
) -> None:
    models.publish("half_plus_two", tmp_path / "half", 1)
    port, socket_path = free_port(), tmp_path / "grpc.sock"
    arguments = [
        f"--port={port}", "--host=127.0.0.1", f"--grpc_socket_path={socket_path}",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb",
        "--model_name=half", f"--model_base_path={tmp_path / 'half'}",
    ]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "homefeed.serving.model_server", *arguments])
    try:
        stubs = Stubs(f"127.0.0.1:{port}")
        eventually(lambda: _predicts(stubs, "half"))
        assert stubs_version(port) == 1
        assert Stubs(f"unix:{socket_path}").predict("half", {"x": column(2)}).model_spec.version.value == 1

        # Long enough to be under way when the signal comes, short enough to end.
        answers = []
        calling = threading.Thread(target=lambda: answers.append(_count(port, 100_000)))
        calling.start()
        threading.Event().wait(0.3)
        process.send_signal(signal.SIGTERM)
        calling.join()
        assert answers == [100_000]
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def _count(port: int, limit: int) -> int:
    import numpy as np

    response = Stubs(f"127.0.0.1:{port}").predict("half", {"limit": np.int64(limit)}, signature="count")
    return int(response.outputs["count"].int64_val[0])
