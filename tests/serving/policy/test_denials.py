"""What nobody may be shown: by id, word and category, and what waits for a verdict."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib

import pytest

from homefeed.serving.gateway.items import Items
from homefeed.serving.policy.conditions import read
from homefeed.serving.policy.files import mark_of
from homefeed.serving.policy.reviews import read_reviews, write_reviews
from homefeed.serving.policy.rules import PolicyError, read_rules
from homefeed.serving.policy.ruling import Ruling
from homefeed.serving.policy.wordlist import Words
from homefeed.serving.profiles.published import Item
from tests.serving.policy.test_rules import catalogue, draft, page, shown


@pytest.mark.parametrize(
    ("word", "text", "is_there"),
    [
        ("hell", "Hell, a guide", True),
        ("hell", "shell hello Hell_s", True),  # `_` is no letter.
        ("hell", "shell hello", False),
        ("ＨＥＬＬ", "hell", True),
        ("straße", "STRASSE 1", True),
        ("pipe bomb", "How a Pipe\n-Bomb works", True),
        ("pipe bomb", "pipe and bomb", False),
        ("bomb", "买bomb套件", True),
        ("赌博", "在线赌博平台", True),
        ("赌博", "赌 博", True),
        ("赌博", "赌场博物馆", False),
        ("ギャンブル", "ｷﾞｬﾝﾌﾞﾙ入門", True),  # Half as wide.
        ("bomb", "bo\u200bmb", True),  # A letter that nobody sees.
        ("cafe\u0301", "CAFÉ", True),
        ("", "anything", False),
        ("!!", "!!", False),
        # Signs between letters, and phrases that they part.
        ("bomb", "b.o.m.b, b-o_m*b", True),
        ("bomb", "bo💣mb", True),
        ("bomb", "b o m b", False),  # Spaces part words.
        ("pipe bomb", "p-i-p-e b/o/m/b", True),
        ("pipe bomb", "pi-pebomb", False),
        ("hell", "he'll, he\u2019ll", False),
        ("hell", "hell-bent", True),
        ("hell", "s.hell", True),
        # Marks, and what nobody sees.
        ("bomb", "b\u0336o\u0336m\u0336b\u0336", True),
        ("bomb", "bo\u0301\u0323mb", True),  # Which is also bọ́mb.
        ("bomb", "b\u00ado\u200dm\ufe0fb", True),
        ("bomb", "b\u3164o\u115fmb\U000e0061", True),
        ("bomb", "𝐛ⓞ𝗺𝒷", True),
        # German.
        ("bombe", "Bom\u00adbe", True),
        ("schwul", "schwüle Nacht, schwül", False),  # Another letter is another word.
        ("schwül", "SCHWU\u0308L", True),
        ("rohrbombe", "Rohr-Bombe", True),
        ("rohrbombe", "Rohrbomben", False),
        # Chinese, Japanese, Korean.
        ("赌博", "赌·博", True),
        ("赌博", "赌\ufe0f\u200b博", True),
        ("炸弹", "炸\u0336弹", True),
        ("がん", "か\u3099んの本", True),
        ("がん", "かんの本", False),
        ("도박", "온라인도\u3164박", True),
        # Arabic: vowels and stretching may be left out; letters may not.
        ("قمار", "لعبة قِمَار", True),
        ("قِمَار", "قمار", True),
        ("قمار", "قـمـار", True),
        ("قمار", "قمر", False),
        # Hindi: marks are letters.
        ("जुआ", "ऑनलाइन जुआ खेलें", True),
        ("जुआ", "जुआरी", False),
        ("चोर", "चार", False),
        ("चोर", "चो\u200dर", True),
        # Thai has no spaces, and its marks are letters.
        ("พนัน", "เว็บพนันออนไลน์", True),
        ("พนัน", "พนน", False),
        ("ปืน", "ปื\u200bน", True),
    ],
)
def test_words_are_found_whole_where_spaces_part_them_and_anywhere_else(word: str, text: str, is_there: bool) -> None:
    assert Words([word]).are_in(text) is is_there


def test_words_of_a_condition_are_those_of_title_and_description() -> None:
    condition = read({"words": ["knife", "刀"]})
    assert condition.holds({"title": "A KNIFE"}) and condition.holds({"title": "x", "description": "小刀"})
    assert not condition.holds({"title": "x", "categories": ["knife"]})
    assert read({"categories": {"words": "knife"}}).holds({"categories": ["a knife set"]})
    assert not read({"words": {"not": {"words": "knife"}}}).holds({"title": "knife"})
    assert read("all").holds({})


DENIED = """
ids: {deny: {item_id: {file: denied.txt}}}
words: {deny: {words: {file: words.txt}}}
kinds: {deny: {categories: comedy}}
new: {hold: {price: {at_most: 6}}, reviews: seen.jsonl}
pinned: {pin: [i02, i07, i09, i30]}
"""


def lists(folder: pathlib.Path) -> None:
    (folder / "denied.txt").write_text("# A comment.\n\ni02 # Complained of.\ni09\nnot-there\n", encoding="utf-8")
    (folder / "words.txt").write_text("title of i11\n", encoding="utf-8")
    (folder / "seen.jsonl").unlink(missing_ok=True)


@pytest.mark.parametrize("row", ["for_you", "popular", "new", "near_taste", "editors"])
def test_a_denied_item_is_in_no_row_whatever_the_surface_says(row: str, tmp_path: pathlib.Path) -> None:
    lists(tmp_path)
    asked = draft((row,), k=40, surface={"rules": ("pinned",)})
    made = page(DENIED, tmp_path, asked, catalogue(("i02", "i09", "i30", "i08")))
    found = [item for row in range(len(made.rows)) for item in shown(made, row)]
    expected = {f"i{n:02d}" for n in range(8, 21)} - {"i09", "i11"} | {"i07"}
    assert found and set(found) <= expected and made.set_aside == ()
    assert row != "for_you" or set(found) == expected


def test_what_is_held_comes_once_it_is_accepted(tmp_path: pathlib.Path) -> None:
    lists(tmp_path)
    assert shown(page(DENIED, tmp_path))[:2] == ["i07", "i08"]
    write_reviews(tmp_path / "seen.jsonl", ["i03", "i04"], "accepted")
    write_reviews(tmp_path / "seen.jsonl", ["i04"], "refused", "no")
    assert read_reviews(tmp_path / "seen.jsonl") == {"i03": "accepted", "i04": "refused"}
    assert shown(page(DENIED, tmp_path))[:3] == ["i07", "i03", "i08"]


def test_nothing_but_denied_items_is_an_empty_page(tmp_path: pathlib.Path) -> None:
    made = page("r: {deny: all}\nother: {block: {categories: drama}}", tmp_path)
    assert not made.rows and page("r: {block: all}", tmp_path).set_aside == ["r"]


def test_denials_are_counted_by_rule(tmp_path: pathlib.Path) -> None:
    lists(tmp_path)
    (tmp_path / "rules.yaml").write_text(DENIED)
    items = catalogue()
    ruling = Ruling(read_rules(tmp_path / "rules.yaml"), items.cards, items.popular)
    assert ruling.denied() == {"ids": 2, "words": 1, "kinds": 20, "new": 6}
    assert [item for item in ("i02", "i07", "i30", "nowhere") if ruling.is_denied(item)] == ["i02", "i30"]
    assert not Ruling(read_rules(tmp_path / "rules.yaml"), Items([Item("a", "A", {}, 0)]).cards, []).is_denied("a")


def test_the_version_is_also_that_of_the_files(tmp_path: pathlib.Path) -> None:
    lists(tmp_path)
    (tmp_path / "rules.yaml").write_text(DENIED)
    versions = [read_rules(tmp_path / "rules.yaml").version]
    for change in ("denied.txt", "words.txt"):
        (tmp_path / change).write_text("i01\n")
        versions.append(read_rules(tmp_path / "rules.yaml").version)
    write_reviews(tmp_path / "seen.jsonl", ["i01"], "accepted")
    rules = read_rules(tmp_path / "rules.yaml")
    assert len({*versions, rules.version}) == 4
    assert {path.name for path in rules.files} == {"denied.txt", "words.txt", "seen.jsonl"}
    (tmp_path / "denied.txt").write_text("")
    assert read_rules(tmp_path / "rules.yaml").by_name["ids"].is_about({"item_id": "i01"}, 0.0) is False


@pytest.mark.parametrize("name", ["denied.txt", "seen.jsonl"])
def test_a_line_that_comes_while_a_file_is_read_is_not_missed(
    name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("r: {deny: {item_id: {file: denied.txt}}}\nh: {hold: all, reviews: seen.jsonl}")
    (tmp_path / "denied.txt").write_text("i01\n")
    verdict = '{"item_id": "i02", "verdict": "accepted"}\n'
    (tmp_path / "seen.jsonl").write_text(verdict)
    late = {"denied.txt": "i09\n", "seen.jsonl": verdict.replace("i02", "i09")}[name]
    stat, looks = os.fstat, list[int]()

    def write_meanwhile(at: int) -> os.stat_result:  # Between a read and the look at the file after it, thrice.
        found = stat(at)
        if found.st_ino == (tmp_path / name).stat().st_ino:
            looks.append(at)
            if len(looks) in (1, 3, 5):
                with (tmp_path / name).open("a") as file:
                    file.write(late)
        return found

    monkeypatch.setattr(os, "fstat", write_meanwhile)
    rules = read_rules(path)
    assert len(looks) == 6  # It moved at each of three tries: its mark says that there is more.
    assert mark_of(tmp_path / name) != rules.files[tmp_path / name]
    rules = read_rules(path)
    assert all(mark_of(one) == mark for one, mark in rules.files.items())
    assert rules.by_name["r"].is_about({"item_id": "i09"}, 0.0) is (name == "denied.txt")
    assert rules.by_name["h"].is_about({"item_id": "i09"}, 0.0) is (name == "denied.txt")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("r: {deny: {categories: crime}, since: 2027-01-01}", "`since` belongs to"),
        ("r: {deny: {categories: crime}, reader: {age: 3}}", "`reader` belongs to"),
        ("r: {deny: {available_until: {at_most: now}}}", "deny holds always: it cannot ask for `now`"),
        ("r: {hold: all}", "hold needs `reviews`"),
        ("r: {block: all, reviews: seen.jsonl}", "`reviews` belongs to hold"),
        ("r: {deny: {item_id: {file: none.txt}}}", "none.txt cannot be read"),
        ("r: {deny: {item_id: {file: [a]}}}", "file: expected the name of a file"),
        ("r: {deny: {words: {words: a, at_most: 1}}}", "words: `words` stands alone"),
        ("r: {hold: all, reviews: broken.jsonl}", 'broken.jsonl:2 is no verdict; expected {"item_id"'),
        ("r: {hold: all, reviews: /etc/passwd}", "'/etc/passwd' is not in the folder of the rules"),
        ("r: {deny: {item_id: {file: ../denied.txt}}}", "'../denied.txt' is not in the folder of the rules"),
        ("r: {deny: {item_id: {file: .}}}", "'.' is no file of at most 256 MiB"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(text: str, complaint: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "rules.yaml").write_text(text)
    (tmp_path / "broken.jsonl").write_text('{"item_id": "a", "verdict": "accepted"}\n{"item_id": 3}\n')
    with pytest.raises(PolicyError) as error:
        read_rules(tmp_path / "rules.yaml")
    assert complaint in str(error.value) and "\n" not in str(error.value)


def test_verdicts_are_added_whole_or_not_at_all_by_however_many(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "seen.jsonl"
    path.write_text('{"item_id": "i01", "verdict": "refused"}')  # By hand, without an end of the line.
    path.chmod(0o640)
    (tmp_path / "link.jsonl").symlink_to(path)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: write_reviews(tmp_path / "link.jsonl", [f"new-{n}"], "accepted"), range(20)))
    assert read_reviews(path) == {"i01": "refused", **{f"new-{n}": "accepted" for n in range(20)}}
    assert path.stat().st_mode & 0o777 == 0o640 and (tmp_path / "link.jsonl").is_symlink()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr("os.fsync", full)
        write_reviews(path, ["i02"], "accepted")
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 2
