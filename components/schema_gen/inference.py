"""Schemas from statistics."""

from __future__ import annotations

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from homefeed.components.artifacts.quiet_tfdv import tfdv
from homefeed.schemas import features as spec
from homefeed.schemas.columns import Feature, TableName


def infer(
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    table: TableName,
    features: dict[str, Feature],
    max_domain_size: int,
    min_domain_mass: float,
) -> schema_pb2.Schema:
    """The schema of a table; columns that were not seen are not in it.

    Args:
        statistics: of the training split.
        table: which one.
        features: standard and declared columns.
        max_domain_size: a category with more values than this is left open.
        min_domain_mass: part of the values that must be known, where the domain was only inferred.
    """
    schema = tfdv.infer_schema(statistics, infer_feature_shape=False, max_string_domain_size=max_domain_size)
    return spec.overlay(schema, table, features, min_domain_mass)
