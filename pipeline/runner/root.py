"""The root of runs: where everything that a run makes has its place."""

from __future__ import annotations

import dataclasses
import pathlib

from homefeed.pipeline.runner.errors import RunError


@dataclasses.dataclass(frozen=True)
class RunRoot:
    """A root, which may not exist yet.

    Attributes:
        path: the folder.
    """

    path: pathlib.Path

    @property
    def serving(self) -> pathlib.Path:
        """Where the Pusher publishes by default: models, their labels and the profiles."""
        return self.path / "serving"

    @property
    def metadata(self) -> pathlib.Path:
        """ML Metadata, in SQLite."""
        return self.path / "metadata.sqlite"

    def pushed(self) -> pathlib.Path:
        """`serving`, after something was pushed.

        Raises:
            RunError: nothing was.
        """
        if not self.serving.is_dir():
            raise RunError(f"{self.path} holds no pushed models yet: `homefeed run --root {self.path}` pushes them")
        return self.serving.resolve()

    def recorded(self) -> pathlib.Path:
        """`metadata`, after a run.

        Raises:
            RunError: there was none.
        """
        if not self.metadata.is_file():
            raise RunError(f"{self.path} holds no run yet: `homefeed run --root {self.path}` makes one")
        return self.metadata
