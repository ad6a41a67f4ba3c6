"""gRPC's reflection of services whose messages are in a pool of our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homefeed_client import protos


class _Pool:
    """protobuf's pool of files, where a method is found too: that is what some clients ask for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(protos.POOL, name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802  As protobuf has it.
        try:
            return protos.POOL.FindFileContainingSymbol(symbol)
        except KeyError:
            return protos.POOL.FindFileContainingSymbol(symbol.rpartition(".")[0])


def add_reflection(server: Any, services: Sequence[str]) -> None:
    """Lets clients of a server, one with threads or with asyncio, ask what its services and messages are."""
    from grpc_reflection.v1alpha import reflection

    reflection.enable_server_reflection([*services, reflection.SERVICE_NAME], server, pool=_Pool())
