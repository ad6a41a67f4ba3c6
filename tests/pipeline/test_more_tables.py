"""Facts and relations through a whole run: to features of models, cards, rules, reasons, and out again."""

from __future__ import annotations

import pathlib

import pytest

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import TransformGraph
from homefeed.pipeline.datasets.sample import write_sample
from homefeed.pipeline.forget import forget
from homefeed.serving.profiles import FILE_NAME, ProfileStore
from tests.counting import count_instead_of_training
from tests.runs import run_small
from tests.serving.gateway import toy

SURFACES = "home: {rows: [more_of, friends, for_you], length: 6}\n"
RULES = "series: {cap: series, at_most: 2}\n"


def write_shop(data: pathlib.Path) -> tuple[str, list[str]]:
    """A store with series of items and a reader with friends; gives these."""
    write_sample(data, num_users=40, num_items=60, num_events=600, seed=3)
    (data / "truth.json").unlink()  # It names all users, and no table does.
    log = [line.split(",") for line in (data / "interactions.csv").read_text().splitlines()]
    ids = [line.split(",")[0] for line in (data / "items.csv").read_text().splitlines()[1:]]
    series = [f"{one},series,系列{place % 8}" for place, one in enumerate(ids)]
    (data / "facts.csv").write_text("\n".join(["item_id,relation,value", *series]) + "\n", encoding="utf-8")
    people = sorted({row[log[0].index("user_id")] for row in log[1:]})
    reader, friends = people[0], people[1:4]
    related = [f"{reader},{friend}" for friend in friends]
    (data / "relations.csv").write_text("\n".join(["user_id,other_id", *related]) + "\n")
    with (data / "dataset.yaml").open("a") as description:
        description.write("knowledge: {path: facts.csv, features: {series: {kind: categories}}}\n")
        description.write("relations: {path: relations.csv}\n")
    return reader, friends


@pytest.mark.slow
def test_from_tables_to_pages_with_reasons_and_out_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_instead_of_training(monkeypatch)
    data, root = tmp_path / "data", tmp_path / "root"
    reader, friends = write_shop(data)
    run_small(data, root, until="Pusher")
    (graph,) = root.glob("artifacts/Transform/*/transform_graph")
    assert sorted(transformed.load_catalogue(TransformGraph(graph)).vocabularies["series"]) == [
        f"系列{n}" for n in range(8)
    ]
    (schema,) = root.glob("artifacts/SchemaGen/*/items/schema.pbtxt")
    assert '"series"' in schema.read_text(encoding="utf-8")
    (root / "surfaces.yaml").write_text(SURFACES)
    (root / "rules.yaml").write_text(RULES)
    files = ("--surfaces", str(root / "surfaces.yaml"), "--rules", str(root / "rules.yaml"))
    with toy.gateway(root, *files) as gateway:
        page = gateway.page(user_id=reader)
        rows = {row["id"]: row["cards"] for row in page["rows"]}
        assert {"for_you", "more_of", "friends"} <= rows.keys()
        shown = [card["series"] for cards in rows.values() for card in cards]
        assert max(shown.count(one) for one in shown) == 2, "a rule caps each series"
        for row, code in (("more_of", "more_of"), ("friends", "friends")):
            card = rows[row][0]
            first = gateway.why(page, card["item_id"], reader)[0]
            assert first["code"] == code and not any(friend in str(first) for friend in friends)
        assert rows["more_of"][0]["found_by"] == f"more_of: series={rows['more_of'][0]['series']}"
    assert forget(friends[0], data, root).traces == []
    assert ProfileStore(root / "serving" / FILE_NAME).others(reader) == [friends[2], friends[1]]
    assert (data / "relations.csv").read_text().count("\n") == 3
