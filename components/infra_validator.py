"""InfraValidator: a model server loads the exported models and answers real requests, before anyone else asks."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import (
    TEXTS_FILE,
    Examples,
    InfraBlessing,
    Model,
    PretrainedBert,
    TransformGraph,
)
from homefeed.models.requests import Event, Request, requests_from_sequences
from homefeed.schemas.scratch import scratch
from homefeed.schemas.settings import Count, CountOrNone, Seconds
from homefeed.serving.predictors import GrpcPredictor, LocalPredictor
from homefeed.serving.process import ModelsRefusedError, model_server
from homefeed.serving.recommender import (
    FUSED,
    RANKING,
    RETRIEVAL,
    Candidates,
    Recommendation,
    Recommender,
    num_candidates_of,
)
from homefeed.serving.releases.warmup_requests import Recorder

CALL_SECONDS = 60.0  # A verdict on answers, not on how busy the machine is.
MAX_MADE_UP_EVENTS = 200
TOLERANCE = 2.0**-15
"""Of scores over gRPC against the same SavedModel in this process, by the largest score of a list, or by 1: float32
holds 24 bits, and how sums are put together, which batches and cores decide, takes some of the last nine."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The exported models, and the examples that requests are made from."""

    transform_graph: TransformGraph
    examples: Examples
    retrieval_model: Model
    ranking_model: Model
    fused_model: Model
    bert: PretrainedBert


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The verdict."""

    blessing: InfraBlessing


@dataclasses.dataclass(frozen=True)
class Config:
    """How the server is tried."""

    num_requests: Count = 20  # Requests made from users of the eval split, beside one of an unknown user.
    num_warmup_requests: CountOrNone = 5  # Made-up ones, kept in the published models to be answered first.
    start_seconds: Seconds = 120  # How long the models may take to load.


def judge(requests: Sequence[Request], served: Candidates, local: Candidates) -> list[str]:
    """Reasons against the models: what the server answered and a caller must not get."""
    reasons = []
    for name in ("retrieval_scores", "scores", "probabilities"):
        difference = _differences(name, served, local)
        if not np.isfinite(getattr(served, name)).all():
            reasons.append(f"{name} over gRPC are not all finite")
        elif difference.max(initial=0) > TOLERANCE:
            reasons.append(f"{name} over gRPC differ from those in process by {difference.max():.1e} of the largest")
    for request, item_ids in zip(requests, served.item_ids, strict=True):
        found = {item_id.decode() for item_id in item_ids if item_id}
        if not found:
            reasons.append(f"user {request.user_id!r} got no candidates")
        if again := sorted(found & {event.item_id for event in request.history}):
            reasons.append(f"user {request.user_id!r} got items of the own history: {again[:3]}")
    return reasons


def _differences(name: str, served: Candidates, local: Candidates) -> npt.NDArray[np.float32]:
    """What the two say of the same items; of retrieval, at the same places. By the largest score of each list.

    Two items with all but the same retrieval score may change places, and one at the end may be another. So an item
    that only one of the two found counts by how far its retrieval score is above the last one's.
    """
    got, wanted = getattr(served, name), getattr(local, name)
    parts = [np.empty(0, np.float32)]
    for ids, local_ids, row, local_row in zip(served.item_ids, local.item_ids, got, wanted, strict=True):
        _, at, to = np.intersect1d(ids, local_ids, return_indices=True)
        if name == "retrieval_scores":
            found = [np.delete(scores, known) - scores.min() for scores, known in ((row, at), (local_row, to))]
            found.append(np.abs(row - local_row))
        else:
            found = [np.abs(row[at] - local_row[to])]
        parts += [difference / _size(local_row[local_ids != b""]) for difference in found]
    return np.concatenate(parts)


def _size(scores: npt.NDArray[np.floating[Any]]) -> float:
    """By what differences are told: the largest score, and at least 1, which probabilities have."""
    return float(np.abs(scores).max(initial=1.0))


def judge_pages(
    requests: Sequence[Request], fused: Sequence[list[Recommendation]], parts: Sequence[list[Recommendation]]
) -> list[str]:
    """Reasons against the fused model: it says something else than retrieval and ranking one after the other."""
    reasons = []
    for request, page, expected in zip(requests, fused, parts, strict=True):
        scores, wanted = (np.array([place.score for place in places]) for places in (page, expected))
        if len(scores) != len(wanted) or not np.allclose(scores, wanted, rtol=0, atol=TOLERANCE * _size(wanted)):
            reasons.append(f"user {request.user_id!r} got other scores from `recommend` than from its two parts")
    return reasons


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Serves the models from a folder of their own and asks for recommendations over gRPC.

    Raises:
        ServerError: the server did not come up in time or went away. That is no verdict: the next run tries again.
    """
    models = {
        RETRIEVAL: inputs.retrieval_model.serving_dir,
        RANKING: inputs.ranking_model.serving_dir,
        FUSED: inputs.fused_model.serving_dir,
    }
    requests = _make_requests(inputs, config.num_requests)
    num_candidates = num_candidates_of(inputs.fused_model.serving_dir)
    parts = {name: path for name, path in models.items() if name != FUSED}
    local = Recommender(LocalPredictor(parts), num_candidates).candidates(requests)
    with scratch() as work_dir:
        base_paths = _lay_out(models, work_dir)
        try:
            with model_server(base_paths, work_dir, config.start_seconds) as address:
                predictor = GrpcPredictor(address, timeout_seconds=CALL_SECONDS)
                served = Recommender(predictor, num_candidates)
                reasons = judge(requests, served.candidates_in_two_steps(requests), local)
                reasons += judge_pages(requests, *_both_ways(served, requests))
                recorder = Recorder(predictor)
                made_up = _make_up(inputs, config.num_warmup_requests)
                for asked in [made_up, *([request] for request in made_up)] if made_up else []:
                    _both_ways(Recommender(recorder, num_candidates), asked)
        except ModelsRefusedError as error:
            reasons = [str(error)]
        else:
            for name in models:
                recorder.write(name, outputs.blessing.warmup_file(name))
    outputs.blessing.write_reasons(reasons)
    texts = inputs.bert.read_json(TEXTS_FILE)
    changed = f"{texts['tensors_changed']} of {texts['tensors']} tensors of BERT are fine-tuned"
    return f"{len(requests)} requests answered over gRPC; {changed}"


