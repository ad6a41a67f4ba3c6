import pathlib

import pytest

from homefeed.schemas.dataset import DatasetError
from tests.components.ingested import DESCRIPTION, events, ingest, write_dataset


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda d: (d / "items.csv").unlink(), r"'items': no file at .*items.csv; .* holds dataset.yaml, inter"),
        (lambda d: (d / "users.csv").write_text("user_id\n"), "users is empty: users.csv has no rows"),
        (lambda d: (d / "users.csv").write_text(""), "has no column user_id. Columns there: none, it is empty"),
        (
            lambda d: (d / "items.csv").write_text("item_id,name\nA,Apple\n"),
            r"has no column title. Columns there: item_id, name. .*`items.columns: \{title: name\}`",
        ),
        (lambda d: (d / "dataset.yaml").unlink(), "dataset.yaml does not exist"),
        (
            lambda d: (d / "dataset.yaml").write_text(DESCRIPTION.replace("users.csv", "users.dat")),
            "no file at",
        ),
        (lambda d: (d / "users.csv").write_bytes(b"user_id,\xff\nu1,2\n"), "not a header in UTF-8"),
        (lambda d: (d / "users.csv").write_text("user_id,user_id\nu1,2\n"), "user_id are there more than once"),
    ],
)
def test_errors(tmp_path: pathlib.Path, break_it: object, message: str) -> None:
    data = write_dataset(tmp_path / "data", events([("u1", "A", 1)]))
    break_it(data)  # type: ignore[operator]
    with pytest.raises(DatasetError, match=message):
        ingest(data, tmp_path / "out")
