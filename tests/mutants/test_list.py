"""The list of mutants is about the code as it is."""

import pathlib
import shutil

import pytest

from tests.mutants.__main__ import HOUSE, Mutant, read_list

MUTANTS = read_list()


def test_the_list_is_long_and_covers_the_rooms() -> None:
    assert len(MUTANTS) >= 60 and len(set(MUTANTS)) == len(MUTANTS)
    assert {mutant.file.partition("/")[0] for mutant in MUTANTS} >= {"models", "components", "serving"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}:{mutant.before.strip()[:40]}")
def test_the_place_and_its_tests_exist(mutant: Mutant, tmp_path: pathlib.Path) -> None:
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    shutil.copy(HOUSE / mutant.file, copy)
    mutant.apply(tmp_path)
    compile(
        copy.read_text(encoding="utf-8"), mutant.file, "exec"
    )  # Broken in what it does, not in how it is written.
    assert mutant.tests and all((HOUSE / test.partition("::")[0]).exists() for test in mutant.tests)
