"""`python -m benchmarks [PART …]`: runs the named parts, or all of them."""

from __future__ import annotations

import importlib
import pathlib
import sys

PARTS = sorted(path.stem for path in pathlib.Path(__file__).parent.glob("[a-z]*.py") if path.stem != "results")


def main() -> None:
    """Runs the parts in order; an unknown name is an error that lists those that exist."""
    asked = sys.argv[1:] or PARTS
    unknown = sorted(set(asked) - set(PARTS))
    if unknown:
        sys.exit(f"no benchmark {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for part in asked:
        sys.argv = [f"benchmarks {part}"]  # A part takes its own options only when it is run by itself.
        importlib.import_module(f"benchmarks.{part}").main()


if __name__ == "__main__":
    main()
