"""`python -m schemas`: writes `schemas/<table>.pbtxt` anew from the one feature spec."""

import pathlib

from homefeed.schemas.columns import STANDARD_COLUMNS, TABLES
from homefeed.schemas.features import schema_text, tfmd_schema

for table in TABLES:
    path = pathlib.Path(__file__).with_name(f"{table}.pbtxt")
    path.write_text(schema_text(tfmd_schema(table, STANDARD_COLUMNS[table])), encoding="utf-8")
