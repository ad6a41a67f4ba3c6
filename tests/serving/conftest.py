"""SavedModels to serve."""

import dataclasses
import os
import pathlib
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    """Model name → SavedModel of the gateways' `toy`."""
    from tests.serving.gateway import toy

    return toy.save_models(tmp_path_factory.mktemp("nearest"))


@pytest.fixture(scope="session")
def tf() -> Any:
    import tensorflow

    return tensorflow


def _affine_module(tf: Any) -> Any:
    class Affine(tf.Module):
        """y = slope * x + offset, over tensors of any rank that the graph allows."""

        def __init__(self, slope: float, offset: float) -> None:
            super().__init__()
            self.slope = tf.Variable(slope)
            self.offset = tf.Variable(offset)

        @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
        def predict(self, x: Any) -> Any:
            return {"y": self.slope * x + self.offset}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 2], tf.float32, name="a"),
                tf.TensorSpec([2, None], tf.float32, name="b"),
            ]
        )
        def multiply(self, a: Any, b: Any) -> Any:
            product = tf.matmul(a, b)
            return {"product": product, "total": tf.reduce_sum(product)}

        @tf.function(input_signature=[tf.TensorSpec([], tf.int64, name="limit")])
        def count(self, limit: Any) -> Any:
            """Counts up to a limit: 10**12 takes longer than any test."""
            return {"count": tf.while_loop(lambda i: i < limit, lambda i: i + 1, [tf.constant(0, tf.int64)])[0]}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
        def shout(self, words: Any) -> Any:
            upper = tf.strings.upper(words)
            return {"upper": upper, "length": tf.strings.length(words), "raw_bytes": upper}

    return Affine


def _save_tf1_model(tf: Any, path: pathlib.Path) -> None:
    """y = x / 2 + 2 as TensorFlow 1 exported it: tf.Examples in, ref variables, method names, two outputs kinds."""
    tf1 = tf.compat.v1
    utils = tf1.saved_model.signature_def_utils
    with tf.Graph().as_default(), tf1.Session() as session:
        slope = tf1.Variable(0.5, use_resource=False, name="slope")
        examples = tf1.placeholder(tf.string, name="tf_example")
        x = tf1.parse_example(examples, {"x": tf1.FixedLenFeature([1], tf.float32)})["x"]
        y = tf.identity(x * slope + 2.0, name="y")
        rank = tf.fill(tf.shape(y), "ranked")
        session.run(tf1.global_variables_initializer())
        info = tf1.saved_model.utils.build_tensor_info
        signatures = {
            "serving_default": utils.build_signature_def(
                {"x": info(x)}, {"y": info(y)}, "tensorflow/serving/predict"
            ),
            "classify_x_to_y": utils.build_signature_def(
                {"inputs": info(examples)}, {"scores": info(y)}, "tensorflow/serving/classify"
            ),
            "classify_with_labels": utils.build_signature_def(
                {"inputs": info(examples)},
                {"scores": info(y), "classes": info(rank)},
                "tensorflow/serving/classify",
            ),
            "regress_x_to_y": utils.build_signature_def(
                {"inputs": info(examples)}, {"outputs": info(y)}, "tensorflow/serving/regress"
            ),
            "slope": utils.build_signature_def({}, {"slope": info(slope)}, "tensorflow/serving/predict"),
        }
        builder = tf1.saved_model.builder.SavedModelBuilder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()


@dataclasses.dataclass(frozen=True)
class Models:
    """A folder of finished versions, to be copied where a test wants them served.

    `half_plus_two`: y = x / 2 + 2, signatures serving_default(x), multiply(a, b), shout(words), count(limit).
    `half_plus_three`: the same with 3.
    `tf1`: half_plus_two over tf.Examples, saved by TensorFlow 1, with classify and regress signatures.
    """

    root: pathlib.Path

    def publish(self, name: str, base_path: pathlib.Path, version: int | str) -> pathlib.Path:
        """Copies a model beside its place and renames it there, as publishers do."""
        base_path.mkdir(parents=True, exist_ok=True)
        unfinished = base_path.parent / f".{base_path.name}-{version}"
        shutil.copytree(self.root / name, unfinished)
        return unfinished.rename(base_path / str(version))


@pytest.fixture(scope="session")
def models(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Models:
    root = tmp_path_factory.mktemp("models")
    affine = _affine_module(tf)
    for name, offset in (("half_plus_two", 2.0), ("half_plus_three", 3.0)):
        module = affine(0.5, offset)
        signatures = {
            "serving_default": module.predict,
            "count": module.count,
            "multiply": module.multiply,
            "shout": module.shout,
        }
        tf.saved_model.save(module, str(root / name), signatures=signatures)
    _save_tf1_model(tf, root / "tf1")
    return Models(root)


@pytest.fixture(autouse=True)
def _no_thread_is_left_behind() -> Iterator[None]:
    """A server that was stopped must not leave its own threads running."""
    before = set(threading.enumerate())
    yield
    names = ("model-", "_poll")
    left = [t for t in set(threading.enumerate()) - before if t.name.startswith(names) and t.is_alive()]
    assert not left or all(not t.is_alive() for t in left if not t.join(5))
