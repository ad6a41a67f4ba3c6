"""StatisticsGen, SchemaGen and ExampleValidator, one after the other on small data."""

from __future__ import annotations

import pathlib

from homefeed.components import example_gen, example_validator, schema_gen, statistics_gen
from homefeed.components.artifacts.types import (
    DatasetDir,
    ExampleAnomalies,
    Examples,
    ExampleStatistics,
    Quarantine,
    Schema,
)
from homefeed.schemas.columns import TABLES
from tests.components.ingested import DESCRIPTION, events, ingest

ITEMS = "item_id,title,price,size\n" + "".join(f"{n},Thing {n},{n / 10},{'SM'[n % 2]}\n" for n in range(40))

WITH_FEATURES = DESCRIPTION.replace(
    "items.csv}",
    "items.csv, features: {price: {kind: number, min: 0}, size: {kind: category, domain: [S, M, L]}}}",
)


def log(num_users: int = 5, kinds: tuple[str, ...] = ("view", "buy")) -> str:
    rows = [(f"u{n % num_users}", n % 40, n, kinds[n * len(kinds) // 200]) for n in range(200)]
    return events(rows, "user_id,item_id,timestamp,event_type")


def describe(data: pathlib.Path, out: pathlib.Path) -> tuple[example_gen.Outputs, statistics_gen.Outputs]:
    examples = ingest(data, out)
    statistics = statistics_gen.Outputs(*(ExampleStatistics(out / "statistics" / table) for table in TABLES))
    inputs = statistics_gen.Inputs(examples.interactions, examples.items, examples.users)
    statistics_gen.run(inputs, statistics, statistics_gen.Config())
    return examples, statistics


def infer(data: pathlib.Path, out: pathlib.Path, statistics: statistics_gen.Outputs) -> schema_gen.Outputs:
    schemas = schema_gen.Outputs(*(Schema(out / "schema" / table) for table in TABLES))
    schema_gen.run(schema_gen.Inputs(DatasetDir(data), **vars(statistics)), schemas, schema_gen.Config())
    return schemas


def validate(
    data: pathlib.Path,
    out: pathlib.Path,
    statistics: statistics_gen.Outputs,
    schemas: schema_gen.Outputs,
    config: example_validator.Config = example_validator.Config(),  # noqa: B008
    name: str = "anomalies",
) -> ExampleAnomalies:
    anomalies = ExampleAnomalies(out / name)
    inputs = example_validator.Inputs(
        DatasetDir(data),
        Quarantine(out / "q"),
        Examples(out / "interactions"),
        **{f"{table}_statistics": getattr(statistics, table) for table in TABLES},
        **{f"{table}_schema": getattr(schemas, table) for table in TABLES},
    )
    example_validator.run(inputs, example_validator.Outputs(anomalies), config)
    return anomalies
