"""Arrays become TF_Tensors and come back; nothing is left behind."""

import ctypes

import numpy as np
import pytest

from homefeed.serving.model_server.execution import c_tensors
from homefeed.serving.model_server.execution.c_api import library

STRINGS = [b"", b"a" * 22, b"b" * 23, b"nul\0inside", b"nul at end\0", b"c" * 5000, "科幻电影".encode(), b"\xff\xfe"]


@pytest.mark.parametrize("shape", [(8,), (2, 4), (0,), (3, 0)])
def test_strings_of_any_length_survive_and_leave_nothing_behind(shape: tuple[int, ...]) -> None:
    array = np.array(STRINGS[: int(np.prod(shape))], object).reshape(shape)
    tensor = c_tensors.to_tensor(array)
    assert len(c_tensors._string_buffers) == 1
    back = c_tensors.to_array(tensor)
    library().TF_DeleteTensor(tensor)
    assert back.shape == shape and back.tolist() == array.tolist()
    assert not c_tensors._string_buffers


def test_many_strings_of_any_length_survive() -> None:
    array = np.array([b"%d" % place * (place % 9) for place in range(10_000)], object)
    tensor = c_tensors.to_tensor(array)
    assert c_tensors.to_array(tensor).tolist() == array.tolist()
    library().TF_DeleteTensor(tensor)
    assert not c_tensors._string_buffers


def test_strings_lie_in_memory_as_tensorflow_itself_writes_them() -> None:
    buffer = np.zeros((len(STRINGS), 24), np.uint8)
    for place, value in enumerate(STRINGS):
        library().TF_StringCopy(buffer.ctypes.data + 24 * place, value, len(value))
    assert c_tensors._strings_at(buffer.ctypes.data, len(STRINGS)) == STRINGS
    tensor = c_tensors.to_tensor(np.array(STRINGS, object))
    ours = ctypes.string_at(library().TF_TensorData(tensor), 24 * len(STRINGS))
    for place, value in enumerate(STRINGS):
        if len(value) <= 22:
            # What stands behind a short string is left over.
            assert ours[24 * place :][: len(value) + 1] == bytes(buffer[place])[: len(value) + 1]
    library().TF_DeleteTensor(tensor)
