import json
from typing import Any

import numpy as np
import pytest

from homefeed.models.shared.feature_spec import FeatureSpec, bucket_edges, feature_spec, quantile_knots


def test_spec_leaves_out_numbers_that_are_never_known() -> None:
    spec = feature_spec(
        {"genre": np.ones((2, 1), np.int32)},
        {
            "price": np.full((2, 1), np.nan, np.float32),
            "year": np.array([[1], [2]], np.float32),
            "image_embedding": np.ones((2, 3), np.float32),
        },
        {"genre": ("a", "b", "c")},
    )
    assert spec == FeatureSpec({"genre": 5}, {"year": (1.0, 2.0)}, {"image_embedding": 3})


@pytest.mark.parametrize(
    ("numbers", "knots"),
    [([1, 1, 2, 5, np.nan], (1.0, 2.0, 5.0)), ([np.nan], (0.0,)), ([], (0.0,)), ([4, 4], (4.0,))],
)
def test_knots_are_distinct_quantiles(numbers: Any, knots: Any) -> None:
    assert quantile_knots(np.array(numbers, np.float32)) == knots


@pytest.mark.parametrize(
    ("numbers", "edges"),
    [
        # Quarters of 0 … 8 lie at 2, 4, 6.
        (list(range(9)), (2.0, 4.0, 6.0)),
        # Between 1 and 2 lies the median 1.5; the quarters are 1.25 and 1.75.
        ([1, 2, np.nan, np.inf], (1.25, 1.5, 1.75)),
        ([5, 5, 5], (5.0,)),
        ([np.nan], ()),
    ],
)
def test_edges_split_into_buckets_of_equal_counts(numbers: Any, edges: Any) -> None:
    assert bucket_edges(np.array(numbers, np.float32), num_buckets=4) == edges


def test_edges_for_ranking_and_knots_for_retrieval() -> None:
    age = np.arange(101, dtype=np.float32)[:, None]
    given = {}, {"age": age}, {}
    assert feature_spec(*given).knots["age"] == tuple(np.quantile(age, np.linspace(0, 1, 16), method="nearest"))
    edges = feature_spec(*given, bucket_edges).knots["age"]
    assert edges == pytest.approx([100 * i / 16 for i in range(1, 16)])


def test_a_spec_survives_json() -> None:
    spec = FeatureSpec({"genre": 5}, {"year": (1.0, 2.0)}, {"image_embedding": 3})
    assert FeatureSpec.from_config(json.loads(json.dumps(spec.to_config()))) == spec
