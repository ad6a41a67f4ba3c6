"""Which versions are batched, and with which parameters."""

import pathlib

import pytest

from homefeed.serving.model_server.errors import StatusError
from homefeed.serving.model_server.execution.batcher import Batcher
from homefeed.serving.model_server.metrics import Metrics
from tests.serving.conftest import Models
from tests.serving.model_server.execution.test_batching import Recorder
from tests.serving.servers import column, running_server


def test_sizes_that_do_not_fit_fail_the_load(models: Models, tmp_path: pathlib.Path) -> None:
    models.publish("half_plus_two", tmp_path / "half", 1)
    (tmp_path / "batching.config").write_text("max_batch_size { value: 4 } allowed_batch_sizes: 3")
    with (
        pytest.raises(StatusError, match="Last entry in allowed_batch_sizes must match max_batch_size"),
        running_server(
            model_name="half",
            model_base_path=str(tmp_path / "half"),
            enable_batching=True,
            batching_parameters_file=str(tmp_path / "batching.config"),
            max_num_load_retries=0,
        ),
    ):
        pass


def test_parameters_of_each_version(tmp_path: pathlib.Path) -> None:
    batcher, recorder = Batcher("", True, Metrics()), Recorder()
    assert batcher.wrap(recorder, tmp_path, {}) is recorder
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    runner = batcher.wrap(recorder, tmp_path, {})
    with pytest.raises(StatusError, match="maximum input batch size 2"):
        runner.run({"x": column(1, 2, 3)}, ["y"])
