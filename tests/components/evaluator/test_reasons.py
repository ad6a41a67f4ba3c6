"""Reasons of a trained model hold, and are told in report and card."""

from __future__ import annotations

import numpy as np
import pytest

from homefeed.components.evaluator import reasons
from homefeed.components.evaluator.model_card import model_card
from homefeed.components.evaluator.page import page
from homefeed.components.evaluator.queries import make_queries
from homefeed.components.evaluator.reasons import asking, measure_reasons, to_html, to_markdown
from homefeed.models.requests import Event, Request
from homefeed.serving.recommender import Recommender
from tests.components.evaluator.test_page import report
from tests.toy_data import toy_catalogue, toy_sequences


def test_lists_are_best_first_without_padding(recommender: Recommender) -> None:
    (found,) = asking(recommender)([Request("u", [Event("i1")])])
    assert "i1" not in found and "" not in found and len(found) > 1
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_each_user_is_asked_for_once(recommender: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []
    monkeypatch.setattr(reasons, "measure", lambda _, requests, *__: asked.extend(requests) or [])
    sequences = toy_sequences(4, num_history=2)
    queries = make_queries(sequences, 100)
    assert measure_reasons(recommender, queries, sequences, toy_catalogue()) == {}
    names = [request.user_id for request in asked]
    assert len(names) == len(set(names)) == len(np.unique(queries.rows))
    longest = {int(row): int(end) for row, end in sorted(zip(queries.rows, queries.ends, strict=True))}
    lengths = [end - int(sequences.row_splits[row]) for row, end in longest.items()]
    assert [len(request.history) for request in asked] == lengths


def test_figures_are_told_in_report_and_card() -> None:
    told = report()["faithfulness"]
    for text in (model_card(report()), page(report())):
        for figure in ("0.438", "0.013", "50.0%", "12.5%", "99.5% of 200 users", "90% of 20 users", "0.625", "0.312"):
            assert figure in text, figure
    assert "| lead kept with 2 alone | 0.875 | 0.312 |" in to_markdown(told)
    assert to_markdown({}) == to_html({}) == ""
    assert "Reasons" not in model_card(report(faithfulness={}))
