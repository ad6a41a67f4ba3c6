"""Somebody is forgotten as the guest they were, too, however long ago they logged in."""

import pathlib

import pytest

from homefeed.pipeline.forget import erasure, forget
from homefeed.schemas.privacy import load_key, pseudonym
from homefeed.serving.feedback.seal import seal
from homefeed.serving.profiles import LiveStore
from homefeed.serving.profiles.store import LIVE_FILE_NAME
from tests.serving.feedback import shop
from tests.serving.feedback.test_seal import bytes_of, rows

USER, GUEST, OTHER = "zebra-user", "guest:0123456789", "guest:9876543210"


@pytest.fixture
def sealed(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """The root and the data of a shop where two guests were sealed, whose events have left; one of them logged in."""
    serving, data = shop.make(tmp_path / "root")
    store = LiveStore(serving / LIVE_FILE_NAME)
    store.append([shop.event(who, who, "click", "a", page=f"p-{who}") for who in (GUEST, OTHER)]).result()
    for who in (GUEST, OTHER):
        store.record(shop.exposure(f"p-{who}", who, shop.NOW - 7_200, "a", "b")).result()
    store.close()
    seal(serving, data, shop.NOW, keep_seconds=0)
    store = LiveStore(serving / LIVE_FILE_NAME)
    store.merge(GUEST, USER).result()
    store.forget(USER).result()  # As the console does, before the rest is looked for.
    store.close()
    return tmp_path / "root", data


def users(data: pathlib.Path) -> set[str]:
    return {row["user_id"] for table in ("interactions", "exposures") for row in rows(data, table)}


def test_what_was_sealed_of_the_guest_goes(sealed: tuple[pathlib.Path, pathlib.Path]) -> None:
    root, data = sealed
    assert users(data) == {GUEST, OTHER}
    done = forget(USER, data, root)
    assert users(data) == {OTHER} and not done.traces
    kept = {**bytes_of(root), **bytes_of(data)}.values()
    assert not any(name.encode() in content for content in kept for name in (USER, GUEST))
    assert not forget(USER, data, root).removed


def test_who_dies_before_the_end_finds_the_guest_again(
    sealed: tuple[pathlib.Path, pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, data = sealed
    with monkeypatch.context() as patch:
        patch.setattr(erasure, "_from_tables", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            forget(USER, data, root)
    assert users(data) == {GUEST, OTHER}
    forget(USER, data, root)
    assert users(data) == {OTHER}


def test_a_pseudonym_was_a_pseudonymous_guest(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "0123456789abcdef0123456789abcdef")
    guest, user = (pseudonym(who, load_key("env:KEY")) for who in (GUEST, USER))
    serving, data = shop.make(tmp_path / "root")
    store = LiveStore(serving / LIVE_FILE_NAME)
    store.append([shop.event("1", guest, "click", "a")]).result()
    seal(serving, data, shop.NOW)
    store.merge(guest, user).result()
    store.close()
    forget(USER, data, tmp_path / "root", user_key="env:KEY")
    assert not users(data)
