"""One declaration of a feature, and everything that follows from it.

`dataset.yaml` says once what a column holds. From that come its type and limits in the TFMD schema, how training
parses it from an Example, and the name, type and shape of the serving input that carries it.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from homefeed.schemas.columns import MODEL_KINDS, STANDARD_COLUMNS, Feature, Kind, TableName
from homefeed.schemas.dataset import Dataset, DatasetError, UnreachableError

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

ExampleType = Literal["BYTES", "INT", "FLOAT"]
"""The three kinds of list that a tf.train.Example knows, by their names in TFMD."""

ENVIRONMENTS = ("TRAINING", "SERVING")
MIN_SHARE = 0.025  # L-infinity of a category: the smallest change of a share that matters.
MIN_DIVERGENCE = 0.005  # Jensen-Shannon of ids, in bits, beyond what chance makes at the samples' sizes.


@dataclasses.dataclass(frozen=True)
class Input:
    """A serving input. Axes: batch first; -1 for an axis of any size."""

    dtype: Literal["string", "int32", "int64", "float32"]
    shape: tuple[int, ...]

    @property
    def default(self) -> str | int | float:
        """What stands for "unknown", and pads."""
        nothing: dict[str, str | float] = {"string": "", "float32": float("nan")}
        return nothing.get(self.dtype, 0)


def is_outcome(name: str, feature: Feature) -> bool:
    """Whether a column of an interaction is only known once something was chosen, so that no request has it."""
    declared = name not in STANDARD_COLUMNS["interactions"]
    return name == "value" or (declared and not feature.context)


def example_type(feature: Feature) -> ExampleType:
    """How a column is kept in an Example."""
    types: dict[Kind, ExampleType] = {"timestamp": "INT", "number": "FLOAT", "embedding": "FLOAT"}
    return types.get(feature.kind, "BYTES")


def tfmd_schema(table: TableName, features: dict[str, Feature]) -> schema_pb2.Schema:
    """The TFMD schema that the declaration alone makes, before any data is seen."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = schema_pb2.Schema()
    for name, feature in features.items():
        schema.feature.add(name=name, type=schema_pb2.FeatureType.Value(example_type(feature)))
    return overlay(schema, table, features)


def schema_text(schema: schema_pb2.Schema) -> str:
    """A schema in text form, as `.pbtxt` files hold it."""
    from google.protobuf import text_format

    text: str = text_format.MessageToString(schema, as_utf8=True)
    return text


def read_schema(path: pathlib.Path) -> schema_pb2.Schema:
    """A schema that people keep, from its text form.

    Raises:
        DatasetError: it is none, and where that shows.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), schema_pb2.Schema())
    except OSError as error:
        raise UnreachableError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, text_format.ParseError) as error:
        why = " ".join(str(error).split())
        raise DatasetError(
            f"{path} is not a TFMD schema in text form, at line:column {why} `homefeed schema infer` writes one."
        ) from error


def overlay(
    schema: schema_pb2.Schema, table: TableName, features: dict[str, Feature], min_domain_mass: float = 1.0
) -> schema_pb2.Schema:
    """Puts what is declared of each column over what was seen of it. Changes the schema, and returns it.

    Args:
        schema: inferred from data, or holding names and types only.
        table: which one it is of.
        features: its standard and declared columns.
        min_domain_mass: part of a category's values that must be known, where its domain was only seen.
    """
    if not schema.default_environment:
        schema.default_environment.extend(ENVIRONMENTS)
    for column in schema.feature:
        feature = features[column.name]
        column.ClearField("presence")
        column.presence.min_count = 0
        if feature.required:
            column.presence.min_fraction, column.presence.min_count = 1.0, 1
        column.ClearField("value_count")
        if (
            table == "interactions"
            and is_outcome(column.name, feature)
            and "SERVING" not in column.not_in_environment
        ):
            column.not_in_environment.append("SERVING")
        _overlay_domain(schema, column, table, feature, min_domain_mass)
        _overlay_comparators(column, table, feature)
    return schema


def _overlay_comparators(column: Any, table: TableName, feature: Feature) -> None:
    """The distances that TFMD has a word for; numbers, texts and missing rates are judged without being asked."""
    in_requests = table != "items" and "SERVING" not in column.not_in_environment
    for comparator in (
        (column.drift_comparator, column.skew_comparator) if in_requests else (column.drift_comparator,)
    ):
        if feature.kind in ("category", "categories"):
            comparator.infinity_norm.threshold = MIN_SHARE
        elif (table, column.name) == ("interactions", "item_id"):
            comparator.jensen_shannon_divergence.threshold = MIN_DIVERGENCE


def _overlay_domain(
    schema: schema_pb2.Schema, column: Any, table: TableName, feature: Feature, min_domain_mass: float
) -> None:
    is_category = feature.kind in ("category", "categories")
    if column.WhichOneof("domain_info") not in (None, "domain"):
        column.ClearField(column.WhichOneof("domain_info"))  # Ids that look like numbers are still no numbers.
    if column.HasField("domain") and (feature.domain is not None or not is_category):
        kept = [domain for domain in schema.string_domain if domain.name != column.domain]
        del schema.string_domain[:]
        schema.string_domain.extend(kept)
        column.ClearField("domain")
    if feature.domain is not None:
        column.string_domain.name = column.name
        column.string_domain.value.extend(feature.domain)
        if table == "interactions" and not feature.required:
            column.string_domain.value.append("")  # Stands for a missing value inside a user's list.
    elif column.HasField("domain"):
        column.distribution_constraints.min_domain_mass = min_domain_mass
    if feature.kind == "number" and (feature.min is not None or feature.max is not None):
        column.float_domain.name = column.name
        if feature.min is not None:
            column.float_domain.min = feature.min
        if feature.max is not None:
            column.float_domain.max = feature.max


def serving_inputs(dataset: Dataset, present: Collection[tuple[TableName, str]] | None = None) -> dict[str, Input]:
    """Every input that describes a request, by its name in the signatures.

    Args:
        dataset: the declaration.
        present: the (table, column) that training data holds; a model has inputs for these alone, so that
            `history_value` is an input only if interactions have values. None: all that are declared.

    Returns:
        `history` and `history_timestamp` [batch, num_events], oldest first; `history_<feature>`, aligned with them;
        `timestamp` [batch], when the list is asked for; `context_<feature>` [batch]; `user_<feature>`; and
        `query_token_ids` [batch, num_tokens].
    """

    def there(table: TableName, features: dict[str, Feature]) -> dict[str, Feature]:
        return {name: f for name, f in features.items() if present is None or (table, name) in present}

    inputs = {
        "history": Input("string", (-1, -1)),
        "history_timestamp": Input("int64", (-1, -1)),
        "timestamp": Input("int64", (-1,)),
    }
    events = there("interactions", dataset.event_features)
    inputs |= {f"history_{name}": _input(feature, (-1, -1)) for name, feature in events.items()}
    inputs |= {f"context_{name}": _input(feature, (-1,)) for name, feature in events.items() if feature.context}
    users = {name: f for name, f in dataset.features("users").items() if f.kind in MODEL_KINDS["users"]}
    for name, feature in there("users", users).items():
        axes = {"embedding": (-1, feature.size or 0), "categories": (-1, -1)}
        inputs[f"user_{name}"] = _input(feature, axes.get(feature.kind, (-1,)))
    if present is None or ("interactions", "query") in present:
        inputs["query_token_ids"] = Input("int32", (-1, -1))
    return inputs


def _input(feature: Feature, shape: tuple[int, ...]) -> Input:
    return Input("float32" if feature.kind in ("number", "embedding") else "string", shape)
