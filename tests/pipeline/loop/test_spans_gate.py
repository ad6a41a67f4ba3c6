import contextlib
import dataclasses
import errno
import os
import pathlib
import random
from typing import Any, NoReturn

import pytest

from homefeed.components.artifacts.types import DatasetDir
from homefeed.pipeline.config import load_config
from homefeed.pipeline.datasets.sample import write_weeks
from homefeed.pipeline.loop.spans_gate import Gate, Verdict, list_spans, read_verdicts, to_json
from homefeed.pipeline.recommender import recommender
from homefeed.schemas.dataset import UnreachableError
from homefeed.schemas.tables import streams
from tests.bucket import bucket
from tests.components.ingested import events, write_dataset

POISONED = {2: "schema", 3: "ids"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("weeks")
    write_weeks(folder, num_weeks=4, poisoned=POISONED)
    return folder


@pytest.fixture(scope="module")
def gate(data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Gate:
    root = tmp_path_factory.mktemp("root")
    return Gate(data, root, "weeks", load_config(recommender(DatasetDir(data))), 0.15, _silent, None)


def _silent(title: str) -> Any:
    return contextlib.nullcontext(lambda step: None)


@pytest.fixture(scope="module")
def verdicts(gate: Gate) -> dict[str, Verdict]:
    return gate.judge_all({})


def test_poisoned_spans_are_rejected_with_what_is_wrong(verdicts: dict[str, Verdict]) -> None:
    first, schema, ids, last = verdicts.values()
    assert first.is_good and first.events > 1_000
    assert any("event_type is not one of view, click, purchase" in reason for reason in schema.reasons)
    assert any("have an unknown item_id" in reason for reason in ids.reasons)
    assert schema.events == ids.events == 0
    # Judged against the first week: three weeks of new items and of drifting taste are no reason.
    assert last.is_good and "interactions.item_id:jensen_shannon" in last.drifted


def test_a_verdict_stays_until_the_files_change(gate: Gate, verdicts: dict[str, Verdict], data: pathlib.Path) -> None:
    made_up = {span: dataclasses.replace(verdict, reasons=["made up"]) for span, verdict in verdicts.items()}
    assert gate.judge_all(made_up) == made_up
    second = "2025-01-08"
    stale = dataclasses.replace(verdicts[second], digest="of other files", reasons=[])
    assert gate.judge_all(verdicts | {second: stale})[second].reasons == verdicts[second].reasons


def test_a_disk_that_fails_is_no_verdict_on_the_span(
    gate: Gate, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: str) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    monkeypatch.setattr(streams, "_open", fails)
    with pytest.raises(UnreachableError, match="cannot be read: Input/output error"):
        dataclasses.replace(gate, root=tmp_path).judge_all({})


@pytest.mark.parametrize("call", ["list", "read"])
def test_a_store_that_refuses_is_no_verdict_on_the_span(gate: Gate, tmp_path: pathlib.Path, call: str) -> None:
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1), ("u2", "B", 2)]))
    description = (data / "dataset.yaml").read_text()
    (data / "dataset.yaml").write_text(description.replace("users.csv", "gs://shop/users.csv"))
    with bucket() as shop:
        shop.objects["users.csv"] = b"user_id\nu1\n"
        shop.refused[call] = 403
        with pytest.raises(UnreachableError, match=r"gs://shop/users.csv cannot be reached"):
            dataclasses.replace(gate, data=data, root=tmp_path / "root").judge_all({})


def test_a_key_that_is_not_there_is_no_verdict_on_the_span(gate: Gate, tmp_path: pathlib.Path) -> None:
    configs = dict(gate.configs)
    configs["example_gen"] = dataclasses.replace(configs["example_gen"], user_key=f"file:{tmp_path}/key")
    with pytest.raises(UnreachableError, match="has 0 bytes"):
        dataclasses.replace(gate, configs=configs, root=tmp_path / "root").judge_all({})


def test_other_settings_make_another_verdict(gate: Gate, tmp_path: pathlib.Path) -> None:
    log = [("u1", "A", 1), ("u2", "B", 2), ("u2", "B", "never")]
    data = write_dataset(tmp_path / "data", events(log))
    (data / "dataset.yaml").write_text((data / "dataset.yaml").read_text() + "max_bad_fraction: 0\n")

    def judged(known: dict[str, Verdict], **settings: Any) -> dict[str, Verdict]:
        configs = gate.configs | {"example_gen": dataclasses.replace(gate.configs["example_gen"], **settings)}
        return dataclasses.replace(gate, data=data, configs=configs, root=tmp_path / "root").judge_all(known)

    refused = judged({})
    assert "never" in refused[""].reasons[0]
    stale = {"": dataclasses.replace(refused[""], reasons=["made up"])}
    assert judged(stale) == stale
    assert judged(stale, shard_megabytes=3)[""].reasons == refused[""].reasons


FACTS = {
    "1": [],  # Nothing is known yet.
    "2": [(f"i{n}", f"series {n % 4}") for n in range(40)],
    "3": [("i1", "series 1"), ("i2", "a new series"), ("i50", "another")],
    "4": [("of an earlier span", "series 1")],
}


def test_facts_that_come_by_span_are_no_reason_against_it(gate: Gate, tmp_path: pathlib.Path) -> None:
    ids = [f"i{n}" for n in range(60)]
    data = write_dataset(
        tmp_path / "data", "", "\n".join(["item_id,title", *(f"{one},{one}" for one in ids)]) + "\n",
        "\n".join(["user_id", *(f"u{n}" for n in range(30))]) + "\n",
        "name: tiny\ninteractions: {path: 'log/{SPAN}.csv'}\nitems: {path: items.csv}\nusers: {path: users.csv}\n"
        "knowledge: {path: 'facts/{SPAN}.csv', features: {series: {kind: categories}}}\n",
    )  # fmt: skip
    some = random.Random(0)
    for folder in ("log", "facts"):
        (data / folder).mkdir()
    for span, facts in FACTS.items():
        times = (1_700_000_000 + int(span) * 604_800 + some.randrange(604_800) for _ in range(400))
        log = events([(f"u{some.randrange(30)}", some.choice(ids), at) for at in times])
        (data / "log" / f"{span}.csv").write_text(log)
        rows = [f"{item},series,{value}" for item, value in facts]
        if facts:
            (data / "facts" / f"{span}.csv").write_text("\n".join(["item_id,relation,value", *rows]) + "\n")
    found = dataclasses.replace(gate, data=data, root=tmp_path / "root").judge_all({})
    assert {span: verdict.reasons for span, verdict in found.items()} == {span: [] for span in FACTS}
    (data / "facts" / "4.csv").write_text("item_id,relation,value\ni1,writer,Bo\n")  # Of no item's relations.
    wrong = dataclasses.replace(gate, data=data, root=tmp_path / "root").judge_all(found)
    assert "1 × of the undeclared relation 'writer'" in wrong["4"].reasons[0] and wrong["3"] == found["3"]


def test_verdicts_survive_json(verdicts: dict[str, Verdict]) -> None:
    assert read_verdicts(to_json(verdicts)) == verdicts


def test_spans_are_listed_in_order(data: pathlib.Path) -> None:
    assert list_spans(data) == ["2025-01-01", "2025-01-08", "2025-01-15", "2025-01-22"]


def test_data_without_spans_is_one(sample_data: pathlib.Path) -> None:
    assert list_spans(sample_data) == [""]
