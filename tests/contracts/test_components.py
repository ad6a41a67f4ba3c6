"""What holds for every component, also for the one that is added tomorrow."""

import dataclasses
import inspect
import json
import pathlib
import subprocess
import sys

import pydantic
import pytest

import homefeed.components
from homefeed.components.artifacts.types import Artifact, DatasetDir
from homefeed.components.contract import Component, load
from homefeed.pipeline.config import load_config
from homefeed.pipeline.config.fields import settings_of
from homefeed.pipeline.recommender import recommender

ROOM = pathlib.Path(homefeed.components.__file__).parent
NAMES = sorted(
    path.parent.name if path.name == "component.py" else path.stem
    for path in (*ROOM.glob("*.py"), *ROOM.glob("*/component.py"))
    if "\ndef run(" in path.read_text(encoding="utf-8")
)


@pytest.fixture(params=NAMES)
def part(request: pytest.FixtureRequest) -> Component:
    return load(f"homefeed.components.{request.param}")


def test_every_component_is_in_the_pipeline(tmp_path: pathlib.Path) -> None:
    assert sorted(recommender(DatasetDir(tmp_path)).names()) == NAMES


def test_inputs_and_outputs_are_artifacts(part: Component) -> None:
    for types in (part.input_types, part.output_types):
        assert types and all(issubclass(type_, Artifact) for type_ in types.values())


def test_everything_of_the_contract_says_what_it_is(part: Component) -> None:
    assert inspect.getdoc(part.module)
    for cls in (part.inputs, part.outputs, part.config):
        assert dataclasses.is_dataclass(cls) and inspect.getdoc(cls)
        assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_run_takes_inputs_outputs_and_config(part: Component) -> None:
    assert list(inspect.signature(part.run).parameters) == ["inputs", "outputs", "config"]


def test_every_config_field_has_a_default(part: Component) -> None:
    assert part.config() == part.config(**{name: s.default for name, s in settings_of(part.config).items()})


def test_config_survives_json(part: Component) -> None:
    written = json.dumps(dataclasses.asdict(part.config()))
    assert pydantic.TypeAdapter(part.config).validate_json(written) == part.config()


def test_code_version_depends_on_what_a_component_imports(part: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    from homefeed.components import contract

    before = part.code_version
    artifacts = contract.source_file("homefeed.components.artifacts.types")
    real = pathlib.Path.read_bytes
    monkeypatch.setattr(
        pathlib.Path, "read_bytes", lambda path: real(path) + (b"# changed" if path == artifacts else b"")
    )
    assert part.code_version != before


def test_importing_all_components_imports_nothing_heavy() -> None:
    program = (
        "import sys, homefeed.pipeline.recommender; "
        "heavy = {'tensorflow', 'apache_beam', 'tensorflow_data_validation', 'pandas', 'pyarrow', 'keras', 'scipy'}; "
        "print(sorted(heavy & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_defaults_of_the_whole_pipeline_are_valid(tmp_path: pathlib.Path) -> None:
    dag = recommender(DatasetDir(tmp_path))
    assert load_config(dag).keys() == set(dag.names())
