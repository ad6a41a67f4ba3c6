import pathlib

import numpy as np
import pytest

from homefeed.models.requests import Event, Request
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.recommender import Recommender
from tests.toy_data import toy_catalogue
from tests.toy_models import counts_order


@pytest.fixture(scope="module")
def predictor(toy_models: dict[str, pathlib.Path]) -> LocalPredictor:
    return LocalPredictor({name: toy_models[name] / "Format-Serving" for name in ("retrieval", "ranking")})


def test_ranking_decides_the_order_of_what_retrieval_found(predictor: LocalPredictor) -> None:
    most_counted = counts_order(toy_catalogue())
    (page,) = Recommender(predictor, num_candidates=3).recommend([Request("u")], k=2)
    assert [place.item_id for place in page] == [most_counted[2], most_counted[1]]
    assert page[0].title == "Title 3 片3" and page[0].probability == 0.5


def test_nothing_of_the_history_comes_back(predictor: LocalPredictor) -> None:
    history = [Event(item_id) for item_id in ("i1", "i1", "nobody knows", "i4")]
    (page,) = Recommender(predictor, 100).recommend([Request("u", history)], k=10)
    assert {place.item_id for place in page} == {"i2", "i3", "i5", "i6", "i7"}


def test_who_has_had_everything_gets_an_empty_page(predictor: LocalPredictor) -> None:
    everything = Request("u", [Event(f"i{row}") for row in range(1, 8)])
    pages = Recommender(predictor, 100).recommend([everything, Request("v")], k=2)
    assert [len(page) for page in pages] == [0, 2]


def test_k_beyond_the_catalogue_gives_the_catalogue(predictor: LocalPredictor) -> None:
    (page,) = Recommender(predictor, num_candidates=1000).recommend([Request("u")], k=1000)
    assert len(page) == 7


def test_a_batch_gives_what_each_request_gets_alone(predictor: LocalPredictor) -> None:
    requests = [Request("u", [Event("i1")]), Request("v"), Request("w", [Event("i2"), Event("i3")])]
    recommender = Recommender(predictor, 100)
    together = recommender.candidates(requests)
    for row, request in enumerate(requests):
        alone = recommender.candidates([request])
        np.testing.assert_array_equal(alone.item_ids[0], together.item_ids[row])
        np.testing.assert_array_equal(alone.scores[0], together.scores[row])


def test_the_fused_model_is_asked_where_it_is_served_and_answers_the_same(
    predictor: LocalPredictor, toy_models: dict[str, pathlib.Path]
) -> None:
    fused = LocalPredictor({"fused": toy_models["fused"] / "Format-Serving"})
    requests = [Request("u", [Event("i1"), Event("i4")]), Request("v")]
    for k in (1, 3, 1000):
        assert Recommender(fused).recommend(requests, k) == Recommender(predictor, 100).recommend(requests, k)
