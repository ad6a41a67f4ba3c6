import json
import pathlib

import pytest

from benchmarks import ingest, results


def test_the_benchmark_runs_and_merges_its_figures(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "PATH", tmp_path / "results.json")
    (tmp_path / "results.json").write_text('{"other": 1}')
    num_bytes = ingest.generate(tmp_path / "data", 2000)
    found = ingest.measure(tmp_path / "data", tmp_path / "out")
    results.merge("ingest", ingest.report("2000", 2000, num_bytes, found))
    figures = json.loads((tmp_path / "results.json").read_text())
    assert figures["other"] == 1
    assert figures["ingest.2000.example_gen.rows_per_cpu_second"] > 0
    assert figures["ingest.2000.peak_rss_mb"] > 0
    assert "statistics_gen" in capsys.readouterr().out
