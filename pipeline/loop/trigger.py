"""When to retrain."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from homefeed.pipeline.loop.options import Options
from homefeed.pipeline.loop.spans_gate import Verdict


def why_not(
    options: Options, last: Mapping[str, Any] | None, verdicts: Mapping[str, Verdict], denies: str = ""
) -> str:
    """Why not to retrain; empty if there is a reason to, or none was asked for. One reason is enough.

    Other denials are one, whatever was asked for: the models have learnt from what nobody is to be shown any more.

    Args:
        options: which conditions there are.
        last: the last finished retraining, as the ledger has it.
        verdicts: on every span.
        denies: version of the rules that keep events out of training; "": there are none.
    """
    if last is None or last.get("denies", "") != denies:
        return ""
    new = [verdict for span, verdict in verdicts.items() if verdict.is_good and span not in last["good"]]
    checked = (_too_young(options, last["finished_at"]), _too_few(options, new), _no_drift(options, new))
    whys = [why for why in checked if why is not None]
    return "" if "" in whys else "; ".join(whys)


def _too_young(options: Options, finished_at: str) -> str | None:
    """Empty: it is time. None: this is no condition."""
    if options.if_older_than is None:
        return None
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(finished_at)
    days = age / datetime.timedelta(days=1)
    if days >= options.if_older_than:
        return ""
    return f"the last retraining is {days:.1f} days old, of {options.if_older_than:g}"


def _too_few(options: Options, new: list[Verdict]) -> str | None:
    if options.min_new_events is None:
        return None
    events = sum(verdict.events for verdict in new)
    return "" if events >= options.min_new_events else f"{events:,} new events, of {options.min_new_events:,}"


def _no_drift(options: Options, new: list[Verdict]) -> str | None:
    if not options.on_drift:
        return None
    return "" if any(verdict.drifted for verdict in new) else f"no drift in {len(new)} new spans"
