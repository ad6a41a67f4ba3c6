import json
import pathlib
from collections import Counter

from homefeed.components.drift.compare import compare
from homefeed.components.drift.findings import Finding
from homefeed.components.drift.report import DriftReport
from homefeed.components.drift.summary import Summary
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


def report() -> DriftReport:
    sides = (Summary(name, {}, Counter(), {"items": count}) for name, count in (("before", 5), ("after", 7)))
    findings = (
        Finding("items.brand", "l_infinity", 0.01, 0.002, 0.025, "a +1.00%"),
        Finding("items.price", "kolmogorov_smirnov", 0.33, 0.1, 0.2, ""),
        Finding("items.brand", "missing_rate", float("nan"), 0.1, 0.2, "1% → ?"),
    )
    return DriftReport(*sides, findings, ("users.age",))


def test_reasons_are_of_what_drifted_and_is_not_allowed() -> None:
    assert [(found.feature, found.measure) for found in report().drifted] == [
        ("items.price", "kolmogorov_smirnov"),
        ("items.brand", "missing_rate"),
    ]
    price = "items.price: kolmogorov_smirnov 0.3300 is over 0.2000"
    assert report().reasons() == [price, "items.brand: missing_rate nan is over 0.2000 (1% → ?)"]
    assert report().reasons(["items.brand"]) == [price]
    assert report().reasons(["items.brand", "items.price"]) == []


def test_the_text_is_a_table_worst_first() -> None:
    header, *lines, apart = report().to_text().splitlines()
    assert header.split() == ["feature", "distance", "value", "chance", "limit", "verdict"]
    assert [line.split()[:6] for line in lines] == [
        ["items.brand", "missing_rate", "nan", "0.1000", "0.2000", "DRIFT"],
        ["items.price", "kolmogorov_smirnov", "0.3300", "0.1000", "0.2000", "DRIFT"],
        ["items.brand", "l_infinity", "0.0100", "0.0020", "0.0250", "quiet"],
    ]
    assert lines[0].endswith("1% → ?") and lines[2].endswith("quiet")
    assert apart == "not compared, being on one side only: users.age"


def test_json_has_plain_values_and_null_for_what_is_no_number() -> None:
    found = json.loads(json.dumps(report().to_json(), allow_nan=False))
    assert found["baseline"] == {"name": "before", "rows": {"items": 5}} and found["current"]["rows"] == {"items": 7}
    assert found["drifted"] == ["items.price:kolmogorov_smirnov", "items.brand:missing_rate"]
    assert found["not_compared"] == ["users.age"]
    assert [(one["value"], one["drifted"]) for one in found["findings"]] == [
        (0.01, False),
        (0.33, True),
        (None, True),
    ]


def test_only_what_is_asked_for_is_written(tmp_path: pathlib.Path) -> None:
    report().write()
    assert not list(tmp_path.iterdir())
    report().write(json_path=tmp_path / "a.json")
    report().write(html_path=tmp_path / "a.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == report().to_json()
