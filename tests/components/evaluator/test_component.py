import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest

from homefeed.components import evaluator
from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import (
    Examples,
    Model,
    ModelBlessing,
    ModelEvaluation,
    PretrainedBert,
    PushedModel,
    TransformGraph,
)
from tests.components.evaluator.test_impressions import SHOWN
from tests.components.ranking_toys import VOCABULARY, text_model
from tests.toy_data import toy_catalogue, toy_sequences


@pytest.fixture(scope="module")
def inputs(toy_models: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> evaluator.Inputs:
    folder = tmp_path_factory.mktemp("evaluator")
    graph, examples = TransformGraph(folder / "graph"), Examples(folder / "examples")
    transformed.save_catalogue(graph, toy_catalogue())
    transformed.save_request(graph, vars(dataclasses.replace(toy_sequences(), guards=("age", "gender"))))
    transformed.save_wordpiece(graph, VOCABULARY)
    for split, sequences in (
        ("train", toy_sequences(5)),
        ("eval", toy_sequences(4, num_history=2)),
        ("test", toy_sequences(2, num_history=1)),
    ):
        transformed.save_sequences(examples, split, sequences)
    transformed.save_exposures(examples, "test", SHOWN)
    bert = PretrainedBert(folder / "bert")
    text_model(toy_catalogue()).save(bert.path)
    bert.write_json("texts.json", {"tensors": 23, "tensors_changed": 21, "arms": {}})
    return evaluator.Inputs(graph, examples, Model(toy_models["fused"]), bert)


def run(inputs: evaluator.Inputs, out: pathlib.Path, **config: object) -> tuple[evaluator.Outputs, str]:
    outputs = evaluator.Outputs(ModelEvaluation(out / "evaluation"), ModelBlessing(out / "blessing"))
    lax = {"popularity_margin": 1.0, "ranking_margin": 1.0, "base_margin": 1.0}
    return outputs, evaluator.run(inputs, outputs, evaluator.Config(**lax | config))


@pytest.fixture(scope="module")
def blessed(inputs: evaluator.Inputs, tmp_path_factory: pytest.TempPathFactory) -> tuple[evaluator.Outputs, str]:
    return run(inputs, tmp_path_factory.mktemp("blessed"))


def test_everything_is_written_and_agrees(blessed: tuple[evaluator.Outputs, str]) -> None:
    outputs, line = blessed
    names = {path.name for path in outputs.evaluation.path.iterdir()}
    assert names == {"metrics.json", "metrics.md", "evaluation.json", "report.html", "model_card.md"}
    means = outputs.evaluation.read_json("metrics.json")
    assert means.keys() == {"eval", "test"}
    # Of 3, 4, 5 and 6 events two are history: 1 + 2 + 3 + 4 questions. In test 2 + 3.
    assert means["eval"]["popularity"]["queries"] == 10 and means["test"]["popularity"]["queries"] == 5
    rivals = {"popularity", "content alone", "text alone", "EASE"}
    assert means["test"].keys() == rivals | {"retrieval", "retrieval + ranking"}
    ours = means["test"]["retrieval + ranking"]
    quality = f"NDCG@10 {ours['ndcg@10']:.4f}, Recall@100 {ours['recall@100']:.4f} on test"
    assert line == f"{quality}; EASE regularised with 500"
    report = outputs.evaluation.read_json("evaluation.json")
    for split, methods in means.items():
        for method, figures in methods.items():
            assert report["splits"][split]["methods"][method].items() >= figures.items()
    assert report["blessed"] and report["ease_regularization"] == 500 and outputs.blessing.reasons() == []
    assert report["impressions"]["eval"] is None and report["impressions"]["test"]["impressions"] == 2
    assert report["card_rates"]["eval"] is None and report["card_rates"]["test"]["all"]["cards"] == 9
    assert report["card_rates"]["test"]["newcomers"]["readers"] == 1  # Nobody knows "nobody".
    faithfulness = report["faithfulness"]
    assert ours["reasons lead_lost"] == faithfulness["named"]
    assert ours["reasons lead_lost_by_lot"] == faithfulness["random"]
    assert "| test | as it was shown |" in (outputs.evaluation.path / "model_card.md").read_text(encoding="utf-8")


def test_a_second_run_writes_the_same_bytes(
    inputs: evaluator.Inputs, blessed: tuple[evaluator.Outputs, str], tmp_path: pathlib.Path
) -> None:
    again, _ = run(inputs, tmp_path)
    assert again.evaluation.digest() == blessed[0].evaluation.digest()
    assert again.blessing.digest() == blessed[0].blessing.digest()


def test_a_worse_model_is_refused_with_its_reasons(inputs: evaluator.Inputs, tmp_path: pathlib.Path) -> None:
    # Ranking turns retrieval's order round; who wants a gain of 1,000% over retrieval cannot be content.
    outputs, _ = run(inputs, tmp_path, ranking_margin=-10.0)
    (reason,) = outputs.blessing.reasons()
    assert "of retrieval: difference" in reason
    report = outputs.evaluation.read_json("evaluation.json")
    assert not report["blessed"] and report["reasons"] == [reason]


def test_models_in_service_are_asked_the_same(
    inputs: evaluator.Inputs, toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    pushed = PushedModel(tmp_path / "pushed")
    places = []
    for name in ("retrieval", "ranking", "fused"):
        places.append(tmp_path / "serving" / name / "1")
        shutil.copytree(toy_models[name] / "Format-Serving", places[-1])
    pushed.write_json(PushedModel.FILE, {"version": 1, "paths": [str(place) for place in places]})
    outputs, _ = run(inputs, tmp_path, base_models=str(pushed.path), min_slice_queries=1)
    report = json.loads((outputs.evaluation.path / "evaluation.json").read_text())
    assert report["comparison"]["all"]["difference"] == 0 and report["history"][0]["version"] == 1
    assert outputs.blessing.reasons() == []


def test_the_models_in_service_are_an_input(tmp_path: pathlib.Path) -> None:
    assert evaluator.config_inputs(evaluator.Config()) == {}
    named = evaluator.config_inputs(evaluator.Config(base_models=str(tmp_path)))
    assert named == {"base_models": PushedModel(tmp_path)}


def test_what_slots_left_to_chance_tell_is_written(inputs: evaluator.Inputs, tmp_path: pathlib.Path) -> None:
    examples = Examples(tmp_path / "examples")
    shutil.copytree(inputs.examples.path, examples.path)
    drawn = dataclasses.replace(SHOWN, propensity=np.full(9, 0.5, np.float32))
    transformed.save_exposures(examples, "test", drawn)
    outputs, _ = run(dataclasses.replace(inputs, examples=examples), tmp_path)
    found = outputs.evaluation.read_json("evaluation.json")["policy_value"]
    # The pages of two users, 3 and 2 cards; of a third nothing is known in this split, and one is nobody's.
    assert found["eval"] is None and (found["test"]["pages"], found["test"]["slots"]) == (2, 5)
    assert found["test"]["served"][0] == pytest.approx(2 / 5)
    means = outputs.evaluation.read_json("metrics.json")
    best = found["test"]["policies"]["the best first"]
    assert means["test"]["retrieval + ranking"]["effective_sample_size"] == best["effective_sample_size"]
    assert "snips" not in means["test"]["retrieval + ranking"] and best["support"].startswith("too small: ")
    for name in ("model_card.md", "report.html"):
        written = (outputs.evaluation.path / name).read_text(encoding="utf-8")
        assert "Value of the policy" in written and best["support"] in written


def test_what_is_left_out_for_its_cost_is_said(inputs: evaluator.Inputs, tmp_path: pathlib.Path) -> None:
    _, line = run(inputs, tmp_path, max_queries=3, max_ease_items=2)
    said = "3 of 10 events of eval (evaluator.max_queries); 3 of 5 events of test (evaluator.max_queries)"
    assert line.endswith(f" on test; {said}; no EASE of 7 items (evaluator.max_ease_items)")
