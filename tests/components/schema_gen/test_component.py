import pathlib

import pytest

from homefeed.components import schema_gen
from homefeed.components.artifacts.quiet_tfdv import tfdv
from homefeed.components.artifacts.types import DatasetDir, Schema
from homefeed.components.schema_gen.component import SPLITS_SEEN
from homefeed.schemas.columns import TABLES
from homefeed.schemas.dataset import DatasetError
from tests.components.validated import describe, infer, log, validate


def test_what_is_declared_overrules_what_was_seen(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    _, statistics = describe(data, tmp_path / "out")
    schema = tfdv.load_schema_text(str(infer(data, tmp_path / "out", statistics).items.file))
    assert list(tfdv.get_domain(schema, "size").value) == ["S", "M", "L"]  # L was never seen.
    price = tfdv.get_feature(schema, "price")
    assert price.float_domain.min == 0
    assert price.presence.min_fraction == 0
    assert tfdv.get_feature(schema, "item_id").presence.min_fraction == 1
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]


def test_curated_schema_replaces_the_inferred(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (data / "schema").mkdir()
    curated = data / "schema" / "items.pbtxt"
    curated.write_text('feature { name: "price" type: FLOAT float_domain { max: 2.0 } }')
    _, statistics = describe(data, tmp_path / "out")
    schemas = infer(data, tmp_path / "out", statistics)
    reasons = validate(data, tmp_path / "out", statistics, schemas).reasons()
    assert any(reason.startswith("items/all: feature 'price': Out-of-range values") for reason in reasons)
    for text, where in (("feature: what?", "1:10"), ('feature {\n name: "age"\n typ: FLOAT\n}\n', "3:2")):
        curated.write_text(text)
        with pytest.raises(DatasetError, match=rf"items.pbtxt is not a TFMD schema in text form, .* {where} .*\.$"):
            infer(data, tmp_path / "again", statistics)


def test_each_table_is_inferred_from_the_split_that_training_may_see(
    data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    assert SPLITS_SEEN == {"interactions": "train", "items": "all", "users": "all"}
    # The last tenth of the log, which is for the test, has an event type that nothing before it had.
    (data / "interactions.csv").write_text(log(kinds=("view",) * 9 + ("share",)))
    _, statistics = describe(data, tmp_path / "out")
    schema = tfdv.load_schema_text(str(infer(data, tmp_path / "out", statistics).interactions.file))
    assert list(tfdv.get_domain(schema, "event_type").value) == ["view"]


def test_a_second_run_writes_the_same_bytes_and_the_line_counts(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (data / "schema").mkdir()
    (data / "schema" / "users.pbtxt").write_text('feature { name: "user_id" type: BYTES }')
    _, statistics = describe(data, tmp_path / "out")
    outputs = [schema_gen.Outputs(*(Schema(tmp_path / name / table) for table in TABLES)) for name in ("a", "b")]
    inputs = schema_gen.Inputs(DatasetDir(data), **vars(statistics))
    lines = {schema_gen.run(inputs, found, schema_gen.Config()) for found in outputs}
    # Interactions have four columns, items four, and the curated schema of users one.
    assert lines == {"9 features, 1 of 3 schemas curated"}
    for table in TABLES:
        assert getattr(outputs[0], table).digest() == getattr(outputs[1], table).digest()
