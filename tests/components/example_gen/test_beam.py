import gzip
import pathlib
from typing import Any

import numpy as np
import pytest

from homefeed.components.example_gen import sources
from tests.components.ingested import DESCRIPTION, digests, events, histories, ingest, write_dataset


def test_bytes_depend_on_the_data_alone(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(f"u{rng.integers(50)}", "ABC"[rng.integers(3)], rng.integers(1000)) for _ in range(2000)]
    data = write_dataset(tmp_path / "data", events(rows))
    ingest(data, tmp_path / "once")
    ingest(data, tmp_path / "twice", beam_options=("--direct_num_workers=2",))
    assert digests(tmp_path / "once") == digests(tmp_path / "twice")
    # The same rows in two files, read as two elements.
    lines = (data / "interactions.csv").read_text().splitlines(keepends=True)
    (data / "interactions-1.csv").write_text("".join(lines[:700]))
    (data / "interactions-2.csv").write_text("".join([lines[0], *lines[700:]]))
    (data / "interactions.csv").unlink()
    (data / "dataset.yaml").write_text(DESCRIPTION.replace("interactions.csv", "interactions-*.csv"))
    ingest(data, tmp_path / "parted")
    assert digests(tmp_path / "once") == digests(tmp_path / "parted")


def test_shards_hold_whole_users(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "COMPRESSION_RATIO", 40_000_000)  # Makes a small file look like many shards.
    rows = [(f"u{user}", item, second) for second, item in enumerate("ABC") for user in range(30)]
    data = write_dataset(tmp_path / "data", events(rows))
    (data / "interactions.csv.gz").write_bytes(gzip.compress((data / "interactions.csv").read_bytes()))
    (data / "dataset.yaml").write_text(DESCRIPTION.replace("interactions.csv", "interactions.csv.gz"))
    outputs = ingest(data, tmp_path / "out", split="leave_one_out")
    assert len(outputs.interactions.split_files("train")) > 100
    assert histories(outputs.interactions, "train") == {f"u{user}": ["A", "B", "C"] for user in range(30)}


def test_another_runner_writes_the_same(tmp_path: pathlib.Path) -> None:
    rows = [(f"u{n % 17}", "ABC"[n % 3], n) for n in range(300)]
    data = write_dataset(tmp_path / "data", events(rows))
    ingest(data, tmp_path / "here")
    ingest(data, tmp_path / "there", runner="BundleBasedDirectRunner")
    assert digests(tmp_path / "here") == digests(tmp_path / "there")


@pytest.mark.parametrize(
    "config",
    [
        {},
        # Through Beam's portable API, as Flink and Spark are reached, with a server of jobs and one of workers.
        {"runner": "PortableRunner", "beam_options": ("--job_endpoint=embed", "--environment_type=LOOPBACK")},
    ],
    ids=["here", "portable"],
)
def test_workers_elsewhere_need_no_folder_but_the_shared_one(
    config: dict[str, Any], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.components import shop_file_system

    monkeypatch.setattr(shop_file_system, "ROOT", tmp_path / "shop")
    rows = [(f"u{n % 17}", "ABC"[n % 3], n) for n in range(300)] + [("u1", "A", "never")]
    description = DESCRIPTION + "max_bad_fraction: 0.1\n"
    data = write_dataset(tmp_path / "data", events(rows), description=description)
    ingest(data, tmp_path / "here")
    ingest(data, tmp_path / "there", temp_dir="shop://between", **config)
    assert digests(tmp_path / "here") == digests(tmp_path / "there")
    read = [(tmp_path / place / "q" / "interactions.jsonl").read_text() for place in ("here", "there")]
    assert read[0] == read[1] and "never" in read[0]
    assert not [path for path in (tmp_path / "shop").rglob("*") if path.is_file()]  # Nothing of the users stays.
