"""On a store whose shoppers search, in two languages, a query moves what matches it up."""

import csv
import json
import pathlib

import numpy as np
import pytest

from components import transformed
from components.artifacts import TransformGraph
from models.behaviour_text import tokenize
from models.requests import Event, Request, batch_inputs
from pipeline.datasets.sample import CATEGORIES, STYLES, write_sample
from serving.predictors import LocalPredictor
from tests.runs import run_small

SETTINGS = (
    "ranking_trainer.width=32",
    "ranking_trainer.num_tokens=48",
    "ranking_trainer.moments_per_user=12",
    "ranking_trainer.epochs_without_text=8",
    "ranking_trainer.learning_rate=5e-4",  # 5,000 events are soon learnt by heart.
    "behavior_pretrainer.moments_per_user=4",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("store")
    write_sample(folder / "data", num_users=150, num_items=160, num_events=5000, seed=1)
    steps = run_small(folder / "data", folder / "root", *SETTINGS, until="ranking_trainer")
    (folder / "steps.json").write_text(
        json.dumps({step.component: {n: str(p) for n, p in step.outputs.items()} for step in steps})
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("language", [0, 1], ids=["English", "Chinese"])
def test_a_query_moves_matching_items_up(store: pathlib.Path, language: int) -> None:
    outputs = json.loads((store / "steps.json").read_text())
    with (store / "data" / "items.csv").open(encoding="utf-8") as file:
        items = list(csv.DictReader(file))
    style_of = np.array(json.loads((store / "data" / "truth.json").read_text())["items"]["style"])
    vocabulary = transformed.load_wordpiece(TransformGraph(pathlib.Path(outputs["Transform"]["transform_graph"])))
    predictor = LocalPredictor({"ranking": pathlib.Path(outputs["RankingTrainer"]["model"]) / "Format-Serving"})
    specs = predictor.inputs("ranking", "rank")
    ids = [item["item_id"].encode() for item in items]

    def places(query: str) -> np.ndarray:
        tokens = [int(token) for token in tokenize([query], vocabulary, 12)[0] if token]
        requests = [Request("", [Event(items[n]["item_id"])], query_token_ids=tokens) for n in range(0, 40, 5)]
        inputs = batch_inputs(requests, specs)
        inputs["candidates"] = np.array([ids] * len(requests), object)
        inputs["retrieval_scores"] = np.zeros((len(requests), len(ids)), np.float32)
        scores = predictor.predict("ranking", "rank", inputs)["scores"]
        return np.argsort(np.argsort(-scores, axis=1), axis=1).mean(0) / len(ids)

    without = places("")
    of_category, of_both = [], []
    for category in CATEGORIES:
        matching = np.array([item["categories"] == category.names[0] for item in items])
        for style, names in enumerate(STYLES):
            query = names[language][0] + (" " if language == 0 else "") + category.names[language].lower()
            moved = without - places(query)  # Positive: up.
            of_category.append(moved[matching].mean())
            both = matching & (style_of == style)
            of_both += [moved[both].mean()] if both.any() else []
    print(f"up by {np.mean(of_category):.1%} of the list by category, {np.mean(of_both):.1%} by category and style")
    assert np.mean(of_category) > 0.1, "a tenth of the list, on average over queries"
    assert np.mean(np.array(of_category) > 0) > 0.9
