"""Tables as people have them: each is read as it is meant, or refused with the value and what to do."""

import gzip
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homefeed.components import example_gen
from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import SPLITS, DatasetDir, Examples, Quarantine
from homefeed.components.example_gen.items_table import read_items
from homefeed.schemas.dataset import DatasetError
from tests.components.ingested import histories

NUM_EVENTS, NUM_ITEMS, NUM_USERS, START = 120, 20, 20, 1_700_000_000
EVENTS = pd.DataFrame(
    {
        "user_id": [f"u{7 * n % NUM_USERS:02d}" for n in range(NUM_EVENTS)],
        "item_id": [f"i{3 * n % NUM_ITEMS:02d}" for n in range(NUM_EVENTS)],
        "timestamp": [START + 3600 * n for n in range(NUM_EVENTS)],
        "event_type": [("view", "click")[n % 2] for n in range(NUM_EVENTS)],
        "value": [1 + n % 5 for n in range(NUM_EVENTS)],
    }
)
ITEMS = pd.DataFrame(
    {"item_id": [f"i{n:02d}" for n in range(NUM_ITEMS)], "title": [f"Title {n}" for n in range(NUM_ITEMS)]}
)
USERS = pd.DataFrame({"user_id": [f"u{n:02d}" for n in range(NUM_USERS)], "age": range(20, 20 + NUM_USERS)})


