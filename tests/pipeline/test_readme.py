"""What README and docs tell people to type is true: Python runs, commands and settings are what the programs take."""

import ast
import contextlib
import io
import pathlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from typer.main import get_command

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.cli.main import app
from homefeed.pipeline.config import load_config
from homefeed.pipeline.deploy.kubeflow.retraining import load_task
from homefeed.pipeline.deploy.kubeflow.tasks import load_tasks
from homefeed.pipeline.recommender import recommender
from homefeed.pipeline.tune import parse_range
from homefeed.schemas.dataset import Dataset
from homefeed.serving.experiments.design import read_experiments
from homefeed.serving.model_server.flags import Flags
from homefeed.serving.policy.rules import read_rules
from homefeed.serving.policy.surfaces import read_surfaces
from homefeed.serving.process import model_server
from tests import documents
from tests.documents import HOUSE, Block
from tests.runs import SMALL

README = HOUSE / "README.md"
DAG = recommender(DatasetDir(HOUSE))
COMPONENTS = {node.name: node.component for node in DAG.nodes}
PAGES = [page for page in documents.PAGES if page.name != "CHANGELOG.md"]  # It tells of what is gone, too.
LINES = [(str(block), line) for block in documents.blocks("sh") for line in documents.commands(block)]
CODES = [(f"{documents.name(page)}:{n}", code) for page in PAGES for n, code in documents.code_in_lines(page)]
PROGRAMS = {
    "curl": "tests/serving/test_guide.py",
    "grpcurl": "tests/serving/test_guide.py",
    "docker": "tests/contracts/test_containers.py",
    "kubectl": "tests/serving/deploy/test_gateway.py",
}
"""Program → the test that runs or reads its lines."""


# --- Python ---


