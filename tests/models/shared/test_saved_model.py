import pathlib

import numpy as np
import tensorflow as tf

from homefeed.models.shared import saved_model


class Doubler(tf.Module):
    """Doubles."""

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """One."""
        double = tf.function(lambda x: {"doubled": 2 * x}).get_concrete_function(x=tf.TensorSpec([None], tf.float32))
        return {"serving_default": double, "double": double}


def test_signatures_and_vocabulary_travel_together(tmp_path: pathlib.Path) -> None:
    saved_model.save(Doubler(), tmp_path / "here", ("[PAD]", "[UNK]", "片"))
    (tmp_path / "here").rename(tmp_path / "there")
    loaded = tf.saved_model.load(str(tmp_path / "there"))
    assert loaded.signatures["double"](x=tf.constant([3.0]))["doubled"].numpy().tolist() == [6.0]
    assert (tmp_path / "there" / "assets" / "vocab.txt").read_text(encoding="utf-8") == "[PAD]\n[UNK]\n片\n"


def test_without_a_vocabulary_there_is_no_asset(tmp_path: pathlib.Path) -> None:
    saved_model.save(Doubler(), tmp_path)
    assert not list((tmp_path / "assets").iterdir())


class Table(tf.Module):
    """Gives the rows of a table, after some numbers of its own."""

    def __init__(self, table: np.ndarray, own: int):
        super().__init__()
        self.own = [tf.Variable(float(number)) for number in range(own)]
        self.parts = {"table": tf.Variable(table), "words": tf.Variable(["片"] * (saved_model.LARGE // 8))}

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """One."""
        spec = tf.TensorSpec([None], tf.int32)
        rows = tf.function(lambda x: {"rows": tf.gather(self.parts["table"], x) + sum(self.own)})
        return {"serving_default": rows.get_concrete_function(x=spec)}


def test_models_with_a_large_table_in_common_have_files_in_common(tmp_path: pathlib.Path) -> None:
    table = np.random.default_rng(0).normal(size=(saved_model.LARGE // 16, 4)).astype(np.float32)
    for own in (1, 3):
        saved_model.save(Table(table, own), tmp_path / str(own))
    files = [sorted((tmp_path / name / "variables").glob("*.data-*")) for name in ("1", "3")]
    first, second = ({file.read_bytes() for file in of_model} for of_model in files)
    assert table.tobytes() in first & second
    assert len(first & second) == 2 and len(first) == len(second) == 3  # Words, too; and each its own numbers.
    loaded = tf.saved_model.load(str(tmp_path / "3")).signatures["serving_default"]
    np.testing.assert_allclose(loaded(x=tf.constant([7]))["rows"][0], table[7] + 3)
