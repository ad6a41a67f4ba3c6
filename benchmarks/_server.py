"""A model server as a process, with what the system says of it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import subprocess
import time
from collections.abc import Iterator

from homefeed.serving import process
from homefeed.serving.releases import Releases


@dataclasses.dataclass
class Server:
    """A model server of ours as a process."""

    process: subprocess.Popen[bytes]
    address: str
    rest_port: int
    started: float

    def cpu_seconds(self) -> float:
        """CPU time that it took since its start."""
        fields = self._read("stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        """Its resident memory."""
        return int(self._read("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def peak_megabytes(self) -> float:
        """The most since its start, or since `forget_peak`."""
        found = re.search(r"VmHWM:\s+(\d+)", self._read("status"))
        assert found
        return int(found[1]) / 1024

    def forget_peak(self) -> None:
        """Begins to look for the most memory anew."""
        (self._folder / "clear_refs").write_text("5", encoding="ascii")

    @property
    def _folder(self) -> pathlib.Path:
        return pathlib.Path(f"/proc/{self.process.pid}")

    def _read(self, name: str) -> str:
        return (self._folder / name).read_text(encoding="ascii")


OURS = "homefeed.serving.model_server"


def start(releases: Releases, port: int, rest_port: int, *flags: str, program: str = OURS) -> Server:
    """Starts `homefeed serve`'s server, with more flags; its log goes beside the models.

    Args:
        releases: the models.
        port, rest_port: where it listens.
        flags: beside those of `homefeed serve`.
        program: the module to run in place of ours.
    """
    command = process.server_command("homefeed", [*process.server_flags(releases.root, port, rest_port), *flags])
    command = [program if word == OURS else word for word in command]
    with (pathlib.Path(releases.root) / f"server-{port}.log").open("ab") as log:
        started = time.perf_counter()
        child = subprocess.Popen(command, stdout=log, stderr=log)
    return Server(child, f"127.0.0.1:{port}", rest_port, started)


@contextlib.contextmanager
def serving(releases: Releases, program: str = OURS) -> Iterator[Server]:
    """Runs `homefeed serve`'s server, or another module with its flags, until the block ends."""
    server = start(releases, process.free_port(), process.free_port(), program=program)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(60)
