"""SchemaGen: what each table must look like from now on, as a TFMD schema.

The training split shows what is there; `dataset.yaml` overrules it where it declares something. A curated schema,
in the data folder's `schema/<table>.pbtxt`, replaces both. Drift and skew comparators come along: ExampleValidator
and `homefeed drift` judge by their thresholds.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from homefeed.components.artifacts.types import DatasetDir, ExampleStatistics, Schema
from homefeed.schemas import features as spec
from homefeed.schemas.dataset import TABLES, Feature, TableName, load_dataset

CURATED_DIR = "schema"
SPLITS_SEEN: dict[TableName, str] = {"interactions": "train", "items": "all", "users": "all"}
"""The split of each table that a schema is inferred from: of interactions, nothing that a model is tested on."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What goes in."""

    dataset: DatasetDir
    interactions: ExampleStatistics
    items: ExampleStatistics
    users: ExampleStatistics


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What comes out."""

    interactions: Schema
    items: Schema
    users: Schema


@dataclasses.dataclass(frozen=True)
class Config:
    """What can be set."""

    max_domain_size: int = 100  # A category with more values than this is left open.
    min_domain_mass: float = 0.95  # Part of the values that must be known, where the domain was only inferred.


def infer(statistics: Any, table: TableName, features: dict[str, Feature], config: Config) -> Any:
    """The schema of a table.

    Args:
        statistics: `DatasetFeatureStatisticsList` of the training split.
        table: which one.
        features: standard and declared columns.
        config: how far to trust what was seen.

    Returns:
        A TFMD `Schema`. Columns that were not seen are not in it.
    """
    from homefeed.components.artifacts.quiet_tfdv import tfdv

    schema = tfdv.infer_schema(statistics, infer_feature_shape=False, max_string_domain_size=config.max_domain_size)
    return spec.overlay(schema, table, features, config.min_domain_mass)


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Writes the three schemas: curated where there is one, or else inferred.

    Raises:
        ValueError: a curated schema is not a TFMD schema.
    """
    from google.protobuf import text_format

    from homefeed.components.artifacts.quiet_tfdv import tfdv

    dataset = load_dataset(inputs.dataset.path)
    num_curated = num_features = 0
    for table in TABLES:
        curated = inputs.dataset.path / CURATED_DIR / f"{table}.pbtxt"
        statistics: ExampleStatistics = getattr(inputs, table)
        if curated.is_file():
            try:
                schema = tfdv.load_schema_text(str(curated))
            except text_format.ParseError as error:
                raise ValueError(f"{curated} is not a TFMD schema in text form: {error}") from error
            num_curated += 1
        else:
            seen = tfdv.load_stats_binary(str(statistics.split_file(SPLITS_SEEN[table])))
            schema = infer(seen, table, dataset.features(table), config)
        out: Schema = getattr(outputs, table)
        out.path.mkdir(parents=True, exist_ok=True)
        tfdv.write_schema_text(schema, str(out.file))
        num_features += len(schema.feature)
    return f"{num_features} features" + (f", {num_curated} of {len(TABLES)} schemas curated" if num_curated else "")
