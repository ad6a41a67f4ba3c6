"""SchemaGen: a TFMD schema for each table, which later data must keep to.

The training split shows what is there; `dataset.yaml` overrules it where it declares something. A curated schema,
in the data folder's `schema/<table>.pbtxt`, replaces both. Drift and skew comparators come along: ExampleValidator
and `homefeed drift` judge by their thresholds.
"""

from __future__ import annotations

import dataclasses

from homefeed.components.artifacts.types import ALL, DatasetDir, ExampleStatistics, Schema
from homefeed.schemas.columns import TABLES, TableName
from homefeed.schemas.dataset import load_dataset
from homefeed.schemas.features import read_schema
from homefeed.schemas.settings import CountOrNone, Share

CURATED_DIR = "schema"
SPLITS_SEEN: dict[TableName, str] = {"interactions": "train", "items": ALL, "users": ALL}
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

    max_domain_size: CountOrNone = 100  # A category with more values than this is left open.
    min_domain_mass: Share = 0.95  # Part of the values that must be known, where the domain was only inferred.


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Writes the three schemas: curated where there is one, or else inferred.

    Raises:
        DatasetError: a curated schema is not a TFMD schema.
    """
    from homefeed.components.artifacts.quiet_tfdv import tfdv
    from homefeed.components.schema_gen import inference

    dataset = load_dataset(inputs.dataset.path)
    num_curated = num_features = 0
    for table in TABLES:
        curated = inputs.dataset.path / CURATED_DIR / f"{table}.pbtxt"
        statistics: ExampleStatistics = getattr(inputs, table)
        if curated.is_file():
            schema = read_schema(curated)
            num_curated += 1
        else:
            seen = tfdv.load_stats_binary(str(statistics.split_file(SPLITS_SEEN[table])))
            schema = inference.infer(
                seen, table, dataset.features(table), config.max_domain_size, config.min_domain_mass
            )
        out: Schema = getattr(outputs, table)
        out.path.mkdir(parents=True, exist_ok=True)
        tfdv.write_schema_text(schema, str(out.file))
        num_features += len(schema.feature)
    return f"{num_features} features" + (f", {num_curated} of {len(TABLES)} schemas curated" if num_curated else "")
