"""The Dockerfile and the devcontainer say what setup.py and the Makefile say; no image can be built here."""

import ast
import json
import re
import shlex
from typing import Any

import pytest

from tests import documents
from tests.documents import HOUSE

INSTRUCTIONS = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "RUN", "USER", "WORKDIR"}
PLATFORM = "linux/amd64"


def steps() -> list[tuple[str, str]]:
    """(instruction, the rest) of the Dockerfile, continued lines joined."""
    text = documents.read(HOUSE / "Dockerfile")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines)]


def of(instruction: str) -> list[str]:
    return [rest for word, rest in steps() if word == instruction]


def devcontainer() -> Any:
    return json.loads(documents.read(HOUSE / ".devcontainer" / "devcontainer.json"))


def make_targets() -> set[str]:
    makefile = documents.read(HOUSE / "Makefile")
    venv, ready = (re.findall(rf"^{name} := (\S+)$", makefile, re.MULTILINE)[0] for name in ("VENV", "READY"))
    return {*re.findall(r"^([a-z-]+):", makefile, re.MULTILINE), ready.replace("$(VENV)", venv)}


def make_words(command: str) -> list[str]:
    """The targets of every `make …` in a command."""
    parts = (shlex.split(part) for part in command.split("&&"))
    return [word for name, *words in parts for word in words if name == "make" and word[0] != "-" and "=" not in word]


def test_every_line_is_an_instruction() -> None:
    assert {word for word, _ in steps()} <= INSTRUCTIONS and steps()[0][0] == "FROM"


def test_the_base_image_has_the_python_that_setup_asks_for() -> None:
    base, second = of("FROM")
    found = re.fullmatch(r"--platform=(\S+) python:(\d+)\.(\d+)-slim-(\w+) AS base", base)
    assert found and found[1] == PLATFORM and second == "base AS homefeed"
    version = (int(found[2]), int(found[3]))
    (requires,) = re.findall(r'python_requires="(.+?)"', documents.read(HOUSE / "setup.py"))
    lower, upper = (tuple(map(int, text.split("."))) for text in re.findall(r"[\d.]+", requires))
    assert lower <= version < upper
    assert f"PYTHON ?= python{found[2]}.{found[3]}\n" in documents.read(HOUSE / "Makefile")
    template = documents.read(HOUSE / "serving" / "deploy" / "templates" / "pipeline.Dockerfile.j2")
    assert f"FROM python:{found[2]}.{found[3]}-slim-{found[4]} AS pipeline" in template


def test_make_is_installed_before_it_is_called() -> None:
    runs = of("RUN")
    assert runs[0].startswith("apt-get update && apt-get install ") and "make" in runs[0].split()
    assert not [run for run in runs[:1] if make_words(run)]


def test_copied_files_exist() -> None:
    sources = [source for copy in of("COPY") for source in copy.split()[:-1]]
    assert "." in sources and not [source for source in sources if not (HOUSE / source).exists()]


def test_the_files_that_the_environment_follows_from_are_copied_before_it_is_made() -> None:
    """What the Makefile's rule names, and what pip reads to make homefeed and its client."""
    (rule,) = re.findall(r"^\$\(READY\): (.+)$", documents.read(HOUSE / "Makefile"), re.MULTILINE)
    made = next(place for place, (word, rest) in enumerate(steps()) if word == "RUN" and make_words(rest))
    copied = [source for word, rest in steps()[:made] if word == "COPY" for source in rest.split()[:-1]]
    wanted = [*rule.split(), "Makefile", "homefeed/__init__.py"]
    assert not [path for path in wanted if not any(path == c or path.startswith(f"{c}/") for c in copied)]


def test_setup_needs_no_other_file_to_be_read() -> None:
    tree = ast.parse(documents.read(HOUSE / "setup.py"))
    called = {getattr(node.func, "id", "") for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert called == {"setup", "find_packages"}


def test_commands_are_targets() -> None:
    commands = [*of("RUN"), " ".join(json.loads(of("CMD")[0])), devcontainer()["postCreateCommand"]]
    words = [word for command in commands for word in make_words(command)]
    assert len(words) >= 4 and set(words) <= make_targets()


def test_what_is_made_here_does_not_go_into_the_image() -> None:
    """The environment of another machine would be taken for the image's own."""
    ignored = documents.read(HOUSE / ".dockerignore").splitlines()
    assert {".venv", "var", ".git"} <= {*ignored}
    assert not [name for name in ignored if name[0] not in "#.*" and (HOUSE / name / "__init__.py").exists()]


def test_the_devcontainer_builds_the_first_stage() -> None:
    build = devcontainer()["build"]
    folder = HOUSE / ".devcontainer"
    assert (folder / build["dockerfile"]).resolve() == HOUSE / "Dockerfile"
    assert (folder / build["context"]).resolve() == HOUSE
    assert f"AS {build['target']}" in of("FROM")[0]
    assert build["options"] == devcontainer()["runArgs"] == [f"--platform={PLATFORM}"]
    ports = {int(port) for port in of("EXPOSE")[0].split()}
    assert {*devcontainer()["forwardPorts"]} == ports


@pytest.mark.parametrize("page", ["README.md", "Dockerfile"])
def test_docker_commands_name_the_platform_and_each_other(page: str) -> None:
    text = documents.read(HOUSE / page).replace("\n#   ", "\n")
    build, run = (re.findall(rf"^docker {verb} .*$", text, re.MULTILINE)[0].split() for verb in ("build", "run"))
    tag = build[build.index("--tag") + 1]
    assert build[-1] == "." and tag in run
    for words in (build, run):
        assert words[words.index("--platform") + 1] == PLATFORM
    target = run[run.index(tag) + 1 :]
    assert target[0] == "make" and set(target[1:]) <= make_targets()
    volume = run[run.index("--volume") + 1]
    assert volume.partition(":")[2] == f"{of('WORKDIR')[0]}/var"
