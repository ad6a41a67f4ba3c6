import json
import pathlib

from homefeed.components.drift.compare import compare
from tests.components.drift.days import day, summary


def test_thresholds_take_precedence_and_all_is_reported(tmp_path: pathlib.Path) -> None:
    report = compare(summary(day(1)), summary(day(2)), {"interactions.value:missing_rate": -1.0})
    assert [found.feature for found in report.drifted] == ["interactions.value"]
    assert "interactions.value" in report.reasons()[0]
    assert len(report.to_text().splitlines()) == 1 + len(report.findings) == 13
    report.write(tmp_path / "drift.json", tmp_path / "drift.html")
    assert json.loads((tmp_path / "drift.json").read_text())["drifted"] == ["interactions.value:missing_rate"]
    page = (tmp_path / "drift.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4  # Of every column but the user ids,
    assert "u17" not in page + report.to_text() + (tmp_path / "drift.json").read_text()  # which stay in the tables.
    assert "<script" not in page and "http" not in page
