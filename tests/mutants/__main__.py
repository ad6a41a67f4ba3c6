"""Breaks the code on purpose, one place at a time, and counts how often the tests notice: `make mutants`.

Each row of `mutants.yaml` names a file, the text in it that is replaced, what replaces it, and the tests that should
fail then. A mutant that no test notices has survived.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import yaml

HOUSE = pathlib.Path(__file__).parents[2]
LIST = pathlib.Path(__file__).with_name("mutants.yaml")
LEFT_BEHIND = shutil.ignore_patterns(".*", "var", "build", "*.egg-info", "__pycache__")
MAX_SECONDS = 600  # A mutant that loops for ever is noticed too.
PASSED, FAILED = 0, 1  # pytest's exit codes; others mean that the tests did not run.


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One broken place."""

    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def apply(self, house: pathlib.Path) -> None:
        """Breaks the place in a copy of the repository.

        Raises:
            ValueError: the text does not stand there exactly once, so that the list is stale.
        """
        path = house / self.file
        source = path.read_text(encoding="utf-8")
        if source.count(self.before) != 1:
            raise ValueError(f"{self.file} holds {self.before!r} {source.count(self.before)} times, not once")
        path.write_text(source.replace(self.before, self.after), encoding="utf-8")


def read_list() -> list[Mutant]:
    """The mutants, in order."""
    rows = yaml.safe_load(LIST.read_text(encoding="utf-8"))
    return [Mutant(row["file"], row["before"], row["after"], tuple(row["tests"])) for row in rows]


def is_killed(mutant: Mutant) -> bool:
    """Whether its tests fail on the broken code.

    Raises:
        RuntimeError: they could not be run.
    """
    with tempfile.TemporaryDirectory(prefix="homefeed-mutant-") as folder:
        house = pathlib.Path(folder) / "house"
        shutil.copytree(HOUSE, house, symlinks=True, ignore=LEFT_BEHIND)
        mutant.apply(house)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "", "-p", "no:cacheprovider", *mutant.tests]
        environment = os.environ | {"PYTHONPATH": f"{house}:{house / 'serving' / 'client'}"}
        try:
            ran = subprocess.run(
                command, cwd=house, env=environment, capture_output=True, text=True, timeout=MAX_SECONDS
            )
        except subprocess.TimeoutExpired:
            return True
    if ran.returncode not in (PASSED, FAILED):
        # Code that cannot be imported any more ends the collection: nobody would overlook that either.
        if "Error" in ran.stdout and "error" in ran.stdout.splitlines()[-1]:
            return True
        raise RuntimeError(f"{' '.join(mutant.tests)} did not run: {ran.stdout[-500:]}{ran.stderr[-500:]}")
    return ran.returncode == FAILED


def main() -> int:
    """Prints each mutant's fate and the share that survived; 1 if it is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="Files whose path contains this.")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--limit", type=float, default=0.05, help="Share of mutants that may survive.")
    arguments = parser.parse_args()
    mutants = [mutant for mutant in read_list() if arguments.only in mutant.file]
    survivors = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.workers) as pool:
        for mutant, killed in zip(mutants, pool.map(is_killed, mutants), strict=True):
            survivors += not killed
            fate = "killed  " if killed else "SURVIVED"
            print(f"{fate} {mutant.file}: {mutant.before.strip()!r} → {mutant.after.strip()!r}", flush=True)
    print(f"{survivors} of {len(mutants)} survived ({survivors / max(len(mutants), 1):.1%})")
    return int(survivors > arguments.limit * len(mutants))


if __name__ == "__main__":
    sys.exit(main())
