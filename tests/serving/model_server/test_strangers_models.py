"""SavedModels that others made: plain modules, tf-keras, Keras 3; strings, ragged parts, several signatures."""

import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from homefeed_client import PredictionClient

from tests.serving.servers import running_server

# In processes of their own, as the two Keras generations want other environments; the server needs neither.
_KERAS_3 = """
import sys, numpy as np, keras
keras.utils.set_random_seed(7)
model = keras.Sequential([keras.Input([3]), keras.layers.Dense(2, activation="relu"), keras.layers.Dense(1)])
model.export(sys.argv[1], verbose=False)
np.save(sys.argv[2], model.predict(np.arange(6, dtype=np.float32).reshape(2, 3), verbose=0))
"""
_TF_KERAS = """
import sys, numpy as np, tensorflow as tf, tf_keras
tf_keras.utils.set_random_seed(7)
words = tf_keras.Input([], dtype=tf.string, name="words")
index = tf_keras.layers.StringLookup(vocabulary=["a", "b", "c"])(words)
model = tf_keras.Model(words, tf_keras.layers.Embedding(4, 2)(index))
model.save(sys.argv[1])
np.save(sys.argv[2], model.predict(tf.constant(["b", "zzz"]), verbose=0))
"""


@pytest.mark.parametrize(
    ("code", "inputs"),
    [(_KERAS_3, np.arange(6, dtype=np.float32).reshape(2, 3)), (_TF_KERAS, np.array([b"b", b"zzz"], object))],
    ids=["keras_3", "tf_keras"],
)
@pytest.mark.slow
def test_keras_models(tmp_path: pathlib.Path, code: str, inputs: Any) -> None:
    expected_file = tmp_path / "expected.npy"
    arguments = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "m" / "1"), str(expected_file)]
    subprocess.run(arguments, check=True, timeout=300)
    with (
        running_server(model_name="m", model_base_path=str(tmp_path / "m")) as server,
        PredictionClient(f"127.0.0.1:{server.grpc_port}", timeout_seconds=30) as client,
    ):
        (alias,) = client.metadata("m").signatures["serving_default"].inputs
        (output,) = client.predict("m", {alias: inputs}).outputs.values()
        np.testing.assert_allclose(output, np.load(expected_file), atol=1e-6)


def test_a_plain_module_with_tables_assets_and_ragged_parts(tf: Any, tmp_path: pathlib.Path) -> None:
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("red\ngreen\n蓝\n")

    class Colours(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            asset = tf.saved_model.Asset(str(vocabulary))
            initializer = tf.lookup.TextFileInitializer(
                asset.asset_path, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
            )  # fmt: skip
            self.asset, self.table = asset, tf.lookup.StaticHashTable(initializer, -1)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def look_up(self, text: Any) -> Any:
            return {"index": self.table.lookup(text)}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, name="flat_words"),
                tf.TensorSpec([None], tf.int64, name="row_splits"),
            ]
        )
        def count_known(self, flat_words: Any, row_splits: Any) -> Any:
            ragged = tf.RaggedTensor.from_row_splits(self.table.lookup(flat_words), row_splits)
            return {"known": tf.reduce_sum(tf.cast(ragged >= 0, tf.int32), axis=1)}

    module = Colours()
    signatures = {"look_up": module.look_up, "count_known": module.count_known}
    tf.saved_model.save(module, str(tmp_path / "m" / "1"), signatures=signatures)
    vocabulary.unlink()  # Only the copy in the assets is left.
    with (
        running_server(model_name="m", model_base_path=str(tmp_path / "m")) as server,
        PredictionClient(f"127.0.0.1:{server.grpc_port}", timeout_seconds=30) as client,
    ):
        outputs = client.predict("m", {"text": ["蓝", "grey", "red"]}, signature="look_up").outputs
        assert outputs["index"].tolist() == [2, -1, 0]
        ragged = {"flat_words": ["red", "grey", "蓝"], "row_splits": [0, 0, 2, 3]}
        outputs = client.predict("m", ragged, signature="count_known").outputs
        assert outputs["known"].tolist() == [0, 1, 1]
