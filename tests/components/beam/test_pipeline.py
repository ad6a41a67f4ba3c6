import logging
import os
import pathlib
import signal
import sys

import apache_beam as beam
import pytest
from apache_beam.runners.portability import prism_runner

from homefeed.components.beam.errors import BeamError
from homefeed.components.beam.pipeline import _cause, beam_pipeline, quiet
from homefeed.schemas.dataset import DatasetError
from tests.components.ingested import digests, events, ingest, write_dataset


@pytest.mark.parametrize("runner", ["FnApiRunner", "BundleBasedDirectRunner"])
def test_a_pipeline_has_run_at_the_end_of_the_block(runner: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    out = tmp_path_factory.mktemp("out") / "sum"
    with beam_pipeline(runner, ()) as pipeline:
        _ = pipeline | beam.Create([1, 2, 3]) | beam.CombineGlobally(sum) | beam.Map(lambda n: out.write_text(str(n)))
        assert not out.exists()
    assert out.read_text() == "6"


def test_the_options_are_beams_own() -> None:
    with beam_pipeline("FnApiRunner", ("--job_name=ingest", "--direct_num_workers=2")) as pipeline:
        known = pipeline.options.get_all_options(drop_default=True)
        _ = pipeline | beam.Create([1])
    assert known["job_name"] == "ingest" and known["direct_num_workers"] == 2


THREADS = ("--direct_num_workers=2", "--direct_running_mode=multi_threading")


@pytest.mark.parametrize("options", [(), THREADS])
def test_direct_runner_ingests_the_same_with_beams_own_options(
    options: tuple[str, ...], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prism_runner.PrismRunner, "run_pipeline", None)  # Which would be downloaded.
    data = write_dataset(tmp_path / "data", events([(f"u{n % 17}", "ABC"[n % 3], n) for n in range(300)]))
    ingest(data, tmp_path / "default")
    ingest(data, tmp_path / "direct", runner="DirectRunner", beam_options=options)
    assert digests(tmp_path / "default") == digests(tmp_path / "direct")


@pytest.mark.parametrize("kind", [DatasetError, OSError])
def test_what_a_user_can_mend_is_taken_out_of_beams_wrapping(kind: type[Exception]) -> None:
    def refuse(element: int) -> None:
        raise kind(28, "no room") if kind is OSError else kind("no room")

    with pytest.raises(kind, match="no room") as error, beam_pipeline("FnApiRunner", ()) as pipeline:
        _ = pipeline | beam.Create([7]) | beam.Map(refuse)
    assert isinstance(error.value, kind)


def test_workers_on_this_machine_are_reached_without_the_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "shop.example")
    out = tmp_path_factory.mktemp("out") / "sum"
    options = ("--direct_running_mode=multi_threading", "--direct_num_workers=2")
    with beam_pipeline("FnApiRunner", options) as pipeline:
        _ = pipeline | beam.Create([1, 2, 3]) | beam.CombineGlobally(sum) | beam.Map(lambda n: out.write_text(str(n)))
    assert out.read_text() == "6"
    assert os.environ["no_proxy"] == "shop.example,localhost,127.0.0.1,::1"


PROCESSES = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


@pytest.mark.slow
def test_a_worker_that_was_killed_ends_the_pipeline(capfd: pytest.CaptureFixture[str]) -> None:
    def be_killed(number: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    said = "^the pipeline on DirectRunner failed: a worker of this machine ended before its work did"
    with pytest.raises(BeamError, match=said), beam_pipeline("DirectRunner", PROCESSES) as pipeline:
        _ = pipeline | beam.Create(range(10)) | beam.Reshuffle() | beam.Map(be_killed)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_workers_that_are_processes_ingest_the_same(tmp_path: pathlib.Path) -> None:
    data = write_dataset(tmp_path / "data", events([(f"u{n % 17}", "ABC"[n % 3], n) for n in range(300)]))
    ingest(data, tmp_path / "default")
    ingest(data, tmp_path / "processes", runner="DirectRunner", beam_options=PROCESSES)
    assert digests(tmp_path / "default") == digests(tmp_path / "processes")


def test_an_error_of_a_step_reaches_the_caller() -> None:
    def refuse(element: int) -> None:
        raise ValueError(f"no {element}")

    with pytest.raises(Exception, match="no 7") as error, beam_pipeline("FnApiRunner", ()) as pipeline:
        _ = pipeline | beam.Create([7]) | beam.Map(refuse)
    assert not isinstance(error.value, BeamError)  # A fault of ours keeps its traceback.


def test_machines_that_are_not_reached_are_said_so() -> None:
    options = ("--job_endpoint=127.0.0.1:1", "--job_server_timeout=1")
    said = "^the pipeline on PortableRunner failed: it did not answer in time"
    with pytest.raises(BeamError, match=said), beam_pipeline("PortableRunner", options) as pipeline:
        _ = pipeline | beam.Create([7])


def test_what_dask_needs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "homefeed.components.beam.dask", raising=False)
    said = r"DaskRunner needs a package.*pip install 'homefeed\[dask\]'"
    with pytest.raises(BeamError, match=said), beam_pipeline("DaskRunner", ()):
        pass


def test_a_step_that_failed_far_away_is_told_by_its_last_line() -> None:
    said = 'Traceback (most recent call last):\n  File "x.py"\nOSError: [Errno 28] No space left on device\n'
    assert "SparkRunner failed: OSError: [Errno 28] No space" in str(_cause(RuntimeError(said), "SparkRunner"))


def test_what_beam_is_told_in_the_block_and_what_after_it() -> None:
    logger = logging.getLogger("apache_beam")
    before = logger.level
    with pytest.raises(KeyError), quiet():
        assert logger.level == logging.CRITICAL
        raise KeyError
    assert logger.level == before
