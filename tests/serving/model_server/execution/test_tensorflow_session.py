import os
import subprocess
import sys

import numpy as np
import pytest

from homefeed.serving.model_server.execution import tensorflow_session as session

STRINGS = [b"", b"a" * 22, b"b" * 23, b"nul\0inside", b"nul at end\0", b"c" * 5000, "科幻电影".encode(), b"\xff\xfe"]


@pytest.mark.parametrize("shape", [(8,), (2, 4), (0,), (3, 0)])
def test_strings_of_any_length_survive_and_leave_nothing_behind(shape: tuple[int, ...]) -> None:
    array = np.array(STRINGS[: int(np.prod(shape))], object).reshape(shape)
    tensor = session._to_tensor(array)
    assert len(session._string_buffers) == 1
    back = session._to_array(tensor)
    session._library().TF_DeleteTensor(tensor)
    assert back.shape == shape and back.tolist() == array.tolist()
    assert not session._string_buffers


def test_strings_lie_in_memory_as_tensorflow_itself_writes_them() -> None:
    import ctypes

    buffer = np.zeros((len(STRINGS), 24), np.uint8)
    for place, value in enumerate(STRINGS):
        session._library().TF_StringCopy(buffer.ctypes.data + 24 * place, value, len(value))
    assert session._strings_at(buffer.ctypes.data, len(STRINGS)) == STRINGS
    tensor = session._to_tensor(np.array(STRINGS, object))
    ours = ctypes.string_at(session._library().TF_TensorData(tensor), 24 * len(STRINGS))
    for place, value in enumerate(STRINGS):
        if len(value) <= 22:
            # What stands behind a short string is left over.
            assert ours[24 * place :][: len(value) + 1] == bytes(buffer[place])[: len(value) + 1]
    session._library().TF_DeleteTensor(tensor)


@pytest.mark.parametrize(("given", "expected"), [(None, "0"), ("1", "1")])
def test_onednn_stays_out_unless_asked_for(given: str | None, expected: str) -> None:
    """Its kernels corrupt the heap where one graph runs twice at a time, on some CPUs only: see `_library`."""
    code = (
        "import os; from homefeed.serving.model_server.execution import tensorflow_session as session; "
        "session.tensorflow_version(); "
        "print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    environment |= {} if given is None else {"TF_ENABLE_ONEDNN_OPTS": given}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == expected
