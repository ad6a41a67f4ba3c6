"""What the simulated store's shoppers really like, and how well who knows that could sort for purchases."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import numpy.typing as npt
import scipy.stats

from homefeed.components.evaluator.queries import Queries
from homefeed.models.evaluation import metrics
from homefeed.models.sequences import Sequences
from homefeed.pipeline.datasets.sample.rows import DEPTHS, MOOD
from homefeed.pipeline.datasets.sample.simulation import NUM_CONSIDERED, SAME_STYLE, TASTE
from homefeed.pipeline.datasets.sample.store import Items, Users, liking

Floats = npt.NDArray[np.float64]
EXPONENTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # Of P(purchase) beside P(comes next).


@dataclasses.dataclass(frozen=True)
class Truth:
    """The simulation, its items by the rows of a Catalogue.

    Attributes:
        items: [num_rows] each; row 0 stands for none.
        users: [num_users] each.
        transitions: [num_categories, num_categories] which category follows which.
    """

    items: Items
    users: Users
    transitions: Floats

    @classmethod
    def read(cls, folder: pathlib.Path, item_ids: npt.NDArray[np.object_]) -> Truth:
        """That of a folder that `homefeed data sample` wrote.

        Args:
            folder: with `truth.json`.
            item_ids: [num_rows] of the Catalogue, as bytes.
        """
        items, users, ids, transitions = read_truth(folder)
        place = {item_id.encode(): row for row, item_id in enumerate(ids)}
        rows = [0, *(place[item_id] for item_id in item_ids[1:])]
        columns = {field.name: getattr(items, field.name)[rows] for field in dataclasses.fields(Items)}
        return cls(Items(**columns), users, transitions)

    def liking(self, who: npt.NDArray[np.int64]) -> Floats:
        """[num_asked, num_rows] how well items suit shoppers, in about standard deviations."""
        return liking(self.items, self.users, who[:, None], np.arange(len(self.items.category))[None])

    def comes_next(self, who: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> Floats:
        """[num_asked, num_rows] about the probability of each item as the next pick.

        Which of a category's items are considered is left to chance; here all of them are, as often as they would be.

        Args:
            who: [num_asked] shoppers.
            last: [num_asked] rows of their last picks, 0 for none.
        """
        category, style = self.items.category, self.items.style
        taste, had = self.users.categories[who], (last > 0)[:, None]
        of_category = (taste + np.where(had, self.transitions[category[last]], taste)) / 2
        pull = TASTE * self.liking(who) + SAME_STYLE * (had & (style[None] == style[last][:, None]))
        appeal = np.exp(self.items.appeal) * (np.arange(len(category)) > 0)
        members = np.eye(len(self.transitions))[category]
        considered = 1 - (1 - appeal / (appeal @ members)[category]) ** NUM_CONSIDERED
        mass = considered * np.exp(pull)
        return of_category[:, category] * mass / (mass @ members)[:, category]

    def purchase(self, who: npt.NDArray[np.int64]) -> Floats:
        """[num_asked, num_rows] the probability that a pick is a purchase."""
        return scipy.stats.norm.sf((DEPTHS[-1] - self.liking(who)) / MOOD)


def read_truth(folder: pathlib.Path) -> tuple[Items, Users, list[str], Floats]:
    """Items, shoppers, whose ids count them, the items' ids, and [num_categories, num_categories] transitions."""
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    ids: list[str] = truth["items"].pop("item_id")
    truth["users"].pop("user_id")
    items = Items(**{name: np.array(column) for name, column in truth["items"].items()})
    users = Users(**{name: np.array(column) for name, column in truth["users"].items()})
    return items, users, ids, np.array(truth["transitions"])


def rows_of_users(user_ids: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """Of the simulation: their ids count them."""
    return np.array([int(user_id.decode().removeprefix("user-")) for user_id in user_ids], np.int64)


def best_for_purchases(truth: Truth, sequences: Sequences, queries: Queries) -> dict[str, Floats]:
    """`interactions` and `purchases` → [num_queries] NDCG@10 of the best lists of who knows all of it.

    The second is sorted by P(comes next) × P(purchase)^e, with the e under which the first ten have most purchases:
    chosen by what is measured, it is an upper bound.
    """
    who = rows_of_users(sequences.user_ids[queries.rows])
    last = np.array([history[-1] if len(history) else 0 for history in queries.histories], np.int64)
    next_, purchase = np.log(truth.comes_next(who, last) + 1e-12), np.log(truth.purchase(who) + 1e-9)
    bought = is_purchase(sequences)[queries.ends]
    found = {}
    for exponent in EXPONENTS:
        ranks = metrics.rank_targets(next_ + exponent * purchase, queries.targets, queries.histories)
        found[exponent] = metrics.ndcg(ranks, 10)
    best = max(EXPONENTS, key=lambda exponent: float((found[exponent][bought] > 0).mean()))
    return {"interactions": found[0.0], "purchases": found[best]}


def is_purchase(sequences: Sequences) -> npt.NDArray[np.bool_]:
    """[num_events]."""
    types = sequences.event_vocabularies.get("event_type", ())
    return sequences.event_categorical["event_type"] == 2 + types.index("purchase")
