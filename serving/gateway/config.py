"""How the home page is made."""

from __future__ import annotations

import dataclasses
import pathlib

from homefeed.serving.audit.trail import KEPT_DAYS
from homefeed.serving.profiles.store import MAX_EXPOSURES

USER_RATE = 100.0


@dataclasses.dataclass(frozen=True)
class Config:
    """How the home page is made.

    Attributes:
        serving_dir: where models and profiles are published; the live store is beside them.
        store: URL of Redis, for gateways on several machines; "": a file.
        log: URL of the log of all gateways; "": none.
        models: `host:port` of the model server; "": none.
        picks: ids of the editors' choice, best first.
        budget_seconds: how long models may take for a page, all tries together.
        max_in_flight: calls to the model server under way beyond which pages come from lower rungs.
        max_exposures: pages that are kept as they were served.
        user_rate: events and pages of one user a second, with bursts; 0: no limit.
        rules: file of what must and must not be on a page; None: there is none.
        surfaces: file of the kinds of pages; None: the usual ones.
        experiments: file of experiments on them; None: there are none.
        whys_ahead: cards of a first row whose reasons are made while nothing else is to do; 0: none.
        data: folder of `dataset.yaml`, for the console; None: it is not known here.
        audit_days: so long the audit trail is kept.
        audit_dir: where the audit trail and the console's promises are; None: beside the models.
    """

    serving_dir: pathlib.Path
    models: str = ""
    picks: tuple[str, ...] = ()
    budget_seconds: float = 0.25
    max_in_flight: int = 8
    max_exposures: int = MAX_EXPOSURES
    store: str = ""
    log: str = ""
    user_rate: float = USER_RATE
    rules: pathlib.Path | None = None
    surfaces: pathlib.Path | None = None
    experiments: pathlib.Path | None = None
    whys_ahead: int = 0
    data: pathlib.Path | None = None
    audit_days: int = KEPT_DAYS
    audit_dir: pathlib.Path | None = None

    @property
    def trail_dir(self) -> pathlib.Path:
        """Where the audit trail is, and what the console has promised: a folder that may be written to."""
        return self.audit_dir or self.serving_dir

    @property
    def policies(self) -> dict[str, pathlib.Path | None]:
        """Kind → file of what may be changed while pages are served."""
        return {"rules": self.rules, "surfaces": self.surfaces, "experiments": self.experiments}
