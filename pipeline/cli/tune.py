"""The verb `homefeed tune`."""

from __future__ import annotations

from typing import Annotated

import rich.table
import rich.text
import typer

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline import tune as search
from homefeed.pipeline.cli.terminal import ConfigFile, Data, Json, Metadata, Root, Settings, console, print_json
from homefeed.pipeline.recommender import recommender
from homefeed.pipeline.runner.root import RunRoot
from homefeed.schemas.dataset import load_dataset


def tune(
    data: Data,
    root: Root,
    ranges: Annotated[
        list[str],
        typer.Option("--set-range", help="component.field=low..high or component.field=a,b,c; may be repeated."),
    ],
    trials: Annotated[int, typer.Option(min=1, help="How many, earlier ones of the same search included.")] = 20,
    config: ConfigFile = None,
    settings: Settings = None,
    metadata: Metadata = None,
    seed: Annotated[int, typer.Option(help="Of the search.")] = 0,
    as_json: Json = False,
) -> None:
    """Search for better settings: NDCG@10 on eval decides. The same command again goes on where it stopped."""
    place = RunRoot(root.resolve())
    found = search.tune(
        recommender(DatasetDir(data.resolve())),
        [search.parse_range(text) for text in ranges],
        place.path,
        name=load_dataset(data).name,
        num_trials=trials,
        file=config,
        settings=settings or (),
        defaults=place.defaults(),
        metadata=metadata,
        seed=seed,
        finished=(lambda trial: None) if as_json else _say,
    )
    if as_json:
        print_json([vars(trial) for trial in found])
        return
    table = rich.table.Table("trial", "NDCG@10 on eval", *found[0].settings)
    for trial in found:
        table.add_row(str(trial.number), f"{trial.value:.4f}", *(f"{value}" for value in trial.settings.values()))
    console.print(table)
    console.print("best: " + " ".join(f"--set {name}={value}" for name, value in found[0].settings.items()))


def _say(trial: object) -> None:
    number, value = vars(trial)["number"], vars(trial)["value"]
    console.print(rich.text.Text.assemble(("✓", "green"), f" trial {number}: NDCG@10 {value:.4f} on eval"))
