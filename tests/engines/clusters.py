"""Engines with worker processes on this machine, from packages of the registries: started, and ended by their ids."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil

from homefeed.serving.process import free_port
from tests.serving.servers import eventually
from tests.serving.strangers.workshop import go_tool, need

HOST = "127.0.0.1"
START_SECONDS = 120.0
SPARK_DEFAULTS = """\
spark.default.parallelism 2
spark.executor.memory 512m
spark.ui.enabled false
"""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What runs, and how it is named in the settings.

    Attributes:
        runner: `runner` of the settings.
        options: `beam_options` of the settings.
        started: the processes that were started.
        worker: a word in the command of a process that does the work.
        environment: variables of whoever asks.
    """

    runner: str
    options: tuple[str, ...]
    started: tuple[psutil.Process, ...]
    worker: str
    environment: dict[str, str] = dataclasses.field(default_factory=dict)

    def processes(self) -> list[psutil.Process]:
        """All that run."""
        found = [*self.started]
        for process in self.started:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += process.children(recursive=True)
        return found

    def workers(self) -> list[psutil.Process]:
        """Those that do the work; some engines start them when a job comes."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if self.worker in " ".join(process.cmdline()):
                    found.append(process)
        return found


@contextlib.contextmanager
def _started(folder: pathlib.Path, **commands: list[str]) -> Iterator[tuple[psutil.Process, ...]]:
    """Programs with a log each; they and all their children have ended afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    running = []
    try:
        for name, command in commands.items():
            with (folder / f"{name}.log").open("wb") as log:
                environment = _environment(folder)
                running.append(
                    subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
                )
        yield tuple(psutil.Process(process.pid) for process in running)
    finally:
        for process in reversed(running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # Of the session that it began.
            process.wait()


def _environment(folder: pathlib.Path) -> dict[str, str]:
    """This Python first, as worker pools call it `python`; no address but this machine's."""
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    code = os.pathsep.join(filter(None, [*map(str, _code()), os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": code,
        "SPARK_LOCAL_IP": HOST,
        "SPARK_WORKER_DIR": str(folder),  # Where executors run.
        "no_proxy": f"{HOST},localhost",
    }


def _code() -> list[pathlib.Path]:
    root = pathlib.Path(__file__).parents[2]
    return [root, root / "serving" / "client"]


def _listens(port: int) -> Callable[[], bool]:
    def asked() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, port)) == 0

    return asked


@contextlib.contextmanager
def dask(folder: pathlib.Path, *flags: str) -> Iterator[Cluster]:
    """A scheduler and two workers, each with the nanny that starts it again or with other flags."""
    import distributed

    port = free_port()
    address = f"tcp://{HOST}:{port}"
    quiet = ["--host", HOST, "--no-dashboard"]
    work = [sys.executable, "-m", "distributed.cli.dask_worker", address, *quiet, "--nthreads", "1", *flags]
    with _started(
        folder,
        scheduler=[sys.executable, "-m", "distributed.cli.dask_scheduler", *quiet, "--port", str(port)],
        one=[*work, "--local-directory", str(folder / "one")],
        two=[*work, "--local-directory", str(folder / "two")],
    ) as processes:
        eventually(_listens(port), START_SECONDS)
        with distributed.Client(address) as client:
            client.wait_for_workers(2, START_SECONDS)
        yield Cluster("DaskRunner", (f"--dask_client_address={address}",), processes, "spawn_main")


@contextlib.contextmanager
def spark(folder: pathlib.Path) -> Iterator[Cluster]:
    """A standalone master and two workers, from the jars in the package pyspark; each job brings two executors."""
    import pyspark

    need("java")
    port = free_port()
    master = f"spark://{HOST}:{port}"
    deploy = [f"{pathlib.Path(pyspark.__file__).parent}/bin/spark-class", "org.apache.spark.deploy"]
    of_both = ["--host", HOST, "--webui-port", "0"]
    work = [deploy[0], f"{deploy[1]}.worker.Worker", *of_both, "--cores", "1", "--memory", "1g", master]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spark-defaults.conf").write_text(SPARK_DEFAULTS)
    with _started(
        folder,
        master=[deploy[0], f"{deploy[1]}.master.Master", *of_both, "--port", str(port)],
        one=work,
        two=work,
    ) as processes:
        eventually(_listens(port), START_SECONDS)
        yield Cluster(
            "homefeed.components.beam.spark.PySparkRunner",
            (f"--spark_master_url={master}",),
            processes,
            "CoarseGrainedExecutorBackend",
            {"SPARK_CONF_DIR": str(folder), "SPARK_LOCAL_IP": HOST},
        )


@contextlib.contextmanager
def prism(folder: pathlib.Path) -> Iterator[Cluster]:
    """A pool that starts a worker when a job comes; Prism itself is started by whoever asks for it."""
    port = free_port()
    module = "apache_beam.runners.worker.worker_pool_main"
    with _started(folder, pool=[sys.executable, "-m", module, "--service_port", str(port)]) as processes:
        eventually(_listens(port), START_SECONDS)
        options = (
            f"--prism_location={go_tool('prism')}",
            "--environment_type=EXTERNAL",
            f"--environment_config={HOST}:{port}",
        )
        yield Cluster("PrismRunner", options, processes, "SdkHarness")


ENGINES = {"dask": dask, "spark": spark, "prism": prism}
