"""Keeps the requests that a model answered, as the warm-up records of its published versions."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy.typing as npt

from homefeed.models.requests import TensorSpec
from homefeed.serving.predictors import Predictor, Tensors


class Recorder:
    """A predictor that remembers what was asked of another.

    Args:
        predictor: who answers.
    """

    def __init__(self, predictor: Predictor):
        self._predictor = predictor
        self._asked: list[tuple[str, str, Tensors]] = []

    def serves(self, model: str) -> bool:
        """Whether a model is there."""
        return self._predictor.serves(model)

    def inputs(self, model: str, signature: str) -> dict[str, TensorSpec]:
        """Input name → spec of a signature."""
        return self._predictor.inputs(model, signature)

    def predict(self, model: str, signature: str, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Calls a signature; it is remembered when it answers."""
        outputs = self._predictor.predict(model, signature, inputs)
        self._asked.append((model, signature, dict(inputs)))
        return outputs

    def write(self, model: str, path: pathlib.Path) -> None:
        """Writes the requests to one model as TFRecord of PredictionLog, the last first: those are the smallest."""
        from homefeed_client import tensors

        from homefeed.serving.model_server.loading.warmup import write_records
        from homefeed.serving.model_server.messages import PredictionLog

        logs = []
        for _, signature, inputs in (asked for asked in reversed(self._asked) if asked[0] == model):
            log = PredictionLog()
            request = log.predict_log.request
            request.model_spec.name, request.model_spec.signature_name = model, signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tensors.to_proto(value))
            logs.append(log)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_records(path, logs)
