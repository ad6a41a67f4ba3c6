"""Verbs of the command line that the console starts: processes of their own, so that pages never wait for them."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import os
import pathlib
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from typing import Any

import orjson

from homefeed.schemas.errors import HomefeedError
from homefeed.schemas.scratch import PREFIX, remove

PROGRAM = [sys.executable, "-c", "from homefeed.pipeline.cli.start import start; start()"]
"""The program of this installation; serving imports nothing of the rooms above it."""
NICENESS = 10
MAX_SECONDS = 900.0
MAX_KEPT = 32
MAX_WAITING = 32  # Jobs that have not ended.
TOLD_BYTES = 2_000  # Of what a verb says when it fails.


class JobsError(HomefeedError, RuntimeError):
    """Too much waits."""


@dataclasses.dataclass
class Job:
    """A verb under way, or what came of it.

    Attributes:
        name: by which it is found again.
        started: Unix seconds.
        seconds: that it took; None: it is under way.
        exit_code: 0: it succeeded.
        found: what it printed with --json; None: nothing that is JSON.
        told: what it said on stderr.
    """

    name: str
    started: float
    seconds: float | None = None
    exit_code: int | None = None
    found: Any = None
    told: str = ""

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self.seconds is not None


class Jobs:
    """Runs verbs, one at a time, at low priority.

    Attributes:
        folder: for files that verbs read and write; gone with the gateway.
    """

    def __init__(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        weakref.finalize(self, remove, self.folder)
        self._turn = asyncio.Lock()
        self._jobs: collections.OrderedDict[str, Job] = collections.OrderedDict()
        self._tasks = set[asyncio.Task[None]]()

    def find(self, name: str) -> Job | None:
        """The last job of a name."""
        return self._jobs.get(name)

    def require_room(self) -> None:
        """Looks whether one more may be started.

        Raises:
            JobsError: it may not.
        """
        waiting = sum(not job.is_done for job in self._jobs.values())
        if waiting >= MAX_WAITING:
            raise JobsError(f"{waiting} jobs wait, and no more may: come back when some are through")

    def start(self, name: str, *arguments: str, about: str = "") -> Job:
        """Starts a verb with --json, unless the last job of the name is still under way.

        Args:
            name: of the job.
            arguments: of the command line, all chosen here.
            about: what was typed by somebody: it is no option, whatever it begins with.

        Raises:
            JobsError: too much waits.
        """
        job = self._jobs.get(name)
        if job is None or job.is_done:
            self.require_room()
            job = self._jobs[name] = Job(name, time.time())
            self._jobs.move_to_end(name)
            done = [old for old, one in self._jobs.items() if one.is_done]
            for old in done[: max(0, len(self._jobs) - MAX_KEPT)]:
                del self._jobs[old]
            task = asyncio.create_task(self._run(job, [*arguments, "--json", *(["--", about] if about else [])]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return job

    async def stop(self) -> None:
        """Ends all of them: a verb that outlived its gateway would be in the way of the next one's."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        remove(self.folder)

    async def _run(self, job: Job, arguments: Sequence[str]) -> None:
        async with self._turn:
            try:
                async with asyncio.timeout(MAX_SECONDS):
                    await self._finish(job, arguments)
            except (OSError, TimeoutError) as error:
                job.exit_code, job.told = 1, str(error) or f"it took more than {MAX_SECONDS:g} s"
        job.seconds = time.time() - job.started

    async def _finish(self, job: Job, arguments: Sequence[str]) -> None:
        command = ["nice", f"-n{NICENESS}", *PROGRAM, *arguments]
        nothing, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=nothing, stdout=pipe, stderr=pipe)
        try:
            printed, told = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        job.exit_code, job.told = process.returncode, told.decode("utf-8", "replace")[-TOLD_BYTES:].strip()
        try:
            job.found = orjson.loads(printed)
        except ValueError:
            job.found = None
