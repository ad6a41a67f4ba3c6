"""One rule for every failure: a line for what a user can mend, the traceback for what we must."""

import errno
import json
import pathlib
import signal
import subprocess
import sys
import time

import grpc
import pytest

from homefeed.components.artifacts.types import ArtifactError, GateClosed
from homefeed.pipeline.cli.failures import INTERRUPTED, tell
from homefeed.pipeline.config import ConfigError
from homefeed.pipeline.deploy.errors import DeployError, DeployUsageError
from homefeed.pipeline.runner.errors import RunError
from homefeed.schemas.dataset import DatasetError
from homefeed.schemas.errors import HomefeedError
from homefeed.serving.batch import LineError
from homefeed.serving.deploy.render import RenderError
from homefeed.serving.process import ServerError
from homefeed.serving.releases import ReleaseError
from tests.documents import HOUSE
from tests.pipeline.command import homefeed
from tests.runs import SMALL

FAILED = (ArtifactError, DatasetError, DeployError, LineError, ReleaseError, RenderError, RunError, ServerError)


@pytest.mark.parametrize("kind", [*FAILED, ConfigError, DeployUsageError])
def test_errors_of_ours_have_one_base_and_an_exit_code(kind: type[HomefeedError]) -> None:
    assert tell(kind("x is 3, expected 4")) == (kind.__name__, "x is 3, expected 4", 1 if kind in FAILED else 2)


def test_a_closed_gate_and_an_interruption() -> None:
    assert tell(GateClosed("Evaluator", ["worse"])) == ("GateClosed", "Evaluator: worse", 1)
    told = tell(KeyboardInterrupt())
    assert told is not None and told.exit_code == 130


def test_the_client_knows_nothing_of_ours_and_is_told_all_the_same() -> None:
    from homefeed_client import PredictionError

    assert not issubclass(PredictionError, HomefeedError)
    assert tell(PredictionError("no answer")) == ("PredictionError", "no answer", 1)


@pytest.mark.parametrize(
    "code", [errno.ENOENT, errno.EACCES, errno.ENOSPC, errno.EADDRINUSE, errno.ENOTCONN, errno.ESTALE, errno.ENOBUFS]
)
def test_what_paths_and_disks_do_is_a_line_with_the_path(code: int) -> None:
    told = tell(OSError(code, "as the system says", "/some/path"))
    assert told is not None and (told.message, told.exit_code) == ("/some/path: as the system says", 1)


def test_what_libraries_of_networks_raise_is_a_line() -> None:
    from google.api_core.exceptions import TooManyRequests
    from google.auth.exceptions import DefaultCredentialsError

    assert tell(TooManyRequests("slower")) == ("TooManyRequests", "429 slower", 1)
    assert tell(DefaultCredentialsError("none")) == ("DefaultCredentialsError", "none", 1)
    assert tell(grpc.FutureTimeoutError()) == ("FutureTimeoutError", "FutureTimeoutError", 1)


def test_a_file_of_another_encoding_is_a_line() -> None:
    with pytest.raises(UnicodeDecodeError) as error:
        b"abc\xff".decode()
    told = tell(error.value)
    assert told is not None and "not UTF-8 text: byte 0xff at 3" in told.message


@pytest.mark.parametrize(
    "error", [ValueError("x"), TypeError("x"), AssertionError(), RuntimeError("x"), KeyError("x")]
)
def test_what_is_a_fault_of_ours_is_none_of_these(error: Exception) -> None:
    assert tell(error) is None


def test_a_fault_of_ours_shows_its_traceback_and_asks_for_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr("homefeed.pipeline.cli.run.load_dataset", lambda data: 1 / 0)
    assert homefeed("run", "--data", str(tmp_path), "--root", str(tmp_path / "root")) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said and "ZeroDivisionError" in said
    assert said.splitlines()[-1].startswith("This is a fault of homefeed 0.")


