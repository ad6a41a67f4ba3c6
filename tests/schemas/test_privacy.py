import doctest
import pathlib

import pytest

from homefeed.schemas import privacy, spans, values
from homefeed.schemas.dataset import DatasetError


def test_doctests() -> None:
    for module in (privacy, spans, values):
        result = doctest.testmod(module)
        assert result.attempted and not result.failed


def test_where_keys_come_from(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert privacy.load_key("") is None
    monkeypatch.setenv("SECRET", "0123456789abcdef")
    (tmp_path / "key").write_text("0123456789abcdef\n")
    assert privacy.load_key("env:SECRET") == privacy.load_key(f"file:{tmp_path / 'key'}") == b"0123456789abcdef"
    for reference in ("env:NOWHERE", f"file:{tmp_path / 'none'}"):
        with pytest.raises(DatasetError, match="has 0 bytes, expected 16 or more"):
            privacy.load_key(reference)
    with pytest.raises(DatasetError, match="is named by env:NAME or file:PATH, not '0123456789abcdef'"):
        privacy.load_key("0123456789abcdef")


def test_pseudonyms_depend_on_the_key() -> None:
    names = {privacy.pseudonym("用户", key) for key in (None, b"0123456789abcdef", b"another key than that")}
    assert len(names) == 3 and "用户" in names
