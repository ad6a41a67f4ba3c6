"""The three tables as they lie on disk: which files, and their rows as typed Arrow batches."""

from homefeed.schemas.tables.batches import arrow_schema, read_batches, read_file
from homefeed.schemas.tables.facts import join_facts, relation_names
from homefeed.schemas.tables.files import COMPRESSIONS, File, Format, Found, find_files, is_uri, local_files
from homefeed.schemas.tables.rows import BadRow, Batch
from homefeed.schemas.tables.source import Source, find_table, is_there
from homefeed.schemas.tables.streams import open_file

__all__ = [
    "COMPRESSIONS",
    "BadRow",
    "Batch",
    "File",
    "Format",
    "Found",
    "Source",
    "arrow_schema",
    "find_files",
    "find_table",
    "is_there",
    "is_uri",
    "join_facts",
    "local_files",
    "open_file",
    "read_batches",
    "read_file",
    "relation_names",
]
