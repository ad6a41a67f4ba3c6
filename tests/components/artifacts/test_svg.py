import math
import xml.etree.ElementTree as ET

import pytest

from homefeed.components.artifacts import svg


def numbers(element: ET.Element, *names: str) -> list[float]:
    return [float(element.attrib[name]) for name in names]


def test_bars_are_as_high_as_their_values_on_a_common_scale() -> None:
    drawn = ET.fromstring(
        svg.bars([("b", [1, 4]), ("c", [2, 0])], ["<a>", "b"], "{:.0f}".format, width=100, height=80)
    )
    rects = drawn.findall("rect")
    bars = [(bar.attrib["class"], *numbers(bar, "x", "y", "width", "height")) for bar in rects]
    # 4 is the highest: 80 pixels, from 8 to 88. A bar is nine tenths of its step of 50; the first begins at 52.
    assert bars == [("b", 52, 68, 45, 20), ("b", 102, 8, 45, 80), ("c", 52, 48, 45, 40), ("c", 102, 88, 45, 0)]
    assert [bar[0].text for bar in rects] == ["<a>: 1", "b: 4", "<a>: 2", "b: 0"]
    assert [text.text for text in drawn.findall("text")] == ["4", "0", "<a>", "b"]  # Of the axes.
    assert drawn.attrib == {"width": "152", "height": "122", "viewBox": "0 0 152 122"}


def test_bars_without_a_class_or_without_a_height() -> None:
    drawn = ET.fromstring(svg.bars([("", [0, 0])], ["a", "b"], "{:.0f}".format))
    assert [("class" in bar.attrib, float(bar.attrib["height"])) for bar in drawn.findall("rect")] == [
        (False, 0),
        (False, 0),
    ]


def test_curves_go_from_the_lowest_left_to_the_highest_right() -> None:
    drawn = ET.fromstring(svg.curves([[0, 1, 2], [2, 1, 0]], width=116, height=66))
    lines = drawn.findall("polyline")
    # 8 pixels from the axis at 52, 100 by 66 of them; 2 is on top, at 8, and 0 at the bottom.
    assert [line.attrib["points"] for line in lines] == [
        "60.0,74.0 110.0,41.0 160.0,8.0",
        "60.0,8.0 110.0,41.0 160.0,74.0",
    ]
    assert [line.attrib["stroke"] for line in lines] == list(svg.COLOURS[:2])
    assert [dot[0].text for dot in drawn.findall("circle")] == ["0", "1", "2", "2", "1", "0"]


@pytest.mark.parametrize("lines", [[], [[]], [[0.0]], [[0, 0]]])
def test_curves_of_next_to_nothing(lines: list[list[float]]) -> None:
    drawn = ET.fromstring(svg.curves(lines))
    assert len(drawn.findall("circle")) == sum(map(len, lines))


def test_intervals_reach_from_low_to_high_beside_zero() -> None:
    rows = [("ours & theirs", 0.5, 0.25, 1.0), ("worse", -1.0, -1.0, -0.5)]
    drawn = ET.fromstring(svg.intervals(rows, "{:+.4f}".format, width=500))
    # From -1 to 1 are 500 - 230 - 70 = 200 pixels: zero is at 330.
    zero, axis, first, second = (numbers(line, "x1", "x2") for line in drawn.findall("line"))
    assert (zero, axis, first, second) == ([330, 330], [230, 430], [355, 430], [230, 280])
    assert [numbers(dot, "cx")[0] for dot in drawn.findall("circle")] == [380, 230]
    assert [text.text for text in drawn.findall("text")] == [
        *("-1", "0", "1"),
        *("ours & theirs", "+0.5000", "worse", "-1.0000"),
    ]
    assert svg.intervals([], str) == ""


def test_a_reliability_diagram_has_a_dot_a_bin() -> None:
    drawn = ET.fromstring(svg.diagonal([(0.25, 0.5, 10), (1.0, 0.0, 40)], size=200))
    dots = [numbers(dot, "cx", "cy", "r") for dot in drawn.findall("circle")]
    # From (52, 208); up is more: 0.5 of 200 from the bottom is 100, and 0 is 0. Radius 3 to 10 by weight.
    assert dots == [[102, 108, 4.8], [252, 208, 10.0]] and math.isclose(3 + 7 / 4, 4.75)
    assert drawn.find("line") is not None
    assert ET.fromstring(svg.diagonal([])).findall("circle") == []


def test_a_long_label_is_cut_and_an_axis_names_both_ends() -> None:
    drawn = ET.fromstring(svg.bars([("", [1, 2])], ["a" * 30, "z"], "{:.0f}".format))
    assert [text.text for text in drawn.findall("text")] == ["2", "0", "a" * 19 + "…", "z"]
