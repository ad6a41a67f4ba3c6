"""Simulated shoppers before the real gateway, week after week: what exploration and diversity cost and bring.

    python -m benchmarks.closed_loop [--weeks N] [--users N] [--items N] [--events N] [--visits N]
                                     [--arms greedy thompson …] [--jobs N] [--into FOLDER]

Each arm is a store of its own with the same shoppers, whose tastes are hidden from it: first models from a log, then
weeks in which shoppers visit the home page over HTTP. A shopper looks at place p with probability 1 / p, takes a card
by their taste, and has had enough of a category for a while after taking from it. At the end of a week what came is
sealed, the models are trained again, and new items come into the catalogue. Chance is the same in all arms.

Regret is how much less the shown pages are worth than the best ones, by an oracle that knows the tastes: clicks to be
expected over those of the page with the greatest chances; `by_chance` is that of pages of any items. Beside it: the
click rate of what was looked at, how soon new items are seen, and two experiments on what the shoppers did: A/A
(halves of the shoppers of an arm) and A/B (half of the shoppers of two arms), whose true lift is known. Writes
`results.json` and, of all arms, `closed_loop.md`. An arm takes most of an hour: with `--into`, what is finished there
is not run again.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import csv
import dataclasses
import datetime
import functools
import json
import multiprocessing
import pathlib
import pickle
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import scipy.special

from benchmarks import results
from benchmarks._truth import read_truth
from benchmarks.gateway import gateway, running, wait_until_ready
from homefeed.models.off_policy import estimators
from homefeed.pipeline.datasets.sample.rows import user_ids
from homefeed.pipeline.datasets.sample.store import liking
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving import process
from homefeed.serving.releases import Releases

Floats = npt.NDArray[np.float64]

TABLE = pathlib.Path(__file__).with_suffix(".md")
LENGTH = 10  # Cards of a page.
LOOKS = 1 / np.arange(1, LENGTH + 1)  # How likely each place is looked at.
SATIATION = (
    0.7  # By so much log-odds fall with each of the last picks from a category; half of it is left a visit later.
)
NEW_SHARE = 0.4  # Of the items, which come during the weeks.
DAYS, SOON_DAYS, SOON = 7, 3, 10
DAY_SECONDS = 86_400
WAIT_SECONDS = 600.0  # For a server, where other arms are trained beside it.
DIVERSITY = {"diversity": {"max_loss": 0.01}}
ROTATION = {"rotation": 24.0 * 365}  # Weeks pass in minutes: nothing fades.
ARMS: dict[str, dict[str, Any]] = {
    "greedy": DIVERSITY | ROTATION,
    "greedy, no rotation": DIVERSITY,
    "greedy, no diversity": ROTATION,
    "epsilon-greedy": DIVERSITY | ROTATION | {"exploration": {"method": "greedy", "epsilon": 0.1}},
    "thompson": DIVERSITY | ROTATION | {"exploration": {"method": "thompson", "epsilon": 0.05}},
}
"""Name → what the surface `home` has besides its one row."""
CONTROL = "greedy"
# Small enough for a training a week in about a minute on one core.
SETTINGS = (
    "retrieval_trainer.epochs=20",
    "retrieval_trainer.width=32",
    "retrieval_trainer.num_layers=1",
    "behavior_pretrainer.num_layers=1",
    "behavior_pretrainer.width=64",
    "behavior_pretrainer.head_steps=100",
    "behavior_pretrainer.fine_tuning_steps=10",
    "ranking_trainer.width=16",
    "ranking_trainer.points_per_user=2",
    "ranking_trainer.epochs=3",
    "infra_validator.num_requests=5",
    "bulk_inferrer.max_users=50",
    # A simulated week is a matter of seconds: too few to be split by time.
    "example_gen.split=hash",
    "example_gen.eval_fraction=0.1",
    "example_gen.test_fraction=0.05",
    # Every week's models are taken, so that arms differ by what they learn from and not by when they may.
    "evaluator.base_margin=1.0",
    "evaluator.slice_margin=1.0",
    "evaluator.ranking_margin=1.0",
    "evaluator.popularity_margin=1.0",
)
Serve = Callable[[pathlib.Path], "contextlib.AbstractContextManager[str]"]
"""From a folder of pushed models to a model server's `host:port`, for as long as the context."""


