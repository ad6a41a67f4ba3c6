"""The worked examples in docstrings are true."""

import doctest
import importlib
import pathlib

import pytest

HOUSE = pathlib.Path(__file__).parents[2]
ROOMS = ("schemas", "models", "serving", "components", "pipeline")
FILES = [path.relative_to(HOUSE) for room in ROOMS for path in sorted((HOUSE / room).rglob("*.py"))]


def _examples(path: pathlib.Path) -> list[str]:
    """Those that need no server: the client's are run against one in tests/serving/client."""
    lines = (HOUSE / path).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if ">>> " in line and "+SKIP" not in line]


WITH_EXAMPLES = [path for path in FILES if _examples(path)]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=str)
def test_examples(path: pathlib.Path) -> None:
    module = importlib.import_module(".".join(("homefeed", *path.with_suffix("").parts)))
    found = doctest.testmod(module)
    assert found.attempted > 0 and found.failed == 0


def test_there_are_examples() -> None:
    assert {pathlib.Path("models/evaluation/metrics.py"), pathlib.Path("models/evaluation/beyond_accuracy.py")} <= {
        *WITH_EXAMPLES
    }
