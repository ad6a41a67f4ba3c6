"""The user's own command that tries what was pushed: whether it can be started at all."""

import pathlib

import pytest

from homefeed.components.artifacts.types import PushedModel
from homefeed.pipeline.config import ConfigError
from homefeed.pipeline.loop.check import reasons_against, require_startable
from tests.permissions import as_nobody, readable


@pytest.mark.parametrize(
    "command", ["", "true", "LANG=C test -d .", "cd /; ls", "[ -d / ]", "(exit 3)", "! true", "$TRY it", "sh -c true"]
)
def test_what_a_shell_can_start(command: str) -> None:
    require_startable(command)


@pytest.mark.parametrize(
    "command", ["nope-nope", "./nope.sh 3", "A=1 nope-nope | cat", "/tmp", "nope-nope 'a b' && x"]
)
def test_what_no_shell_can_start(command: str) -> None:
    with pytest.raises(ConfigError, match="is no program that can be started"):
        require_startable(command)


def test_a_file_that_may_not_be_started(tmp_path: pathlib.Path) -> None:
    (tmp_path / "my check.sh").write_text("exit 0")
    readable(tmp_path)
    with as_nobody(), pytest.raises(ConfigError, match=r"my check.sh' is no program .* `chmod \+x` it"):
        require_startable(f"'{tmp_path}/my check.sh' 3")
    (tmp_path / "my check.sh").chmod(0o755)
    with as_nobody():
        require_startable(f"'{tmp_path}/my check.sh' 3")


@pytest.mark.parametrize("command", ["if true", "'open", "a | | b"])
def test_what_no_shell_can_read(command: str) -> None:
    with pytest.raises(ConfigError, match="expected a command of the shell, got"):
        require_startable(command)


def test_a_part_of_it_that_cannot_be_started_is_no_reason_against_the_models(counted_root: pathlib.Path) -> None:
    (pushed,) = counted_root.glob("artifacts/Pusher/*/pushed")
    arguments = PushedModel(pushed), str(counted_root / "serving")
    with pytest.raises(ConfigError, match=r"`true && nope-nope` exited 127: .*says nothing of the models"):
        reasons_against(*arguments, "true && nope-nope")
    assert reasons_against(*arguments, "echo no; exit 3") == ["`echo no; exit 3` exited 3: no"]