@dataclasses.dataclass(frozen=True)
class Size:
    """How large a store is, and how often its shoppers come."""

    num_users: int = 300
    num_items: int = 300
    num_events: int = 4_000
    num_visits: int = 4  # Of each shopper, a week.
    num_weeks: int = 12
    seed: int = 0


class Shoppers:
    """What shoppers like, and what they have had.

    Args:
        data: the store's folder, with what is hidden in it.
        seed: of their chance.
    """

    def __init__(self, data: pathlib.Path, seed: int) -> None:
        items, users, self.item_ids, _ = read_truth(data)
        self.user_ids = user_ids(users)
        who, what = np.arange(len(users.age))[:, None], np.arange(len(self.item_ids))[None]
        shares = users.categories[who, items.category[what]] + 1e-4
        pull = np.log(shares) + 1.5 * liking(items, users, who, what)
        self._pull = pull - np.quantile(pull, 0.9)  # A tenth of the items is taken rather than left.
        self._category, self._seed = items.category, seed
        self._place = {item_id: place for place, item_id in enumerate(self.item_ids)}
        self._sated = np.zeros((len(self.user_ids), items.category.max() + 1))
        self._had = np.zeros(pull.shape, bool)
        number = {user_id: place for place, user_id in enumerate(self.user_ids)}
        header, *rows = _read(data / "interactions" / "1.csv")
        for row in rows:
            of = dict(zip(header, row, strict=True))
            self._had[number[of["user_id"]], self._place[of["item_id"]]] = True

    def chances(self, user: int) -> Floats:
        """[num_items] of being taken if looked at; 0 of what they have had."""
        sated = SATIATION * self._sated[user, self._category]
        return np.where(self._had[user], 0.0, scipy.special.expit(self._pull[user] - sated))

    def best(self, user: int, available: npt.NDArray[np.bool_]) -> float:
        """Clicks to be expected of the best page."""
        chances = np.sort(np.where(available, self.chances(user), 0.0))[::-1][:LENGTH]
        return float(chances @ LOOKS[: len(chances)])

    def by_chance(self, user: int, available: npt.NDArray[np.bool_]) -> float:
        """Clicks to be expected of a page of any items that they have not had."""
        left = available & ~self._had[user]
        return float(self.chances(user)[left].mean() * LOOKS[: left.sum()].sum())

    def visit(self, user: int, cards: Sequence[str], visit: int) -> tuple[float, list[str], list[str]]:
        """Clicks to be expected of a page, what is looked at, and what is taken."""
        rng = np.random.default_rng((self._seed, visit, user))  # Chance is the item's and the place's, in every arm.
        looks, takes = rng.random(LENGTH), rng.random(len(self.item_ids))
        chances = self.chances(user)
        places = np.array([self._place[card] for card in cards], np.int64)
        looked = looks[: len(places)] < LOOKS[: len(places)]
        taken = looked & (takes[places] < chances[places])
        self._sated[user] /= 2
        np.add.at(self._sated[user], self._category[places[taken]], 1.0)
        self._had[user, places[taken]] = True
        expected = float(chances[places] @ LOOKS[: len(places)])
        return expected, [cards[at] for at in np.flatnonzero(looked)], [cards[at] for at in np.flatnonzero(taken)]


@dataclasses.dataclass
class Week:
    """What happened in a week; arrays are [num_users].

    Attributes:
        version: of the models that it began with.
        expected: clicks to be expected of the pages that were shown.
        best: clicks to be expected of the best pages.
        by_chance: clicks to be expected of pages of any items.
        may_look: cards that shoppers could be expected to look at.
        looked: cards that they looked at.
        taken: cards that they took.
        soon: new item → on how many pages it was, and how often it was looked at, in the first days.
    """

    version: int
    expected: Floats
    best: Floats
    by_chance: Floats
    may_look: Floats
    looked: Floats
    taken: Floats
    soon: dict[str, npt.NDArray[np.int64]]


def first_models(folder: pathlib.Path, size: Size, settings: Sequence[str]) -> None:
    """What all arms begin with: a store, its log without what comes later, and models of it."""
    from homefeed.pipeline.datasets.sample import write_sample

    of_store = {"num_users": size.num_users, "num_items": size.num_items, "num_events": size.num_events}
    write_sample(folder / "store", **of_store, seed=size.seed, live=True)
    shutil.copytree(folder / "store", folder / "data")
    _Shelves(folder / "store", size).open(folder / "data")
    _train(folder / "data", folder / "root", settings)


