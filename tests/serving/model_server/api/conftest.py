"""A server with models that make every kind of REST answer."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving.conftest import Models
from tests.serving.model_server.api.rest_client import Rest
from tests.serving.servers import free_port, running_server


@pytest.fixture(scope="module")
def rest(models: Models, tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    root = tmp_path_factory.mktemp("served")
    models.publish("half_plus_two", root / "half", 1)
    models.publish("tf1", root / "tf1", 1)
    _save_types(tf, str(root / "types" / "1"))
    entries = "".join(
        f"config {{ name: '{name}' base_path: '{root}/{name}' model_platform: 'tensorflow' }}"
        for name in ("half", "tf1", "types")
    )
    config = root / "models.config"
    config.write_text(f"model_config_list {{ {entries} }}")
    port = free_port()
    with running_server(model_config_file=str(config), rest_api_port=port, rest_api_timeout_in_ms=2000):
        yield Rest(port)


def _save_types(tf: Any, path: str) -> None:
    """One signature a type, `<name>(v) -> {v}`, and outputs that row form cannot write."""

    def echo(dtype: Any) -> Any:
        return tf.function(lambda v: {"v": tf.identity(v)}).get_concrete_function(
            tf.TensorSpec(None, dtype, name="v")
        )

    names = ("float32", "float64", "int8", "int32", "int64", "uint8", "bool", "string", "half", "uint16", "complex64")
    module = tf.Module()
    signatures = {name: echo(tf.dtypes.as_dtype(name)) for name in names}
    signatures["uneven"] = tf.function(
        lambda v: {"a": v, "b": tf.concat([v, v], 0)}
    ).get_concrete_function(tf.TensorSpec([None], tf.float32, name="v"))  # fmt: skip
    module.functions = list(signatures.values())
    tf.saved_model.save(module, path, signatures=signatures)