def test_python_of_the_readme_runs(
    sample_data: pathlib.Path, sample_root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Against models that were just pushed; the run is answered from the cache, because its settings are the same."""
    program, first_call, by_stubs, from_profile = (b.text for b in documents.blocks("python") if b.page == README)
    serving = sample_root / "serving"
    with model_server({name: serving / name for name in ("retrieval", "ranking", "fused")}, tmp_path) as address:
        places = {
            '"var/sample/data", "var/sample/root"': f"{str(sample_data)!r}, {str(sample_root)!r}, {_small()!r}",
            '"var/sample/root"': repr(str(sample_root)),
            "var/movielens-100k/root": str(sample_root),
            '"42"': '"user-0001"',
            '"50", "181"': '"item-0003", "item-0011"',
            "127.0.0.1:8500": address,
        }
        frame, (inputs, titles), (same_titles,), page = (
            _printed(code, places) for code in (program, first_call, by_stubs, from_profile)
        )
    assert frame[0].split() == ["item_id", "title", "score"] and len(frame) == 6
    assert "'history': 'string[?, ?]'" in inputs and len(ast.literal_eval(titles)) == 5
    assert same_titles == titles
    assert len(page) == 10 and all(re.match(r" *-?\d+\.\d\d  \S", line) for line in page)


def _small() -> dict[str, dict[str, Any]]:
    settings: dict[str, dict[str, Any]] = {}
    for setting in SMALL:
        name, value = setting.split("=")
        component, field = name.split(".")
        settings.setdefault(component, {})[field] = yaml.safe_load(value)
    return settings


def _printed(code: str, places: dict[str, str]) -> list[str]:
    for written, here in places.items():
        code = code.replace(written, here)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})  # The README is ours.
    return printed.getvalue().splitlines()


@pytest.mark.parametrize("block", documents.blocks("python"), ids=str)
def test_python_imports_what_exists(block: Block) -> None:
    imports = [node for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    exec("\n".join(map(ast.unparse, imports)), {})


# --- homefeed … ---


def parsed(command: str, *, whole: bool) -> dict[str, Any]:
    """Option → value, as the real command line reads it, without running anything.

    Args:
        command: `homefeed …`.
        whole: nothing that is required may be missing; else it is filled in, for text that speaks of a command.
    """
    _, *words = shlex.split(command)
    verb: Any = get_command(app)
    while words and words[0] in getattr(verb, "commands", {}):
        verb = below(verb, words.pop(0))
    if words and any(words[0] in option.opts for option in verb.params if hasattr(verb, "commands")):
        return {}  # Such as `homefeed --version`.
    if hasattr(verb, "commands"):
        assert not whole and not words, f"{command}: there are {', '.join(verb.commands)}"
        return {}
    for _ in range(20):
        try:
            return dict(verb.make_context("homefeed", list(words)).params)
        except Exception as error:
            missing = getattr(error, "param", None)
            if whole or type(error).__name__ != "MissingParameter":
                raise AssertionError(f"{command}: {getattr(error, 'message', error)}") from error
            words += ["1"] if missing.param_type_name == "argument" else [missing.opts[0], "1"]
    raise AssertionError(command)


def below(group: Any, name: str) -> Any:
    """A verb of a group, as the command line finds it."""
    return group.resolve_command(group.context_class(group), [name])[1]


def is_homefeed(command: str) -> bool:
    return command.removeprefix(".venv/bin/").startswith("homefeed ") and "--help" not in command


@pytest.mark.parametrize(("place", "command"), [pair for pair in LINES if is_homefeed(pair[1])])
def test_commands_of_blocks_are_whole(place: str, command: str) -> None:
    check_settings(parsed(command, whole=True))


@pytest.mark.parametrize(("place", "command"), [pair for pair in CODES if is_homefeed(pair[1])])
def test_commands_in_text_exist(place: str, command: str) -> None:
    check_settings(parsed(command, whole=False))


def check_settings(options: dict[str, Any]) -> None:
    load_config(DAG, settings=options.get("settings") or (), elsewhere=True)
    load_tasks(DAG, settings=tuple(options.get("task_settings") or ()))
    load_task(tuple(options.get("retrain_settings") or ()))
    for searched in map(parse_range, options.get("ranges") or ()):
        load_config(
            DAG,
            settings=[f"{searched.name}={searched.choices[0] if searched.choices else searched.low}"],
            elsewhere=True,
        )
    if until := options.get("until"):
        assert until in {part.title for part in COMPONENTS.values()} | COMPONENTS.keys()


@pytest.mark.parametrize(
    "command",
    [
        "homefeed run --data d",  # No root.
        "homefeed run --data d --root r --sett a.b=1",
        "homefeed runn --data d --root r",
        "homefeed recommend --root r --user u -k 0",
    ],
)
def test_a_wrong_command_is_found(command: str) -> None:
    with pytest.raises(AssertionError):
        parsed(command, whole=True)


def test_the_readme_names_the_verbs_without_json() -> None:
    def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name in getattr(command, "commands", {}):
            yield from walk(below(command, name), f"{path} {name}")
        if not hasattr(command, "commands"):
            yield path.strip(), command

    verbs = dict(walk(get_command(app), ""))
    without = {path for path, verb in verbs.items() if not any("--json" in p.opts for p in verb.params)}
    (sentence,) = re.findall(r"These verbs do not take it:(.*?)\n\n", documents.read(README), re.DOTALL)
    assert {" ".join(code.split()) for code in re.findall(r"`([^`]+)`", sentence)} == without


# --- Settings ---


@pytest.mark.parametrize("page", PAGES, ids=documents.name)
def test_settings_in_text_exist(page: pathlib.Path) -> None:
    """`component.field` and `component.field=value`; in a table under `component.`, also `field` of a first cell."""
    names = "|".join(COMPONENTS)
    codes = [(line, code.removeprefix("--set ")) for line, code in documents.code_in_lines(page)]
    named = [(line, code) for line, code in codes if re.fullmatch(rf"(?:{names})\.(?!py\b)\w+(=.*)?", code)]
    table = ""
    for line, text in enumerate(documents.prose(page).splitlines(), 1):
        header = re.match(rf"\| `((?:{names})\.)` \|", text)
        table = header[1] if header else table if text.startswith("|") else ""
        if table and not header:
            named += [(line, table + code) for code in re.findall(r"`(\w+)`", text.split("|")[1])]
    for line, code in named:
        check_setting(code, f"line {line}")


def check_setting(code: str, place: str) -> None:
    name, equals, value = code.partition("=")
    component, field = name.split(".")
    known = load_config(DAG)[component].__dataclass_fields__
    assert field in known, f"{place}: {component} has no field {field}; there are {', '.join(known)}"
    if equals and value[:1] not in ("…", ""):
        load_config(DAG, settings=[code], elsewhere=True)


@pytest.mark.parametrize("block", documents.blocks("yaml"), ids=str)
def test_yaml_is_a_dataset_or_a_configuration(block: Block, tmp_path: pathlib.Path) -> None:
    (tmp_path / "block.yaml").write_text(block.text, encoding="utf-8")
    values = yaml.safe_load(block.text)
    if block.page.name in ("page_policy.md", "hot.md"):
        is_rules = not any("rows" in fields for fields in values.values())
        read_rules(tmp_path / "block.yaml") if is_rules else read_surfaces(tmp_path / "block.yaml")
    elif block.page.name == "experiments.md":
        read_experiments(tmp_path / "block.yaml")
    elif "interactions" in values:
        Dataset.model_validate(values)
    elif values.keys() <= {"items", "users", "exposures", "relations", "knowledge", "positive", "objective"}:
        Dataset.model_validate({"name": "part", "interactions": {"path": "interactions.csv"}} | values)
    elif any({"cpu", "memory", "accelerator"} & fields.keys() for fields in values.values()):
        load_tasks(DAG, tmp_path / "block.yaml")
    else:
        load_config(DAG, tmp_path / "block.yaml", elsewhere=True)


# --- Other programs ---


@pytest.mark.parametrize(("place", "command"), LINES)
def test_every_command_is_of_a_program_that_a_test_knows(place: str, command: str) -> None:
    program, *words = shlex.split(command.removeprefix(".venv/bin/"))
    if program in PROGRAMS:
        assert command.split()[0] in documents.read(HOUSE / PROGRAMS[program])
    elif program == "make":
        check_make(words)
    elif program == "export":
        sources = "".join(map(documents.read, (HOUSE / "pipeline" / "cli").rglob("*.py")))
        assert all(f'envvar="{word.partition("=")[0]}"' in sources for word in words)
    elif program.startswith("python"):
        check_python(words)
    elif program == "pip":
        check_pip(words)
    elif program == "pre-commit":
        assert (HOUSE / ".pre-commit-config.yaml").is_file()
    else:
        assert program == "homefeed", f"{place}: nothing checks {program}"


@pytest.mark.parametrize(("place", "code"), [pair for pair in CODES if pair[1].startswith(("make ", "python -m "))])
def test_make_and_python_in_text(place: str, code: str) -> None:
    program, *words = shlex.split(code)
    (check_make if program == "make" else check_python)(words)


def check_make(words: list[str]) -> None:
    makefile = documents.read(HOUSE / "Makefile")
    variables = set(re.findall(r"^(\w+) \?=", makefile, re.MULTILINE)) | set(re.findall(r"\$\((PART)\)", makefile))
    for word in words:
        name, equals, _ = word.partition("=")
        assert name in variables if equals else re.search(rf"^{name}:", makefile, re.MULTILINE), word
    dry = subprocess.run(["make", "--dry-run", *words], cwd=HOUSE, capture_output=True, text=True)
    assert dry.returncode == 0, dry.stderr


def check_pip(words: list[str]) -> None:
    """`install …`: what lies here is there, and every extra is ours; nothing is fetched."""
    assert words.pop(0) == "install"
    flags = ("-c", "-e")
    for flag, word in zip(["", *words], words, strict=False):
        path, _, extra = word.partition("[")
        if word in flags or word.startswith("-"):
            continue
        if "/" in path or path == "." or flag in flags:
            assert (HOUSE / path).exists(), word
        else:
            assert path in {"homefeed", "homefeed-client"}, word
        assert not extra or f'"{extra.rstrip("]")}":' in documents.read(HOUSE / "setup.py"), word


def check_python(words: list[str]) -> None:
    """`-m module`: it exists, and if it is a benchmark of ours, so do its options and what is quoted."""
    assert words[0] == "-m"
    module, *options = words[1:]
    if module in {"venv", "pytest"}:
        return
    path = HOUSE / module.replace(".", "/")
    source = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    assert source.is_file(), module
    text = documents.read(source)
    for option in options:
        known = f'"{option}"' in text if option.startswith("--") or " " in option else True
        assert known, f"{module} does not know {option!r}"


def test_options_in_text_exist() -> None:
    """Those of `homefeed`, of the model server and of benchmarks; Beam's own, in docs/deploy.md, are left to Beam."""

    def options(command: Any) -> set[str]:
        inner = [option for name in getattr(command, "commands", {}) for option in options(below(command, name))]
        return {*inner, *(option for parameter in command.params for option in parameter.opts)}

    known = options(get_command(app)) | {f"--{name}" for name in Flags.__dataclass_fields__} | {"--help"}
    sources = "".join(map(documents.read, (HOUSE / "benchmarks").glob("*.py")))
    known |= set(re.findall(r'add_argument\("(--[\w-]+)"', sources))
    pages = {documents.name(page) for page in PAGES} - {"docs/deploy.md"}
    named = [(place, code) for place, code in CODES if place.split(":")[0] in pages and code.startswith("--")]
    assert not [(place, code) for place, code in named if re.split(r"[= ]", code)[0] not in known]
