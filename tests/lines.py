"""Lines of tests for each line of code, by room: `python -m tests.lines`.

Blank lines, comments and docstrings count on neither side; doctests count as tests.
"""

import ast
import doctest
import io
import pathlib
import tokenize
from collections.abc import Iterator
from typing import Any

HOUSE = pathlib.Path(__file__).parents[1]
ROOMS = ("schemas", "models", "serving", "components", "pipeline")
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}


def count_code(source: str) -> int:
    """Lines that hold code.

    >>> count_code("import ast  # For trees.\\n\\n\\ndef one():\\n    '''The number one.'''\\n    return 1\\n")
    3
    """
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines.difference(*(range(node.lineno, node.end_lineno + 1) for node in _docstrings(source))))


def count_doctests(source: str) -> int:
    """Lines of docstrings that are run as tests, and what they print.

    >>> count_doctests("'''Adds.\\n\\n>>> 1 + 1\\n2\\n'''")
    2
    """
    examples = [e for node in _docstrings(source) for e in doctest.DocTestParser().get_examples(node.value.value)]
    return sum(example.source.count("\n") + example.want.count("\n") for example in examples)


def _docstrings(source: str) -> Iterator[Any]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            yield node.body[0]


def main() -> None:
    """Prints a row for each room, and one for all tests."""
    code, tests, doctests = {}, {}, {}
    for room in ROOMS:
        sources = [path.read_text(encoding="utf-8") for path in (HOUSE / room).rglob("*.py")]
        code[room], doctests[room] = sum(map(count_code, sources)), sum(map(count_doctests, sources))
        tests[room] = _code_below(HOUSE / "tests" / room)
        ratio = (tests[room] + doctests[room]) / code[room]
        print(f"{room:<10} {ratio:.2f} = ({tests[room]:,} tests + {doctests[room]:,} doctests) / {code[room]:,}")
    everything = _code_below(HOUSE / "tests") + sum(doctests.values())
    print(f"all        {everything / sum(code.values()):.2f} = {everything:,} / {sum(code.values()):,}")


def _code_below(folder: pathlib.Path) -> int:
    return sum(count_code(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py"))


if __name__ == "__main__":
    main()
