"""What a later retraining knows of earlier ones."""

import json
import pathlib

import pytest

from homefeed.pipeline.loop.ledger import Ledger
from homefeed.pipeline.loop.spans_gate import Verdict
from homefeed.pipeline.runner.errors import RunError

VERDICT = Verdict("digest", 7, ["too many bad rows"], ["items.price:psi"], {"items": "/schema"})


def test_everything_is_there_for_the_next_one(tmp_path: pathlib.Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.verdicts == {} and ledger.last_finished() is None and ledger.find("k") is None
    ledger.keep_verdicts({"1": VERDICT})
    first, second = {"key": "k", "good": ["1"], "outcome": "begun"}, {"key": "l", "good": [], "outcome": "begun"}
    ledger.begin(first)
    ledger.finish(first, "pushed", pushed="/pushed")
    ledger.begin(second)
    again = Ledger(tmp_path)
    assert again.verdicts == {"1": VERDICT}
    assert again.find("l") == second and again.find("m") is None
    found = again.last_finished()
    assert found is not None and (found["key"], found["outcome"], found["pushed"]) == ("k", "pushed", "/pushed")
    assert found["finished_at"].endswith("+00:00")


def test_a_write_replaces_the_file_at_once_and_leaves_no_other(tmp_path: pathlib.Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin({"key": "k", "name": "灯笼"})
    assert [path.name for path in tmp_path.iterdir()] == ["retraining.json"]
    assert json.loads((tmp_path / "retraining.json").read_text(encoding="utf-8"))["runs"] == [
        {"key": "k", "name": "灯笼"}
    ]


def test_a_file_of_another_kind_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "retraining.json").write_text("{half")
    with pytest.raises(RunError, match=r"retraining\.json is not what a retraining wrote .*; move it away"):
        Ledger(tmp_path)
