"""The package for Beam's workers holds all that they import, and no more than they need."""

import json
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

from homefeed.pipeline.deploy.beam_workers import write_worker_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return write_worker_package(tmp_path_factory.mktemp("workers")).parent


def test_workers_find_all_of_our_code_in_it(package: pathlib.Path) -> None:
    program = """
import json, sys
import homefeed.components.example_gen.beam, homefeed.components.artifacts.example_io, homefeed.schemas.tables
ours = {name: module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "homefeed"}
print(json.dumps(ours))
"""
    found = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(package)!r})\n{program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    ours = json.loads(found.stdout.splitlines()[-1])
    assert "homefeed.components.example_gen.beam" in ours and all(
        path.startswith(str(package)) for path in ours.values()
    )


def test_it_is_built_as_beam_builds_it(package: pathlib.Path, tmp_path: pathlib.Path) -> None:
    import tarfile

    command = [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(tmp_path)]
    subprocess.run(command, cwd=package, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {
        "homefeed/components/example_gen/beam.py",
        "homefeed/schemas/tables/batches.py",
        "homefeed/__init__.py",
    } <= names
    assert not {name for name in names if name.startswith(("homefeed/pipeline/", "homefeed/serving/"))}


def test_it_names_what_the_code_imports_in_the_versions_of_this_process(package: pathlib.Path) -> None:
    import apache_beam
    import pyarrow

    said = (package / "setup.py").read_text(encoding="utf-8")
    assert f"'apache-beam=={apache_beam.__version__}'" in said and f"'pyarrow=={pyarrow.__version__}'" in said
    assert "'tfx-bsl==" in said and "'dill==" in said
    assert "keras" not in said and "homefeed-client" not in said


GUIDE = pathlib.Path(__file__).parents[3] / "docs" / "deploy.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
SETTINGS = [yaml.safe_load(block).get("example_gen", {}) for block in BLOCKS]
NAMED = [(found["runner"], found["beam_options"]) for found in SETTINGS if "runner" in found]
OF_OTHERS = ("DaskRunner", "homefeed.components.beam.spark.PySparkRunner")  # Of packages that tests/engines has.
GIVEN = [(runner, flags) for runner, flags in NAMED if runner not in OF_OTHERS]
CLUSTERS = [(runner, flags) for runner, flags in GIVEN if runner != "DirectRunner"]


@pytest.mark.parametrize(("runner", "flags"), GIVEN, ids=[runner for runner, _ in GIVEN])
def test_the_guides_options_are_beams_own(runner: str, flags: list[str]) -> None:
    from apache_beam.options.pipeline_options import PipelineOptions

    known = PipelineOptions(flags).get_all_options(drop_default=True)  # Unknown ones are dropped.
    assert {flag.removeprefix("--").partition("=")[0] for flag in flags} == known.keys()


@pytest.mark.parametrize("runner", [runner for runner, _ in CLUSTERS])
def test_the_guides_runners_are_beams_own(runner: str) -> None:
    from apache_beam.runners.runner import create_runner

    assert type(create_runner(runner)).__name__ == runner


def test_the_guide_names_those_that_were_run_and_three_clusters() -> None:
    assert [runner for runner, _ in NAMED[1:]] == [
        *OF_OTHERS,
        "PrismRunner",
        "DataflowRunner",
        "FlinkRunner",
        "SparkRunner",
    ]
