import pathlib

from homefeed.components.drift.compare import compare, run_drift
from homefeed.components.drift.sources.load import load
from homefeed.pipeline.datasets.sample import write_sample
from tests.components.drift.sources.tables import ITEMS, interactions
from tests.components.ingested import ingest, write_dataset


def test_examples_say_what_their_tables_say(tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    write_sample(data, num_users=60, num_items=80, num_events=900)
    ingest(data, tmp_path / "out")
    report = compare(load(data), load(tmp_path / "out"))
    assert not report.drifted and not report.not_compared
    assert all(found.value < 0.02 for found in report.findings)  # Duplicates count once in Examples.


def test_one_split_against_another(tmp_path: pathlib.Path) -> None:
    outputs = ingest(write_dataset(tmp_path / "data", interactions(0), ITEMS), tmp_path / "out", split="hash")
    report = run_drift(outputs.interactions.split_dir("train"), outputs.interactions.split_dir("eval"))
    assert {found.feature for found in report.drifted} <= {"interactions.user_id"}  # Users are in one split only.
    whole = run_drift(tmp_path / "data", tmp_path / "out" / "interactions")  # One table of three.
    assert set(whole.not_compared) == {"items.title"}
