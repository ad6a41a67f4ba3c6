"""What a process that was killed leaves in a file of SQLite."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import sqlite3


def crash_while_writing(path: pathlib.Path) -> None:
    """Leaves the file, which has no write-ahead log, as kill -9 does while a transaction is being written to it."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 1")  # Pages are written before the transaction is committed.
        database.execute("BEGIN IMMEDIATE")
        database.execute("CREATE TABLE torn (value TEXT)")
        database.executemany("INSERT INTO torn VALUES (?)", [("x" * 5_000,)] * 50)
        files = [path, path.with_name(f"{path.name}-journal")]
        copies = [shutil.copy(file, file.with_name(f"{file.name}.copy")) for file in files]
    for file, copy in zip(files, copies, strict=True):
        shutil.move(copy, file)
