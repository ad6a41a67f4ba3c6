import pathlib

import numpy as np

from homefeed.components import fuser
from homefeed.components.artifacts.types import Model
from homefeed.models.requests import Event, Request
from homefeed.serving.predictors import LocalPredictor
from homefeed.serving.recommender import Recommender, num_candidates_of


def test_both_models_in_one_answer_as_the_two(toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    parts = {name: Model(toy_models[name]) for name in ("retrieval", "ranking")}
    fused = Model(tmp_path / "fused")
    inputs = fuser.Inputs(parts["retrieval"], parts["ranking"])
    assert fuser.run(inputs, fuser.Outputs(fused), fuser.Config(num_candidates=30)) == "one call ranks 30 candidates"
    assert num_candidates_of(fused.serving_dir) == 30

    requests = [Request("u", [Event("i1")]), Request("v")]
    two = Recommender(LocalPredictor({name: model.serving_dir for name, model in parts.items()}), 100)
    one = Recommender(LocalPredictor({"fused": fused.serving_dir}))
    for page, expected in zip(one.recommend(requests, 3), two.recommend(requests, 3), strict=True):
        assert [place.item_id for place in page] == [place.item_id for place in expected]
        np.testing.assert_allclose([p.score for p in page], [p.score for p in expected], atol=1e-6)
