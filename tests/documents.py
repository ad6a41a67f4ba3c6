"""The documents that people read, cut into what tests can check: code blocks, code in a line, links, headings."""

import dataclasses
import pathlib
import re

HOUSE = pathlib.Path(__file__).parents[1]
PAGES = sorted(
    [
        *(HOUSE / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "serving/client/README.md")),
        *(HOUSE / "docs").rglob("*.md"),
    ]
)
"""Written by people. `benchmarks/*.md` is written by `make bench`."""

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and where it begins."""

    page: pathlib.Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


def name(page: pathlib.Path) -> str:
    """A page's path from the root of the repository."""
    return page.relative_to(HOUSE).as_posix()


def read(page: pathlib.Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(*languages: str) -> list[Block]:
    """The fenced blocks of all pages in these languages; in all languages if none is named."""
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[2], found[3])
        for page in PAGES
        for text in [read(page)]
        for found in _FENCE.finditer(text)
        if not languages or found[2] in languages
    ]


def prose(page: pathlib.Path) -> str:
    """A page without its fenced blocks; lines keep their numbers."""
    return _FENCE.sub(lambda found: "\n" * found[0].count("\n"), read(page))


def code_in_lines(page: pathlib.Path) -> list[tuple[int, str]]:
    """(line, code) of everything between single backticks, outside fenced blocks."""
    lines = prose(page).splitlines()
    return [(number, code) for number, line in enumerate(lines, 1) for code in _CODE.findall(line)]


def commands(block: Block) -> list[str]:
    """The command lines of a `sh` block: continued lines are joined, comments are left out."""
    joined = block.text.replace("\\\n", " ")
    stripped = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [" ".join(line.split()) for line in stripped if line]


def anchors(page: pathlib.Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)) for text in headings)
    return {text.strip().lower().replace(" ", "-") for text in plain}
