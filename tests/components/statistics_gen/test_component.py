import pathlib
import pickle

import pytest

from homefeed.components import statistics_gen
from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.quiet_tfdv import tfdv
from homefeed.components.artifacts.types import Examples, ExampleStatistics
from homefeed.components.statistics_gen import beam
from homefeed.components.statistics_gen.accumulators import Accumulators
from tests.components.ingested import digests, ingest
from tests.components.transform.shop import NOTE, write_shop
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


def _run(examples: tuple[Examples, ...], folder: pathlib.Path, **config: object) -> statistics_gen.Outputs:
    outputs = statistics_gen.Outputs(*(ExampleStatistics(folder / str(number)) for number in range(3)))
    statistics_gen.run(statistics_gen.Inputs(*examples), outputs, statistics_gen.Config(**config))
    return outputs


def test_many_shards_count_what_one_counts(tmp_path: pathlib.Path) -> None:
    data = write_shop(tmp_path / "data", NOTE)
    found = {}
    for name, config in {"one": {}, "many": {"shard_megabytes": 1}}.items():
        made = ingest(data, tmp_path / name, **config)
        statistics = _run((made.interactions, made.items, made.users), tmp_path / f"{name}-statistics")
        (found[name],) = tfdv.load_stats_binary(str(statistics.interactions.split_file("train"))).datasets
    assert found["one"].num_examples == found["many"].num_examples > 0
    for one, many in zip(found["one"].features, found["many"].features, strict=True):
        assert one.path == many.path
        for kind in ("num_stats", "string_stats"):
            ours, theirs = getattr(one, kind), getattr(many, kind)
            assert ours.common_stats.tot_num_values == theirs.common_stats.tot_num_values
            assert ours.common_stats.num_missing == theirs.common_stats.num_missing
        assert one.string_stats.unique == many.string_stats.unique
        assert abs(one.num_stats.mean - many.num_stats.mean) <= 1e-6 * abs(one.num_stats.mean)


def test_workers_write_the_bytes_of_one_process(tmp_path: pathlib.Path) -> None:
    made = ingest(write_shop(tmp_path / "data", NOTE), tmp_path / "examples", shard_megabytes=1)
    tables = made.interactions, made.items, made.users
    assert len(made.interactions.split_files("train")) == 12
    _run(tables, tmp_path / "here")
    workers = ("--direct_num_workers=3", "--direct_running_mode=multi_threading")
    _run(tables, tmp_path / "there", beam_options=workers)
    assert len(digests(tmp_path / "here")) == 5
    assert digests(tmp_path / "here") == digests(tmp_path / "there")


@pytest.mark.parametrize(("num_files", "num_parts"), [(0, 1), (1, 1), (32, 32), (33, 17), (718, 32)])
def test_of_very_many_shards_some_are_counted_together(num_files: int, num_parts: int) -> None:
    files = [pathlib.Path(f"{number:05d}") for number in range(num_files)]
    parts = beam._parted(files)
    assert len(parts) == num_parts <= beam.MAX_PARTS
    assert [name for part in parts for name in part] == [*map(str, files)]


def test_the_order_in_which_shards_arrive_is_not_seen(tmp_path: pathlib.Path) -> None:
    made = ingest(write_shop(tmp_path / "data", NOTE), tmp_path / "examples", shard_megabytes=1)
    accumulators, written = Accumulators(), []
    files = made.interactions.split_files("train")
    counted = [(number, accumulators.count(example_io.read_shards([file]))) for number, file in enumerate(files)]
    for order in (pickle.dumps(counted), pickle.dumps(counted[::-1])):  # TFDV adds to what it is given.
        beam._describe((str(tmp_path / "statistics"), pickle.loads(order)), accumulators)
        written.append((tmp_path / "statistics").read_bytes())
    assert written[0] == written[1]


def test_one_shard_is_described_as_tfdv_describes_rows(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    examples, statistics = describe(data, tmp_path / "out")
    accumulators = Accumulators()
    (file,) = examples.items.split_files("all")
    described = accumulators.describe([accumulators.count(example_io.read_shards([file]))])
    assert statistics.items.split_file("all").read_bytes() == described.SerializeToString(deterministic=True)


def test_a_split_of_no_file_is_a_statistic_of_nothing(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    made = ingest(data, tmp_path / "examples")
    for file in made.users.split_files("all"):
        file.unlink()
    statistics = _run((made.interactions, made.items, made.users), tmp_path / "statistics")
    (dataset,) = tfdv.load_stats_binary(str(statistics.users.split_file("all"))).datasets
    assert dataset.num_examples == 0
