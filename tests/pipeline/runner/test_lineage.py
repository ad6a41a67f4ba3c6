import pathlib

import pytest

from homefeed.pipeline.runner.errors import RunError
from homefeed.pipeline.runner.lineage import trace
from homefeed.pipeline.runner.root import RunRoot
from tests.pipeline.toys.pipeline import run_toy


def test_trace_leads_from_an_artifact_back_to_the_data(tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers.txt").write_text("3")
    run_toy(tmp_path / "data", tmp_path / "root", "count_gen.factor=2")
    found = trace(RunRoot(tmp_path / "root"), "ModelRun")
    assert found["made_by"]["component"] == "Doubler"
    total = found["made_by"]["inputs"]["evaluation"]
    assert total["type"] == "ModelEvaluation" and total["made_by"]["component"] == "SumGate"
    numbers = total["made_by"]["inputs"]["examples"]
    assert numbers["made_by"]["config"] == {"factor": 2}
    dataset = numbers["made_by"]["inputs"]["dataset"]
    assert dataset["path"] == str(tmp_path / "data") and "made_by" not in dataset


def test_the_newest_artifact_of_the_type_is_traced(tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers.txt").write_text("3")
    for factor in (2, 5):
        run_toy(tmp_path / "data", tmp_path / "root", f"count_gen.factor={factor}")
    found = trace(RunRoot(tmp_path / "root"), "Examples")
    assert found["made_by"]["config"] == {"factor": 5}


def test_a_type_that_was_never_made_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RunError, match="no artifact of type 'Model'"):
        trace(RunRoot(tmp_path), "Model")
