"""TensorFlow's library is loaded as a server needs it."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("given", "expected"), [(None, "0"), ("1", "1")])
def test_onednn_stays_out_unless_asked_for(given: str | None, expected: str) -> None:
    """Its kernels corrupt the heap where one graph runs twice at a time, on some CPUs only: see `library`."""
    code = (
        "import os; from homefeed.serving.model_server.execution import c_api; "
        "c_api.tensorflow_version(); "
        "print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    environment |= {} if given is None else {"TF_ENABLE_ONEDNN_OPTS": given}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == expected
