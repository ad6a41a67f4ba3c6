import json
import os
import pathlib
import re
import resource
import subprocess
import sys

import pytest

from homefeed.pipeline.cli.main import VERBS, load

FRAMEWORKS = {"tensorflow", "apache_beam", "tensorflow_data_validation", "pandas", "keras", "scipy", "kfp"}


def homefeed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=pathlib.Path(__file__).parents[3])


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("sample")
    options = ("--users", "20", "--items", "40", "--events", "150", "--seed", "1")
    made = homefeed("data", "sample", "--out", str(folder), *options, "--json")
    assert json.loads(made.stdout) == {"out": str(folder)}
    return folder


def test_help_names_every_verb_and_says_no_more() -> None:
    shown = homefeed("--help")
    assert shown.returncode == 0 and shown.stderr == ""
    for verb in VERBS:
        assert f" {verb} " in shown.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_the_table_of_contents_says_what_the_verb_says_of_itself(verb: str) -> None:
    assert VERBS[verb].help == load(verb).help.partition("\n\n")[0].replace("\n", " ")


def imported(*arguments: str) -> set[str]:
    """Top-level modules after a command."""
    program = (
        "import sys; from homefeed.pipeline.cli.main import app; app(sys.argv[1:], standalone_mode=False); "
        "print('imported', *{name.partition('.')[0] for name in sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return set(found.stdout.rpartition("imported")[2].split())


def test_help_imports_nothing_heavy_and_takes_less_than_a_second() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert imported("--help").isdisjoint({*FRAMEWORKS, "numpy", "yaml", "pydantic"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)  # Processor time: the machine may have other work.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_imports_no_framework(verb: str) -> None:
    assert imported(verb, "--help").isdisjoint(FRAMEWORKS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("recomend",), "No such command"),
        (("run", "--data", "x"), "Missing option '--root'"),
        (("recommend", "--user", "u"), "give --root, --server or both"),
        (("data", "sample", "--out", "x", "--users", "20", "--events", "9999"), "num_events=9999"),
    ],
)
def test_wrong_usage_exits_2(arguments: tuple[str, ...], message: str) -> None:
    failed = homefeed(*arguments)
    assert failed.returncode == 2 and message in failed.stderr


def test_a_wrong_setting_exits_2_with_the_near_miss(sample: pathlib.Path, tmp_path: pathlib.Path) -> None:
    failed = homefeed("run", "--data", str(sample), "--root", str(tmp_path), "--set", "ranking_trainr.seed=1")
    assert failed.returncode == 2
    assert "no component 'ranking_trainr'; did you mean 'ranking_trainer'?" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--data", "absent", "--root", "r"), "dataset.yaml does not exist"),
        (("evaluate", "--root", "absent"), "holds no run yet"),
        (("lineage", "--root", "absent"), "holds no run yet"),
        (("serve", "--root", "absent"), "holds no pushed models yet"),
        (("recommend", "--root", "absent", "--user", "u"), "profiles.sqlite does not exist"),
    ],
)
def test_failed_work_exits_1_and_says_how_to_mend_it(
    arguments: tuple[str, ...], message: str, tmp_path: pathlib.Path
) -> None:
    arguments = tuple(str(tmp_path / a) if a in ("absent", "r") else a for a in arguments)
    failed = homefeed(*arguments)
    assert failed.returncode == 1
    assert message in failed.stderr.replace("\n", " ") and "Traceback" not in failed.stderr


def test_until_runs_no_further_and_says_what_was_done(sample: pathlib.Path, tmp_path: pathlib.Path) -> None:
    arguments = ("run", "--data", str(sample), "--root", str(tmp_path), "--until", "ExampleGen")
    first = homefeed(*arguments)
    assert first.returncode == 0, first.stderr
    assert first.stderr == "" and "✓ 1/1 ExampleGen" in first.stdout and "StatisticsGen" not in first.stdout
    assert f"reports: {tmp_path}/reports/index.html" in first.stdout
    assert first.stdout.endswith(f"next: homefeed run --data {sample} --root {tmp_path}\n")
    assert "ExampleGen" in (tmp_path / "reports" / "index.html").read_text(encoding="utf-8")
    (step,) = json.loads(homefeed(*arguments, "--json").stdout)
    assert step["component"] == "ExampleGen" and step["cached"]
    found = json.loads(homefeed("lineage", "--root", str(tmp_path), "Examples", "--json").stdout)
    assert found["made_by"]["component"] == "ExampleGen"
    assert found["made_by"]["cpu_seconds"] > 0 and found["made_by"]["peak_mebibytes"] > 50
    shown = homefeed("lineage", "--root", str(tmp_path), "Examples")
    assert "DatasetDir" in shown.stdout


def test_the_version_and_the_short_help() -> None:
    assert re.fullmatch(r"homefeed \d+\.\d+\.\d+\n", homefeed("--version").stdout)
    assert homefeed("-h").stdout == homefeed("--help").stdout
    assert "--root" in homefeed("run", "-h").stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("homefeed ret", {"retrain"}), ("homefeed run --dat", {"--data"}), ("homefeed models pro", {"promote"})],
)
def test_a_shell_completes_verbs_and_options(typed: str, offered: set[str]) -> None:
    environment = {"_HOMEFEED_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    program = "from homefeed.pipeline.cli.main import main; main()"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert set(found.stdout.split()) == offered, found.stderr


def test_pages_are_made_in_one_thread() -> None:
    """A page of 200 candidates took 0.9 CPU ms in one thread of BLAS, and 2 to 3 in two."""
    code = (
        "import os, sys; from homefeed.pipeline.cli.main import load; early = 'numpy' in sys.modules;"
        "load('gateway'); print(early, os.environ['OPENBLAS_NUM_THREADS'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert told.stdout.split() == ["False", "1"]
