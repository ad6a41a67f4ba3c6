"""Review of curated schemas: proposals from data, and their acceptance.

A new value or column is neither a crash nor silently taken: `diff` lists it, `accept` writes it into the curated
`schema/<table>.pbtxt` of the data folder, which people keep under version control.
"""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
from collections.abc import Collection

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from homefeed.components import example_gen, statistics_gen
from homefeed.components.artifacts.quiet_tfdv import tfdv
from homefeed.components.artifacts.types import DatasetDir, Examples, ExampleStatistics, Quarantine
from homefeed.components.schema_gen import inference
from homefeed.components.schema_gen.component import CURATED_DIR, SPLITS_SEEN, Config
from homefeed.schemas.columns import TABLES, TableName
from homefeed.schemas.dataset import DatasetError, load_dataset
from homefeed.schemas.features import read_schema
from homefeed.schemas.scratch import scratch

Statistics = dict[TableName, dict[str, statistics_pb2.DatasetFeatureStatisticsList]]


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A change of one column that the data asks for."""

    feature: str  # `table.column`
    change: str  # A sentence for people.
    lines: tuple[str, ...]  # The difference of its text form, `+` and `-` first.


def infer(data_dir: pathlib.Path) -> list[pathlib.Path]:
    """Writes what the data looks like now as the curated schema, one file a table; returns the files.

    Args:
        data_dir: folder of `dataset.yaml`; they go into `schema/` there, where SchemaGen finds them.

    Raises:
        DatasetError: a curated schema is there already.
    """
    out_dir = data_dir / CURATED_DIR
    if there := sorted(out_dir.glob("*.pbtxt")):
        raise DatasetError(f"{there[0]} is there already. Use `schema diff` and `schema accept` to change it.")
    dataset, config, described = load_dataset(data_dir), Config(), _describe(data_dir)
    out_dir.mkdir(exist_ok=True)  # Last, so that a wrong name leaves no folder behind.
    written = []
    for table, splits in described.items():
        seen, features = splits[SPLITS_SEEN[table]], dataset.features(table)
        schema = inference.infer(seen, table, features, config.max_domain_size, config.min_domain_mass)
        written.append(out_dir / f"{table}.pbtxt")
        tfdv.write_schema_text(schema, str(written[-1]))
    return written


def diff(data_dir: pathlib.Path) -> list[Proposal]:
    """What the data would change in the curated schemas.

    Raises:
        DatasetError: there are none.
    """
    return [
        _proposal(f"{table}.{name}", _of(before, name), _of(after, name))
        for table, before, after in _proposed(data_dir)
        for name in sorted({feature.name for feature in after.feature})
        if _of(before, name) != _of(after, name)
    ]


def accept(data_dir: pathlib.Path, features: Collection[str] | None = None) -> list[Proposal]:
    """Writes proposals into the curated schemas: those of the named columns (`table.column`), or all.

    Raises:
        DatasetError: there are no curated schemas, or nothing is proposed for one of the names.
    """
    proposals = diff(data_dir)
    names = {proposal.feature for proposal in proposals}
    if unknown := sorted(set(features or ()) - names):
        raise DatasetError(
            f"Nothing is proposed for {', '.join(unknown)}. Proposals: {', '.join(sorted(names)) or 'none'}."
        )
    chosen = names if features is None else set(features)
    for table, before, after in _proposed(data_dir):
        for feature in after.feature:
            if f"{table}.{feature.name}" in chosen:
                _replace(before, after, feature.name)
        tfdv.write_schema_text(before, str(data_dir / CURATED_DIR / f"{table}.pbtxt"))
    return [proposal for proposal in proposals if proposal.feature in chosen]


def _describe(data_dir: pathlib.Path) -> Statistics:
    """Statistics of each table's splits."""
    with scratch() as out:
        examples = {table: Examples(out / "examples" / table) for table in TABLES}
        statistics = {table: ExampleStatistics(out / "statistics" / table) for table in TABLES}
        dataset = DatasetDir(data_dir)
        outputs = example_gen.Outputs(
            **examples,
            exposures=Examples(out / "exposures"),
            relations=Examples(out / "relations"),
            quarantine=Quarantine(out / "quarantine"),
        )
        example_gen.run(example_gen.Inputs(dataset), outputs, example_gen.Config())
        statistics_gen.run(
            statistics_gen.Inputs(**examples), statistics_gen.Outputs(**statistics), statistics_gen.Config()
        )
        return {
            table: {split: tfdv.load_stats_binary(str(found.split_file(split))) for split in found.splits}
            for table, found in statistics.items()
        }


def _proposed(data_dir: pathlib.Path) -> list[tuple[str, schema_pb2.Schema, schema_pb2.Schema]]:
    """(table, the curated schema, the same with all that the data asks for)."""
    statistics = _describe(data_dir)
    found: list[tuple[str, schema_pb2.Schema, schema_pb2.Schema]] = []
    for table in TABLES:
        path = data_dir / CURATED_DIR / f"{table}.pbtxt"
        if not path.is_file():
            raise DatasetError(f"There is no curated schema {path}. `schema infer` writes a first one.")
        before, after = read_schema(path), read_schema(path)
        for described in statistics[table].values():
            if described.datasets[0].num_examples:
                after = tfdv.update_schema(after, described)
        found.append((table, before, after))
    return found


def _of(schema: schema_pb2.Schema, name: str) -> list[str]:
    """The text form of a column and its domain; empty if there is no such column."""
    lines: list[str] = []
    for feature in schema.feature:
        if feature.name == name:
            lines += text_format.MessageToString(feature, as_utf8=True).splitlines()
            domains = [domain for domain in schema.string_domain if domain.name == feature.domain]
            for domain in domains:
                lines += text_format.MessageToString(domain, as_utf8=True).splitlines()
    return lines


def _proposal(feature: str, before: list[str], after: list[str]) -> Proposal:
    changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    values = [line.partition(": ")[2] for line in changed if line.startswith("+") and " value: " in line]
    if not before:
        change = "a new column"
    elif values:
        change = f"new values: {', '.join(values[:10])}" + (", …" if len(values) > 10 else "")
    else:
        change = "other limits: " + "; ".join(changed[:6])
    return Proposal(feature, change, tuple(changed))


def _replace(schema: schema_pb2.Schema, source: schema_pb2.Schema, name: str) -> None:
    """Takes a column and its domain from another schema."""
    (new,) = [feature for feature in source.feature if feature.name == name]
    old = [feature for feature in schema.feature if feature.name == name]
    (old[0] if old else schema.feature.add()).CopyFrom(new)
    for domain in source.string_domain:
        if domain.name == new.domain:
            known = [other for other in schema.string_domain if other.name == domain.name]
            (known[0] if known else schema.string_domain.add()).CopyFrom(domain)
