"""Fits the text model: heads, then BERT with them, then heads anew; every choice by items hidden from training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.models.behaviour_text import wordpiece
from homefeed.models.catalogue import Catalogue
from homefeed.models.evaluation import metrics
from homefeed.models.sequences import Sequences
from homefeed.models.text import frequent_items, reading, texts, training
from homefeed.models.text.heads import TextHeads
from homefeed.models.text.settings import Settings
from homefeed.models.text.tasks import Task, Tasks
from homefeed.models.text.text_model import TextModel, ends_of
from homefeed.models.text.texts import Texts, Tokens

FROZEN, BAG_OF_WORDS, PRESET, FINE_TUNED, SHUFFLED = (
    "random frozen",
    "bag of words",
    "preset frozen",
    "fine-tuned",
    "texts shuffled",
)


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to read texts, its heads fitted until they are best, on items hidden from training.

    Attributes:
        nats: of the picks of hidden items among hidden items.
        warm_nats: of the eval split's picks of items that were learnt from.
        ndcg: [num_judged] float64, NDCG@10 of each of them.
        steps: after which its heads were best.
        ridge: with which its popularity was best.
        dropout: of its readings, while its heads were fitted.
    """

    nats: float
    warm_nats: float
    ndcg: npt.NDArray[np.float64]
    steps: int
    ridge: float
    dropout: float

    @property
    def worth(self) -> float:
        """By which BERT's fine-tuning is kept or not: lists hold new items and others."""
        return -(self.nats + self.warm_nats)


@dataclasses.dataclass(frozen=True)
class Fit:
    """What was learnt.

    Attributes:
        model: its heads fitted on everything.
        texts: readings by its BERTs.
        arms: what each way to read was worth on hidden items.
        kept: whether BERT's fine-tuning was kept.
    """

    model: TextModel
    texts: Texts
    arms: dict[str, Arm]
    kept: bool


class Fitter:
    """Fits arms on one division of items."""

    def __init__(self, tasks: Tasks, tokens: Tokens, settings: Settings):
        self.tasks = tasks
        self.tokens = tokens
        self.settings = settings
        self.arms: dict[str, Arm] = {}

    def arm(self, name: str, read: Texts, dropout: float | None = None) -> TextHeads:
        """Fits the heads of one way to read, judges and keeps them; `dropout` is the settings' unless it is given."""
        settings = self.settings if dropout is None else dataclasses.replace(self.settings, dropout=dropout)
        fitted = training.fit_heads(read, self.tasks.fitted, self.tasks.judged, settings)
        ndcg = ndcg_among(fitted.heads, read, self.tasks.judged)
        warm = training.judge_warm(fitted.heads, read, self.tasks.warm)
        self.arms[name] = Arm(fitted.nats, warm, ndcg, fitted.steps, fitted.ridge, settings.dropout)
        return fitted.heads

    def tune(self, bert: Any, heads: TextHeads, vocabulary: Sequence[str]) -> Texts:
        """Fine-tunes BERT in place; the round after which hidden items are told apart best stays.

        After each round heads are fitted anew, from zero, on what BERT reads then: those that it was trained with
        say less of it.

        Returns:
            What BERT reads after its best round.
        """
        reader = reading.Reader(bert)
        mask = list(vocabulary).index(wordpiece.MASK)
        rounds = []
        for _ in training.fine_tune(bert, heads, self.tokens, self.tasks.fitted, mask, self.settings):
            read = self.tokens.read(reader)
            self.arm(FINE_TUNED, read)
            rounds.append((self.arms[FINE_TUNED], read, bert.get_weights()))
        if not rounds:
            self.arms[FINE_TUNED] = self.arms[FROZEN]
            return self.tokens.read(reader)
        self.arms[FINE_TUNED], read, weights = min(rounds, key=lambda round_: round_[0].nats)
        bert.set_weights(weights)
        return read

    def on_everything(self, name: str, read: Texts) -> TextHeads:
        """The heads of an arm once more, no item hidden."""
        arm = self.arms[name]
        settings = dataclasses.replace(self.settings, dropout=arm.dropout)
        heads = training.fit_heads(read, self.tasks.train, None, settings, stop_after=arm.steps).heads
        training.fit_popularity(heads, read, self.tasks.train, arm.ridge)
        return heads


