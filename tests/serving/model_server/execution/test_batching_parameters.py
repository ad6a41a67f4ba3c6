"""BatchingParameters are read and checked."""

import pytest

from homefeed.serving.model_server.errors import StatusError
from homefeed.serving.model_server.execution.batching_parameters import Parameters
from homefeed.serving.model_server.messages import BatchingParameters


def test_parameters_are_read_and_checked() -> None:
    proto = BatchingParameters(allowed_batch_sizes=[2, 4], pad_variable_length_inputs=True)
    proto.max_batch_size.value, proto.batch_timeout_micros.value = 4, 1500
    parameters = Parameters.from_proto(proto)
    assert (parameters.max_batch_size, parameters.batch_timeout_seconds) == (4, 0.0015)
    assert [parameters.padded_size(size) for size in (1, 2, 3, 4)] == [2, 2, 4, 4]
    assert Parameters.from_proto(BatchingParameters()) == Parameters()

    for sizes, words in (
        ([2, 3], "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 3; expected 4"),
        ([4, 2], "monotonically increasing"),
        ([4, 4], "monotonically increasing"),
    ):
        del proto.allowed_batch_sizes[:]
        proto.allowed_batch_sizes.extend(sizes)
        with pytest.raises(StatusError, match=words):
            Parameters.from_proto(proto)
