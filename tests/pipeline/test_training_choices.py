"""Ways to train, taken through the pipeline as users do: training traces what a unit test may only call."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from homefeed.components.artifacts.types import TEXTS_FILE, Model, PretrainedBert
from homefeed.models.retrieval.snapshot import Snapshot
from homefeed.models.shared import snapshot_files
from homefeed.pipeline.datasets.sample import write_sample
from tests import runs


@pytest.fixture(scope="module")
def root(sample_data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What comes before RetrievalTrainer is made once."""
    folder = tmp_path_factory.mktemp("root")
    runs.run_small(sample_data, folder, until="BehaviorPretrainer")
    return folder


def test_more_items_than_the_full_softmax_takes(sample_data: pathlib.Path, root: pathlib.Path) -> None:
    settings = [word for setting in runs.SMALL for word in ("--set", setting)]
    command = [sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()", "run"]
    places = ["--data", str(sample_data), "--root", str(root), "--until", "RetrievalTrainer"]
    chosen = ["--set", "retrieval_trainer.max_softmax_items=10"]
    made = subprocess.run(
        [*command, *places, *settings, *chosen], capture_output=True, text=True, env=os.environ, check=False
    )
    assert made.returncode == 0, made.stderr[-2000:]
    assert "NDCG@10 0." in made.stdout


@pytest.mark.slow
def test_a_large_catalogue_goes_to_the_end(sample_data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Sampled softmax and partitioned index, ranked, evaluated, pushed."""
    chosen = ("retrieval_trainer.max_softmax_items=10", "retrieval_trainer.index=partitioned")
    steps = runs.run_small(sample_data, tmp_path, *chosen)
    assert runs.executed(steps)[-1] == "BulkInferrer" or "Pusher" in runs.executed(steps)
    assert (tmp_path / "serving" / "fused" / "1" / "saved_model.pb").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ("targets=any",),
        ("list_weight=0",),
    ],
    ids=lambda settings: " ".join(settings),
)
def test_a_choice_of_ranking_trains(sample_data: pathlib.Path, root: pathlib.Path, settings: tuple[str, ...]) -> None:
    chosen = [f"ranking_trainer.{setting}" for setting in settings]
    steps = runs.run_small(sample_data, root, *chosen, until="RankingTrainer")
    assert runs.executed(steps)[-1] == "RankingTrainer"
    assert "2 epochs, loss " in steps[-1].summary
    arrays = snapshot_files.load(Model(steps[-1].outputs["model"]).snapshot_dir, "ranking")[1]
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.slow
def test_what_was_left_on_a_page_counts_by_inverse_propensity(tmp_path: pathlib.Path) -> None:
    write_sample(tmp_path / "data", num_users=40, num_items=60, num_events=600, seed=3, impressions=True)
    trained = []
    for most in (1, 10):  # 1: all count alike.
        setting = f"ranking_trainer.max_inverse_propensity={most}"
        steps = runs.run_small(tmp_path / "data", tmp_path / "root", setting, until="RankingTrainer")
        arrays = snapshot_files.load(Model(steps[-1].outputs["model"]).snapshot_dir, "ranking")[1]
        assert all(np.isfinite(array).all() for array in arrays.values())
        trained.append(arrays)
    assert runs.executed(steps) == ["RankingTrainer"]
    assert any((trained[0][name] != trained[1][name]).any() for name in trained[0])


@pytest.mark.slow
def test_readings_of_a_preset_are_dropped_as_often_as_is_said(
    sample_data: pathlib.Path, root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (bert,) = root.glob("artifacts/BehaviorPretrainer/*/bert")
    heads = []
    for dropout in (0.5, 0.0):
        settings = f"transform.bert_preset={bert}", f"behavior_pretrainer.preset_dropout={dropout}"
        steps = runs.run_small(sample_data, tmp_path, *settings, until="BehaviorPretrainer")
        arms = PretrainedBert(steps[-1].outputs["bert"]).read_json(TEXTS_FILE)["arms"]
        assert "preset frozen" in arms
        heads.append(arms["preset frozen"]["nats_hidden"])
    assert runs.executed(steps) == ["BehaviorPretrainer"]
    assert heads[0] != heads[1]


@pytest.mark.parametrize(
    "settings",
    [
        ("max_softmax_items=10", "index=partitioned"),
        ("strategy=mirrored",),  # This machine may well have one device.
        ("strategy=mirrored", "max_softmax_items=10"),
        ("linear_rank=0",),
    ],
    ids=["sampled, partitioned", "mirrored", "mirrored, sampled", "towers alone"],
)
def test_a_choice_trains(sample_data: pathlib.Path, root: pathlib.Path, settings: tuple[str, ...]) -> None:
    chosen = [f"retrieval_trainer.{setting}" for setting in settings]
    steps = runs.run_small(sample_data, root, *chosen, until="RetrievalTrainer")
    assert runs.executed(steps) == ["RetrievalTrainer"]
    snapshot = Snapshot.load(Model(steps[-1].outputs["model"]).snapshot_dir)
    for name, weight in (snapshot.query_weights | snapshot.candidate_weights).items():
        assert np.isfinite(weight).all(), name
    assert snapshot.candidate_weights["id_bias"].any()  # Starts at 0: it has learnt.
