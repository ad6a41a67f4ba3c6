"""Versions come and go under a running server, and there is no instant without one."""

import pathlib
import shutil
import threading

import grpc
import pytest

from tests.serving.conftest import Models
from tests.serving.servers import Stubs, column, eventually, fails, predict_request, running_server


def _versions(stubs: Stubs, state: str) -> set[int]:
    return {version for version, its_state in stubs.states("half").items() if its_state == state}


@pytest.fixture
def base_path(models: Models, tmp_path: pathlib.Path) -> pathlib.Path:
    models.publish("half_plus_two", tmp_path / "half", 1)
    return tmp_path / "half"


def test_new_version_is_served_old_one_unloaded_and_a_rollback_works(models: Models, base_path: pathlib.Path) -> None:
    with running_server(model_name="half", model_base_path=str(base_path)) as server:
        stubs = Stubs(f"127.0.0.1:{server.grpc_port}")
        models.publish("half_plus_three", base_path, 2)
        eventually(lambda: stubs.states("half") == {2: "AVAILABLE", 1: "END"})
        response = stubs.predict("half", {"x": column(2)})
        assert (response.model_spec.version.value, list(response.outputs["y"].float_val)) == (2, [4.0])
        with fails(grpc.StatusCode.NOT_FOUND, "Specific(half, 1)"):
            stubs.predict("half", {"x": column(2)}, version=1)

        shutil.rmtree(base_path / "2")
        eventually(lambda: stubs.states("half") == {2: "END", 1: "AVAILABLE"})
        assert stubs.predict("half", {"x": column(2)}).model_spec.version.value == 1

        shutil.rmtree(base_path / "1")
        eventually(lambda: stubs.states("half") == {2: "END", 1: "END"})
        with fails(grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(half)"):
            stubs.predict("half", {"x": column(2)})


def test_a_broken_version_fails_alone_and_its_status_says_why(models: Models, base_path: pathlib.Path) -> None:
    with running_server(model_name="half", model_base_path=str(base_path), max_num_load_retries=1) as server:
        stubs = Stubs(f"127.0.0.1:{server.grpc_port}")
        (base_path / "2").mkdir()
        eventually(lambda: stubs.states("half") == {2: "END", 1: "AVAILABLE"})
        assert stubs.predict("half", {"x": column(2)}).model_spec.version.value == 1
        status = stubs.status("half", 2).model_version_status[0].status
        assert status.error_code == grpc.StatusCode.NOT_FOUND.value[0]
        assert "Could not find SavedModel" in status.error_message

        # It stays failed until its folder goes away and comes back.
        shutil.rmtree(base_path / "2")
        models.publish("half_plus_three", base_path, 3)
        eventually(lambda: stubs.states("half") == {3: "AVAILABLE", 2: "END", 1: "END"})


def test_a_base_path_that_vanishes_changes_nothing(base_path: pathlib.Path) -> None:
    with running_server(model_name="half", model_base_path=str(base_path)) as server:
        stubs = Stubs(f"127.0.0.1:{server.grpc_port}")
        away = base_path.rename(base_path.with_name("away"))
        threading.Event().wait(0.5)  # Several polls.
        assert stubs.states("half") == {1: "AVAILABLE"}
        away.rename(base_path)


def test_no_request_fails_while_versions_are_pushed_and_rolled_back(models: Models, base_path: pathlib.Path) -> None:
    with running_server(model_name="half", model_base_path=str(base_path)) as server:
        target = f"127.0.0.1:{server.grpc_port}"
        stubs, done, faults = Stubs(target), threading.Event(), []

        def call() -> None:
            own = Stubs(target)
            while not done.is_set():
                try:
                    response = own.prediction.Predict(predict_request("half", {"x": column(2)}), timeout=20)
                except grpc.RpcError as error:
                    faults.append(error)
                    return
                # Odd versions add 2, even ones 3: each answer must come from the version that it names.
                expected = 3.0 if response.model_spec.version.value % 2 else 4.0
                if list(response.outputs["y"].float_val) != [expected]:
                    faults.append(response)

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for version in (2, 3, 4):
            models.publish("half_plus_two" if version % 2 else "half_plus_three", base_path, version)
            eventually(lambda version=version: _versions(stubs, "AVAILABLE") == {version})
        shutil.rmtree(base_path / "4")
        eventually(lambda: _versions(stubs, "AVAILABLE") == {3})
        done.set()
        for thread in threads:
            thread.join()
        assert not faults
