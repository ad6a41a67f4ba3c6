from html.parser import HTMLParser

import pytest

from homefeed.components.artifacts.html_page import STYLE, document, figure


class Tags(HTMLParser):
    """The tags and the texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_document_needs_nothing_else() -> None:
    page = document("Drift & skew", "<h1>Ä茶</h1>")
    assert page.startswith('<!DOCTYPE html><html lang="en"><meta charset="utf-8">') and page.endswith("</html>\n")
    found = Tags(page)
    assert found.tags == ["html", "meta", "title", "meta", "style", "h1"]
    assert "Drift & skew" in found.texts and "Ä茶" in found.texts and STYLE in found.texts
    assert not {"script", "link", "img"} & set(found.tags) and "url(" not in page


def test_what_only_one_page_has_comes_behind_the_common_style() -> None:
    page = document("t", "", "\nrect { fill: red; }\n")
    assert f"<style>{STYLE}\nrect {{ fill: red; }}\n</style>" in page


@pytest.mark.parametrize(("note", "below"), [("", 0), ("0 … 9 < 10", 1)])
def test_a_figure_has_its_title_above_and_its_note_below(note: str, below: int) -> None:
    found = Tags(figure("events <per> day", "<svg></svg>", note))
    assert found.tags == ["figure", "figcaption", "svg", *["br", "small"] * below]
    assert found.texts == ["events <per> day", *[note] * below]
