"""homefeed: an end-to-end recommender. The one name that other people's programs import.

    import homefeed

    homefeed.run("data", "root")                  # the whole pipeline, cached
    homefeed.load("root").recommend("user-0007")  # a DataFrame, best first
    homefeed.drift("last-week", "this-week")      # a DataFrame: every distance with its limit

The rooms lie below it: `homefeed.schemas`, `.models`, `.serving`, `.components` and `.pipeline`.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homefeed.pipeline.program import drift, load, run

__all__ = ["drift", "load", "run"]


def __getattr__(name: str) -> Any:
    """Loads the libraries behind a public name when it is first used, so that `import homefeed` takes no time."""
    if name in __all__:
        return getattr(importlib.import_module("homefeed.pipeline.program"), name)
    nearest = difflib.get_close_matches(name, __all__, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; public are {', '.join(__all__)}"
    raise AttributeError(f"module 'homefeed' has no attribute {name!r}{hint}")
