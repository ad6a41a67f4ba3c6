"""The pages of a run at their places, and what a run takes."""

import contextlib
import pathlib
import re
import time
from collections.abc import Callable, Iterator

import pytest

from homefeed.components.artifacts import html_page
from homefeed.pipeline.runner.local_runner import Step
from homefeed.pipeline.runner.reports import figures, publish, publishing
from homefeed.pipeline.runner.root import RunRoot
from homefeed.pipeline.runner.usage import Meter


@contextlib.contextmanager
def nobody(title: str) -> Iterator[Callable[[Step], None]]:
    yield lambda step: None


def evaluated(folder: pathlib.Path) -> Step:
    (folder / "metrics.json").parent.mkdir(parents=True)
    (folder / "metrics.json").write_text(
        '{"eval": {}, "test": {"EASE": {"ndcg@10": 0.5, "ndcg@10 likes": 0.6}, "popularity": {"ndcg@10": 0}}}'
    )
    (folder / "report.html").write_text(html_page.document("Evaluation", "<h1>Good</h1>"))
    return Step("Evaluator", False, 2.0, "fine & good", {"evaluation": folder}, 3.5, 1234.0)


def test_pages_are_at_their_places_and_linked_both_ways(tmp_path: pathlib.Path) -> None:
    root = RunRoot(tmp_path / "shop <1>")
    step = evaluated(tmp_path / "artifact")
    root.drift_page("2025-01-08").parent.mkdir(parents=True)
    root.drift_page("2025-01-08").write_text(html_page.document("Drift", ""))
    publish(root, [step, Step("Pusher", True, 0.0, "")])
    index = (root.reports / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'href="([^"]+)"', index)) == {"evaluation.html", "span-2025-01-08.drift.html"}
    assert "<h1>shop &lt;1&gt;</h1>" in index and "fine &amp; good" in index
    assert "<td class=n>2.0<td class=n>3.5<td class=n>1,234" in index and "cached" in index
    assert "<tr><td>EASE<td class=n>0.5000</tr>" in index and "<tr><td>EASE<td class=n>0.6000</tr>" in index
    for page in ("evaluation.html", "span-2025-01-08.drift.html"):
        assert '<a href="index.html">' in (root.reports / page).read_text(encoding="utf-8")


def test_pages_are_written_when_a_gate_closes_too(tmp_path: pathlib.Path) -> None:
    root = RunRoot(tmp_path / "root")
    with pytest.raises(ZeroDivisionError), publishing(root, nobody) as (observer, seen):
        with observer("1/2 Evaluator") as finished:
            finished(evaluated(tmp_path / "artifact"))
        raise ZeroDivisionError
    assert (root.reports / "evaluation.html").is_file() and figures(seen) == {
        "NDCG@10 on test": {"EASE": 0.5, "popularity": 0},
        "NDCG@10 of likes on test": {"EASE": 0.6},
    }


def test_without_a_step_nothing_is_written(tmp_path: pathlib.Path) -> None:
    with publishing(RunRoot(tmp_path / "root"), nobody):
        pass
    assert list(tmp_path.iterdir()) == [] and figures([]) == {}


def test_a_meter_reads_time_processors_and_memory() -> None:
    before = Meter().read()
    meter, until = Meter(), time.process_time() + 0.2
    held = bytearray(b"x" * 300 * 2**20)
    while time.process_time() < until:
        pass
    usage = meter.read()
    assert usage.seconds >= 0.19 and 0.19 <= usage.cpu_seconds < 5
    assert usage.peak_mebibytes - before.peak_mebibytes > 200 and len(held)
    del held
    assert Meter().read().peak_mebibytes < usage.peak_mebibytes - 200  # Each component has a peak of its own.
