import pathlib

import numpy as np
import pytest

from homefeed.components import behavior_pretrainer as component
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import ModelRun, PretrainedBert
from homefeed.models.text import bert
from homefeed.models.text.text_model import TextModel
from tests.components import ranking_toys
from tests.toy_data import toy_catalogue, toy_sequences

TINY = {"width": 8, "max_tokens": 24, "batch_size": 8, "head_steps": 50, "fine_tuning_steps": 3, "held_out": 0.9}


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


def test_writes_a_text_model_that_is_a_preset_too(trained: tuple[component.Outputs, str]) -> None:
    outputs, line = trained
    preset = str(outputs.bert.path)
    assert bert.preset_vocabulary(preset) == ranking_toys.VOCABULARY
    assert bert.load_bert(preset).hidden_dim == 8
    assert TextModel.load(outputs.bert.path).items.shape == (8, 8)
    facts = outputs.model_run.read_json("texts.json")
    assert set(facts["arms"]) == {"random frozen", "bag of words", "fine-tuned", "texts shuffled"}
    assert facts["tensors"] > 0 and line.startswith("NDCG@10 of hidden items by text alone ")
    before, after = (
        facts["arms"][name]["nats_hidden"] + facts["arms"][name]["nats_all"]
        for name in ("random frozen", "fine-tuned")
    )
    decision = "kept" if facts["tensors_changed"] else "taken back"
    assert line.endswith(f" {before:.3f} → {after:.3f}: fine-tuning {decision}")


def test_the_same_seed_gives_the_same_weights(
    inputs: component.Inputs, trained: tuple[component.Outputs, str], tmp_path: pathlib.Path
) -> None:
    component.run(inputs, again := _outputs(tmp_path), component.Config(**TINY))
    first, second = (bert.load_bert(str(o.bert.path)).get_weights() for o in (trained[0], again))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_preset_is_read_beside_and_stays(
    inputs: component.Inputs, trained: tuple[component.Outputs, str], tmp_path: pathlib.Path
) -> None:
    transformed.save_bert_preset(inputs.transform_graph, str(trained[0].bert.path))
    component.run(inputs, again := _outputs(tmp_path), component.Config(**TINY))
    transformed.save_bert_preset(inputs.transform_graph, "")
    kept = bert.load_bert(str(again.bert.path / "beside")).get_weights()
    for one, other in zip(bert.load_bert(str(trained[0].bert.path)).get_weights(), kept, strict=True):
        np.testing.assert_array_equal(one, other)
    assert TextModel.load(again.bert.path).items.shape == (8, 8 + 8)


def test_a_preset_with_another_vocabulary(inputs: component.Inputs, tmp_path: pathlib.Path) -> None:
    vocabulary = [*ranking_toys.VOCABULARY, "more"]
    small = bert.new_bert(11, layers=1, width=8, length=8, dropout=0)
    bert.save_bert(small, vocabulary, tmp_path / "preset")
    splits = toy_sequences(), toy_sequences(num_history=2)
    artifacts = ranking_toys.save_transformed(tmp_path, toy_catalogue(), *splits, preset=str(tmp_path / "preset"))
    with pytest.raises(bert.PresetError, match="has 11 tokens, the data's vocabulary 10"):
        component.run(component.Inputs(*artifacts), _outputs(tmp_path), component.Config())
