"""One version of a model, loaded: its signatures and the session that runs them."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from homefeed_client import tensors

from homefeed.serving.model_server.execution.tensorflow_session import Session
from homefeed.serving.model_server.loading.graph_safety import INIT_SIGNATURE
from homefeed.serving.model_server.messages import ConfigProto, SignatureDefMap

Array = np.ndarray[Any, Any]
# Sizes of the inputs' axes by tensor name, None for any size; None as a whole for an unknown rank.
Shapes = Mapping[str, Sequence[int | None] | None]


class Runner(Protocol):
    """Computes tensors: a TensorFlow session, or what stands before one."""

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_seconds: float | None = None
    ) -> list[Array]:
        """See `Session.run`."""

    def close(self) -> None:
        """Frees the model."""


@dataclasses.dataclass(frozen=True)
class Signature:
    """A SignatureDef, ready to use.

    Attributes:
        inputs, outputs: the graph's tensor name by alias.
        dtypes: TensorFlow's DataType number by input alias.
        defaults: what an input is when a request leaves it out.
    """

    method_name: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    dtypes: dict[str, int]
    defaults: dict[str, Array]

    @classmethod
    def from_proto(cls, proto: Any) -> "Signature":
        """Reads a SignatureDef message."""
        return cls(
            proto.method_name,
            {alias: info.name for alias, info in sorted(proto.inputs.items())},
            {alias: info.name for alias, info in sorted(proto.outputs.items())},
            {alias: info.dtype for alias, info in proto.inputs.items()},
            {alias: tensors.to_array(value) for alias, value in proto.defaults.items()},
        )


@dataclasses.dataclass(frozen=True)
class Servable:
    """One loaded version of a model.

    Attributes:
        path: the version's folder.
        signature_def: every signature of the MetaGraph, as a SignatureDefMap message.
    """

    name: str
    version: int
    path: pathlib.Path
    signature_def: Any
    signatures: Mapping[str, Signature]
    runner: Runner

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_seconds: float | None) -> list[Array]:
        """See `Session.run`."""
        return self.runner.run(feeds, fetches, timeout_seconds)

    def close(self) -> None:
        """Frees the model's memory; only once no request uses it."""
        self.runner.close()


def load(
    name: str,
    version: int,
    path: pathlib.Path,
    *,
    tags: Sequence[str] = ("serve",),
    session_config: Any = None,
    wrap_runner: Callable[[Runner, pathlib.Path, Shapes], Runner] | None = None,
) -> Servable:
    """Loads a SavedModel.

    Args:
        name, version, path: which version, and its folder.
        tags: the MetaGraph with exactly these tags.
        session_config: a ConfigProto message.
        wrap_runner: puts something before the session.

    Raises:
        StatusError: it cannot be loaded; TensorFlow's own code and words.
    """
    session = Session(path, tags, session_config or ConfigProto())
    try:
        signature_def = _signature_def(session)
        runner = wrap_runner(session, path, _input_shapes(signature_def)) if wrap_runner else session
        # What fills tables at the load is no request's to run.
        signatures = {
            key: Signature.from_proto(proto)
            for key, proto in signature_def.signature_def.items()
            if key != INIT_SIGNATURE
        }
    except BaseException:
        session.close()
        raise
    return Servable(name, version, path, signature_def, signatures, runner)


def _signature_def(session: Session) -> Any:
    """Takes the signatures out of the MetaGraph, which holds the whole graph once more and is let go."""
    signature_def = SignatureDefMap()
    for signature_name, proto in session.meta_graph.signature_def.items():
        signature_def.signature_def[signature_name].CopyFrom(proto)
    del session.meta_graph
    return signature_def


def _input_shapes(signature_def: Any) -> Shapes:
    """What the signatures say of the tensors that are fed."""
    infos = [info for signature in signature_def.signature_def.values() for info in signature.inputs.values()]
    return {
        info.name: None
        if info.tensor_shape.unknown_rank
        else [dim.size if dim.size >= 0 else None for dim in info.tensor_shape.dim]
        for info in infos
    }
