"""Vectors of items, written beside a model and read in place."""

import pathlib

import numpy as np
import pytest

from homefeed.models.shared import item_vectors


def test_vectors_are_centred_of_length_one_and_found_by_id(tmp_path: pathlib.Path) -> None:
    embeddings = np.array([[3.0, 1.0], [1.0, 1.0], [2.0, 4.0]], np.float32)  # Their mean is [2, 2].
    item_vectors.write(tmp_path, np.array([b"a", "商品".encode(), b"c"], object), embeddings)
    found = item_vectors.ItemVectors(tmp_path)
    half = 2**-0.5
    expected = [[-half, -half], [0, 0], [half, -half], [0, 1]]
    assert len(found) == 3 and found.of(["商品", "none", "a", "c"]) == pytest.approx(np.array(expected), abs=1e-3)


def test_a_model_without_vectors_knows_none(tmp_path: pathlib.Path) -> None:
    found = item_vectors.ItemVectors(tmp_path)
    assert len(found) == 0 and not found.of(["a"]).any()
    assert not item_vectors.ItemVectors(None).of(["a", "b"]).any()
