import csv
import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest

from homefeed.components.artifacts.types import Model, PushedModel
from homefeed.components.transform.refresh import catalogue_for
from homefeed.models.hot.blend import Blend
from homefeed.models.requests import Event, Request, batch_inputs
from homefeed.models.retrieval.snapshot import Snapshot
from homefeed.pipeline.loop.refresh import Refreshed, refresh
from homefeed.pipeline.runner.errors import RunError
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.profiles import FILE_NAME, ProfileStore
from homefeed.serving.recommender import RANKING, RETRIEVAL, Recommender
from tests.pipeline.cli.test_main import homefeed


@pytest.fixture(scope="module")
def root(sample_root: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A copy, because a refresh publishes."""
    folder = tmp_path_factory.mktemp("refreshed") / "root"
    shutil.copytree(sample_root, folder)
    return folder


@pytest.fixture(scope="module")
def data(sample_data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The items table with one more item, a twin of the first but in a new category, and without the last."""
    folder = tmp_path_factory.mktemp("later") / "data"
    shutil.copytree(sample_data, folder)
    with (folder / "items.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    twin = rows[0] | {"item_id": "brand-new", "title": f"{rows[0]['title']} 新品", "available_from": ""}
    twin["categories"] += "|Just In"
    with (folder / "items.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows([*rows[:-1], twin])
    return folder


@pytest.fixture(scope="module")
def refreshed(root: pathlib.Path, data: pathlib.Path) -> dict[str, int]:
    done = homefeed("index", "refresh", "--root", str(root), "--data", str(data), "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def _served(root: pathlib.Path, version: int) -> LocalPredictor:
    return LocalPredictor({name: root / "serving" / name / str(version) for name in ("retrieval", "ranking")})


def test_says_what_it_published(refreshed: dict[str, int]) -> None:
    assert refreshed["version"] == 2 and refreshed["items"] == 60
    assert refreshed["new_items"] >= 1 and refreshed["gone_items"] <= 1


def test_the_order_of_what_is_hot_goes_along(root: pathlib.Path, refreshed: dict[str, int]) -> None:
    before, now = (Blend.read(root / "serving" / "retrieval" / str(n)) for n in (1, refreshed["version"]))
    assert now == before and "taste_categories" in now.weights


def test_lineage_shows_the_version_in_service(
    root: pathlib.Path, data: pathlib.Path, refreshed: dict[str, int]
) -> None:
    shown = json.loads(homefeed("lineage", "--root", str(root), "--json").stdout)
    assert shown["version"] == refreshed["version"] and shown["made_by"]["component"] == "IndexRefresh"
    assert shown["summary"]["parents"] == [1] and "RetrievalTrainer" in shown["summary"]["config"]
    assert str(data) in [place["path"] for place in shown["summary"]["dataset"]]
    assert shown["made_by"]["inputs"]["retrieval_model"]["made_by"]["component"] == "RetrievalTrainer"
    pushed = PushedModel(pathlib.Path(shown["path"]))
    assert pushed.is_intact() and set(pushed.models()) == {"retrieval", "ranking", "fused"}
    before = json.loads(homefeed("lineage", "--root", str(root), "1", "--json").stdout)
    assert before["made_by"]["component"] == "Pusher"


def test_known_items_score_as_before(root: pathlib.Path, refreshed: dict[str, int]) -> None:
    request = Request("u", [Event("item-0005"), Event("item-0012")])
    scores = []
    for version in (1, refreshed["version"]):
        found = Recommender(_served(root, version)).retrieve([request], 100)
        scores.append(dict(zip(found["item_ids"][0], found["scores"][0], strict=True)))
    shared = [item for item in scores[0].keys() & scores[1].keys() if item]
    assert len(shared) >= 55
    np.testing.assert_allclose([scores[0][i] for i in shared], [scores[1][i] for i in shared], atol=1e-4)


def test_a_new_item_is_found_like_its_twin(root: pathlib.Path, refreshed: dict[str, int]) -> None:
    served = Recommender(_served(root, refreshed["version"]), 100)
    twin = Request("u", [Event("item-0001")])
    found = served.retrieve([twin], 100)["item_ids"][0].tolist()
    assert b"brand-new" in found and b"item-0001" not in found
    (only,) = served.recommend([Request("u", filters={"categories": ["Just In"]})], k=5)
    assert [place.item_id for place in only] == ["brand-new"]
    assert only[0].title.endswith("新品") and np.isfinite(only[0].score) and 0 <= only[0].probability <= 1
    predictor = _served(root, refreshed["version"])
    inputs = {"item_ids": np.array([b"brand-new"], object), "k": np.array([3], np.int32)}
    similar = predictor.predict(RETRIEVAL, "similar_items", inputs)["item_ids"][0].tolist()
    assert len(set(similar)) == 3 and b"brand-new" not in similar


def test_the_fused_model_ranks_a_new_item_by_its_text(
    root: pathlib.Path, refreshed: dict[str, int], data: pathlib.Path
) -> None:
    names, version = ("retrieval", "ranking", "fused"), str(refreshed["version"])
    predictor = LocalPredictor({name: root / "serving" / name / version for name in names})
    request = [Request("u", [Event("item-0001")], filters={"categories": ["Just In"]})]
    ((fused,),) = Recommender(predictor).recommend_at_once(request)
    ((without_text,),) = Recommender(predictor, 100).recommend_in_two_steps(request)
    assert fused.item_id == without_text.item_id == "brand-new"
    (model,) = (root / "artifacts").glob("RetrievalTrainer/*/model")
    catalogue = catalogue_for(Snapshot.load(Model(model).snapshot_dir), data)
    inputs = batch_inputs(request, predictor.inputs(RANKING, "rank")) | {
        "candidates": np.array([[b"brand-new"]], object),
        "retrieval_scores": np.ones((1, 1), np.float32),
        "candidate_token_ids": catalogue.token_ids[None, catalogue.item_ids == b"brand-new"],
    }
    expected = predictor.predict(RANKING, "rank", inputs)["probabilities"][0, 0]
    assert fused.probability == pytest.approx(expected, abs=1e-6)
    assert fused.probability != pytest.approx(without_text.probability, abs=1e-6)


def test_its_title_is_known_to_people(root: pathlib.Path, refreshed: dict[str, int]) -> None:
    store = ProfileStore(root / "serving" / FILE_NAME)
    assert store.titles(["brand-new", "item-0001"])[0].endswith("新品")
    assert len(list(store.user_ids())) == 40


def test_with_nothing_new_everything_stays(root: pathlib.Path, refreshed: dict[str, int], data: pathlib.Path) -> None:
    again = refresh(root, data)
    assert again == Refreshed(**{**refreshed, "version": refreshed["version"] + 1})
    request = [Request("u", [Event("item-0007")])]
    pages = [
        Recommender(_served(root, version), 100).recommend(request, 20)
        for version in (again.version - 1, again.version)
    ]
    assert pages[0] == pages[1]


def test_what_rules_deny_is_in_no_list_of_the_models(
    root: pathlib.Path, refreshed: dict[str, int], data: pathlib.Path
) -> None:
    """Neither with nor without a time, filters or words: whoever calls the model server gets none."""
    request = Request("u", [Event("item-0007")])
    first = Recommender(_served(root, refreshed["version"]), 100).recommend([request], 3)[0]
    denied = {first[0].item_id, first[2].item_id}
    described = data / "dataset.yaml"
    described.write_text(described.read_text() + "rules: rules.yaml\n")
    (data / "rules.yaml").write_text("ids: {deny: {item_id: {file: denied.txt}}}")
    (data / "denied.txt").write_text("\n".join(denied))
    done = refresh(root, data)
    assert done.denied_items == 2
    predictor = _served(root, done.version)
    served = Recommender(predictor, 100)
    asks = [dataclasses.replace(request, timestamp=now) for now in (0, 1_900_000_000)]
    asks.append(dataclasses.replace(request, query_token_ids=[7, 8]))
    for ask in asks:
        found = {item.decode() for item in served.retrieve([ask], 100)["item_ids"][0]}
        assert len(found) >= 50 and not denied & found
        assert not denied & {place.item_id for place in served.recommend([ask], 50)[0]}
    inputs = {"item_ids": np.array([b"item-0007"], object), "k": np.array([100], np.int32)}
    similar = predictor.predict(RETRIEVAL, "similar_items", inputs)["item_ids"][0].tolist()
    assert b"" in similar and not {item.encode() for item in denied} & set(similar)


def test_nothing_pushed_is_said(tmp_path: pathlib.Path, data: pathlib.Path) -> None:
    with pytest.raises(RunError, match="holds no run yet"):
        refresh(tmp_path, data)
