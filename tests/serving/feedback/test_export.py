"""Sealed feedback in the formats of others: the same cards in each, with what became of them."""

from __future__ import annotations

import csv
import json
import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homefeed.schemas.dataset import DatasetError
from homefeed.serving.feedback.export import FORMATS, Format, export
from homefeed.serving.feedback.seal import seal
from homefeed.serving.profiles import LiveStore
from homefeed.serving.profiles.store import LIVE_FILE_NAME
from tests.serving.feedback import shop

DATASET = shop.DATASET + "positive: {event_types: [click]}\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two pages of three cards: b was clicked and bought late, c only seen; of the other page nobody told."""
    serving, data = shop.make(tmp_path_factory.mktemp("shop"), DATASET)
    store = LiveStore(serving / LIVE_FILE_NAME)
    for page, user in (("p1", "u1"), ("p2", "u2")):
        store.record(shop.exposure(page, user, shop.NOW - 7_200, "a", "b", "c")).result()
    seen = [shop.event(f"s{item}", "u1", "impression", item, page="p1") for item in "bc"]
    store.append([*seen, shop.event("click", "u1", "click", "b", page="p1")]).result()
    seal(serving, data, shop.NOW)
    store.append([shop.event("buy", "u1", "purchase", "b", at=shop.NOW + 60)]).result()
    store.close()
    assert seal(serving, data, shop.NOW + 120).span == "2"
    return data


def lines(data: pathlib.Path, to: Format) -> list[Any]:
    out = data.parent / f"out.{to}"
    assert export(data, out, to) == 5
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_parquet_has_a_row_a_card(data: pathlib.Path) -> None:
    out = data.parent / "out.parquet"
    assert export(data, out, "parquet") == 5
    rows = pq.read_table(out).to_pylist()
    told = [(row["impression_id"], row["item_id"], row["position"], row["acted"], row["reward"]) for row in rows]
    assert told == [
        ("p1", "b", 1, ["click", "purchase"], 1.0),
        ("p1", "c", 2, [], 0.0),
        ("p2", "a", 0, [], 0.0),
        ("p2", "b", 1, [], 0.0),
        ("p2", "c", 2, [], 0.0),
    ]
    assert {row["model_version"] for row in rows} == {3}


def test_dsjson_has_a_decision_a_card(data: pathlib.Path) -> None:
    decisions = lines(data, "vw")
    assert [one["EventId"] for one in decisions] == ["p1:1", "p1:2", "p2:0", "p2:1", "p2:2"]
    assert [one["_label_cost"] for one in decisions] == [-1.0, 0.0, 0.0, 0.0, 0.0]
    for one in decisions:
        assert len(one["a"]) == len(one["p"]) == len(one["c"]["_multi"]) and sum(one["p"]) == pytest.approx(1.0)
        assert one["a"][0] == one["_label_Action"] and one["p"][0] == one["_label_probability"]
    assert [item["Item"]["id"] for item in decisions[2]["c"]["_multi"]] == ["a", "b", "c"]


def test_open_bandit(data: pathlib.Path) -> None:
    out = data.parent / "out.csv"
    export(data, out, "obp")
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [(row["action"], row["item_id"], row["position"], row["reward"], row["pscore"]) for row in rows[:3]] == [
        ("0", "b", "1", "1", "1.0"),
        ("1", "c", "2", "0", "1.0"),
        ("2", "a", "0", "0", "1.0"),
    ]


def test_user_behavior_insights(data: pathlib.Path) -> None:
    told = lines(data, "ubi")
    queries = [one for one in told if "action_name" not in one]
    assert [(one["query_id"], one["query_response_hit_ids"]) for one in queries] == [
        ("p1", ["b", "c"]),
        ("p2", ["a", "b", "c"]),
    ]
    actions = [one for one in told if one.get("action_name") not in (None, "impression")]
    assert [(one["action_name"], one["event_attributes"]["position"]["ordinal"]) for one in actions] == [
        ("click", 2),
        ("purchase", 2),
    ]
    assert actions[1]["timestamp"] == "2027-01-15T08:01:00Z" and actions[1]["event_attributes"]["object"] == {
        "object_id": "b",
        "object_id_field": "item_id",
    }


@pytest.mark.parametrize("to", FORMATS)
def test_without_sealed_spans_it_is_said(to: Format, tmp_path: pathlib.Path) -> None:
    (tmp_path / "dataset.yaml").write_text(DATASET, encoding="utf-8")
    with pytest.raises(DatasetError, match="`homefeed feedback seal` writes them"):
        export(tmp_path, tmp_path / "out", to)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", FORMATS)
def test_what_others_delivered_beside_is_left_out(to: Format, tmp_path: pathlib.Path) -> None:
    serving, data = shop.make(tmp_path)
    for folder in ("interactions", "exposures"):
        (data / folder).mkdir()
        columns = {"user_id": ["u"], "item_id": ["i"], "timestamp": [shop.NOW - 99_999], "impression_id": ["theirs"]}
        columns |= {"event_type": ["click"]} if folder == "interactions" else {}
        pq.write_table(pa.table(columns), data / folder / "1.parquet")
    with pytest.raises(DatasetError, match="no exposures that were sealed"):
        export(data, tmp_path / "out", to)
    assert not (tmp_path / "out").exists()
    store = LiveStore(serving / LIVE_FILE_NAME)
    store.record(shop.exposure("p", "u", shop.NOW - 7_200, "a", "b")).result()
    store.append([shop.event("click", "u", "click", "b", page="p")]).result()
    store.close()
    seal(serving, data, shop.NOW)
    assert export(data, tmp_path / "out", to) == 1