def test_a_folder_that_cannot_be_made_is_a_line(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert homefeed("data", "sample", "--out", str(tmp_path / "file" / "out")) == 1
    said = capsys.readouterr().err
    assert said.startswith("NotADirectoryError: ") and str(tmp_path / "file") in said and said.count("\n") == 1


AT_ONCE = "time.sleep(60)"
# As libraries do that call Python from C++.
WRAPPED = """
    try:
        time.sleep(60)
    except KeyboardInterrupt as error:
        raise RuntimeError("a step failed") from error
"""


# As where an interruption is raised in a callback that drops it.
DROPPED = """
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(60)
"""


def interrupted(program: str, ready: str, *arguments: str) -> tuple[int, str]:
    """Sends SIGINT to a Python program once it has printed a line; its exit code, and what it says on stderr."""
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HOUSE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == f"{ready}\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    return process.returncode, said


def while_it_imports(module: str, first: str, start: str) -> str:
    """A program that says so and waits when it comes to a module."""
    return f"""
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import builtins
{first}
real = builtins.__import__
def slow(name, *args, **kwargs):
    if name == "{module}":
        print("imports", flush=True), time.sleep(60)
    return real(name, *args, **kwargs)
builtins.__import__ = slow
{start}
"""


@pytest.mark.parametrize("at_work", [AT_ONCE, WRAPPED, DROPPED])
def test_ctrl_c_ends_in_a_line_and_130(at_work: str, tmp_path: pathlib.Path) -> None:
    # A shell starts what it sends to the background deaf to Ctrl-C, and the deafness is inherited.
    program = f"""
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from homefeed.pipeline.cli import data, interrupts, main
interrupts.PATIENCE_SECONDS = 1.0
def write_sample(*args, **kwargs):
    print("at work", flush=True)
    {at_work}
data.write_sample = write_sample
main.main()
"""
    code, said = interrupted(program, "at work", "data", "sample", "--out", str(tmp_path))
    assert code == 130
    assert said.startswith("Interrupted: ") and said.count("\n") == 1


FUSER = "--input retrieval_model=PATH --input ranking_model=PATH --output model={tmp}/m"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (f"component fuser {FUSER.replace('PATH', '{tmp}/no')}", 2, "is not there"),
        (f"component fuser {FUSER.replace('PATH', '{tmp}')}", 1, "SavedModel"),
        ("models list --serving-dir nope://shop/x", 1, "nope://shop/x cannot be opened"),
        ("deploy compile --out {tmp}", 2, "the package should be a file such as homefeed.yaml"),
        ("deploy compile --out {tmp}/p.yaml --set-task fuser.cpu=many", 2, "expected cores such as 4 or 500m"),
        ("deploy report --status [1]", 2, "is not a PipelineTaskFinalStatus"),
        ("forget u", 2, "give --data, --root, --store or several"),
        ("forget u --root {tmp}/no", 1, "there is no root {tmp}/no"),
        ("tune --data {tmp} --root {tmp} --set-range x=1", 2, "should read component.field=low..high"),
        ("serve --root {tmp} --port 99999", 2, "65535"),
        ("lineage --root {tmp}", 1, "holds no run yet"),
        ("batch-recommend --root {tmp} --users {tmp}/no --out {tmp}/o", 1, "holds no pushed models yet"),
        ("drift --baseline {tmp} --current {tmp}", 1, "neither a data folder"),
    ],
)  # fmt: skip
def test_what_is_typed_wrongly_ends_without_a_traceback(
    arguments: str, code: int, said: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert homefeed(*arguments.format(tmp=tmp_path).split()) == code
    err = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert said.format(tmp=tmp_path) in err and "Traceback" not in err


def test_a_server_that_has_loaded_nothing_yet_ends_in_a_line_too() -> None:
    package = "homefeed.serving.model_server"
    program = while_it_imports(package, f"import {package}.main as main", "main.main()")
    assert interrupted(program, "imports") == (130, "Interrupted before any model was loaded.\n")


def test_ctrl_c_while_libraries_are_imported_is_a_line() -> None:
    program = while_it_imports(
        "homefeed.pipeline.cli.main", "from homefeed.pipeline.cli.start import start", "start()"
    )
    assert interrupted(program, "imports") == (130, f"Interrupted: {INTERRUPTED}\n")


@pytest.mark.slow
def test_ctrl_c_in_a_training_is_a_line_and_what_had_finished_is_kept(
    sample_data: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from homefeed.pipeline.cli import main, terminal
terminal._a_line_a_minute.__wrapped__.__defaults__ = (0.1,)
main.main()
"""
    run = ["run", "--data", str(sample_data), "--root", str(tmp_path), "--until"]
    sets = [word for setting in (*SMALL, "retrieval_trainer.epochs=500") for word in ("--set", setting)]
    command = [sys.executable, "-c", program, *run, "retrieval_trainer", *sets]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HOUSE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert any("RetrievalTrainer: epoch" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert (process.returncode, said) == (130, f"Interrupted: {INTERRUPTED}\n")
    assert homefeed(*run, "transform", *sets, "--json") == 0
    steps = json.loads(capsys.readouterr().out)
    assert all(step["cached"] for step in steps)
