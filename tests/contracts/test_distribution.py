"""What other people's programs get: one import name, whole, beside rooms of their own with the same names."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

HOUSE = pathlib.Path(__file__).parents[2]
ROOMS = ("schemas", "models", "serving", "components", "pipeline")
LEFT_BEHIND = shutil.ignore_patterns(".*", "var", "build", "*.egg-info", "__pycache__", "tests", "benchmarks")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Made from an sdist, as an index would serve it."""
    out = tmp_path_factory.mktemp("wheel")
    shutil.copytree(HOUSE, out / "checkout", symlinks=True, ignore=LEFT_BEHIND)
    command = [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(out)]
    subprocess.run(command, cwd=out / "checkout", check=True, capture_output=True)
    (sdist,) = out.glob("*.tar.gz")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-w", str(out))
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(sdist)], check=True, capture_output=True)
    (built,) = out.glob("homefeed-*.whl")
    return built


def test_a_wheel_puts_one_name_into_an_environment(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = set(archive.namelist())
    assert {name.partition("/")[0] for name in files if ".dist-info/" not in name} == {"homefeed"}
    sources = {f"homefeed/{path.relative_to(HOUSE)}" for room in ROOMS for path in (HOUSE / room).rglob("*.py")}
    assert {name for name in sources if not name.startswith("homefeed/serving/client/")} <= files
    data = {*(HOUSE / "schemas").glob("*.pbtxt"), *(HOUSE / "serving/deploy/templates").rglob("*.j2")}
    assert data and {f"homefeed/{path.relative_to(HOUSE)}" for path in data} <= files


def test_it_works_in_a_project_with_the_same_rooms(wheel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    project, site = tmp_path / "project", tmp_path / "site"
    for room in ROOMS:
        (project / room).mkdir(parents=True)
        (project / room / "__init__.py").write_text(f"OWNER = 'the project, {room}'\n", encoding="utf-8")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    program = f"""
import sys
sys.path[:0] = [{str(project)!r}, {str(site)!r}]
import components, models, pipeline, schemas, serving
import homefeed, homefeed.pipeline.recommender, homefeed.schemas.dataset, homefeed.serving.deploy.render
homefeed.run, homefeed.load, homefeed.drift
for room in ({", ".join(ROOMS)},):
    assert room.OWNER == f"the project, {{room.__name__}}"
ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "homefeed"]
assert all(module.__file__.startswith({str(site)!r}) for module in ours), ours
assert list(homefeed.serving.deploy.render.TEMPLATES.rglob("*.j2"))
"""
    subprocess.run([sys.executable, "-I", "-c", program], check=True, cwd=tmp_path)


def test_the_door_names_what_is_public() -> None:
    import homefeed

    assert sorted(homefeed.__all__) == ["drift", "load", "run"]
    with pytest.raises(AttributeError, match="no attribute 'rnu'; did you mean 'run'"):
        homefeed.rnu  # noqa: B018
