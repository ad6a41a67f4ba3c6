"""Fuser: joins the retrieval and the ranking model into one, which answers with a ranked list in a single call."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from pydantic import Field

from homefeed.components.artifacts.types import Model


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The two exported models."""

    retrieval_model: Model
    ranking_model: Model


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Both in one, with the signature `recommend`."""

    model: Model


@dataclasses.dataclass(frozen=True)
class Config:
    """How the two work together."""

    num_candidates: Annotated[int, Field(ge=10, le=2000)] = 100  # Of retrieval's items, how many are ranked at least.


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reloads the two SavedModels and saves them as one; nothing is trained."""
    from homefeed.models.fused import Fused

    fused = Fused(inputs.retrieval_model.serving_dir, inputs.ranking_model.serving_dir, config.num_candidates)
    fused.save(outputs.model.serving_dir)
    return f"one call ranks {config.num_candidates} candidates"
