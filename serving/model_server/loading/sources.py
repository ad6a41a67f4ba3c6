"""Wanted versions of a model: those in its folder that its version policy selects."""

import logging
import pathlib
import re
from typing import Any

from homefeed.serving.model_server.errors import not_found

_VERSION_NAME = re.compile(r"[0-9]{1,19}")
_MAX_VERSION = 2**63 - 1
RETIRED = ".retired"
"""What is added to the name of a version that was taken back."""
_logger = logging.getLogger(__name__)


def list_versions(base_path: pathlib.Path) -> dict[int, pathlib.Path]:
    """Every child of a folder that is named by a decimal number, by that number.

    Of two names for one number (`7`, `007`) the later in string order counts.

    Raises:
        StatusError: NOT_FOUND, there is no such folder.
    """
    try:
        names = sorted(path.name for path in base_path.iterdir())
    except OSError as error:
        raise not_found(f"Could not find base path {base_path} for servable: {error.strerror}.") from error
    versions: dict[int, pathlib.Path] = {}
    for name in names:
        if not _VERSION_NAME.fullmatch(name) or int(name) > _MAX_VERSION:
            continue
        if int(name) in versions:
            _logger.warning("%s holds version %d twice; %s is used.", base_path, int(name), name)
        versions[int(name)] = base_path / name
    return versions


def place_of(version_path: pathlib.Path) -> pathlib.Path:
    """Where a version lies by now: it may have been taken back since its folder was found."""
    retired = version_path.with_name(version_path.name + RETIRED)
    return retired if retired.is_dir() and not version_path.exists() else version_path


def apply_policy(versions: dict[int, pathlib.Path], policy: Any) -> dict[int, pathlib.Path]:
    """Keeps the versions that a ServableVersionPolicy message wants; without one, the latest."""
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return versions
    if choice == "specific":
        return {version: versions[version] for version in policy.specific.versions if version in versions}
    count = max(1, policy.latest.num_versions)
    return {version: versions[version] for version in sorted(versions)[-count:]}
