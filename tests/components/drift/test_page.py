from collections import Counter

import numpy as np

from homefeed.components.drift.findings import USER_ID, Finding
from homefeed.components.drift.page import page
from homefeed.components.drift.summary import Column, Summary, bins


def summary(name: str, **columns: Column) -> Summary:
    named = {f"items.{column}": found for column, found in columns.items()}
    return Summary(name, named | {USER_ID: category("u1", "u2")}, Counter(), {"items": 1234})


def category(*values: str) -> Column:
    found = Column.empty("category")
    found.values.update(values)
    return found


def number(*values: float) -> Column:
    found = Column.empty("number")
    found.values.update(bins(np.array(values)).tolist())
    return found


BEFORE = summary("last <week>", brand=category("a", "b", "<c>"), price=number(1, 2, 3), empty=category())
AFTER = summary("this week", brand=category("a", "a", "<c>", "<c>"), price=number(2, 3, 4), empty=category("x"))
DRIFTED = Finding("items.price", "kolmogorov_smirnov", 0.33, 0.1, 0.2, "mean 2 → 3")
QUIET = Finding("items.brand", "l_infinity", 0.01, 0.002, 0.025, "<c> +1.00%")


def test_the_verdict_counts_what_is_over_its_limit() -> None:
    assert "<p><b>Drift</b> in 1 of 2 figures.</p>" in page(BEFORE, AFTER, [QUIET, DRIFTED])
    assert "<p>Quiet: all 1 figures are within their limits.</p>" in page(BEFORE, AFTER, [QUIET])


def test_every_figure_has_a_row_drift_first() -> None:
    found = page(BEFORE, AFTER, [QUIET, DRIFTED])
    rows = found.partition("</th>")[0].split("<tr")[2:]
    assert rows[0].startswith(" class=drift><td>items.price<td>kolmogorov smirnov")
    assert '<td class="n">0.3300<td class="n">0.1000<td class="n">0.2000<td>drift' in rows[0]
    assert rows[1].startswith("><td>items.brand<td>l infinity") and "quiet" in rows[1]


def test_both_distributions_of_a_column_are_over_each_other() -> None:
    found = page(BEFORE, AFTER, [QUIET, DRIFTED])
    figures = found.split("<figure>")[1:]
    assert [figure.partition("</figcaption>")[0] for figure in figures] == [
        "<figcaption>items.price",  # What drifted comes first; what one side lacks has no picture.
        "<figcaption>items.brand",
    ]
    # Shares of a, <c>, b: 1/3 each of three, and 2/4, 2/4 and nothing of four.
    brand = figures[1].split("<rect ")[1:]
    titles = [bar.partition("<title>")[2].partition("</title>")[0] for bar in brand]
    assert titles == ["&lt;c&gt;: 33.33%", "a: 33.33%", "b: 33.33%", "&lt;c&gt;: 50.00%", "a: 50.00%", "b: 0.00%"]
    assert [bar.partition(" ")[0] for bar in brand] == ['class="b"'] * 3 + ['class="c"'] * 3
    assert figures[0].count("<rect ") == 48  # Two times 24 bars.


def test_names_are_written_and_people_are_not() -> None:
    found = page(BEFORE, AFTER, [DRIFTED])
    assert "baseline: last &lt;week&gt; (1,234 items)" in found and "current: this week (1,234 items)" in found
    assert USER_ID not in found and "u1" not in found