def run_arm(
    first: pathlib.Path,
    folder: pathlib.Path,
    surface: Mapping[str, Any],
    size: Size,
    settings: Sequence[str],
    serve: Serve,
) -> list[Week]:
    """Weeks of one arm.

    Args:
        first: as `first_models` wrote it.
        folder: gets the arm's data and the root of its models.
        surface: of ARMS.
        size: of the store.
        settings: of each training.
        serve: a model server.
    """
    data, root = folder / "data", folder / "root"
    for name in ("data", "root"):
        shutil.copytree(first / name, folder / name)
    Releases(RunRoot(root).serving).configure()  # The copy's folders, and not the first ones'.
    shoppers, shelves = Shoppers(data, size.seed), _Shelves(first / "store", size)
    (folder / "surfaces.yaml").write_text(json.dumps({"home": _home(surface)}), encoding="utf-8")
    version, weeks = 1, list[Week]()
    options = ("--surfaces", str(folder / "surfaces.yaml"), "--budget-ms", "10000", "--user-rate", "0")
    with (
        serve(RunRoot(root).serving) as models,
        gateway(root, "--models", models, *options) as (url, _),
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        wait_until_ready(url, WAIT_SECONDS)
        for number in range(size.num_weeks):
            _await(http, version)
            weeks.append(_live(http, shoppers, shelves, number, size, version))
            print(folder.name, json.dumps(summarize(weeks[-1:])), flush=True)
            if number + 1 < size.num_weeks:
                shelves.deliver(data, number + 1)
                _seal(root, data)
                version = _train(data, root, settings)
    return weeks


def run_arms(folder: pathlib.Path, names: Sequence[str], size: Size, jobs: int) -> dict[str, list[Week]]:
    """Weeks of each arm, every one in a process of its own: what a training leaves behind is not the next arm's."""
    alone = functools.partial(
        concurrent.futures.ProcessPoolExecutor,
        mp_context=multiprocessing.get_context("spawn"),
        max_tasks_per_child=1,
    )
    first = folder / "first"
    with alone(1) as pool:
        pool.submit(_once, first, first_models, first, size, SETTINGS).result()
    with alone(jobs) as pool:
        started = {
            name: pool.submit(
                _once, folder / name, run_arm, first, folder / name, ARMS[name], size, SETTINGS, model_server
            )
            for name in names
        }
        return {name: run.result() for name, run in started.items()}


def _once(folder: pathlib.Path, make: Callable[..., Any], *said: Any) -> Any:
    """What is made in a folder, and what was given back when it was finished before."""
    finished = folder.with_suffix(".finished")
    if not finished.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        finished.write_bytes(pickle.dumps(make(*said)))
    return pickle.loads(finished.read_bytes())


def _home(surface: Mapping[str, Any]) -> dict[str, Any]:
    return {"rows": ["for_you"], "length": LENGTH, **surface}


class _Shelves:
    """The items table, to which items come every week.

    Args:
        store: a store with all of its items.
        size: of it.
    """

    def __init__(self, store: pathlib.Path, size: Size) -> None:
        self._header, *self._rows = _read(store / "items.csv")
        rng = np.random.default_rng(size.seed)
        late = rng.permutation(len(self._rows))[: int(NEW_SHARE * len(self._rows))]
        self.week = np.zeros(len(self._rows), np.int64)  # In which each comes; those of week 0 are there.
        self.week[late] = 1 + np.arange(len(late)) % max(size.num_weeks - 1, 1)

    def open(self, data: pathlib.Path) -> None:
        """The first items alone, and a log in which nobody has done anything with others."""
        self.deliver(data, 0)
        there = {row[0] for row, comes in zip(self._rows, self.week, strict=True) if not comes}
        header, *rows = _read(data / "interactions" / "1.csv")
        kept = (row for row in rows if row[header.index("item_id")] in there)
        _write(data / "interactions" / "1.csv", [header, *kept])

    def deliver(self, data: pathlib.Path, week: int) -> None:
        """Those of a week are there from now on."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        for place in np.flatnonzero(self.week == week):
            self._rows[place][self._header.index("available_from")] = now if week else ""
        there = [row for row, comes in zip(self._rows, self.week, strict=True) if comes <= week]
        _write(data / "items.csv", [self._header, *there])


def _read(path: pathlib.Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _write(path: pathlib.Path, rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def _live(http: httpx.Client, shoppers: Shoppers, shelves: _Shelves, number: int, size: Size, version: int) -> Week:
    """A week: each shopper visits on some of its days."""
    nothing = (np.zeros(size.num_users) for _ in range(6))
    new = {item for item, week in zip(shoppers.item_ids, shelves.week, strict=True) if week == number > 0}
    week = Week(version, *nothing, {item: np.zeros(2, np.int64) for item in sorted(new)})
    for day in range(DAYS):
        for user in range(size.num_users):
            if (user + day) % DAYS >= size.num_visits:
                continue
            page = http.get("/v1/page", params={"user_id": shoppers.user_ids[user]}).raise_for_status().json()
            cards = [card["item_id"] for row in page["rows"] for card in row["cards"]][:LENGTH]
            week.best[user] += shoppers.best(user, shelves.week <= number)
            week.by_chance[user] += shoppers.by_chance(user, shelves.week <= number)
            expected, looked, taken = shoppers.visit(user, cards, number * DAYS + day)
            week.expected[user] += expected
            week.may_look[user] += LOOKS[: len(cards)].sum()
            week.looked[user] += len(looked)
            week.taken[user] += len(taken)
            for item in new.intersection(cards) if day < SOON_DAYS else ():
                week.soon[item] += (1, item in looked)
            _tell(http, shoppers.user_ids[user], page, looked, taken)
    return week


def _tell(
    http: httpx.Client, user_id: str, page: Mapping[str, Any], looked: Sequence[str], taken: Sequence[str]
) -> None:
    events = [("impression", item) for item in looked] + [("click", item) for item in taken]
    told = [
        {
            "event_id": f"{page['impression_id']}-{kind}-{item}",
            "user_id": user_id,
            "type": kind,
            "item_id": item,
            "token": page["token"],
        }
        for kind, item in events
    ]
    if told:
        http.post("/v1/events", json={"events": told}).raise_for_status()


def _seal(root: pathlib.Path, data: pathlib.Path) -> None:
    from homefeed.serving.feedback.seal import seal

    ahead = DAY_SECONDS  # By then all pages have waited long enough to be sealed.
    seal(RunRoot(root).pushed(), data, time.time() + ahead, keep_seconds=DAYS * DAY_SECONDS + ahead)


def _train(data: pathlib.Path, root: pathlib.Path, settings: Sequence[str]) -> int:
    """The version in service afterwards."""
    from homefeed.pipeline.loop.options import Options
    from homefeed.pipeline.loop.retrain import retrain

    outcome = retrain(data, root, Options(drift_margin=1.0), observer=_silent, settings=settings)
    assert outcome.version is not None
    return outcome.version


@contextlib.contextmanager
def _silent(title: str) -> Iterator[Any]:
    yield lambda step: None


def _await(http: httpx.Client, version: int, seconds: float = WAIT_SECONDS) -> None:
    """Until pages come from a version."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        page = http.get("/v1/page", params={"session_id": f"waiting-{time.monotonic()}"}).json()
        if page.get("model_version") == version and page.get("served_by") == "fused":
            return
        time.sleep(0.1)
    raise TimeoutError(f"version {version} is not served after {seconds} seconds")


@contextlib.contextmanager
def model_server(serving_dir: pathlib.Path) -> Iterator[str]:
    """Ours, as a process."""
    port = process.free_port()
    with running(process.server_command("homefeed", process.server_flags(str(serving_dir), port))):
        yield f"127.0.0.1:{port}"


def summarize(weeks: Sequence[Week]) -> dict[str, float]:
    """The figures of an arm that are kept."""
    last = weeks[-1]
    aa, low, high = halves(last, last)
    new = np.array([count for week in weeks for count in week.soon.values()]).reshape(-1, 2)
    shown, seen = (new >= SOON).mean(axis=0) if len(new) else (0.0, 0.0)
    return {
        "weeks": len(weeks),
        "regret": _regret(weeks),
        "regret.last_week": _regret([last]),
        "regret.by_chance": _regret(weeks, "by_chance"),
        "clicks_expected": sum(week.expected.sum() for week in weeks) / sum(week.may_look.sum() for week in weeks),
        "click_rate.first_week": weeks[0].taken.sum() / weeks[0].looked.sum(),
        "click_rate.last_week": last.taken.sum() / last.looked.sum(),
        "new_items": len(new),
        "new_items.shown_soon": float(shown),
        "new_items.seen_soon": float(seen),
        "a_a.difference": aa,
        "a_a.low": low,
        "a_a.high": high,
    }


def _regret(weeks: Sequence[Week], of: str = "expected") -> float:
    return float(1 - sum(getattr(week, of).sum() for week in weeks) / sum(week.best.sum() for week in weeks))


def halves(ours: Week, theirs: Week) -> tuple[float, float, float]:
    """The click rate of every other shopper in one world, less that of the others in another one, with its interval.

    The unit is the shopper, whose cards hang together.
    """
    of_ours, of_theirs = (
        estimators.snips(taken / np.maximum(looked, 1), looked, np.arange(len(looked)))
        for taken, looked in ((ours.taken[::2], ours.looked[::2]), (theirs.taken[1::2], theirs.looked[1::2]))
    )
    difference = of_ours.value - of_theirs.value
    half = float(np.hypot(*(found.interval[1] - found.value for found in (of_ours, of_theirs))))
    return difference, difference - half, difference + half


def compare(arms: Mapping[str, Sequence[Week]]) -> dict[str, float]:
    """A/B of each arm against the control, in the last week: what the halves say, and the true lift."""
    found: dict[str, float] = {}
    for name, weeks in arms.items():
        if name == CONTROL or CONTROL not in arms:
            continue
        ours, theirs = weeks[-1], arms[CONTROL][-1]
        rates = [week.expected.sum() / week.may_look.sum() for week in (ours, theirs)]
        lift = dict(zip(("lift", "low", "high"), halves(ours, theirs), strict=True)) | {
            "true_lift": rates[0] - rates[1]
        }
        lift["regret_less"] = 1 - _regret(weeks) / _regret(arms[CONTROL])
        lift["regret_less.last_week"] = 1 - _regret([ours]) / _regret([theirs])
        found |= {f"{name}.{figure}": float(value) for figure, value in lift.items()}
    return found


def to_markdown(arms: Mapping[str, Sequence[Week]], compared: Mapping[str, float]) -> str:
    """A line a week with the regret of each arm, and the figures that are kept."""
    weeks = next(iter(arms.values()))
    size = f"{len(weeks[0].looked):,} shoppers, {len(weeks)} weeks; see `benchmarks/closed_loop.py`."
    lines = ["# Simulated shoppers before the real gateway", "", size, ""]
    lines.append(f"| regret in week | {' | '.join(arms)} |")
    lines.append(f"|---|{'---:|' * len(arms)}")
    for number, of_arms in enumerate(zip(*arms.values(), strict=True), start=1):
        lines.append(f"| {number} | {' | '.join(f'{_regret([week]):.3f}' for week in of_arms)} |")
    figures = {name: summarize(weeks) for name, weeks in arms.items()}
    lines += ["", f"| figure | {' | '.join(arms)} |", f"|---|{'---:|' * len(arms)}"]
    for figure in next(iter(figures.values())):
        lines.append(f"| {figure} | {' | '.join(f'{of[figure]:.4g}' for of in figures.values())} |")
    lines += ["", "| against the control, last week | |", "|---|---:|"]
    lines += [f"| {figure} | {value:+.4f} |" for figure, value in compared.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weeks", type=int, default=Size.num_weeks)
    for name in ("users", "items", "events", "visits"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Size, f"num_{name}"))
    parser.add_argument("--arms", nargs="+", choices=tuple(ARMS), default=tuple(ARMS))
    parser.add_argument("--jobs", type=int, default=1, help="arms that run side by side")
    parser.add_argument("--into", type=pathlib.Path, help="where what is finished is kept")
    asked = parser.parse_args()
    size = Size(asked.users, asked.items, asked.events, asked.visits, asked.weeks)
    with tempfile.TemporaryDirectory(prefix="homefeed-closed-loop-") as temporary:
        kept_in = asked.into or pathlib.Path(temporary)
        folder = kept_in / "-".join(map(str, dataclasses.astuple(size)))
        folder.mkdir(parents=True, exist_ok=True)
        arms = run_arms(folder, asked.arms, size, asked.jobs)
    compared = compare(arms)
    text = to_markdown(arms, compared)
    print(text)
    if len(arms) == len(ARMS):
        kept = {
            f"{name}.{figure}": value for name, weeks in arms.items() for figure, value in summarize(weeks).items()
        }
        results.merge("closed_loop", {name: round(float(value), 4) for name, value in (kept | compared).items()})
        TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
