"""Small datasets and what ExampleGen makes of them, for the tests of the data components."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Iterable
from typing import Any

from homefeed.components import example_gen
from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import DatasetDir, Examples, Quarantine
from homefeed.components.example_gen import component
from homefeed.schemas.dataset import load_dataset

DESCRIPTION = """\
name: tiny
interactions: {path: interactions.csv}
items: {path: items.csv}
users: {path: users.csv}
max_unmatched_fraction: 1
"""
ITEMS = "item_id,title,categories\nA,Apple,fruit|red\nB,Bread,\nC,茶,drink\n"
USERS = "user_id\nu1\nu2\n"


def write_dataset(
    folder: pathlib.Path,
    interactions: str | bytes,
    items: str = ITEMS,
    users: str = USERS,
    description: str = DESCRIPTION,
) -> pathlib.Path:
    """A data folder of three CSV files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("interactions", interactions), ("items", items), ("users", users)):
        (folder / f"{name}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / "dataset.yaml").write_text(description, encoding="utf-8")
    return folder


def events(rows: Iterable[tuple[object, ...]], columns: str = "user_id,item_id,timestamp") -> str:
    """An interactions table."""
    return "\n".join([columns, *(",".join(map(str, row)) for row in rows)]) + "\n"


def ingest(data: pathlib.Path, out: pathlib.Path, **config: Any) -> example_gen.Outputs:
    """What ExampleGen makes of so little data that a split may be empty."""
    outputs = example_gen.Outputs(
        *(Examples(out / table) for table in ("interactions", "items", "users", "exposures", "relations")),
        Quarantine(out / "q"),
    )
    component.ingest(load_dataset(data), example_gen.Inputs(DatasetDir(data)), outputs, example_gen.Config(**config))
    return outputs


def histories(examples: Examples, split: str) -> dict[str, list[str]]:
    """User → items of a split, in order."""
    if not any(file.stat().st_size > 50 for file in examples.split_files(split)):
        return {}
    rows = example_io.read_split(examples, split).to_pydict()
    return {
        user[0].decode(): [item.decode() for item in items]
        for user, items in zip(rows["user_id"], rows["item_id"], strict=True)
    }


def digests(folder: pathlib.Path) -> dict[str, str]:
    """File → digest of its content."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
