"""What can be set about retraining."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Options:
    """What is learnt from, and when."""

    window: int = 0  # The newest good spans; 0: all.
    replay: int = 0  # Older good spans beside them, evenly spread, against forgetting.
    drift_margin: float = 0.15  # How far over its limit a distance to the last good span must be to reject a span.
    if_older_than: float | None = None  # Retrain if the last retraining is older than this, in days.
    min_new_events: int | None = None  # Retrain if good spans brought as many events since the last retraining.
    on_drift: bool = False  # Retrain if a new good span drifted at all.
    refit: bool = False  # Train from scratch, instead of going on from the models in service.
    check: str = ""  # A command that tries what was pushed; where it fails, the push is rolled back.
