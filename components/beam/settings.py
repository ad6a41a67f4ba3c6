"""What can be set where a component runs on Beam."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import re
from collections.abc import Sequence
from typing import Annotated

from homefeed.schemas.settings import Form

RUNNERS = (
    "FnApiRunner",
    "BundleBasedDirectRunner",
    "DaskRunner",
    "DataflowRunner",
    "DirectRunner",
    "FlinkRunner",
    "InteractiveRunner",
    "PortableRunner",
    "PrismRunner",
    "SparkRunner",
    "SwitchingDirectRunner",
)
"""Beam's own, by its names for them; Dask's is among its code and not among its names."""


def _is_runner(text: str) -> bool:
    module, dot, _ = text.rpartition(".")
    if not dot:
        return f"{text.lower().removesuffix('runner')}runner" in map(str.lower, RUNNERS)  # As Beam finds it.
    with contextlib.suppress(ModuleNotFoundError, ValueError):
        return importlib.util.find_spec(module) is not None
    return False


@dataclasses.dataclass(frozen=True)
class BeamSettings:
    """On which machines Beam works. The Config of a component that runs on Beam inherits it."""

    # Beam's name of its runner, or module.Class of another; FnApiRunner is in this process.
    runner: Annotated[str, Form(f"one of {', '.join(RUNNERS)}, or module.Class", _is_runner)] = "FnApiRunner"
    beam_options: tuple[str, ...] = ()  # Options passed to Beam, such as "--project=my-project".

    def check(self) -> list[str]:
        """What is against the options, as Beam itself reads them."""
        malformed = [option for option in self.beam_options if not re.match(r"--[a-z][\w-]*(=|$)", option)]
        if malformed:
            return [f"beam_options: expected --name or --name=value, got {option!r}" for option in malformed]
        return _refused(self.beam_options) if self.beam_options else []


def _refused(options: Sequence[str]) -> list[str]:
    from apache_beam.options.pipeline_options import PipelineOptions

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            PipelineOptions(list(options)).get_all_options()
    except SystemExit:  # As argparse ends a program.
        return [f"beam_options: {said.getvalue().strip().rpartition('error: ')[2]}"]
    return []
