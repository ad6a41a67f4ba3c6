import pathlib

import numpy as np
import pytest

from homefeed.components import behavior_pretrainer as component
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import ModelRun, PretrainedBert
from homefeed.models.text import bert
from tests.components import ranking_toys
from tests.toy_data import toy_catalogue, toy_sequences

TINY = {"num_layers": 1, "width": 8, "num_tokens": 16, "max_tokens": 24, "batch_size": 8, "epochs": 1}


def _outputs(folder: pathlib.Path) -> component.Outputs:
    return component.Outputs(PretrainedBert(folder / "bert"), ModelRun(folder / "run"))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> component.Inputs:
    folder = tmp_path_factory.mktemp("transformed")
    splits = toy_sequences(), toy_sequences(num_history=2)
    return component.Inputs(*ranking_toys.save_transformed(folder, toy_catalogue(), *splits))


@pytest.fixture(scope="module")
def trained(inputs: component.Inputs, tmp_path_factory: pytest.TempPathFactory) -> tuple[component.Outputs, str]:
    outputs = _outputs(tmp_path_factory.mktemp("pretrained"))
    return outputs, component.run(inputs, outputs, component.Config(**TINY))


def test_writes_a_preset_and_the_accuracy_before_and_after(trained: tuple[component.Outputs, str]) -> None:
    outputs, line = trained
    assert line.startswith("masked accuracy on eval ") and "→" in line
    assert len(outputs.model_run.read_json("curves.json")["masked_accuracy"]) == 2
    preset = str(outputs.bert.path)
    assert bert.preset_vocabulary(preset) == ranking_toys.VOCABULARY
    assert bert.load_bert(preset).hidden_dim == 8


def test_the_same_seed_gives_the_same_weights(
    inputs: component.Inputs, trained: tuple[component.Outputs, str], tmp_path: pathlib.Path
) -> None:
    component.run(inputs, again := _outputs(tmp_path), component.Config(**TINY))
    first, second = (bert.load_bert(str(o.bert.path)).get_weights() for o in (trained[0], again))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_continues_a_preset(
    inputs: component.Inputs, trained: tuple[component.Outputs, str], tmp_path: pathlib.Path
) -> None:
    config = component.Config(epochs=0, num_tokens=16)
    transformed.save_bert_preset(inputs.transform_graph, str(trained[0].bert.path))
    component.run(inputs, again := _outputs(tmp_path), config)
    transformed.save_bert_preset(inputs.transform_graph, "")
    first, second = (bert.load_bert(str(o.bert.path)).get_weights() for o in (trained[0], again))
    np.testing.assert_array_equal(first[0], second[0])


def test_a_preset_with_another_vocabulary(inputs: component.Inputs, tmp_path: pathlib.Path) -> None:
    vocabulary = [*ranking_toys.VOCABULARY, "more"]
    small = bert.new_bert(11, layers=1, width=8, length=8, dropout=0)
    bert.save_bert(small, vocabulary, tmp_path / "preset")
    splits = toy_sequences(), toy_sequences(num_history=2)
    artifacts = ranking_toys.save_transformed(tmp_path, toy_catalogue(), *splits, preset=str(tmp_path / "preset"))
    with pytest.raises(bert.PresetError, match="has 11 tokens, the data's vocabulary 10"):
        component.run(component.Inputs(*artifacts), _outputs(tmp_path), component.Config())
