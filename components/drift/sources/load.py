"""Which kind of thing lies at a path. Only the library that it takes to read it is loaded."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from homefeed.components.artifacts.types import Examples, ExampleStatistics
from homefeed.schemas.columns import TABLES
from homefeed.schemas.dataset import FILE_NAME, DatasetError

if TYPE_CHECKING:
    from homefeed.components.drift.summary import Summary


def load(path: pathlib.Path | str) -> Summary:
    """The counts of what lies at a path.

    Args:
        path: a data folder, or `DIR@SPANS` for some of its spans; Examples: ExampleGen's folder of three tables, one
            table or one split; statistics: `FeatureStats.pb` or the folder of one split's; or a TFRecord file (or
            folder of them) of PredictionLogs, as model servers log requests and keep them for warm-up.

    Raises:
        DatasetError: it is none of these, or does not say what drift is judged on.
    """
    path, spans = split_spans(path)
    if (path / FILE_NAME).is_file():
        from homefeed.components.drift.sources.data_folder import summarize

        return summarize(path, spans)
    if statistics := _statistics_file(path):
        from homefeed.components.drift.sources.statistics import from_statistics

        return from_statistics(statistics)
    if examples := _example_files(path):
        from homefeed.components.drift.sources.examples import from_examples

        return from_examples(path, examples)
    if files := _record_files(path):
        from homefeed.components.drift.sources.log import from_log

        return from_log(path, files)
    raise DatasetError(
        f"{path} is neither a data folder (it has no {FILE_NAME}) nor Examples (no Split-<name>/*.gz) nor a split's "
        f"statistics (no {ExampleStatistics.FILE}) nor a log of requests (TFRecords of PredictionLog)."
    )


def split_spans(path: pathlib.Path | str) -> tuple[pathlib.Path, str]:
    """`DIR@SPANS` as the data folder and its spans; any other path with no spans."""
    data_dir, _, spans = str(path).rpartition("@")
    if data_dir and (pathlib.Path(data_dir) / FILE_NAME).is_file():
        return pathlib.Path(data_dir), spans
    return pathlib.Path(path), ""


def _statistics_file(path: pathlib.Path) -> pathlib.Path | None:
    """The one file of statistics at a path, if there is any."""
    if path.suffix == ".pb" and path.is_file():
        return path
    if (path / ExampleStatistics.FILE).is_file():
        return path / ExampleStatistics.FILE
    of_splits = sorted(path.glob(f"Split-*/{ExampleStatistics.FILE}"))
    if len(of_splits) > 1:
        raise DatasetError(f"{path} holds the statistics of several splits. Name one, as {of_splits[0].parent}.")
    return of_splits[0] if of_splits else None


def _example_files(path: pathlib.Path) -> dict[pathlib.Path, list[pathlib.Path]]:
    """Folder of a table → its shards, of all splits; of one split, if the path is a split's folder."""
    if path.name.startswith("Split-"):
        return {path: files} if (files := sorted(path.glob("*.gz"))) else {}
    folders = [path, *(path / table for table in TABLES)]
    found = {
        folder: [file for split in Examples(folder).splits for file in Examples(folder).split_files(split)]
        for folder in folders
    }
    return {folder: files for folder, files in found.items() if files}


def _record_files(path: pathlib.Path) -> list[pathlib.Path]:
    """Files that may hold TFRecords."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.glob("*") if file.is_file()) if path.is_dir() else []
