import dataclasses

import numpy as np
import pytest

from homefeed.components.evaluator.impressions import describe_shown, measure_shown, to_html, to_markdown
from homefeed.models.exposures import Exposures
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.recommender import Recommender
from tests.toy_data import toy_catalogue, toy_sequences

TEST = toy_sequences(4, num_history=1)
# Popularity falls from i1 to i7, and the toy ranking turns its order round.
SHOWN = Exposures(
    user_ids=np.array([b"u0", b"u1", b"nobody", b"u2"], object),
    timestamp=TEST.timestamp[[1, 4, 4, 8]],
    row_splits=np.array([0, 3, 5, 7, 9]),
    item_index=np.array([1, 3, 5, 2, 4, 1, 2, 6, 7], np.int32),
    position=np.array([1, 2, 3, 1, 2, 1, 2, 1, 2], np.int32),
    propensity=np.full(9, np.nan, np.float32),
    clicked=np.array([0, 1, 0, 0, 1, 1, 0, 1, 1], bool),
)


@pytest.fixture(scope="module")
def fused(toy_models: dict[str, object]) -> Recommender:
    return Recommender(LocalPredictor({"fused": toy_models["fused"] / "Format-Serving"}), 100)


def test_what_was_shown_is_ranked_as_it_is_served(fused: Recommender) -> None:
    # Nobody knows one user, and of one page all was taken.
    found = measure_shown(fused, SHOWN, TEST, toy_catalogue(), 100, batch_size=1)
    assert {name: values["auc"].tolist() for name, values in found.items()} == {
        "retrieval": [0.5, 0],
        "retrieval + ranking": [0.5, 1],
        "popularity": [0.5, 0],
        "as it was shown": [0.5, 0],
    }
    at_once = measure_shown(fused, SHOWN, TEST, toy_catalogue(), 100, batch_size=2)
    assert all((at_once[name]["mrr"] == values["mrr"]).all() for name, values in found.items())
    assert len(measure_shown(fused, SHOWN, TEST, toy_catalogue(), 1, 1)["retrieval"]["auc"]) == 1


def test_without_places_the_page_itself_is_no_rival(fused: Recommender) -> None:
    places = np.where(np.arange(9) == 4, 0, SHOWN.position).astype(np.int32)
    found = measure_shown(fused, dataclasses.replace(SHOWN, position=places), TEST, toy_catalogue(), 100, 2)
    assert "as it was shown" not in found


def test_report_and_card_have_the_figures(fused: Recommender) -> None:
    found = describe_shown(measure_shown(fused, SHOWN, TEST, toy_catalogue(), 100, 2))
    assert found is not None and found["impressions"] == 2
    ours = found["methods"]["retrieval + ranking"]
    assert ours["auc"][0] == 0.75 and ours["auc"][1] <= 0.75 <= ours["auc"][2] and "ours_less" not in ours
    assert found["methods"]["popularity"]["ours_less"][0] == 0.5
    card, page = (write({"eval": None, "test": found}) for write in (to_markdown, to_html))
    assert "| test | retrieval + ranking | 0.7500 (0.5000 to 1.0000) |" in card
    assert "<td>test<td>popularity<td>0.2500 (0.0000 to 0.5000)" in page


def test_where_nothing_was_shown_nothing_is_said(fused: Recommender) -> None:
    assert measure_shown(fused, None, TEST, toy_catalogue(), 100, 2) == {}
    nobody = dataclasses.replace(SHOWN, user_ids=np.array([b"?"] * 4, object))
    assert measure_shown(fused, nobody, TEST, toy_catalogue(), 100, 2) == {}
    assert describe_shown({}) is None
    assert to_markdown({"eval": None}) == to_html({"eval": None}) == ""
