"""The root of runs: where everything that a run makes has its place."""

from __future__ import annotations

import dataclasses
import pathlib

from homefeed.pipeline.runner.errors import RunError
from homefeed.serving.profiles import FILE_NAME


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
    def profiles(self) -> pathlib.Path:
        """What is known of users where models are served."""
        return self.serving / FILE_NAME

    @property
    def metadata(self) -> pathlib.Path:
        """ML Metadata, in SQLite."""
        return self.path / "metadata.sqlite"

    @property
    def artifacts(self) -> pathlib.Path:
        """`<Component>/<cache key>/<output>` of every execution that has finished."""
        return self.path / "artifacts"

    @property
    def staging(self) -> pathlib.Path:
        """What a component writes until it has finished; on the same disk as the artifacts."""
        return self.path / ".staging"

    @property
    def lock(self) -> pathlib.Path:
        """Held by the run that is at work."""
        return self.path / ".lock"

    @property
    def retraining_lock(self) -> pathlib.Path:
        """Held by the retraining that is at work."""
        return self.path / ".retrain.lock"

    @property
    def ledger(self) -> pathlib.Path:
        """What a later retraining must know."""
        return self.path / "retraining.json"

    @property
    def studies(self) -> pathlib.Path:
        """Searches for hyper-parameters, in SQLite."""
        return self.path / "tune.sqlite"

    @property
    def reports(self) -> pathlib.Path:
        """Pages of the last run, for people, and `index.html` over them."""
        return self.path / "reports"

    def drift_page(self, span: str) -> pathlib.Path:
        """How a span differs from the last good one, for people."""
        return self.path / "spans" / f"{span}.drift.html"

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

    def defaults(self) -> dict[str, dict[str, str]]:
        """What the place decides of the configuration: component → field → value."""
        return {"pusher": {"serving_dir": str(self.serving)}}
