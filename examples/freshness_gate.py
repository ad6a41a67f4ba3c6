"""FreshnessGate, the component of `own_component.py`: refuses a log that ended long ago.

A component is a module with these four names. Nothing registers it: a pipeline adds the module.
"""

from __future__ import annotations

import dataclasses
import time

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import SPLITS, Examples, Gate


class Freshness(Gate):
    """The verdict. A Gate that is closed stops the run after its component."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What ExampleGen wrote."""

    interactions: Examples


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The verdict."""

    freshness: Freshness


@dataclasses.dataclass(frozen=True)
class Config:
    """How old is too old."""

    max_age_days: float = 30.0  # Of the newest event.
    now: int = 0  # Unix seconds; 0: this machine's clock.


def reasons_against(newest: int, now: int, max_age_days: float) -> list[str]:
    """Why a log is too old; empty: it is not. Pure, so that a test needs no files.

    >>> reasons_against(newest=0, now=3 * 86_400, max_age_days=2)
    ['the newest event is 3.0 days old; expected 2 at most']
    """
    age_days = (now - newest) / 86_400
    is_old = age_days > max_age_days
    return [f"the newest event is {age_days:.1f} days old; expected {max_age_days:g} at most"] if is_old else []


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Thin: reads, calls the function above, writes; gives the line of the progress display."""
    found = (example_io.ragged(example_io.read_split(inputs.interactions, split), "timestamp") for split in SPLITS)
    newest = max(int(times.max()) for times, _ in filter(None, found) if len(times))
    against = reasons_against(newest, config.now or int(time.time()), config.max_age_days)
    outputs.freshness.write_reasons(against)
    return against[0] if against else f"the newest event is of {time.strftime('%Y-%m-%d', time.gmtime(newest))}"
