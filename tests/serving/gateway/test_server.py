"""What a gateway's process takes of the machine."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from homefeed.serving.process import free_port
from tests.serving.gateway import toy

SERVE = """
import pathlib
import signal
import sys
import threadpoolctl
from homefeed.serving.gateway.auth import Keys
from homefeed.serving.gateway.home import Config
from homefeed.serving.gateway.server import serve

def listening():
    print([pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"])
    signal.raise_signal(signal.SIGINT)

serve(Config(pathlib.Path(sys.argv[1])), "127.0.0.1", int(sys.argv[2]), Keys(), listening=listening)
"""


def test_small_matrices_keep_no_second_core_busy(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path / "serving", {})
    command = [sys.executable, "-c", SERVE, str(tmp_path / "serving"), str(free_port())]
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=os.environ | {"OPENBLAS_NUM_THREADS": "2"}
    )
    assert said.stdout.splitlines() == ["[1]"], said.stderr
