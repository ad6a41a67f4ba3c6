"""Trains heads on readings of texts, and fine-tunes BERT by the order of lists."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import scipy.special
import tensorflow as tf

from homefeed.models.shared import optimizers
from homefeed.models.text import reading
from homefeed.models.text.heads import MEMORIES, TextHeads, memory
from homefeed.models.text.settings import Settings
from homefeed.models.text.tasks import Task
from homefeed.models.text.texts import Texts, Tokens

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]

_JUDGED_EVERY = 50  # Steps.
_SCORED = 1024  # Requests at a time.
RIDGES = (float("inf"), 1e5, 1e4, 1e3, 1e2)


class Loss:
    """Softmax over candidates, in nats.

    How often each candidate is picked anyway is given: what is popular is not for affinity to say.
    """

    def __init__(self, heads: TextHeads):
        self._heads = heads

    def logits(self, batch: dict[str, tf.Tensor], history: tf.Tensor, queries: tf.Tensor, offered: tf.Tensor) -> Any:
        """[batch, num_candidates] affinity; `history` [num_events, width], `queries` [batch, width], `offered`
        [num_candidates, width] are readings."""
        heads = self._heads
        wanted = heads.wanted(heads.events(history), {name: batch[name] for name in MEMORIES}) + heads.query(queries)
        return tf.matmul(wanted, heads.offered(offered), transpose_b=True)

    def __call__(
        self, batch: dict[str, tf.Tensor], history: tf.Tensor, queries: tf.Tensor, offered: tf.Tensor
    ) -> tf.Tensor:
        """The mean over the batch; arguments as in `logits`."""
        logits = self.logits(batch, history, queries, offered)
        logits += batch["offsets"]
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=batch["place"], logits=logits)
        return tf.reduce_mean(losses)


class Batches:
    """Draws candidates and requests whose pick is among them."""

    def __init__(self, task: Task, settings: Settings, num_candidates: int, rng: np.random.Generator):
        self._task = task
        self._settings = settings
        self._num = num_candidates
        self._rng = rng
        self._place = np.full(len(task.log_counts), -1)

    def __call__(self) -> dict[str, Any]:
        """One step's arrays."""
        task, rng = self._task, self._rng
        rows = task.rows if len(task.rows) <= self._num else rng.choice(task.rows, self._num, replace=False)
        self._place[:] = -1
        self._place[rows] = np.arange(len(rows))
        usable = np.flatnonzero(self._place[task.requests.target] >= 0)
        which = rng.choice(usable, self._settings.batch_size)
        return assemble(task.of(which), rows, self._place)


def assemble(task: Task, rows: Rows, place: Rows) -> dict[str, Any]:
    """Arrays of requests, among them how much each of `history_rows` counts in each context of each request."""
    history = task.requests.history
    history_rows, column = np.unique(history, return_inverse=True)
    at = np.repeat(np.arange(len(history)), history.shape[1]), column.reshape(-1)
    shape = (len(history), len(history_rows))

    def attention(length: float) -> Floats:  # An item that occurs twice counts twice.
        return scipy.sparse.csr_matrix((memory(history, length).reshape(-1), at), shape).toarray()

    return {name: attention(length) for name, length in MEMORIES.items()} | {
        "candidates": rows.astype(np.int32),
        "offsets": task.log_counts[rows],
        "history_rows": history_rows.astype(np.int32),
        "query": task.query,
        "place": place[task.requests.target].astype(np.int32),
    }


def affinity(heads: TextHeads, texts: Texts, task: Task) -> Floats:
    """[num_requests, num_known] float32: how well each of the task's items suits each of its requests."""
    place = np.zeros(len(task.log_counts), np.int64)
    parts = [np.zeros((0, len(task.rows)), np.float32)]
    for start in range(0, len(task), _SCORED):
        batch = assemble(task.of(slice(start, start + _SCORED)), task.rows, place)
        parts.append(Loss(heads).logits(batch, *_gathered(texts, batch)).numpy())
    return np.concatenate(parts)


def scores(heads: TextHeads, texts: Texts, task: Task) -> Floats:
    """The same as scores of items that nobody has had: texts say what is popular."""
    popularity = heads.popularity(tf.constant(texts.items[task.rows])).numpy()
    found: Floats = affinity(heads, texts, task) + popularity
    return found


