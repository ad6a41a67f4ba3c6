"""Beam's runners and options, before Beam runs."""

import pytest

from homefeed.components.beam.settings import RUNNERS, BeamSettings
from homefeed.pipeline.config.fields import settings_of

RUNNER = settings_of(BeamSettings)["runner"]


def test_the_names_are_beams_own_and_dasks() -> None:
    from apache_beam.options.pipeline_options import StandardOptions

    known = {path.rpartition(".")[2] for path in StandardOptions.ALL_KNOWN_RUNNERS}
    # Beam has the runner, and does not know it by its name.
    assert set(RUNNERS) == {"DaskRunner", *(name for name in known if not name.startswith("Test"))}


@pytest.mark.parametrize(
    "name", [*RUNNERS, "flink", "FLINKRUNNER", "apache_beam.runners.direct.direct_runner.BundleBasedDirectRunner"]
)
def test_a_known_runner_and_a_class_are_taken(name: str) -> None:
    assert RUNNER.read(name) == name


@pytest.mark.parametrize("name", ["Nope", "", "nowhere.Runner", "apache_beam.nope.Runner", ".Runner"])
def test_others_are_not(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected one of FnApiRunner, .*, or module\.Class, got"):
        RUNNER.read(name)


@pytest.mark.parametrize(
    ("options", "mistakes"),
    [
        ((), []),
        (("--project=shop", "--streaming", "--unknown_to_beam=3"), []),  # Runners have options of their own.
        (("project=shop", "-x"), ["expected --name or --name=value, got 'project=shop'", "got '-x'"]),
        (("--num_workers=many",), ["argument --num_workers: invalid int value: 'many'"]),
    ],
)
def test_options_are_judged_as_beam_reads_them(options: tuple[str, ...], mistakes: list[str]) -> None:
    found = BeamSettings(beam_options=options).check()
    assert all(said.startswith("beam_options: ") for said in found)
    assert all(mistake in said for said, mistake in zip(found, mistakes, strict=True))