class Shop:
    """A data folder, and what ExampleGen makes of it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.tables: dict[str, Any] = {name: {"path": f"{name}.csv"} for name in ("interactions", "items", "users")}
        self.tables["users"]["features"] = {"age": {"kind": "number"}}
        for name, table in (("interactions", EVENTS), ("items", ITEMS), ("users", USERS)):
            table.to_csv(folder / f"{name}.csv", index=False)
        self.more: dict[str, Any] = {}
        self.summary = ""

    def ingest(self, **config: Any) -> example_gen.Outputs:
        """Runs it; JSON is YAML."""
        (self.folder / "dataset.yaml").write_text(json.dumps({"name": "t"} | self.tables | self.more))
        out = self.folder.parent / "out"
        outputs = example_gen.Outputs(
            *(Examples(out / table) for table in ("interactions", "items", "users", "exposures", "relations")),
            Quarantine(out / "q"),
        )
        config = {"split": "leave_one_out"} | config
        self.summary = example_gen.run(
            example_gen.Inputs(DatasetDir(self.folder)), outputs, example_gen.Config(**config)
        )
        return outputs


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> Shop:
    folder = tmp_path / "data"
    folder.mkdir()
    return Shop(folder)


def events_of(outputs: example_gen.Outputs) -> list[dict[str, Any]]:
    """Every event of every split."""
    found: list[dict[str, Any]] = []
    for split in SPLITS:
        for row in example_io.read_split(outputs.interactions, split).to_pylist():
            (user,) = row.pop("user_id")
            lists = {name: values for name, values in row.items() if values is not None}
            found += [
                {"user_id": user.decode()} | {name: values[n] for name, values in lists.items()}
                for n in range(len(row["item_id"]))
            ]
    return found


def column(outputs: example_gen.Outputs, name: str) -> dict[str, Any]:
    """Item → value."""
    rows = example_io.read_split(outputs.items, "all").to_pylist()
    return {row["item_id"][0].decode(): row[name][0] if row[name] else None for row in rows}


def counts(outputs: example_gen.Outputs, table: str = "interactions") -> Mapping[str, Any]:
    found: Mapping[str, Any] = outputs.quarantine.read_json(Quarantine.COUNTS_FILE)[table]
    return found


def test_quotes_that_are_none_lose_no_event(shop: Shop) -> None:
    queries = ["lamp"] * NUM_EVENTS
    queries[30], queries[90] = '"exact phrase', 'monitor 27"'
    columns = ["user_id", "item_id", "timestamp"]
    lines = [",".join(map(str, row)) for row in EVENTS[columns].to_numpy().tolist()]
    text = "\n".join(f"{line},{query}" for line, query in zip(lines, queries, strict=True))
    (shop.folder / "interactions.csv").write_text(",".join([*columns, "query"]) + "\n" + text + "\n")
    outputs = shop.ingest()
    assert sorted(event["query"].decode() for event in events_of(outputs)) == sorted(queries)
    num_lines = len((shop.folder / "interactions.csv").read_text().splitlines()) - 1
    assert counts(outputs)["rows"] == num_lines == counts(outputs)["written"]


def test_titles_with_inch_signs_in_tsv(shop: Shop) -> None:
    titles = list(ITEMS["title"])
    titles[3], titles[9] = '"Abbey Road', 'Turntable 12"'
    rows = "".join(f"{item}\t{title}\t2.5\n" for item, title in zip(ITEMS["item_id"], titles, strict=True))
    (shop.folder / "items.tsv").write_text("item_id\ttitle\tprice\n" + rows)
    shop.tables["items"] = {"path": "items.tsv", "features": {"price": {"kind": "number"}}}
    found = column(shop.ingest(), "title")
    assert [found[item].decode() for item in ITEMS["item_id"]] == titles


@pytest.mark.parametrize("missing", ["value", "timestamp"])
def test_the_first_line_of_json_does_not_decide_the_columns(shop: Shop, missing: str) -> None:
    rows = EVENTS.to_dict("records")
    del rows[0][missing]
    (shop.folder / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    shop.tables["interactions"] = {"path": "log.jsonl"}
    outputs = shop.ingest()
    assert counts(outputs)["quarantined"] == (missing == "timestamp")
    values = [event["value"] for event in events_of(outputs)]
    assert len(values) == NUM_EVENTS - (missing == "timestamp")
    assert sum(value for value in values if value == value) == EVENTS["value"].sum() - EVENTS["value"][0]


def test_a_column_that_one_of_many_json_files_has_at_its_end(shop: Shop) -> None:
    rows = EVENTS.drop(columns="value").to_dict("records")
    (shop.folder / "log").mkdir()
    for part in range(3):
        found = rows[part * 40 : part * 40 + 40]
        if part == 1:
            found[-1]["value"] = 3
        (shop.folder / "log" / f"{part}.jsonl").write_text("\n".join(map(json.dumps, found)))
    shop.tables["interactions"] = {"path": "log"}
    assert [event["value"] for event in events_of(shop.ingest()) if event["value"] == event["value"]] == [3]


def test_release_dates_in_milliseconds(shop: Shop) -> None:
    years = range(1971, 1971 + NUM_ITEMS)
    moments = pd.to_datetime([f"{year}-01-01" for year in years])
    ITEMS.assign(available_from=moments.astype("int64") // 10**6).to_csv(shop.folder / "items.csv", index=False)
    found = column(shop.ingest(), "available_from")
    assert [pd.Timestamp(found[item], unit="s") for item in ITEMS["item_id"]] == list(moments)


@pytest.mark.parametrize("form", ["%Y", "%Y%m%d", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%dT%H:%M:%S+00:00[UTC]"])
def test_release_dates_in_other_forms(shop: Shop, form: str) -> None:
    moments = pd.to_datetime([f"{year}-01-01" for year in range(1990, 1990 + NUM_ITEMS)])
    ITEMS.assign(available_from=moments.strftime(form)).to_csv(shop.folder / "items.csv", index=False)
    found = column(shop.ingest(), "available_from")
    assert [pd.Timestamp(found[item], unit="s") for item in ITEMS["item_id"]] == list(moments)


def test_times_that_change_their_unit(shop: Shop) -> None:
    (shop.folder / "log").mkdir()
    old = EVENTS.assign(timestamp=EVENTS["timestamp"])[:80]
    new = EVENTS.assign(timestamp=EVENTS["timestamp"] * 1000)[80:]
    old.to_csv(shop.folder / "log" / "1.csv", index=False)
    new.to_csv(shop.folder / "log" / "2.csv", index=False)
    shop.tables["interactions"] = {"path": "log"}
    with pytest.raises(DatasetError) as caught:
        shop.ingest()
    assert "40 × timestamp is not in Unix seconds, as the column's times are" in str(caught.value)
    assert f"('{new['timestamp'].iloc[0]}' in 2.csv line 2)" in str(caught.value)


def test_nothing_is_no_user(shop: Shop) -> None:
    rows = EVENTS.to_dict("records")
    for row, nothing in zip(rows[::30], (float("nan"), None, "nan", "None"), strict=True):
        row["user_id"] = nothing
    (shop.folder / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    shop.tables["interactions"], shop.more = {"path": "log.jsonl"}, {"max_bad_fraction": 0.05}
    outputs = shop.ingest()
    assert {event["user_id"] for event in events_of(outputs)} <= set(USERS["user_id"])
    assert counts(outputs)["reasons"] == {"user_id is missing": 4}


def test_a_bad_value_becomes_missing_and_is_reported(shop: Shop) -> None:
    prices = ["2.5"] * NUM_ITEMS
    prices[4] = "ask us"
    ITEMS.assign(price=prices).to_csv(shop.folder / "items.csv", index=False)
    shop.tables["items"]["features"] = {"price": {"kind": "number"}}
    outputs = shop.ingest()
    assert column(outputs, "price") == {item: None if item == "i04" else 2.5 for item in ITEMS["item_id"]}
    found = counts(outputs, "items")
    assert (found["written"], found["quarantined"], found["values"]["price"]) == (20, 0, 19)
    assert found["lost_values"] == {"price is not a finite number": 1}
    assert "1 × items.price is not a finite number" in shop.summary
    (line,) = (outputs.quarantine.path / "items_values.jsonl").read_text().splitlines()
    listed = json.loads(line)
    assert (listed["line"], listed["column"], listed["value"]) == (6, "price", "ask us")


def test_a_column_that_is_something_else_stops_the_run(shop: Shop) -> None:
    ITEMS.assign(price=[f"{n},50 €" for n in range(NUM_ITEMS)]).to_csv(shop.folder / "items.csv", index=False)
    shop.tables["items"]["features"] = {"price": {"kind": "number"}}
    with pytest.raises(DatasetError, match=r"20 of 20 values of price cannot be read.*'0,50 €' in items.csv line 2"):
        shop.ingest()


@pytest.mark.parametrize("path", ["events/*/*.parquet", "events", "events/**/*.parquet", "events/**"])
def test_folders_of_a_partitioned_table(shop: Shop, path: str) -> None:
    table = pa.Table.from_pandas(EVENTS)
    pq.write_to_dataset(table, shop.folder / "events", partition_cols=["event_type"])
    (shop.folder / "events" / "_SUCCESS").touch()
    (shop.folder / "events" / "event_type=view" / ".part-0.parquet.crc").write_bytes(b"crc")
    shop.tables["interactions"], shop.more = {"path": path}, {"positive": {"event_types": ["click"]}}
    outputs = shop.ingest()
    found = pd.DataFrame(events_of(outputs)).astype({"value": "int64"})
    found["event_type"] = found["event_type"].str.decode("utf-8")
    found["item_id"] = found["item_id"].str.decode("utf-8")
    expected = EVENTS.sort_values(["user_id", "timestamp"])[list(found.columns)]
    assert found.sort_values(["user_id", "timestamp"]).to_numpy().tolist() == expected.to_numpy().tolist()
    if path in ("events", "events/**"):
        assert "hidden files skipped: events/_SUCCESS, events/event_type=view/.part-0.parquet.crc" in shop.summary


def test_genres_as_structs(shop: Shop) -> None:
    genres = [[{"id": 1, "name": "Drama"}, {"id": 2, "name": "Comedy"}]] * NUM_ITEMS
    ITEMS.assign(categories=genres).to_parquet(shop.folder / "items.parquet")
    shop.tables["items"] = {"path": "items.parquet"}
    with pytest.raises(
        DatasetError, match=r"the column categories holds structs; .*: categories.name, categories.id\."
    ):
        shop.ingest()
    shop.tables["items"]["columns"] = {"categories": "categories.name"}
    rows = example_io.read_split(shop.ingest().items, "all").to_pylist()
    assert all(row["categories"] == [b"Drama", b"Comedy"] for row in rows)


def test_a_time_of_day_is_no_time(shop: Shop) -> None:
    times = pd.to_datetime(EVENTS["timestamp"], unit="s").dt.time
    table = pa.Table.from_pandas(EVENTS.assign(timestamp=times))
    pq.write_table(table, shop.folder / "log.parquet")
    shop.tables["interactions"] = {"path": "log.parquet"}
    with pytest.raises(DatasetError, match=r"the column timestamp holds times of day .* without a date"):
        shop.ingest()


def test_what_is_named_packed_and_is_not(shop: Shop) -> None:
    (shop.folder / "interactions.csv").rename(shop.folder / "interactions.csv.gz")
    shop.tables["interactions"] = {"path": "interactions.csv.gz"}
    assert len(events_of(shop.ingest())) == NUM_EVENTS


def test_a_file_that_breaks_off_stops_the_run_in_a_sentence(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from homefeed.schemas.tables import rows, source, streams

    for module, name in (
        (rows, "BLOCK_BYTES"),
        (source, "HEAD_BYTES"),
        (source, "MIN_HEAD_BYTES"),
        (streams, "CHUNK_BYTES"),
    ):
        monkeypatch.setattr(module, name, 1000)
    packed = gzip.compress((shop.folder / "interactions.csv").read_bytes())
    (shop.folder / "interactions.csv.gz").write_bytes(packed[:-40])
    shop.tables["interactions"] = {"path": "interactions.csv.gz"}
    with pytest.raises(DatasetError) as caught:
        shop.ingest()
    assert str(caught.value).splitlines() == [
        f"{shop.folder}/interactions.csv.gz cannot be read: "
        "Compressed file ended before the end-of-stream marker was reached."
    ]


def test_semicolons(shop: Shop) -> None:
    EVENTS.to_csv(shop.folder / "interactions.csv", index=False, sep=";")
    with pytest.raises(DatasetError, match=r"Its delimiter seems to be ';'; .* `interactions.delimiter: \";\"`"):
        shop.ingest()
    shop.tables["interactions"]["delimiter"] = ";"
    assert len(events_of(shop.ingest())) == NUM_EVENTS


def test_a_json_array(shop: Shop) -> None:
    ITEMS.to_json(shop.folder / "items.json", orient="records")
    shop.tables["items"] = {"path": "items.json"}
    with pytest.raises(DatasetError, match=r"items.json is a JSON array, expected JSON lines.* `jq -c '.\[\]' "):
        shop.ingest()


def test_utf_16_and_other_encodings(shop: Shop) -> None:
    titled = ITEMS.assign(title=[f"Café {n}" for n in range(NUM_ITEMS)])
    titled.to_csv(shop.folder / "items.csv", index=False, encoding="utf-16")
    assert column(shop.ingest(), "title")["i07"] == "Café 7".encode()
    titled.to_csv(shop.folder / "items.csv", index=False, encoding="cp1252")
    with pytest.raises(DatasetError, match=r"title is not valid UTF-8 \(`encoding` in dataset.yaml names another\)"):
        shop.ingest()
    shop.tables["items"]["encoding"] = "cp1252"
    assert column(shop.ingest(), "title")["i07"] == "Café 7".encode()
    shop.tables["items"]["encoding"] = "morse"
    with pytest.raises(DatasetError, match="there is no encoding 'morse' of text"):
        shop.ingest()


def test_events_alone_without_a_header(shop: Shop) -> None:
    EVENTS[["user_id", "item_id", "value", "timestamp"]].to_csv(
        shop.folder / "u.data", index=False, header=False, sep="\t"
    )
    header = ["user_id", "item_id", "value", "timestamp"]
    shop.tables = {"interactions": {"path": "u.data", "format": "tsv", "header": header}}
    outputs = shop.ingest(split="temporal")
    assert len(events_of(outputs)) == NUM_EVENTS
    assert column(outputs, "title") == {item: item.encode() for item in EVENTS["item_id"].unique()}
    users = example_io.read_split(outputs.users, "all").to_pylist()
    assert sorted(row["user_id"][0].decode() for row in users) == sorted(EVENTS["user_id"].unique())
    assert histories(outputs.interactions, "train")
    assert shop.summary == "120 events, 20 users, 20 items, items without a title go by their ids"
    items = read_items(shop.folder)
    assert items.num_rows == NUM_ITEMS and items["title"].to_pylist() == items["item_id"].to_pylist()
    # A row that is bad is bad once.
    with (shop.folder / "u.data").open("a") as file:
        file.write("u01\ti01\t3\n")
    outputs = shop.ingest()
    assert [counts(outputs, table)["quarantined"] for table in ("interactions", "items", "users")] == [1, 0, 0]


def test_rows_that_others_replace_and_columns_that_nothing_reads_are_told(shop: Shop) -> None:
    pd.concat([ITEMS, ITEMS[:3].assign(title="Another")]).to_csv(shop.folder / "items.csv", index=False)
    pd.concat([EVENTS, EVENTS[:1]]).assign(a=1, b=2, c=3, d=4).to_csv(shop.folder / "interactions.csv", index=False)
    shop.ingest()
    assert shop.summary == (
        "120 events, 20 users, 20 items, 1 repeated rows of interactions, columns of interactions not read: a, b, c, "
        "…, 3 repeated rows of items"
    )


def test_times_that_are_none_since_1970(shop: Shop) -> None:
    excel = EVENTS["timestamp"] / 86_400 + 25_569
    EVENTS.assign(timestamp=excel).to_csv(shop.folder / "interactions.csv", index=False)
    with pytest.raises(
        DatasetError, match=r"^interactions: the times, read as Unix seconds, are of before 1991, the"
    ):
        shop.ingest()
    shop.tables["interactions"]["features"] = {"timestamp": {"kind": "timestamp", "unit": "s"}}
    shop.ingest()


def test_titles_in_the_log(shop: Shop) -> None:
    EVENTS.assign(title="Title of " + EVENTS["item_id"]).to_csv(shop.folder / "interactions.csv", index=False)
    shop.tables.pop("items")
    assert column(shop.ingest(), "title")["i03"] == b"Title of i03"


def test_items_without_a_title(shop: Shop) -> None:
    ITEMS.assign(title=[None if n % 2 else f"Title {n}" for n in range(NUM_ITEMS)]).to_csv(
        shop.folder / "items.csv", index=False
    )
    found = column(shop.ingest(), "title")
    assert (found["i02"], found["i03"]) == (b"Title 2", b"i03")
    ITEMS.drop(columns="title").to_csv(shop.folder / "items.csv", index=False)
    assert column(shop.ingest(), "title")["i02"] == b"i02"


def test_ids_that_lost_their_zeros(shop: Shop) -> None:
    ITEMS.assign(item_id=[f"{n:04d}" for n in range(NUM_ITEMS)]).to_csv(shop.folder / "items.csv", index=False)
    EVENTS.assign(item_id=EVENTS["item_id"].str[1:].astype(int)).to_csv(shop.folder / "interactions.csv", index=False)
    with pytest.raises(DatasetError) as caught:
        shop.ingest()
    assert str(caught.value) == (
        "interactions: 120 of 120 events (100.0%) have an unknown item_id: the table items has no '0', but ids such "
        "as '0000'; at most 10.0% may (`max_unmatched_fraction` in dataset.yaml). Compared without leading zeros, "
        "120 of them would meet, as '0' and '0000'."
    )


def test_most_ids_of_another_kind(shop: Shop) -> None:
    items = ["x" + item if n % 20 else item for n, item in enumerate(EVENTS["item_id"])]
    EVENTS.assign(item_id=items).to_csv(shop.folder / "interactions.csv", index=False)
    with pytest.raises(DatasetError, match=r"114 of 120 events \(95.0%\) .* has no 'xi01', but ids such as 'i00';"):
        shop.ingest()
    shop.more = {"max_unmatched_fraction": 0.95}
    shop.ingest()
    assert shop.summary == "120 events, 20 users, 20 items, 114 events with an unknown item_id"


@pytest.mark.parametrize(
    ("mangle", "hint"),
    [
        (lambda user: user.upper(), "in one case, 120 of them would meet, as 'U00' and 'u00'"),
        (lambda user: f" {user}", "without spaces and quotes around them, 120 .* as ' u00' and 'u00'"),
        (lambda user: f"user_{user}", "without what stands before them, 120 .* as 'user_u00' and 'u00'"),
        (lambda user: f" {user.upper()}", "after all of these: .*, 120 of them would meet, as ' U00' and 'u00'"),
        (lambda user: user.replace("0", "０"), "with one code for each letter, 66 .* as 'u1０' and 'u10'"),
        (lambda user: f"\u200b{user}\r", "without characters that nobody sees, 120 of them would meet"),
        (lambda user: f"u\u00ad{user[1:]}", "without characters that nobody sees, 120 of them would meet"),
        (lambda user: f"{user}\t", "without spaces and quotes around them, 120 of them would meet"),
        (lambda user: user[1:], r"has no '00', but ids such as 'u00'.*dataset.yaml\)\.$"),
    ],
)
def test_users_whose_ids_do_not_meet(shop: Shop, mangle: Any, hint: str) -> None:
    EVENTS.assign(user_id=EVENTS["user_id"].map(mangle)).to_csv(shop.folder / "interactions.csv", index=False)
    with pytest.raises(DatasetError, match=hint):
        shop.ingest()


def test_ids_that_became_numbers(shop: Shop) -> None:
    items = EVENTS["item_id"].str[1:].astype(float)
    EVENTS.assign(item_id=items).to_csv(shop.folder / "interactions.csv", index=False)
    ITEMS.assign(item_id=range(NUM_ITEMS)).to_csv(shop.folder / "items.csv", index=False)
    with pytest.raises(DatasetError, match=r"as whole numbers, 120 of them would meet, as '0.0' and '0'"):
        shop.ingest()


@pytest.mark.parametrize(
    ("positive", "said"),
    [
        ({"event_types": ["Click"]}, "`positive.event_types` is Click, and there are click (40), view (40)"),
        ({"min_value": 40}, "`positive.min_value` is 40, and values are from 1 to 5"),
        (
            {"event_types": ["buy", "cart"], "min_value": 3},
            "`positive.event_types` is buy, cart, and there are click (40), view (40); "
            "`positive.min_value` is 3, and values are from 1 to 5",
        ),
    ],
)
def test_likes_that_nobody_has(shop: Shop, positive: dict[str, Any], said: str) -> None:
    shop.more = {"positive": positive}
    with pytest.raises(DatasetError) as caught:
        shop.ingest()  # Of 120 events every user has the last two for eval and test: 80 are left.
    head, _, there = str(caught.value).partition(" counts as liked: ")
    assert head == "interactions: none of 80 training events"
    for part in said.replace("click (40), view (40)", "").split(", and there are "):
        assert part in there


def test_likes_without_their_column(shop: Shop) -> None:
    EVENTS.drop(columns=["event_type", "value"]).to_csv(shop.folder / "interactions.csv", index=False)
    shop.more = {"positive": {"min_value": 4, "event_types": ["click"]}}
    with pytest.raises(DatasetError, match=r"is click, and no event has one; .* is 4, and no event has a value\.$"):
        shop.ingest()


def test_likes_are_counted(shop: Shop) -> None:
    shop.more = {"positive": {"event_types": ["click", "clack"], "min_value": 4}}
    outputs = shop.ingest(split="temporal")
    liked = ((EVENTS["event_type"] == "click") & (EVENTS["value"] >= 4))[:96].sum()
    others = (EVENTS["event_type"] != "click")[:96].sum()
    splits = {"train": 96, "eval": 12, "test": 12, "liked": liked, "type:click": 60, "other types": others}
    assert counts(outputs)["splits"] == splits and others
    said = f"{others} events of types outside `positive.event_types` are targets of training all the same"
    assert shop.summary.endswith(f"20 items, no event of type clack (`positive.event_types`), {said}")


@pytest.mark.parametrize("retention_days", [0, 30])
def test_an_event_of_the_future_moves_nothing(shop: Shop, retention_days: int) -> None:
    times = [4_102_444_800 if n == 60 else time for n, time in enumerate(EVENTS["timestamp"])]
    EVENTS.assign(timestamp=times).to_csv(shop.folder / "interactions.csv", index=False)
    outputs = shop.ingest(split="temporal", retention_days=retention_days)
    found = counts(outputs)
    assert (found["reasons"], found["expired"], found["written"]) == ({"timestamp is in the future": 1}, 0, 119)
    assert shop.summary.endswith("1 rows quarantined, 1 × interactions.timestamp is in the future")
    (line,) = (outputs.quarantine.path / "interactions.jsonl").read_text().splitlines()
    assert (json.loads(line)["line"], json.loads(line)["value"]) == (62, "4102444800")


def test_one_wrong_clock_expires_nothing_in_silence(shop: Shop) -> None:
    times = [START + 400 * 86_400 if n == 60 else time for n, time in enumerate(EVENTS["timestamp"])]
    EVENTS.assign(timestamp=times).to_csv(shop.folder / "interactions.csv", index=False)
    with pytest.raises(DatasetError) as caught:  # START is 2023-11-14, and the other events take five days.
        shop.ingest(split="temporal", retention_days=30)
    assert str(caught.value).splitlines()[0] == (
        "interactions: example_gen.retention_days=30 would leave 1 of 120 events, the newest of 2024-12-18, 395 days "
        "after all others, as if by a wrong clock: correct or remove these."
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "eval and test by example_gen.split=temporal: there are 20 events of 20 users at 1 different times, 20"),
        (
            {"split": "hash", "eval_fraction": 0.001, "test_fraction": 0},
            "eval by example_gen.split=hash: there are 20",
        ),
    ],
)
def test_splits_without_an_event(shop: Shop, config: dict[str, Any], said: str) -> None:
    EVENTS.assign(timestamp=START).to_csv(shop.folder / "interactions.csv", index=False)
    with pytest.raises(DatasetError, match=f"^interactions: no event is left for {said}"):
        shop.ingest(**{"split": "temporal"} | config)


def test_nobody_with_enough_events_to_leave_some_out(shop: Shop) -> None:
    EVENTS[:60].to_csv(shop.folder / "interactions.csv", index=False)  # Three of each user.
    with pytest.raises(DatasetError, match=r"eval and test by .*of whom nobody has 5 \(the most is 3\)\. Give more"):
        shop.ingest()


def test_a_split_at_dates(shop: Shop) -> None:
    dates = {"eval_from": "2023-11-16", "test_from": "2023-11-18T00:00:00Z"}
    outputs = shop.ingest(split="temporal", **dates)
    days = pd.to_datetime(EVENTS["timestamp"], unit="s")
    expected = [(days < "2023-11-16").sum(), days.between("2023-11-16", "2023-11-17 23:59:59").sum()]
    expected.append((days >= "2023-11-18").sum())
    assert counts(outputs)["splits"] == dict(zip(SPLITS, expected, strict=True)) and min(expected) > 20
    with pytest.raises(DatasetError, match=r"no event is left for test .*example_gen.test_from=2033-01-01: there"):
        shop.ingest(split="temporal", eval_from="2023-11-16", test_from="2033-01-01")


@pytest.mark.parametrize(
    "config",
    [
        {"eval_from": "2023-11-16"},
        {"eval_from": "2023-11-16", "test_from": "2023-11-16"},
        {"eval_from": "2023-11-16", "test_from": "2023-11-17", "split": "hash"},
    ],
)
def test_dates_that_split_nothing(config: dict[str, Any]) -> None:
    (fault,) = example_gen.Config(**config).check()
    assert fault.startswith("eval_from and test_from belong together")
