r"""TensorFlow Serving's messages, and those of the home page, in a descriptor pool of our own.

The protobuf runtime refuses two definitions of one message name in one pool, and `tensorflow-serving-api` (with
all of TensorFlow behind it) defines these names in the default pool. A private pool lets both live in one
process, whichever is imported first; on the wire they are the same bytes.

`descriptors.binpb` is compiled from the `.proto` files beside it, in this folder, with

    python -m grpc_tools.protoc -I. --include_imports --descriptor_set_out=descriptors.binpb \
        tensorflow_serving.proto home_page.proto
"""

import functools
import importlib.resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def _load_pool() -> descriptor_pool.DescriptorPool:
    data = importlib.resources.files(__name__).joinpath("descriptors.binpb").read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    return pool


POOL = _load_pool()


@functools.cache
def message(full_name: str) -> Any:
    """The message class of a full name such as `tensorflow.serving.PredictRequest`.

    Raises:
        KeyError: the `.proto` files beside this module define no such message.
    """
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(full_name))


def enum(full_name: str) -> Any:
    """The descriptor of an enum of a full name such as `tensorflow.DataType`."""
    return POOL.FindEnumTypeByName(full_name)