def _both_ways(recommender: Recommender, requests: Sequence[Request]) -> tuple[list[list[Recommendation]], ...]:
    """The pages of the fused model, and of its parts."""
    return recommender.recommend_at_once(requests), recommender.recommend_in_two_steps(requests)


def _make_requests(inputs: Inputs, num_requests: int) -> list[Request]:
    catalogue = transformed.load_catalogue(inputs.transform_graph)
    sequences = transformed.load_sequences(inputs.transform_graph, inputs.examples, "eval")
    rows = np.arange(min(num_requests, sequences.num_users), dtype=np.int64)
    ends = sequences.row_splits[rows] + sequences.num_history[rows]
    known = list(requests_from_sequences(sequences, catalogue, rows, ends))
    # Who has had every item has nothing left to be shown: no fault of the models.
    known = [r for r in known if len({event.item_id for event in r.history}) < catalogue.num_rows - 1]
    return [*known, Request("a user whom nobody knows")]


def _make_up(inputs: Inputs, num_requests: int) -> list[Request]:
    """Requests with histories of 0, 1, 3, 7, … items that nobody had: what is published tells of no person."""
    item_ids = [item_id.decode() for item_id in transformed.load_catalogue(inputs.transform_graph).item_ids[1:]]
    rng = np.random.default_rng(0)
    lengths = [min(2**number - 1, len(item_ids) // 2, MAX_MADE_UP_EVENTS) for number in range(num_requests)]
    return [
        Request("nobody", [Event(item_ids[row]) for row in rng.choice(len(item_ids), length, replace=False)])
        for length in lengths
    ]


def _lay_out(models: Mapping[str, pathlib.Path], work_dir: pathlib.Path) -> dict[str, pathlib.Path]:
    """Copies each SavedModel to `<model>/1`, as a server wants it."""
    for name, serving_dir in models.items():
        shutil.copytree(serving_dir, work_dir / name / "1")
    return {name: work_dir / name for name in models}
