"""`results.json`: what was measured last, under `part.name`."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

PATH = pathlib.Path(__file__).with_suffix(".json")


def merge(part: str, figures: Mapping[str, Any]) -> None:
    """Replaces the figures of a part, and keeps those of the others."""
    kept = json.loads(PATH.read_text(encoding="utf-8")) if PATH.is_file() else {}
    kept = {name: value for name, value in kept.items() if not name.startswith(f"{part}.")}
    kept |= {f"{part}.{name}": value for name, value in figures.items()}
    PATH.write_text(json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def tell(part: str, figures: Mapping[str, float], *, keep: bool) -> None:
    """Prints the figures of a part and, if they are to be kept, puts them in place of its earlier ones."""
    rounded = {name: round(value, 3) for name, value in figures.items()}
    for name, value in rounded.items():
        print(f"{part}.{name:50} {value}")
    if keep:
        merge(part, rounded)
