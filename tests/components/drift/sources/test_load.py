import pathlib
import subprocess
import sys

import pytest

from homefeed.components.artifacts.types import ExampleStatistics
from homefeed.components.drift.sources.load import load, split_spans
from homefeed.schemas.dataset import DatasetError
from tests.components.ingested import events, ingest, write_dataset


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    return write_dataset(tmp_path / "data", events([("u1", "A", 1), ("u2", "B", 2)]))


def test_spans_stand_behind_the_folder(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    assert split_spans(f"{data}@3:7") == (data, "3:7")
    assert split_spans(f"{data}@") == (data, "") == split_spans(data) == split_spans(str(data))
    assert split_spans(f"{data}@last:2,9") == (data, "last:2,9")
    # An @ that is a name's own: no data folder is before it.
    assert split_spans(tmp_path / "ann@home") == (tmp_path / "ann@home", "")
    inside = write_dataset(tmp_path / "a@b", events([("u1", "A", 1)]))
    assert split_spans(inside) == (inside, "") and split_spans(f"{inside}@2") == (inside, "2")


def test_a_data_folder_its_examples_a_table_and_a_split(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    examples = ingest(data, tmp_path / "out", split="leave_one_out")
    assert load(data).num_rows == {"interactions": 2, "items": 3, "users": 2}
    assert load(tmp_path / "out").num_rows == {"interactions": 2, "items": 3, "users": 2}
    assert load(examples.items.path).num_rows == {"items": 3}
    assert load(examples.interactions.split_dir("train")).num_rows == {"interactions": 2}
    assert load(data).name == str(data)


def test_the_statistics_of_which_split_must_be_said(tmp_path: pathlib.Path) -> None:
    statistics = ExampleStatistics(tmp_path)
    for split in ("train", "eval"):
        statistics.split_file(split).parent.mkdir()
        statistics.split_file(split).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"holds the statistics of several splits\. Name one, as .*Split-eval\."):
        load(tmp_path)


def test_what_is_none_of_these_is_told_what_would_be(tmp_path: pathlib.Path) -> None:
    message = r"nowhere is neither a data folder \(it has no dataset.yaml\) nor Examples .* nor a log of requests"
    with pytest.raises(DatasetError, match=message):
        load(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="is neither"):
        load(tmp_path)


def test_a_data_folder_needs_neither_tensorflow_nor_tfdv(data: pathlib.Path) -> None:
    program = (
        "import sys; from homefeed.components.drift.compare import run_drift; "
        f"run_drift({str(data)!r}, {str(data)!r}); "
        "print(sorted({'tensorflow', 'tensorflow_data_validation'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
