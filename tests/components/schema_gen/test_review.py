from __future__ import annotations

import pathlib

import pytest

from homefeed.components.schema_gen import review as schema_review
from homefeed.schemas.dataset import DatasetError
from tests.components.ingested import DESCRIPTION, events, write_dataset

ITEMS = "item_id,title,brand\n" + "".join(f"{n},Thing {n},{('Kumo', 'Lumen')[n % 2]}\n" for n in range(40))
DESCRIBED = DESCRIPTION.replace("items.csv}", "items.csv, features: {brand: {kind: category}}}")


def dataset(folder: pathlib.Path, items: str, description: str = DESCRIBED) -> pathlib.Path:
    return write_dataset(
        folder, events([(f"u{n % 5}", n % 40, n) for n in range(100)]), items, description=description
    )


def test_review_of_a_new_value_and_a_new_column(tmp_path: pathlib.Path) -> None:
    data = dataset(tmp_path, ITEMS)
    with pytest.raises(DatasetError, match="There is no curated schema"):
        schema_review.diff(data)
    files = schema_review.infer(data)
    assert [file.name for file in files] == ["interactions.pbtxt", "items.pbtxt", "users.pbtxt"]
    with pytest.raises(DatasetError, match="is there already"):
        schema_review.infer(data)
    assert schema_review.diff(data) == []

    lines = ITEMS.replace("brand", "brand,colour").splitlines()
    grown = [lines[0], *(f"{line},red" for line in lines[1:]), *(f"n{n},New,Santal,blue" for n in range(10))]
    dataset(
        tmp_path,
        "\n".join(grown) + "\n",
        DESCRIBED.replace("{kind: category}", "{kind: category}, colour: {kind: category}"),
    )
    proposals = {proposal.feature: proposal.change for proposal in schema_review.diff(data)}
    assert proposals == {"items.brand": 'new values: "Santal"', "items.colour": "a new column"}

    with pytest.raises(
        DatasetError, match=r"Nothing is proposed for items.size. Proposals: items.brand, items.colour"
    ):
        schema_review.accept(data, ["items.size"])
    assert [proposal.feature for proposal in schema_review.accept(data, ["items.brand"])] == ["items.brand"]
    assert [proposal.feature for proposal in schema_review.diff(data)] == ["items.colour"]
    schema_review.accept(data)
    assert schema_review.diff(data) == []


def test_a_change_is_said_in_a_sentence_and_shown_line_by_line() -> None:
    before = ['name: "size"', "type: BYTES", 'value: "S"']
    new = schema_review._proposal("items.size", [], before)
    assert new.change == "a new column" and new.lines == tuple(f"+ {line}" for line in before)
    more = schema_review._proposal("items.size", before, [*before, *(f'value: "{n}"' for n in range(12))])
    assert more.change == "new values: " + ", ".join(f'"{n}"' for n in range(10)) + ", …" and len(more.lines) == 12
    other = schema_review._proposal("items.size", before, [before[0], "type: INT", before[2]])
    assert other.change == "other limits: - type: BYTES; + type: INT"
