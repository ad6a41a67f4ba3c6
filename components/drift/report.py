"""All findings of a comparison: as text, as JSON and as a page."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from collections.abc import Collection
from typing import Any

from homefeed.components.drift.findings import Finding, worst_first
from homefeed.components.drift.page import page
from homefeed.components.drift.summary import Summary


@dataclasses.dataclass(frozen=True)
class DriftReport:
    """All findings, and what they were made from."""

    baseline: Summary
    current: Summary
    findings: tuple[Finding, ...]
    not_compared: tuple[str, ...] = ()  # Columns that only one side can have.

    @property
    def drifted(self) -> list[Finding]:
        """Those over their threshold."""
        return [finding for finding in self.findings if finding.drifted]

    @property
    def undecided(self) -> list[Finding]:
        """Those that no change could bring over their threshold, because there are too few values."""
        return [finding for finding in self.findings if not finding.drifted and not finding.can_fire]

    def reasons(self, allowed: Collection[str] = ()) -> list[str]:
        """Each drift in a sentence, but of the columns (`table.column`) where it is allowed."""
        return [
            f"{found.feature}: {found.measure} {found.value:.4f} is over {found.threshold:.4f}"
            + (f" ({found.detail})" if found.detail else "")
            for found in self.drifted
            if found.feature not in allowed
        ]

    def to_text(self) -> str:
        """A table of all findings, worst first within each verdict."""
        lines = [f"{'feature':32}{'distance':20}{'value':>9}{'chance':>9}{'limit':>9}  verdict"]
        for found in worst_first(self.findings):
            lines.append(
                f"{found.feature:32}{found.measure:20}{found.value:9.4f}{found.chance:9.4f}{found.threshold:9.4f}"
                f"  {found.verdict}{'  ' + found.detail if found.drifted else ''}"
            )
        if self.not_compared:
            lines.append(f"not compared, being on one side only: {', '.join(self.not_compared)}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN becomes null."""
        return {
            "baseline": {"name": self.baseline.name, "rows": self.baseline.num_rows},
            "current": {"name": self.current.name, "rows": self.current.num_rows},
            "drifted": [f"{found.feature}:{found.measure}" for found in self.drifted],
            "not_compared": list(self.not_compared),
            "findings": [
                {
                    name: None if isinstance(value, float) and not math.isfinite(value) else value
                    for name, value in (
                        dataclasses.asdict(found) | {"drifted": found.drifted, "verdict": found.verdict}
                    ).items()
                }
                for found in self.findings
            ],
        }

    def write(self, json_path: pathlib.Path | None = None, html_path: pathlib.Path | None = None) -> None:
        """Writes the report as JSON, as a self-contained HTML page, or both."""
        if json_path:
            text = json.dumps(self.to_json(), ensure_ascii=False, indent=2, allow_nan=False)
            json_path.write_text(text + "\n", encoding="utf-8")
        if html_path:
            html_path.write_text(page(self.baseline, self.current, self.findings), encoding="utf-8")
