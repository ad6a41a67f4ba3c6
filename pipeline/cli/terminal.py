"""Consoles, shared options and progress of the command line."""

from __future__ import annotations

import contextlib
import json
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import rich.console
import rich.progress
import rich.text
import typer

from homefeed.models.shared.progress import listening

# Titles, names and messages are not ours: `[red]` is what somebody called a film.
console = rich.console.Console(highlight=False, markup=False)
errors = rich.console.Console(stderr=True, highlight=False, markup=False)

Root = Annotated[pathlib.Path, typer.Option(help="Folder of artifacts, metadata and served models.")]
Data = Annotated[pathlib.Path, typer.Option(help="Folder with dataset.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
ConfigFile = Annotated[pathlib.Path | None, typer.Option("--config", help="YAML: component: {field: value}.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="component.field=value; may be repeated.")]
AuditDir = Annotated[pathlib.Path | None, typer.Option(help="`--audit-dir` of the gateways, where they have one.")]
Metadata = Annotated[
    str | None, typer.Option(help="ML Metadata: a SQLite path or mysql://user:password@host/database.")
]


def print_json(value: Any) -> None:
    """Prints a value for programs."""
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str))


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[[Any], None]]:
    """Shows each component of a run: while it is at work, and what it did."""

    def finished(step: Any) -> None:
        took = f"{step.seconds:6.1f} s {step.cpu_seconds:6.1f} CPU s {step.peak_mebibytes:6,.0f} MiB"
        told = f" {title:<24} {'cached' if step.cached else took:>8}  {step.summary}"
        console.print(rich.text.Text.assemble(("✓", "green"), told), soft_wrap=True)

    with _moving(title) if console.is_terminal else _a_line_a_minute(title):
        yield finished


@contextlib.contextmanager
def _moving(title: str) -> Iterator[None]:
    """A line that moves: spinner, passes, figures, time so far and left."""
    columns = (
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("{task.description}"),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("{task.fields[left]}"),
    )
    with rich.progress.Progress(*columns, console=console, transient=True) as display:
        task = display.add_task(title, total=None, left="")
        started, newest = time.monotonic(), [""]

        def listen(done: float, total: int, figures: str) -> None:
            newest[0] = figures or newest[0]
            left = time_left(time.monotonic() - started, done, total)
            display.update(task, description=f"{title}: {passes(done, total, newest[0])}", left=left)

        with listening(listen):
            yield


@contextlib.contextmanager
def _a_line_a_minute(title: str, seconds: float = 60.0) -> Iterator[None]:
    """For logs."""
    started, ended, newest = time.monotonic(), threading.Event(), [(0.0, 0, "")]

    def tell() -> None:
        while not ended.wait(seconds):
            so_far, (done, total, figures) = time.monotonic() - started, newest[0]
            parts = [passes(done, total, figures), f"{_clock(so_far)} so far", time_left(so_far, done, total)]
            console.print(f"… {title}: {', '.join(filter(None, parts))}", soft_wrap=True)

    def listen(done: float, total: int, figures: str) -> None:
        newest[0] = done, total, figures or newest[0][2]

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        with listening(listen):
            yield
    finally:
        ended.set()
        teller.join()


def passes(done: float, total: int, figures: str) -> str:
    """Such as "epoch 4.3 of 20, loss 0.1234"; nothing before the first step."""
    return ", ".join(filter(None, (f"epoch {done:.3g} of {total}", figures))) if done else ""


def time_left(so_far: float, done: float, total: int) -> str:
    """At most, as long as the passes go on as they went.

    >>> time_left(90.0, done=3, total=20)
    'at most 8:30 left'
    """
    return f"at most {_clock(so_far / done * (total - done))} left" if done else ""


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextlib.contextmanager
def silent(title: str) -> Iterator[Callable[[Any], None]]:
    """Shows nothing of a run."""
    yield lambda step: None


def require_folder(folder: pathlib.Path | None) -> None:
    """Refuses one that is not there: it would look as if nothing was in it."""
    if folder and not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {folder}: name the one that gateways have as --audit-dir")
