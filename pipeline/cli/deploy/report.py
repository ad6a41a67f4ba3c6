"""`homefeed deploy report`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer


def report(
    status: Annotated[str, typer.Option(help="JSON of a PipelineTaskFinalStatus, as the pipeline gives it.")],
) -> None:
    """Log how a run ended, as one line of JSON that alerts can match: what the exit handler does."""
    try:
        found: dict[str, Any] = json.loads(status)
        if not isinstance(found, dict):
            raise ValueError("it is no mapping")
    except ValueError as fault:
        raise typer.BadParameter(
            f"--status is not a PipelineTaskFinalStatus in JSON ({fault}): {status!r}"
        ) from fault
    state = found.get("state", "UNKNOWN")
    reason = (found.get("error") or {}).get("message")
    line = {
        "severity": "INFO" if state == "SUCCEEDED" else "ERROR",
        "message": f"homefeed pipeline {state.lower()}" + (f": {reason}" if reason else ""),
        "run": found.get("pipelineJobResourceName", ""),
        "task": found.get("pipelineTaskName", ""),
    }
    print(json.dumps(line, ensure_ascii=False))
