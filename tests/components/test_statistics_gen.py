import pathlib

from homefeed.components.artifacts.quiet_tfdv import tfdv
from tests.components.validated import describe, infer


def test_tfdv_reads_what_we_write(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    examples, statistics = describe(data, tmp_path / "out")
    (found,) = tfdv.load_stats_binary(str(statistics.interactions.split_file("train"))).datasets
    assert found.num_examples == 5  # Users.
    items = next(f for f in found.features if f.path.step[0] == "item_id")
    assert items.string_stats.common_stats.tot_num_values == 160
    assert items.string_stats.unique == 40
    # TFDV's own reading of our TFRecords says the same.
    (again,) = tfdv.generate_statistics_from_tfrecord(
        str(examples.interactions.split_dir("train") / "*.gz"),
        pipeline_options=None,
    ).datasets
    assert {f.path.step[0] for f in again.features} == {f.path.step[0] for f in found.features}
    schemas = infer(data, tmp_path / "out", statistics)
    schema = tfdv.load_schema_text(str(schemas.items.file))
    assert {feature.name for feature in schema.feature} == {"item_id", "title", "price", "size"}
