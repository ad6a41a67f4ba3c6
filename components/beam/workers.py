# mypy: disable-error-code="no-untyped-call, misc"
"""Workers of Beam that are processes of this machine: the end of one is noticed."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    BeamFnControlServicer,
    ControlConnection,
    ControlFuture,
    SubprocessSdkWorkerHandler,
    WorkerHandler,
)
from apache_beam.runners.portability.local_job_service import SubprocessSdkWorker


@WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class WatchedWorker(SubprocessSdkWorkerHandler):
    """In place of Beam's own, which waits for ever for the answers of a process that was killed."""

    def start_worker(self) -> None:
        """Starts the process, and a thread that lives as long."""
        self.worker = SubprocessSdkWorker(
            self._worker_command_line, self.control_address, self.provision_info, self.worker_id
        )
        self.worker_thread = threading.Thread(name="run_worker", target=self._run)
        self.worker_thread.start()

    def _run(self) -> None:
        with contextlib.suppress(RuntimeError):  # An exit code, of which nobody would hear.
            self.worker.run()
        _answer_all(self.control_conn, "a worker of this machine ended before its work did, as if it was killed")


def _answer_all(connection: ControlConnection, error: str) -> None:
    """Answers what a worker was asked, and will be, with an error. After a regular end nobody asks."""
    ask = connection.push

    def push(request: Any) -> ControlFuture | None:
        future = ask(request)
        if request is not BeamFnControlServicer._DONE_MARKER:
            _answer(connection, error)
        return future

    connection.push = push  # type: ignore[method-assign, assignment]
    _answer(connection, error)


def _answer(connection: ControlConnection, error: str) -> None:
    for name in list(connection._futures_by_id):
        future = connection._futures_by_id.pop(name, None)
        if future is not None:
            future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=name, error=error))
