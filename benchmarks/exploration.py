"""What chance costs: NDCG@10 and cards of lists that are drawn, beside those that are not.

    python -m benchmarks.exploration --root ROOT --name movielens [--queries 1000] [--keep]

The fused model of the last push is asked for the list of events of the test split, and the first 12 cards are drawn
by each method, some times each. `changed` is the share of cards that would not stand on the page without chance,
`least` the median over pages of the least probability of a card. The deviations are the model's own. `--keep`
writes `results.json`.
"""

from __future__ import annotations

import argparse
import pathlib
import random
import time
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.uncertainty import Asked, open_root
from homefeed.components.evaluator.queries import make_queries
from homefeed.models.requests import requests_from_sequences
from homefeed.serving.gateway.models import of_log_odds
from homefeed.serving.policy.exploration import Exploration, Lottery, draw

SHOWN, DRAWS = 12, 5
ARMS: dict[str, dict[str, Any]] = {
    "certain": {"method": "greedy", "epsilon": 0.0},
    "epsilon-0.05": {"method": "greedy", "epsilon": 0.05},
    "epsilon-0.1": {"method": "greedy", "epsilon": 0.1},
    **{
        f"{method}-{temperature:g}": {"method": method, "temperature": temperature, "epsilon": 0.0}
        for method in ("plackett_luce", "thompson")
        for temperature in (0.1, 0.25, 0.5, 1.0)
    },
    "default": {},
}


def lists_of(asked: Asked, max_queries: int) -> list[tuple[np.ndarray, list[float] | None, int]]:
    """Scores and deviations of each list, best first, and the place of the right answer; -1: it is not there."""
    test, catalogue = asked.splits["test"], asked.catalogue
    queries = make_queries(test, max_queries)
    requests = list(requests_from_sequences(test, catalogue, queries.rows, queries.ends))
    found = []
    for start in range(0, len(requests), 128):
        answers = asked.recommender.candidates(requests[start : start + 128])
        for place, item_ids in enumerate(answers.item_ids):
            order = [at for at in np.argsort(-answers.scores[place], kind="stable") if item_ids[at]]
            target = catalogue.item_ids[queries.targets[start + place]]
            at = [item_ids[one] for one in order].index(target) if target in {item_ids[one] for one in order} else -1
            columns = {"probabilities": answers.probabilities, "probability_deviation": answers.probability_deviation}
            deviations = of_log_odds({name: column[place][order] for name, column in columns.items()})
            found.append((answers.scores[place][order].astype(np.float64).round(3), deviations, at))
    return found


def measure(lists: list[tuple[np.ndarray, list[float] | None, int]], how: Exploration) -> dict[str, float]:
    """NDCG@10, how much is another page, and CPU microseconds of a page."""
    lots, gained, changed, least, seconds = random.Random(0), 0.0, 0, [], 0.0
    for scores, deviations, target in lists:
        size = min(len(scores), how.pool)
        for _ in range(DRAWS):
            started = time.process_time()
            known = None if deviations is None else deviations[:size]
            lottery, left = Lottery(how, size, scores[:size], known, (), SHOWN), np.ones(size, bool)
            cards, chances = [], []
            for _ in range(min(SHOWN, size)):
                chance = lottery.probabilities(left)
                cards.append(draw(chance, lots.random()))
                chances.append(chance[cards[-1]])
                left[cards[-1]] = False
            seconds += time.process_time() - started
            gained += 1 / np.log2(2 + cards.index(target)) if target in cards[:10] else 0.0
            changed += sum(card >= SHOWN for card in cards)
            least.append(min(chances))
    pages = len(lists) * DRAWS
    return {
        "ndcg@10": gained / pages,
        "changed": changed / pages / SHOWN,
        "least": float(np.median(least)),
        "cpu_us": seconds / pages * 1e6,
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    lists = lists_of(open_root(asked.root), asked.queries)
    figures = {
        f"{arm}.{name}": value
        for arm, said in ARMS.items()
        for name, value in measure(lists, Exploration.model_validate(said)).items()
    }
    results.tell(f"exploration.{asked.name}", figures, keep=asked.keep)


if __name__ == "__main__":
    main()
