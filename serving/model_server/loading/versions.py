"""A version under management: its state, and which of a model's versions load and unload next."""

import dataclasses
import enum
import pathlib
import threading
from collections.abc import Collection

from homefeed.serving.model_server.errors import Code
from homefeed.serving.model_server.loading.servable import Servable


class State(enum.IntEnum):
    """Where a version is in its life; the numbers are ModelVersionStatus.State's."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """What GetModelStatus says of a version; `code` is not OK only after a failed load."""

    state: State
    code: Code = Code.OK
    message: str = ""


class Harness:
    """One version under management. All fields belong to the manager's lock."""

    def __init__(self, name: str, version: int, path: pathlib.Path):
        self.name, self.version, self.path = name, version, path
        self.state = State.START
        self.wanted = True
        self.waits_for_retry = False
        self.failed = False
        self.cancelled = threading.Event()
        self.servable: Servable | None = None
        self.in_flight = 0


def versions_to_unload(harnesses: Collection[Harness]) -> list[Harness]:
    """Availability first: the last ready version stays until a wanted one is ready, or none is wanted."""
    unwanted = sorted(
        (item for item in harnesses if item.state is State.AVAILABLE and not item.wanted),
        key=lambda item: item.version,
    )
    wanted = [item for item in harnesses if item.wanted]
    if wanted and not any(item.state is State.AVAILABLE for item in wanted):
        return unwanted[:-1]
    return unwanted


def version_to_load(harnesses: Collection[Harness]) -> Harness | None:
    """The highest new version, unless another one of the model is loading right now."""
    if any(item.state is State.LOADING and not item.waits_for_retry for item in harnesses):
        return None
    new = [item for item in harnesses if item.state is State.START]
    return max(new, key=lambda item: item.version, default=None)
