import pathlib

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
