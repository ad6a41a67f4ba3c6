import numpy as np

from homefeed.models.text.heads import MEMORIES, memory
from homefeed.models.text.text_alone import TextAlone
from tests.components.ranking_toys import text_model
from tests.models.retrieval import toy


def test_scores_are_what_the_heads_make_of_texts_newest_first() -> None:
    text = text_model(toy.catalogue())
    kernels = {weight.name: np.array(weight) for weight in text.heads.weights}
    offered = text.items @ kernels["candidates_kernel"]
    popularity = (text.items @ kernels["bias_kernel"])[:, 0]
    found = TextAlone(text).scores([np.array([0, 3, 5]), np.array([], np.int32), np.array([5, 3])])
    newest_first = np.array([[5, 3]], np.int32)
    wanted = sum(
        (memory(newest_first, length) @ text.items[newest_first[0]]) @ kernels[f"{name}_kernel"]
        for name, length in MEMORIES.items()
    )
    np.testing.assert_allclose(found[0], (wanted @ offered.T)[0] + popularity, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found[1], popularity, rtol=1e-5)
    assert np.abs(found[0] - found[2]).max() > 0.01, "the order counts"
