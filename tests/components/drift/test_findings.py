import pytest

from homefeed.components.drift.findings import Finding, worst_first


def finding(feature: str, value: float, threshold: float = 0.5) -> Finding:
    return Finding(feature, "l_infinity", value, 0.1, threshold, "a +1.00%")


@pytest.mark.parametrize(
    ("value", "drifted"), [(0.4, False), (0.5, False), (0.500001, True), (float("nan"), True), (float("inf"), True)]
)
def test_over_the_limit_is_drift_and_so_is_what_is_no_number(value: float, drifted: bool) -> None:
    assert finding("items.brand", value).drifted is drifted


def test_what_drifted_comes_first_each_part_by_name() -> None:
    found = [finding("b", 0), finding("c", 1), finding("a", 0), finding("a", 1)]
    assert [(one.feature, one.drifted) for one in worst_first(found)] == [
        ("a", True),
        ("c", True),
        ("a", False),
        ("b", False),
    ]
    same = [Finding("a", measure, 0, 0, 1, "") for measure in ("unseen_share", "jensen_shannon")]
    assert [one.measure for one in worst_first(same)] == ["jensen_shannon", "unseen_share"]
