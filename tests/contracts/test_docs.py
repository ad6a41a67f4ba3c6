"""Documents are readable and true of the repository: short lines, links that lead somewhere, names that exist."""

import ast
import pathlib
import re

import pytest

from tests import documents
from tests.documents import HOUSE, PAGES

MAX_LINE = 120
ROOMS = ("schemas", "models", "serving", "components", "pipeline")
PATH = re.compile(rf"({'|'.join(ROOMS)}|homefeed|tests|benchmarks|docs)/[\w./*-]+")
MODULE = re.compile(r"homefeed(?:\.\w+)+")


@pytest.fixture(params=PAGES, ids=documents.name)
def page(request: pytest.FixtureRequest) -> pathlib.Path:
    return request.param


def test_lines_are_short(page: pathlib.Path) -> None:
    """Rows of tables may be longer: Markdown cannot cut them."""
    lines = enumerate(documents.read(page).splitlines(), 1)
    assert not [f"line {n} has {len(line)}" for n, line in lines if len(line) > MAX_LINE and line[0] != "|"]


def test_links_lead_somewhere(page: pathlib.Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", documents.prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in documents.anchors(there)):
            broken.append(target)
    assert not broken


def test_headings_are_unique(page: pathlib.Path) -> None:
    if page.name != "CHANGELOG.md":
        headings = re.findall(r"^#+ .+$", documents.prose(page), re.MULTILINE)
        assert len(headings) == len(set(headings))


def test_blocks_say_their_language(page: pathlib.Path) -> None:
    """So that each is run, parsed or read as what it is; `text` is for people alone."""
    languages = {"sh", "python", "yaml", "html", "text", "mermaid", "dockerfile"}
    assert not [str(block) for block in documents.blocks() if block.page == page and block.language not in languages]


def test_modules_exist(page: pathlib.Path) -> None:
    codes = documents.code_in_lines(page)
    named = [(line, dotted) for line, code in codes for dotted in MODULE.findall(code)]
    assert not [f"line {line}: {dotted}" for line, dotted in named if not exists(dotted)]


def test_paths_exist(page: pathlib.Path) -> None:
    named = [(line, c) for line, c in documents.code_in_lines(page) if PATH.fullmatch(c) and "NAME" not in c]
    assert not [f"line {line}: {path}" for line, path in named if not list(HOUSE.glob(path.rstrip("/")))]


def exists(dotted: str) -> bool:
    """Whether a dotted name leads to a module of ours, or to what one holds."""
    first, *parts = dotted.split(".")
    at = HOUSE / first
    while parts and (at.joinpath(parts[0]).is_dir() or at.joinpath(f"{parts[0]}.py").is_file()):
        part = parts.pop(0)
        at = at / part if at.joinpath(part).is_dir() else at / f"{part}.py"
    source = at / "__init__.py" if at.is_dir() else at
    body = ast.parse(source.read_text(encoding="utf-8")).body
    for part in parts:
        found = {bound: node for node in body for bound in bound_names(node)}
        if part not in found:
            return False
        body = getattr(found[part], "body", [])
    return True


def bound_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.If):  # `if TYPE_CHECKING:` names what is loaded late.
        return [bound for inner in node.body for bound in bound_names(inner)]
    targets = getattr(node, "targets", [getattr(node, "target", None)])  # Of `a = 1`, of `a: int = 1`.
    return [target.id for target in targets if isinstance(target, ast.Name)]


@pytest.mark.parametrize(
    ("dotted", "is_there"),
    [
        ("homefeed.run", True),
        ("homefeed.models.requests.batch_inputs", True),
        ("homefeed.models.requests.Request.history", True),
        ("homefeed.components.example_gen", True),
        ("homefeed.models.requests.batch_input", False),
        ("homefeed.novels", False),
    ],
)
def test_a_name_is_looked_up(dotted: str, is_there: bool) -> None:
    assert exists(dotted) is is_there


def test_decisions_are_numbered_and_in_the_index() -> None:
    folder = HOUSE / "docs" / "adr"
    files = sorted(folder.glob("[0-9]*.md"))
    assert [int(file.name[:4]) for file in files] == [*range(1, len(files) + 1)]
    entries = []
    for number, file in enumerate(files, 1):
        title = documents.read(file).splitlines()[0].removeprefix(f"# {number}. ")
        assert title[0] != "#", f"{file.name} should begin with '# {number}. '"
        entries.append(f"{number}. [{title}]({file.name})")
    index = re.findall(r"^\d+\. .*$", documents.read(folder / "README.md"), re.MULTILINE)
    assert index == entries


def test_decisions_that_are_named_exist() -> None:
    numbers = {int(file.name[:4]) for file in (HOUSE / "docs" / "adr").glob("[0-9]*.md")}
    files = [*PAGES, *(path for room in ROOMS for path in (HOUSE / room).rglob("*.py"))]
    named = {(file.name, int(n)) for file in files for n in re.findall(r"\bADR (\d+)", documents.read(file))}
    assert not {(file, number) for file, number in named if number not in numbers}


def test_every_document_is_linked_from_the_readme() -> None:
    readme = documents.read(HOUSE / "README.md")
    pages = [documents.name(page) for page in (HOUSE / "docs").glob("*.md")]
    assert not [path for path in [*pages, "docs/adr/README.md", "CONTRIBUTING.md"] if f"({path})" not in readme]


def test_the_readme_lists_the_folders() -> None:
    made = {"var", "build", "dist", "__pycache__"}
    folders = {
        path.name
        for path in HOUSE.iterdir()
        if path.is_dir() and path.name not in made and not path.name.startswith(".") and path.suffix != ".egg-info"
    }
    listed = re.findall(r"^\| `(\w+)/` \|", documents.read(HOUSE / "README.md"), re.MULTILINE)
    assert sorted(listed) == sorted(folders)


def test_the_makefile_names_tests_that_exist() -> None:
    makefile = documents.read(HOUSE / "Makefile")
    assert not [path for path in re.findall(r"\btests/[\w./]+", makefile) if not (HOUSE / path).exists()]
