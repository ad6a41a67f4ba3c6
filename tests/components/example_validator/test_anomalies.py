from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from homefeed.components.example_validator.anomalies import find_anomalies


def test_an_empty_split_breaks_nothing() -> None:
    schema = text_format.Parse('feature { name: "a" type: INT presence { min_fraction: 1 } }', schema_pb2.Schema())
    nothing = statistics_pb2.DatasetFeatureStatisticsList(datasets=[{}])
    assert not find_anomalies(nothing, schema, "TRAINING").anomaly_info