def fit(
    catalogue: Catalogue,
    train: Sequences,
    evaluation: Sequences,
    vocabulary: list[str],
    bert: Any,
    preset: Any | None,
    settings: Settings,
) -> Fit:
    """Fine-tunes `bert` in place, or leaves it as it was where that is better for hidden items.

    What words mean is learnt from the items with the most events, so that a large catalogue costs no more; then every
    item is read once.

    Args:
        catalogue, train, evaluation: the data.
        vocabulary: tokens by id.
        bert: a compact one.
        preset: a sentence encoder of the same vocabulary that is read, frozen, beside it; None: there is none.
        settings: sizes, rates and lengths.
    """
    rows = frequent_items.frequent_rows(catalogue, settings.max_items)
    if len(rows) == catalogue.num_rows:
        return _fit(catalogue, train, evaluation, vocabulary, bert, preset, settings)
    few = frequent_items.of_items(catalogue, rows)
    train, evaluation = (frequent_items.with_items(part, rows, catalogue.num_rows) for part in (train, evaluation))
    found = _fit(few, train, evaluation, vocabulary, bert, preset, settings)
    items = found.model.read_all(catalogue.token_ids)
    model = dataclasses.replace(found.model, items=items, item_texts=catalogue.token_ids)
    return dataclasses.replace(found, model=model)


def _fit(
    catalogue: Catalogue,
    train: Sequences,
    evaluation: Sequences,
    vocabulary: list[str],
    bert: Any,
    preset: Any | None,
    settings: Settings,
) -> Fit:
    tasks = Tasks.of(catalogue, train, evaluation, settings)
    readers = (bert,) if preset is None else (bert, preset)
    ends = ends_of(readers, vocabulary, [texts.shared_words(catalogue, tasks.train.requests, len(vocabulary)), None])
    tokens = Tokens.of(catalogue, tasks.queries, ends[0])
    read, beside = tokens.read(reading.Reader(bert)), None
    if preset is not None:
        beside = Tokens.of(catalogue, tasks.queries, ends[1]).read(reading.Reader(preset))
    has_words = preset is not None or bool((tokens.items > 0).any())
    if not len(tasks.fitted) or not len(tasks.judged) or not has_words:
        # With nothing to learn from, or to choose by, texts are read and say nothing.
        read = read if beside is None else read.beside(beside)
        heads = TextHeads(read.width, settings.head_size)
        return Fit(TextModel(readers, ends, read.scale, heads, read.items, catalogue.token_ids), read, {}, False)
    fitter = Fitter(tasks, tokens, settings)
    heads, best = fitter.arm(FROZEN, read), FROZEN
    start = bert.get_weights()
    tuned = fitter.tune(bert, heads, vocabulary)
    kept = fitter.arms[FINE_TUNED].worth > fitter.arms[FROZEN].worth
    if kept:
        read, best = tuned, FINE_TUNED
    else:
        bert.set_weights(start)
    if beside is not None:
        fitter.arm(PRESET, beside, settings.preset_dropout)
        read, best = read.beside(beside), f"{best} beside {PRESET}"
        fitter.arm(best, read, settings.preset_dropout)
    fitter.arm(BAG_OF_WORDS, texts.bag_of_words(tokens, tasks.fitted.rows, len(vocabulary)))
    fitter.arm(SHUFFLED, read.shuffled(settings.seed), fitter.arms[best].dropout)
    heads = fitter.on_everything(best, read)
    return Fit(TextModel(readers, ends, read.scale, heads, read.items, catalogue.token_ids), read, fitter.arms, kept)


def ndcg_among(heads: TextHeads, read: Texts, task: Task) -> npt.NDArray[np.float64]:
    """[num_requests] NDCG@10 of picks among the task's items that are not in the history, as those of new items."""
    found = training.scores(heads, read, task)
    place = np.full(len(task.log_counts), -1)
    place[task.rows] = np.arange(len(task.rows))
    # `rank_targets` calls row 0 padding.
    padded = np.concatenate([np.full((len(found), 1), -np.inf, np.float32), found], axis=1)
    seen = [1 + place[history][place[history] >= 0] for history in task.requests.history]
    ranks = metrics.rank_targets(padded, 1 + place[task.requests.target], seen)
    return metrics.ndcg(ranks, 10)
