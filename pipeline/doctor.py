"""Whether this machine, a team's data and a root are as they must be: each check with what mends it."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import os
import pathlib
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import Literal

from packaging.requirements import Requirement

from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas.dataset import load_dataset
from homefeed.schemas.errors import HomefeedError
from homefeed.schemas.tables import find_table, is_there
from homefeed.serving.profiles.store import LIVE_FILE_NAME
from homefeed.serving.releases import Releases

PORTS = {8500: "homefeed serve, gRPC", 8501: "homefeed serve, REST", 8080: "homefeed gateway"}
MIN_DISK, MIN_MEMORY = 4 << 30, 3 << 30  # Bytes: a run of MovieLens takes about half of each.

Verdict = Literal["ok", "note", "fault"]


class DoctorError(HomefeedError, RuntimeError):
    """Something is not as it must be."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was checked, and how it is.

    Attributes:
        subject: that was checked.
        verdict: `note` is something to know that stops nothing.
        told: how it is and, of a fault, what mends it.
    """

    subject: str
    verdict: Verdict
    told: str


def examine(data: pathlib.Path | None, root: pathlib.Path | None) -> list[Finding]:
    """Everything that can be checked without starting anything.

    Args:
        data: folder of `dataset.yaml`.
        root: of a run.
    """
    found = [_python(), *_packages(), _disk(root or pathlib.Path()), _memory(), *_ports()]
    if data is not None:
        found += [_checked("data", lambda: _tables(data))]
    if root is not None:
        found += [_checked("models", lambda: _models(root)), *_stores(root)]
    return found


def _checked(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, "ok", check())
    except HomefeedError as error:
        return Finding(subject, "fault", str(error))


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] != (3, 11):
        return Finding("Python", "fault", f"{version}; TensorFlow and TFDV need 3.11: make a new environment with it")
    return Finding("Python", "ok", version)


def _packages() -> Iterator[Finding]:
    """What homefeed requires and is not installed, or in another version."""
    wanted = [Requirement(line) for line in importlib.metadata.requires("homefeed") or ()]
    plain = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = []
    for one in plain:
        try:
            version = importlib.metadata.version(one.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{one.name} is not installed")
            continue
        if not one.specifier.contains(version, prereleases=True):
            wrong.append(f"{one.name} is {version}, expected {one.specifier}")
    if wrong:
        told = f"{'; '.join(wrong)}: install with `pip install -c constraints.txt -e .`"
        yield Finding("packages", "fault", told)
    else:
        yield Finding("packages", "ok", f"all {len(plain)} are there")


def _disk(place: pathlib.Path) -> Finding:
    there = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    told = f"{free / 2**30:.1f} GiB free at {there}"
    if free < MIN_DISK:
        return Finding("disk", "fault", f"{told}, expected {MIN_DISK >> 30}: make room, or take another --root")
    if not os.access(there, os.W_OK):
        return Finding("disk", "fault", f"{there} cannot be written: change its owner, or take another --root")
    return Finding("disk", "ok", told)


def _memory() -> Finding:
    with contextlib.suppress(OSError, ValueError):
        lines = pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
        told = f"{available / 2**30:.1f} GiB available"
        if available < MIN_MEMORY:
            return Finding("memory", "note", f"{told}; a run of 100,000 events takes up to {MIN_MEMORY >> 30}")
        return Finding("memory", "ok", told)
    return Finding("memory", "note", "unknown on this system")


def _ports() -> Iterator[Finding]:
    for port, program in PORTS.items():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                yield Finding(f"port {port}", "note", f"somebody listens there already; for {program} choose another")
            else:
                yield Finding(f"port {port}", "ok", f"free for {program}")


def _tables(data: pathlib.Path) -> str:
    dataset = load_dataset(data)
    there = [one for one in dataset.tables if not dataset.is_derived(one) and is_there(data, dataset, one)]
    sources = [find_table(data, dataset, table) for table in there]
    return ", ".join(f"{one.name}: {len(one.files)} files, {one.num_bytes / 2**20:,.1f} MiB" for one in sources)


def _models(root: pathlib.Path) -> str:
    releases = Releases(RunRoot(root).serving)
    stable = releases.stable()
    lacking = [
        model
        for model in releases.models()
        if not (pathlib.Path(releases.path(model, stable)) / "saved_model.pb").is_file()
    ]
    if lacking:
        told = f"stable version {stable} of {', '.join(lacking)} holds no saved_model.pb"
        raise HomefeedError(f"{told}: `homefeed models rollback`, or push again by `homefeed run`")
    return f"version {stable} of {', '.join(releases.models())} is stable"


def _stores(root: pathlib.Path) -> Iterator[Finding]:
    """Whether SQLite finds its files whole."""
    place = RunRoot(root)
    mends = {
        place.metadata: "remove it: `homefeed run` makes it anew, and trains again",
        place.profiles: "push again: `homefeed run`",
        place.serving / LIVE_FILE_NAME: "restore it from a copy: it holds what came to the home page",
    }
    for path, mend in mends.items():
        if path.is_file():
            fault = _fault_of(path)
            yield Finding(path.name, "fault" if fault else "ok", f"{fault}; {mend}" if fault else "is whole")


def _fault_of(path: pathlib.Path) -> str:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
            return "" if said == "ok" else str(said)
    except sqlite3.Error as error:
        return str(error)
