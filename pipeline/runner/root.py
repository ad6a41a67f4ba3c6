"""The root of runs: where everything that a run makes has its place."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from homefeed.components.artifacts.types import ARTIFACTS, STAGING
from homefeed.pipeline.runner.errors import RunError
from homefeed.schemas.spans import LEDGER
from homefeed.serving.profiles import FILE_NAME

_ROOT = '"{root}/'  # How a JSON text that names a place in the root begins.


@dataclasses.dataclass(frozen=True)
class RunRoot:
    """A root, which may not exist yet, and may be moved and copied: what it holds names its own by their place in it.

    Attributes:
        path: the folder, absolute and without links.
    """

    path: pathlib.Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.path.resolve())

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
        return self.path / ARTIFACTS

    @property
    def staging(self) -> pathlib.Path:
        """What a component writes until it has finished, laid out as the artifacts are."""
        return self.path / STAGING

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
        return self.path / LEDGER

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

    def portable(self, value: Any) -> Any:
        """A JSON value with `{root}/…` for each path below the root: it is the same wherever the root lies."""
        return json.loads(json.dumps(value, default=str).replace(self._start, _ROOT))

    def placed(self, value: Any) -> Any:
        """What `portable` was given, as of where the root lies now."""
        return json.loads(json.dumps(value).replace(_ROOT, self._start))

    @property
    def _start(self) -> str:
        return json.dumps(f"{self.path}/")[:-1]

    def pushed(self) -> pathlib.Path:
        """`serving`, after something was pushed.

        Raises:
            RunError: nothing was.
        """
        if not self.serving.is_dir():
            raise RunError(f"{self.path} holds no pushed models yet: `homefeed run --root {self.path}` pushes them")
        return self.serving

    def recorded(self) -> RunRoot:
        """This root, after a run.

        Raises:
            RunError: there was none.
        """
        if not self.metadata.is_file():
            raise RunError(f"{self.path} holds no run yet: `homefeed run --root {self.path}` makes one")
        return self

    def defaults(self) -> dict[str, dict[str, str]]:
        """What the place decides of the configuration: component → field → value."""
        return {"pusher": {"serving_dir": str(self.serving)}}
