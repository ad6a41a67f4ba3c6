"""What training of the ranker makes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from homefeed.models.ranking.ranker import Ranker
from homefeed.models.ranking.training.blend import Blend
from homefeed.models.ranking.training.calibration import Calibration
from homefeed.models.ranking.training.trainer import Epoch
from homefeed.models.ranking.training.uncertainty import Uncertainty


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained ranker and what was fitted on eval.

    Attributes:
        ranker: the model.
        blend: of the order of a list that asks for what comes next, whatever it is worth.
        calibration: of P(liked).
        epochs: passes of training.
        types: calibration of P(type) of each of the objectives' event types.
        objectives: objective → blend of its lists; `blend` where there is none.
        uncertainty: of P(liked).
    """

    ranker: Ranker
    blend: Blend
    calibration: Calibration
    epochs: tuple[Epoch, ...]
    types: tuple[Calibration, ...] = ()
    objectives: Mapping[str, Blend] = dataclasses.field(default_factory=dict)
    uncertainty: Uncertainty = dataclasses.field(default_factory=Uncertainty)
