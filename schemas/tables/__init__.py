"""The three tables as they lie on disk: which files, and their rows as typed Arrow batches."""

from homefeed.schemas.tables.batches import arrow_schema, column_names, read_batches
from homefeed.schemas.tables.files import (
    COMPRESSIONS,
    Format,
    format_of,
    is_uri,
    local_files,
    missing_table,
    table_pattern,
)
from homefeed.schemas.tables.rows import BadRow, Batch

__all__ = [
    "COMPRESSIONS",
    "BadRow",
    "Batch",
    "Format",
    "arrow_schema",
    "column_names",
    "format_of",
    "is_uri",
    "local_files",
    "missing_table",
    "read_batches",
    "table_pattern",
]
