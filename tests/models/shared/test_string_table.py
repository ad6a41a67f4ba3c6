import pathlib

import tensorflow as tf

from homefeed.models.shared import saved_model, string_table


class Found(tf.Module):
    """Serves a table."""

    def __init__(self, table: string_table.StringTable):
        super().__init__()
        self.table = table

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """One."""
        find = tf.function(lambda x: {"found": self.table.lookup(x)})
        return {"serving_default": find.get_concrete_function(x=tf.TensorSpec([None], tf.string))}


def test_items_are_rows_and_anything_else_is_row_0() -> None:
    table = string_table.StringTable(["片".encode(), b"b"], first=1)
    assert table.lookup(tf.constant([["片", "b", "", "zz"]])).numpy().tolist() == [[1, 2, 0, 0]]


def test_a_vocabulary_tells_none_from_unknown() -> None:
    table = string_table.vocabulary_table(("x", "y"))
    assert table.lookup(tf.constant(["y", "", "zz"])).numpy().tolist() == [3, 0, 1]


def test_an_empty_vocabulary_knows_nothing() -> None:
    assert string_table.vocabulary_table(()).lookup(tf.constant(["x", ""])).numpy().tolist() == [1, 0]


def test_the_strings_are_no_part_of_the_graph(tmp_path: pathlib.Path) -> None:
    strings = [f"item-{number:06}".encode() for number in range(1_000)]
    saved_model.save(Found(string_table.StringTable(strings, first=1)), tmp_path / "first")
    # Loaded and saved again, as Fuser does.
    again = tf.Module()
    again.part = tf.saved_model.load(str(tmp_path / "first"))
    tf.saved_model.save(again, str(tmp_path / "second"), signatures=again.part.signatures["serving_default"])
    for name in ("first", "second"):
        graph = (tmp_path / name / "saved_model.pb").read_bytes()
        assert not any(string in graph for string in strings)
        loaded = tf.saved_model.load(str(tmp_path / name)).signatures["serving_default"]
        found = loaded(x=tf.constant([b"", b"item-000000", b"item-000999", b"item-001000"]))["found"]
        assert found.numpy().tolist() == [0, 1, 1_000, 0]
