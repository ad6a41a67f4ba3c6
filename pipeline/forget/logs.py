"""What logs and their copies are told of somebody who is forgotten: what nobody has read yet stays out of spans."""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Iterable, Sequence

from homefeed.pipeline.forget.files import opened
from homefeed.serving.log.copy import LOG_FILE_NAME, leave_out
from homefeed.serving.profiles.outbox import forget_record
from homefeed.serving.profiles.outbox_table import is_logged, put
from homefeed.serving.profiles.store import LIVE_FILE_NAME


def logged_stores(files: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """The live stores whose gateways write to a log."""

    def is_one(path: pathlib.Path) -> bool:
        with opened(path) as database:
            return is_logged(database)

    return [path for path in files if path.name == LIVE_FILE_NAME and is_one(path)]


def leave_out_of_copies(
    files: Sequence[pathlib.Path],
    stores: Sequence[pathlib.Path],
    serving: pathlib.Path | None,
    names: Collection[str],
) -> list[str]:
    """Has copies leave out what logs have of somebody up to now, also those that the first sealing will make.

    Args:
        files: that are searched.
        stores: live stores whose gateways write to a log.
        serving: where the first sealing makes a copy of a log that is in use; None: none is known to be.
        names: of the person.

    Returns:
        What logs still have.
    """
    copies = {path for path in files if path.name == LOG_FILE_NAME}
    copies |= {folder / LOG_FILE_NAME for folder in (*(path.parent for path in stores), *filter(None, [serving]))}
    logs = [leave_out(path, names, stores) or "that gateways write" for path in sorted(copies)]
    return [f"the log {name} (Kafka removes it when its retention ends; no span will have it)" for name in logs]


def tell_logs(stores: Iterable[pathlib.Path], names: Collection[str]) -> list[str]:
    """Has gateways tell their log that somebody was forgotten; gives where their names wait until then."""
    for path in stores:
        with opened(path) as database:
            for name in sorted(names):
                put(database, name, forget_record(name))
    return [
        f"{path} (the log is to be told that they were forgotten; a gateway does, once it runs)" for path in stores
    ]