def judge(heads: TextHeads, texts: Texts, task: Task) -> float:
    """Nats of picks, told apart without their popularity: how well items that nobody has had are judged."""
    return _nats(scores(heads, texts, task), task)


def judge_warm(heads: TextHeads, texts: Texts, task: Task) -> float:
    """Nats of picks of items that are learnt from, told apart with how often each is picked."""
    return _nats(affinity(heads, texts, task) + task.log_counts[task.rows], task)


def _nats(logits: Floats, task: Task) -> float:
    if not len(task):
        return 0.0
    logits = logits.astype(np.float64)
    picked = logits[np.arange(len(task)), np.searchsorted(task.rows, task.requests.target)]
    return float(np.mean(scipy.special.logsumexp(logits, axis=1) - picked))


def fit_popularity(heads: TextHeads, texts: Texts, task: Task, ridge: float) -> None:
    """A ridge regression of how often known items were picked, in logarithms, on their texts.

    Args:
        heads: get it.
        texts: readings.
        task: of the known items.
        ridge: added to the Gram matrix's diagonal, in items; infinite: texts say nothing of popularity.
    """
    kernel = np.zeros((heads.width, 1), np.float32)
    if np.isfinite(ridge):
        x = texts.items[task.rows].astype(np.float64)
        y = task.log_counts[task.rows].astype(np.float64)
        x -= x.mean(axis=0)
        kernel[:, 0] = np.linalg.solve(x.T @ x + ridge * np.eye(heads.width), x.T @ (y - y.mean()))
    heads.set_popularity(kernel)


