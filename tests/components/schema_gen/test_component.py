import pathlib

import pytest

from homefeed.components.artifacts.quiet_tfdv import tfdv
from tests.components.validated import describe, infer, validate


def test_what_is_declared_overrules_what_was_seen(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    _, statistics = describe(data, tmp_path / "out")
    schema = tfdv.load_schema_text(str(infer(data, tmp_path / "out", statistics).items.file))
    assert list(tfdv.get_domain(schema, "size").value) == ["S", "M", "L"]  # L was never seen.
    price = tfdv.get_feature(schema, "price")
    assert price.float_domain.min == 0
    assert price.presence.min_fraction == 0
    assert tfdv.get_feature(schema, "title").presence.min_fraction == 1
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]


def test_curated_schema_replaces_the_inferred(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (data / "schema").mkdir()
    curated = data / "schema" / "items.pbtxt"
    curated.write_text('feature { name: "price" type: FLOAT float_domain { max: 2.0 } }')
    _, statistics = describe(data, tmp_path / "out")
    schemas = infer(data, tmp_path / "out", statistics)
    reasons = validate(data, tmp_path / "out", statistics, schemas).reasons()
    assert any(reason.startswith("items/all: feature 'price': Out-of-range values") for reason in reasons)
    curated.write_text("feature: what?")
    with pytest.raises(ValueError, match=r"items.pbtxt is not a TFMD schema in text form"):
        infer(data, tmp_path / "again", statistics)
