from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.ranking.layers.candidate_attention import CandidateAttention

RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(2, 3, 5)).astype(np.float32)
MEMORY = RNG.normal(size=(2, 4, 6)).astype(np.float32)
PRESENT = np.array([[True, False, True, True], [False] * 4])


@pytest.fixture(scope="module")
def layer() -> CandidateAttention:
    made = CandidateAttention(width=4, num_heads=2)
    made((CANDIDATES, MEMORY, PRESENT, None))
    for variable in made.trainable_variables:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    return made


@pytest.mark.parametrize("bias", [None, RNG.normal(size=(2, 4)).astype(np.float32)])
def test_in_numpy(layer: CandidateAttention, bias: np.ndarray | None) -> None:
    def project(dense: Any, x: Any) -> Any:
        return (x @ np.array(dense.kernel) + np.array(dense.bias)).reshape(*x.shape[:2], 2, 2)

    query, key, value = (
        project(dense, x) for dense, x in ((layer._query, CANDIDATES), (layer._key, MEMORY), (layer._value, MEMORY))
    )
    expected = np.zeros((2, 3, 4))
    for row in range(2):
        for candidate in range(3):
            for head in range(2):
                logits = [0.0]  # A slot of zeros, so that nothing may be looked at.
                values = [np.zeros(2)]
                for slot in np.flatnonzero(PRESENT[row]):
                    logit = query[row, candidate, head] @ key[row, slot, head] / np.sqrt(2)
                    logits.append(logit + (0 if bias is None else bias[row, slot]))
                    values.append(value[row, slot, head])
                weights = np.exp(logits) / np.exp(logits).sum()
                expected[row, candidate, 2 * head : 2 * head + 2] = weights @ np.array(values)
    found = layer((CANDIDATES, MEMORY, PRESENT, bias))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert not np.asarray(found)[1].any()


def test_without_memory_there_is_nothing_to_see(layer: CandidateAttention) -> None:
    found = layer((CANDIDATES, MEMORY[:, :0], PRESENT[:, :0], None))
    assert tf.shape(found).numpy().tolist() == [2, 3, 4] and not np.asarray(found).any()