def choose_ridge(heads: TextHeads, texts: Texts, task: Task, judged: Task) -> float:
    """The ridge that judges best."""

    def nats(ridge: float) -> float:
        fit_popularity(heads, texts, task, ridge)
        return judge(heads, texts, judged)

    return min(RIDGES, key=nats)


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Heads, the nats by which they were judged, and after how many steps they were best."""

    heads: TextHeads
    nats: float
    steps: int
    ridge: float = float("inf")


def fit_heads(
    texts: Texts, task: Task, judged: Task | None, settings: Settings, stop_after: int | None = None
) -> Fitted:
    """Heads from nothing, on readings that stay.

    Args:
        texts: readings.
        task: what is learnt.
        judged: what decides when to stop; None: `stop_after` does.
        settings: rates and lengths.
        stop_after: steps.
    """
    heads = TextHeads(texts.width, settings.head_size)
    items, queries = tf.constant(texts.items), tf.constant(texts.queries)
    loss = Loss(heads)
    rate = settings.dropout

    def forward(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        return loss(
            batch,
            tf.nn.dropout(tf.gather(items, batch["history_rows"]), rate),
            tf.nn.dropout(tf.gather(queries, batch["query"]), rate),
            tf.nn.dropout(tf.gather(items, batch["candidates"]), rate),
        )

    if judged is not None:
        fit_popularity(heads, texts, task, choose_ridge(heads, texts, task, judged))
    group = (heads.trainable_variables, settings.head_learning_rate, settings.weight_decay)
    step = stepper(forward, [group], settings.head_steps, 0.1)
    batches = Batches(task, settings, settings.num_candidates, np.random.default_rng(settings.seed))
    best, best_steps, best_weights = float("inf"), 0, heads.get_weights()
    for number in range(1, (settings.head_steps if stop_after is None else stop_after) + 1):
        step({name: tf.constant(value) for name, value in batches().items()})
        if judged is not None and number % _JUDGED_EVERY == 0:
            nats = judge(heads, texts, judged)
            if nats < best:
                best, best_steps, best_weights = nats, number, heads.get_weights()
    if judged is None:
        return Fitted(heads, best, best_steps)
    heads.set_weights(best_weights)
    ridge = choose_ridge(heads, texts, task, judged)
    fit_popularity(heads, texts, task, ridge)
    return Fitted(heads, judge(heads, texts, judged), best_steps, ridge)


def fine_tune(
    bert: Any, heads: TextHeads, tokens: Tokens, task: Task, mask: int, settings: Settings
) -> Iterator[None]:
    """BERT and heads together, by the order of lists: gradient flows through the candidates' texts.

    Rates stay high, so that it can end after any round; what BERT holds at the end of one is the mean of its weights
    over the round's second half (stochastic weight averaging, Izmailov et al., 2018).

    Args:
        bert: changes.
        heads: fitted; they change too.
        tokens: the texts.
        task: what is learnt.
        mask: the token that stands for a masked word.
        settings: rates and lengths.

    Yields:
        After each round, when BERT holds its mean.
    """
    loss = Loss(heads)
    reader = reading.Reader(bert)

    def forward(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        readings = reading.read(bert, batch["candidate_token_ids"], training=True)
        mean, deviation = reading.in_graph_scale(readings)
        return loss(batch, batch["history_readings"], batch["query_readings"], (readings - mean) / deviation)

    bert.pooled_dense.trainable = False  # Nothing reads it.
    learnt = bert.trainable_variables
    bert.pooled_dense.trainable = True
    words = bert.token_embedding.trainable_variables
    others = [variable for variable in learnt if all(variable is not word for word in words)]
    groups = [
        (others, settings.bert_learning_rate, settings.weight_decay),
        (words, settings.word_learning_rate, 0.0),
        (heads.trainable_variables, settings.joint_learning_rate, settings.weight_decay),
    ]
    step = stepper(forward, groups, settings.fine_tuning_steps, 0.1, final=1.0)
    rng = np.random.default_rng(settings.seed)
    batches = Batches(task, settings, settings.texts_per_step, rng)
    average = Mean(learnt)
    for number in range(settings.fine_tuning_steps):
        if number % settings.renewal_steps == 0:
            texts = tokens.read(reader)
        batch = batches()
        given = tokens.items[batch["candidates"]]
        given = given[:, : max(1, -(-int((given > 0).sum(axis=1).max()) // 8) * 8)]
        history, queries, _ = _gathered(texts, batch)
        batch |= {
            "candidate_token_ids": masked(given, settings.mask_rate, mask, rng),
            "history_readings": history,
            "query_readings": queries,
        }
        step({name: tf.constant(value) for name, value in batch.items()})
        done, last = number % settings.round_steps + 1, number + 1 == settings.fine_tuning_steps
        if last or 2 * done > settings.round_steps:
            average.add()
        if last or done == settings.round_steps:
            with average.taken():
                yield


class Mean:
    """The mean of what variables hold at several times."""

    def __init__(self, variables: Sequence[Any]):
        self._variables = variables
        self._sums, self._count = self._nothing(), 0

    def add(self) -> None:
        """What they hold now counts, too."""
        self._count += 1
        for total, variable in zip(self._sums, self._variables, strict=True):
            total += variable.numpy()

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """The variables hold the mean; then what they held before, and counting starts anew."""
        before = [variable.numpy() for variable in self._variables]
        self._assign([total / self._count for total in self._sums])
        try:
            yield
        finally:
            self._assign(before)
            self._sums, self._count = self._nothing(), 0

    def _nothing(self) -> list[Floats]:
        return [np.zeros(variable.shape, np.float32) for variable in self._variables]

    def _assign(self, values: Sequence[Floats]) -> None:
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)


def masked(token_ids: Ints, rate: float, mask: int, rng: np.random.Generator) -> Ints:
    """Some tokens between the ends are masked."""
    chosen = (rng.random(token_ids.shape) < rate) & (token_ids > mask)
    return np.where(chosen, mask, token_ids).astype(np.int32)


def stepper(
    forward: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    groups: Sequence[tuple[list[Any], float, float]],
    steps: int,
    warmup: float,
    final: float = 0.0,
) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    """A traced step that lowers a loss: each group of variables has its learning rate and weight decay.

    Steps, the share of them that is warm-up, and what is left of the rate at the end, are `optimizers.adamw`'s.
    """
    optimizer_of = []
    for variables, learning_rate, weight_decay in groups:
        optimizer = optimizers.adamw(learning_rate, steps, weight_decay, warmup, final)
        optimizer.build(variables)
        optimizer_of.append(optimizer)

    def step(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        values = [[variable.value for variable in variables] for variables, *_ in groups]
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = forward(batch)
        gradients = tape.gradient(loss, values)
        for (variables, *_), optimizer, group in zip(groups, optimizer_of, gradients, strict=True):
            optimizer.apply([tf.convert_to_tensor(gradient) for gradient in group], variables)
        return loss

    return tf.function(step, reduce_retracing=True)


def _gathered(texts: Texts, batch: dict[str, Any]) -> tuple[Floats, Floats, Floats]:
    """Readings of a batch's histories, queries and candidates."""
    return texts.items[batch["history_rows"]], texts.queries[batch["query"]], texts.items[batch["candidates"]]
