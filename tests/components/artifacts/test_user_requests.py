import pathlib
import pickle

import pytest

from homefeed.components.artifacts import transformed, user_requests
from homefeed.components.artifacts.types import Examples, TransformGraph
from homefeed.components.artifacts.user_requests import UserTables
from homefeed.models.requests import Request
from tests.toy_artifacts import cut, transformed_examples
from tests.toy_data import toy_sequences


@pytest.fixture
def tables(tmp_path: pathlib.Path) -> UserTables:
    return UserTables.of(*transformed_examples(tmp_path, lurker="用户"))


def by_user(tables: UserTables) -> dict[str, Request]:
    return {request.user_id: request for request in tables}


def test_everybody_in_the_table_or_in_the_log_has_a_request(tables: UserTables) -> None:
    assert [request.user_id for request in tables] == ["u0", "u1", "u2", "用户"]
    assert by_user(tables)["用户"] == Request("用户")


def test_a_history_is_all_that_the_user_did_in_any_split(tables: UserTables) -> None:
    # In train u0, u1, u2 had 3, 4 and 5 events; test repeats those of u0 and u1 and holds no more of them.
    found, lengths = by_user(tables), {"u0": 3, "u1": 4, "u2": 5, "用户": 0}
    assert {user: len(request.history) for user, request in found.items()} == lengths
    assert {user: tables.requests(0).num_events(user) for user in lengths} == lengths
    assert [event.item_id for event in found["u1"].history] == ["i2", "i3", "i4", "i5"]
    assert [event.timestamp for event in found["u0"].history] == [1_000_000, 1_000_060, 1_000_120]


def test_features_are_those_of_the_table_and_the_time_is_open(tables: UserTables) -> None:
    found = by_user(tables)
    assert found["u0"].features == {"age": 31.0}
    assert found["u1"].features == {} == found["用户"].features
    assert {request.timestamp for request in found.values()} == {0}


def test_a_later_split_takes_the_place_of_an_earlier_one(tmp_path: pathlib.Path) -> None:
    graph, examples, users = transformed_examples(tmp_path, lurker="l")
    transformed.save_sequences(examples, "test", toy_sequences(1, num_items=2))
    again = by_user(UserTables.of(TransformGraph(graph.path), Examples(examples.path), users))
    assert [event.item_id for event in again["u0"].history] == ["i1", "i2", "i1"]
    assert [event.item_id for event in again["u1"].history] == ["i2", "i3", "i4", "i5"]


def test_some_are_made_alone_and_in_the_order_that_is_asked_for(
    tables: UserTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tables.requests(0)
    assert made.user_ids == ["u0", "u1", "u2", "用户"]
    everybody = [*map(repr, made)]  # Values that are not there are NaN, which is equal to nothing.
    assert [*map(repr, made.of(["用户", "u2", "u0"]))] == [everybody[3], everybody[2], everybody[0]]
    assert list(made.of(["nobody"])) == [Request("nobody")] and not list(made.of([]))
    monkeypatch.setattr(user_requests, "AT_ONCE", 3)
    assert [*map(repr, made)] == everybody


def test_shards_hold_together_what_one_holds(tables: UserTables) -> None:
    whole = {user: repr(request) for user, request in by_user(tables).items()}
    cut(tables.examples, 2)
    cut(tables.users, 2)
    parted = pickle.loads(pickle.dumps(UserTables.of(tables.graph, tables.examples, tables.users)))
    assert parted.shards.num_shards == 2
    assert [parted.requests(shard).user_ids for shard in range(2)] == [["u0", "u2"], ["u1", "用户"]]
    assert {user: repr(request) for user, request in by_user(parted).items()} == whole


def test_a_worker_whose_folder_lists_too_few_reads_all_the_same(
    tables: UserTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(tables.examples, 2)
    cut(tables.users, 2)
    parted = UserTables.of(tables.graph, tables.examples, tables.users)
    monkeypatch.setattr(Examples, "split_files", lambda self, split: [])
    assert [parted.requests(shard).user_ids for shard in range(2)] == [["u0", "u2"], ["u1", "用户"]]
