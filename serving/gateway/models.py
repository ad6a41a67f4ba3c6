"""The model server as the gateway asks it: within a deadline, never while it is known to be down or busy."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import homefeed_client
import numpy as np

from homefeed.models.requests import Request, TensorSpec, batch_inputs
from homefeed.schemas.words import one_line
from homefeed.serving.gateway.breaker import Breaker
from homefeed.serving.gateway.page import Place
from homefeed.serving.policy.arrangement import ODDS_DIGITS
from homefeed.serving.predictors import tensor_specs
from homefeed.serving.recommender import FUSED, RETRIEVAL
from homefeed.serving.releases.server_config import STABLE

METADATA_SECONDS = 2.0
WARM_UP_SECONDS = 30.0  # The first call of a version may take long, longer than any page waits.
MAX_SIMILAR = 10_000  # Lists that are kept.
SIGNATURES = {FUSED: "recommend", RETRIEVAL: "retrieve"}
# gRPC would look for a server that was away for 15 seconds as seldom as every 7, and once a minute in the end.
CHANNEL = [
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 500),
]
LEAST_CHANCE, MAX_DEVIATION = 1e-3, 10.0
USED = (
    "item_ids",
    "scores",
    "probabilities",
    "probability_deviation",
    "source",
)  # Of the outputs; the others need not travel.


class Unavailable(Exception):  # noqa: N818  No fault: the rung below answers.
    """The model server is not asked, or did not answer in time."""


class Found(NamedTuple):
    """A list from a model, best first.

    Attributes:
        places: what it found.
        source: what it was made from: `history`, `features`, `popular` or `query`, as signatures.md says.
        model_version: of the model.
        objective: what it is sorted for; "": the model's own.
    """

    places: list[Place]
    source: str
    model_version: int
    objective: str = ""


class Models:
    """Asks the models of a server under one label.

    Args:
        target: `host:port` of its gRPC port.
        max_in_flight: model → calls of it that may be under way while another begins. The server's queue stays
            short, so that a call that is made is answered in time; who finds no room gets the rung below.
        label: of the models; a server without labels has stable ones only.
    """

    def __init__(self, target: str, max_in_flight: Mapping[str, int], label: str = STABLE):
        self._target, self._wanted = target, label
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._breaker = Breaker()
        self._specs: dict[str, dict[str, TensorSpec]] = {}
        self._outputs: dict[str, list[str]] = {}
        self._similar: dict[tuple[str, int], list[str]] = {}
        self._label: str | None = label
        self._warm: dict[str, int] = {}  # Model → the version that has answered a call.
        self.version: int | None = None  # Of the fused model, as far as is known.
        self.lacking: dict[str, str] = {}  # Objective that it was tried with and does not know → why.
        self._tried: set[str] = set()

    @functools.cached_property
    def _client(self) -> homefeed_client.AsyncPredictionClient:
        """Belongs to the event loop that uses it first."""
        # No retries: a failed call is answered by the rung below, which is sooner.
        return homefeed_client.AsyncPredictionClient(self._target, options=CHANNEL)

    async def refresh(self, objectives: Collection[str] = ()) -> None:
        """Learns which version has the label now and what it takes; who answers this is asked again.

        Args:
            objectives: that pages ask for; those that the fused model lacks are known from then on.

        Raises:
            Unavailable: the server does not say.
        """
        try:
            await self._learn()
            await self._try(objectives)
            self._breaker.tell(True, time.monotonic())
        except (homefeed_client.ModelNotFoundError, homefeed_client.InvalidRequestError):
            if self._wanted == STABLE:
                self._label = None if self._label else STABLE  # A server may have no labels, or get them.
            else:
                self._specs.clear()  # As after a promotion.
            raise Unavailable("no such model, or no such label") from None
        except (homefeed_client.PredictionError, ValueError) as error:  # Inputs that nothing here can make.
            self._warm.clear()  # Who was away begins anew.
            raise Unavailable(str(error)) from error

    async def _learn(self) -> None:
        for model, signature in SIGNATURES.items():
            found = await self._client.metadata(model, label=self._label, timeout_seconds=METADATA_SECONDS)
            specs = tensor_specs(found.signatures[signature])
            outputs = [name for name in USED if name in found.signatures[signature].outputs]
            if self._warm.get(model) != found.version:
                await self._warm_up(model, signature, specs, outputs)
                self._warm[model] = found.version
            if model == FUSED and found.version != self.version:
                self.version = found.version
                self._similar.clear()
                self._tried.clear()
                self.lacking.clear()
            self._specs[model], self._outputs[model] = specs, outputs

    async def _try(self, objectives: Collection[str]) -> None:
        """Asks once for each objective: no metadata tell which there are, and a page would end on a lower rung."""
        specs, takes_one = self._specs[FUSED], "objective" in self._specs[FUSED]
        for objective in sorted({*objectives} - self._tried):
            inputs = batch_inputs([Request("", objective=objective)], specs) | {"k": np.ones(1, np.int32)}
            try:
                if takes_one:
                    await self._client.predict(
                        FUSED,
                        inputs,
                        signature=SIGNATURES[FUSED],
                        outputs=["item_ids"],
                        label=self._label,
                        timeout_seconds=WARM_UP_SECONDS,
                    )
                else:
                    self.lacking[objective] = "the model takes no objective"
            except homefeed_client.InvalidRequestError as error:
                self.lacking[objective] = one_line(str(error))[:200]
            self._tried.add(objective)

    async def _warm_up(
        self, model: str, signature: str, specs: dict[str, TensorSpec], outputs: Sequence[str]
    ) -> None:
        """Nobody's page, without a page's deadline: that would end first calls, and the breaker would open.

        It asks for what pages ask for: each choice of outputs is made ready by itself.
        """
        inputs = batch_inputs([Request("")], specs) | {"k": np.array([10], np.int32)}
        await self._client.predict(
            model, inputs, signature=signature, outputs=outputs, label=self._label, timeout_seconds=WARM_UP_SECONDS
        )

    async def find(self, model: str, request: Request, k: int, seconds: float) -> Found:
        """A list for a request, from the fused model or from retrieval alone.

        Raises:
            Unavailable: not within `seconds`, or with numbers by which nothing can be sorted.
        """
        return (await self.find_all(model, [request], k, seconds))[0]

    async def find_all(self, model: str, requests: Sequence[Request], k: int, seconds: float) -> list[Found]:
        """The lists for some requests, in one call.

        Raises:
            Unavailable: see `find`.
        """
        if model not in self._specs:
            raise Unavailable(f"nothing is known of {model} yet")
        # Better the model's own order than that of the rung below.
        requests = [replace(one, objective="") if one.objective in self.lacking else one for one in requests]
        try:
            inputs = batch_inputs(requests, self._specs[model])
        except ValueError as error:  # Profiles of one push, a model of another.
            raise Unavailable(str(error)) from error
        inputs["k"] = np.full(len(requests), k, np.int32)
        answer = await self._predict(model, SIGNATURES[model], inputs, self._outputs[model], seconds)
        found = [
            _found({name: column[row] for name, column in answer.outputs.items()}, k, answer.model_version)._replace(
                objective=one.objective if model == FUSED else ""
            )
            for row, one in enumerate(requests)
        ]
        places = (place for one in found for place in one.places)
        if wrong := next((place for place in places if not all(map(math.isfinite, filter(None, place[1:])))), None):
            raise Unavailable(f"{model} {answer.model_version} gives numbers that are not finite, such as {wrong}")
        return found

    async def similar(self, item_id: str, k: int, seconds: float) -> list[str]:
        """Items that are like one, best first; kept as long as the model is the same.

        Raises:
            Unavailable: not within `seconds`.
        """
        key = (item_id, k)
        if key not in self._similar:
            inputs = {"item_ids": np.array([item_id.encode()], object), "k": np.array([k], np.int32)}
            answer = await self._predict(RETRIEVAL, "similar_items", inputs, ["item_ids"], seconds)
            if len(self._similar) >= MAX_SIMILAR:
                self._similar.clear()
            self._similar[key] = [found.decode() for found in answer.outputs["item_ids"][0, :k] if found]
        return self._similar[key]

    async def close(self) -> None:
        """Closes the connection."""
        await self._client.close()

    async def _predict(
        self, model: str, signature: str, inputs: Mapping[str, Any], outputs: Sequence[str], seconds: float
    ) -> homefeed_client.Prediction:
        with self._room(model):
            try:
                # The client goes on after its deadline, to find out why there was no answer: no page waits for that.
                async with asyncio.timeout(seconds):
                    answer = await self._client.predict(
                        model,
                        inputs,
                        signature=signature,
                        outputs=outputs,
                        label=self._label,
                        timeout_seconds=seconds,
                    )
            except homefeed_client.InvalidRequestError as error:  # As of an objective that this model has not.
                self._breaker.tell(True, time.monotonic())
                raise Unavailable(str(error)) from error
            except (homefeed_client.PredictionError, TimeoutError) as error:
                self._breaker.tell(False, time.monotonic())
                raise Unavailable(str(error) or f"no answer within {seconds:g} s") from error
            self._breaker.tell(True, time.monotonic())
            return answer

    @property
    def is_answering(self) -> bool:
        """Whether the last calls succeeded."""
        return bool(self._specs) and self._breaker.is_closed

    @contextlib.contextmanager
    def _room(self, model: str) -> Iterator[None]:
        if self._in_flight >= self._max_in_flight[model]:
            raise Unavailable("the model server is busy")
        if not self._breaker.allows(time.monotonic()):
            raise Unavailable("the model server failed a moment ago")
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1


def _found(row: Mapping[str, Any], k: int, model_version: int) -> Found:
    """The list of one request."""
    columns: dict[str, Any] = {name: column[:k] if np.ndim(column) else column for name, column in row.items()}
    nothing = [None] * len(columns["item_ids"])
    scored = (columns[name].tolist() if name in columns else nothing for name in ("scores", "probabilities"))
    found = zip(columns["item_ids"], *scored, of_log_odds(columns) or nothing, strict=True)
    places = [Place(item_id.decode(), *of_item) for item_id, *of_item in found if item_id]
    source: Any = columns["source"]
    return Found(places, source.decode(), model_version)


def of_log_odds(columns: Mapping[str, Any]) -> list[float] | None:
    """Deviations of a list's probabilities as those of their log-odds, rounded so that a page can be made again.

    Args:
        columns: `probabilities` and `probability_deviation`, [num_items] float32; None: the model gives none.
    """
    if "probability_deviation" not in columns:
        return None
    chance = np.clip(columns["probabilities"], LEAST_CHANCE, 1 - LEAST_CHANCE).astype(np.float64)
    found = columns["probability_deviation"] / (chance * (1 - chance))
    return [float(one) for one in found.clip(0, MAX_DEVIATION).round(ODDS_DIGITS)]
