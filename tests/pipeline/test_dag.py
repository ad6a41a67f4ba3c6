import pathlib

import pytest

from homefeed.pipeline.dag import Channel, Dag
from tests.pipeline.toys import count_gen, doubler, sum_gate
from tests.pipeline.toys.pipeline import NumbersDir


def test_outputs_are_channels_with_the_type_of_the_artifact(tmp_path: pathlib.Path) -> None:
    numbers = Dag().add(count_gen, dataset=NumbersDir(tmp_path))
    assert numbers.examples == Channel("count_gen", "examples", count_gen.Examples)  # type: ignore[attr-defined]


def test_a_missing_input_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TypeError, match=r"SumGate takes the inputs \['examples'\] but was wired to \['numbers'\]"):
        Dag().add(sum_gate, numbers=NumbersDir(tmp_path))


def test_an_input_of_another_type_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TypeError, match=r"Doubler\.evaluation takes ModelEvaluation, not NumbersDir"):
        Dag().add(doubler, evaluation=NumbersDir(tmp_path))


def test_a_module_that_is_no_component_is_refused() -> None:
    with pytest.raises(TypeError, match="it lacks Inputs, Outputs, Config, run"):
        Dag().add(pathlib)
