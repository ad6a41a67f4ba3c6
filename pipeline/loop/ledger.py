"""What a later retraining must know: `<root>/retraining.json`, with the verdict on every span and every retraining.

Of each retraining it keeps the models that were in service when it began. So the same spans meet the same models
again: a retraining that died goes on where it was, and one that has finished pushes nothing twice.
"""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

from homefeed.pipeline.loop.spans_gate import Verdict, read_verdicts, to_json
from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.root import RunRoot


class Ledger:
    """The ledger of a root; every change is written at once.

    Raises:
        RunError: the file is not what a retraining wrote.
    """

    def __init__(self, root: pathlib.Path) -> None:
        self._root = RunRoot(root)
        self._file = self._root.ledger
        self._content = self._root.placed(_read(self._file))

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Span → what the gate said of it."""
        return read_verdicts(self._content["spans"])

    def keep_verdicts(self, verdicts: Mapping[str, Verdict]) -> None:
        """Replaces them."""
        self._content["spans"] = to_json(verdicts)
        self._write()

    def find(self, key: str) -> dict[str, Any] | None:
        """The retraining with this key, if there was one."""
        return next((run for run in self._content["runs"] if run["key"] == key), None)

    def last_finished(self) -> dict[str, Any] | None:
        """The last retraining that came to its end, if there was one."""
        return next((run for run in reversed(self._content["runs"]) if "finished_at" in run), None)

    def begin(self, run: dict[str, Any]) -> None:
        """Adds a retraining."""
        self._content["runs"].append(run)
        self._write()

    def finish(self, run: dict[str, Any], outcome: str, **facts: Any) -> None:
        """Says how a retraining ended."""
        finished_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        run.update(facts, outcome=outcome, finished_at=finished_at)
        self._write()

    def _write(self) -> None:
        """In one step: a crash leaves the old one or the new one."""
        folder, prefix = self._file.parent, f".{self._file.name}."
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=prefix, delete=False, encoding="utf-8") as file:
            json.dump(self._root.portable(self._content), file, ensure_ascii=False, indent=2)
        os.replace(file.name, self._file)


def _read(file: pathlib.Path) -> dict[str, Any]:
    if not file.is_file():
        return {"spans": {}, "runs": []}
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RunError(f"{file} is not what a retraining wrote ({error}); move it away to begin anew") from error
    return content
