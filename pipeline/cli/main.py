"""The command line: its table of contents, and how a verb is found and its errors are told.

A verb's file is imported when the verb is asked for, so that `--help` answers at once.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import pathlib
import re
import sys
import traceback
import warnings
from typing import Annotated, Any, NamedTuple

import rich.text
import typer
from typer.core import TyperGroup
from typer.main import get_command

from homefeed.pipeline.cli.failures import INTERRUPTED, Interrupted, tell
from homefeed.pipeline.cli.interrupts import hear_ctrl_c
from homefeed.pipeline.cli.terminal import errors


class Verb(NamedTuple):
    """Where a verb is: a function, or a Typer with verbs of its own."""

    place: str  # module:name, below this package.
    help: str  # The first line of its own help.


VERBS = {
    "data": Verb("data:data_app", "Make a dataset: three tables and a dataset.yaml."),
    "init": Verb("init:init", "Look at your files and write the dataset.yaml that they need."),
    "doctor": Verb(
        "doctor:doctor",
        "Check this machine, your data and a root, and say what mends each fault. Exit 1 if there is one.",
    ),
    "schema": Verb("schema:schema_app", "Keep a curated schema beside the data, under review."),
    "drift": Verb(
        "data:drift", "Compare two datasets: every distance with its threshold, quiet or not. Exit 1 on drift."
    ),
    "run": Verb("run:run", "Run the whole pipeline; what is already done is not done again."),
    "config": Verb("config:config", "Show every setting: what it may be, its default and what it means."),
    "component": Verb("component:component", "Run one component by itself: what a container of the pipeline does."),
    "tune": Verb(
        "tune:tune",
        "Search for better settings: NDCG@10 on eval decides. The same command again goes on where it stopped.",
    ),
    "evaluate": Verb("results:evaluate", "Print the figures of the last evaluation and the verdict on its models."),
    "lineage": Verb(
        "results:lineage",
        "Show what pushed models, or any artifact, were made from: data, spans, code, configuration, parents.",
    ),
    "recommend": Verb(
        "recommend:recommend",
        "Print the best items for a user, with the titles and the history they follow from.",
    ),
    "batch-recommend": Verb("recommend:batch_recommend", "Recommend for every user of a file."),
    "serve": Verb(
        "serve:serve",
        "Serve the pushed models; new versions, promotions and rollbacks are picked up while running.",
    ),
    "gateway": Verb("gateway:gateway", "Serve the live home page: events come in, and the next page knows them."),
    "feedback": Verb("feedback:feedback_app", "Make training data of what came to the home page."),
    "page": Verb("page:page_app", "See what a page would be, and what other rules would change."),
    "why": Verb("why:why", "Tell why a card was on a page: reasons that were measured or recorded."),
    "audit": Verb("audit:audit", "List who changed what, which pages were served, and which reasons were told."),
    "experiment": Verb("experiment:experiment_app", "Check experiments, see what came of them, and stop them."),
    "models": Verb("models:models_app", "List, promote and roll back published models."),
    "retrain": Verb(
        "retrain:retrain",
        "Train on new spans of data and push what is no worse than the models in service.",
    ),
    "items": Verb("items:items_app", "Review items that rules hold."),
    "index": Verb("index:index_app", "Keep the index of items up to date between trainings."),
    "forget": Verb(
        "data:forget", "Remove a person from tables, artifacts and profiles; name the models trained with them."
    ),
    "deploy": Verb("deploy.app:deploy_app", "Compile the pipeline, submit it, and put models into service."),
}


PAGES = ("gateway", "page", "why", "experiment")
"""Verbs whose products of matrices are so small that waking BLAS's threads for one costs more than the product."""


def load(name: str) -> Any:
    """The command of a verb, its file imported."""
    if name in PAGES:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # Read once, when NumPy is imported.
    module, _, attribute = VERBS[name].place.partition(":")
    found = getattr(importlib.import_module(f"homefeed.pipeline.cli.{module}"), attribute)
    carrier = typer.Typer(add_completion=False, rich_markup_mode="rich")
    if isinstance(found, typer.Typer):
        carrier.add_typer(found, name=name)
        command = get_command(carrier).commands[name]  # type: ignore[attr-defined]
    else:
        carrier.command(name)(found)
        command = get_command(carrier)
    _take_local_paths(command)
    return command


def _take_local_paths(command: Any) -> None:
    for inner in getattr(command, "commands", {}).values():
        _take_local_paths(inner)
    for option in command.params:
        if option.type_descriptor.annotation is pathlib.Path and option.callback is None:
            option.callback = _local


def _local(context: Any, option: Any, path: pathlib.Path | None) -> pathlib.Path | None:
    """Of a URL `pathlib` makes a folder `gs:` in the current one, and what is asked for would end there."""
    if path is not None and re.match(r"[a-z][a-z0-9+.-]+:/", str(path)):
        raise typer.BadParameter(f"expected a folder or file of this machine, got {path}", context, option)
    return path


class _Verbs(TyperGroup):
    """Knows the verbs by their table of contents, and loads the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in VERBS else listed, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # Before Typer makes a silent exit of it.
            raise Interrupted(INTERRUPTED) from error


app = typer.Typer(
    cls=_Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _verb in VERBS.items():
    app.command(_name, help=_verb.help)(lambda: None)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"homefeed {importlib.metadata.version('homefeed')}")
        raise typer.Exit


@app.callback()
def homefeed(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From three tables to a served, personal home page."""


def main() -> None:
    """Entry point: runs a verb; what a user can mend ends in one line and an exit code."""
    _silence_frameworks()
    with hear_ctrl_c() as heard:
        try:
            code = app(prog_name="homefeed", standalone_mode=False)
        except (Exception, KeyboardInterrupt) as error:
            # Libraries make other errors of Ctrl-C.
            code = _tell(Interrupted(INTERRUPTED) if heard.pressed else error)
    sys.exit(code)


def _tell(error: BaseException) -> int:
    """Prints what happened; the exit code."""
    if type(error).__name__ == "NoArgsIsHelpError":
        print(vars(error)["ctx"].get_help())
        return 2
    told = tell(error)
    if told is None:
        traceback.print_exception(error)
        version = importlib.metadata.version("homefeed")
        errors.print(f"This is a fault of homefeed {version}: please report it with the lines above.", soft_wrap=True)
        return 1
    errors.print(rich.text.Text.assemble((told.title, "bold red"), ": "), end="")
    errors.print(told.message, soft_wrap=True)
    return told.exit_code


def _silence_frameworks() -> None:
    """Turns off the log lines and warnings of TensorFlow, Beam and their dependencies."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GLOG_minloglevel", "3")
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    logging.disable(logging.WARNING)
