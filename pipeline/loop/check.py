"""Whether what was just pushed works."""

from __future__ import annotations

import itertools
import pathlib
import re
import shlex
import subprocess

from homefeed.components.artifacts.types import PushedModel
from homefeed.pipeline.config import ConfigError
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.profiles import FILE_NAME, ProfileStore
from homefeed.serving.recommender import FUSED, Recommender

NUM_CHECKED = 20


def reasons_against(pushed: PushedModel, serving_dir: str, command: str) -> list[str]:
    """From asking it as it lies there, and from the user's own command, which may be empty.

    Raises:
        ConfigError: the command, or a program that it needs, could not be started.
    """
    profiles = ProfileStore(pathlib.Path(serving_dir) / FILE_NAME)
    users = [profiles.get(user_id) for user_id in itertools.islice(profiles.user_ids(), NUM_CHECKED)]
    recommender = Recommender(LocalPredictor({FUSED: pushed.models()[FUSED]}))
    reasons = []
    for request, page in zip(users, recommender.recommend(users), strict=True):
        had = {event.item_id for event in request.history}
        if not page or had & {place.item_id for place in page} or not all(p.score == p.score for p in page):
            reasons.append(f"user {request.user_id!r} gets no usable list from {pushed.models()}")
    return reasons or (_run(command) if command else [])


def require_startable(command: str) -> None:
    """Makes sure, before anything is trained, that a shell can start the command; an empty one is none.

    Raises:
        ConfigError: the shell cannot read it, or there is no such program, or it may not be started.
    """
    read = subprocess.run(["sh", "-nc", command], capture_output=True, text=True)
    if read.returncode:
        raise ConfigError(f"--check: expected a command of the shell, got {command!r}: {read.stderr.strip()}")
    program = _program(command)
    if program and subprocess.run(["sh", "-c", _STARTABLE, "sh", program]).returncode:
        raise ConfigError(f"--check: {program!r} is no program that can be started; give its path, and `chmod +x` it")


# A path is no more than named by `command -v`.
_STARTABLE = 'case $1 in */*) [ -f "$1" ] && [ -x "$1" ];; *) command -v "$1" >/dev/null;; esac'
_NOT_STARTED = (126, 127)  # As shells say of what they cannot execute, and of what they do not find.


def _program(command: str) -> str:
    """What the shell starts first; empty where only the shell can tell.

    >>> [_program(c) for c in ("LANG=C ./try.sh 3", "'my checks/try' | cat", "$TRY", "(cd x; y)")]
    ['./try.sh', 'my checks/try', '', '']
    """
    words = shlex.shlex(command, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    first = next((word for word in words if not re.match(r"\w+=", word)), "")
    return "" if re.search(r"[$`()<>;&|*?\[~]", first) else first


def _run(command: str) -> list[str]:
    tried = subprocess.run(command, shell=True, capture_output=True, text=True)  # The user's own.
    if not tried.returncode:
        return []
    said = (tried.stderr or tried.stdout).strip()[-500:]
    what = f"`{command}` exited {tried.returncode}" + (f": {said}" if said else "")
    if tried.returncode in _NOT_STARTED:
        raise ConfigError(f"--check: {what}; what cannot be started says nothing of the models: mend the command")
    return [what]
