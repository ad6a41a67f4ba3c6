import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from homefeed.models.text import bert as berts
from homefeed.models.text import fitting, frequent_items, reading, training
from homefeed.models.text.fitting import FINE_TUNED, FROZEN, PRESET, SHUFFLED, Fit
from homefeed.models.text.heads import TextHeads
from homefeed.models.text.requests import Requests, of_events
from homefeed.models.text.tasks import Task, Tasks
from homefeed.models.text.text_model import TextModel
from homefeed.models.text.texts import Texts, Tokens
from tests.models.text.worlds import KINDS, NEW, NUM_ITEMS, SETTINGS, VOCABULARY, make_world


def _fit() -> tuple[Fit, Tasks]:
    berts.keras_seed(0)
    catalogue, train = make_world()
    bert = berts.new_bert(len(VOCABULARY), layers=1, width=16, length=16, dropout=0.0)
    fit = fitting.fit(catalogue, train, train, VOCABULARY, bert, None, SETTINGS)
    return fit, Tasks.of(catalogue, train, train, SETTINGS)


def _asked(tasks: Tasks, history: list[int], query: int = 0) -> Task:
    """One request, told apart among the new items."""
    row = int(np.flatnonzero(tasks.queries[:, 0] == query)[0])
    request = Requests(np.array([history], np.int32), tasks.queries[row : row + 1], np.array([NEW[0]], np.int32))
    return Task(request, np.array([row], np.int32), np.array(NEW), np.zeros(NUM_ITEMS + 1, np.float32))


@pytest.fixture(scope="module")
def fitted() -> tuple[Fit, Tasks]:
    return _fit()


def test_items_that_nobody_had_follow_as_their_texts_say(fitted: tuple[Fit, Tasks]) -> None:
    fit, tasks = fitted
    for last in (1, 2, 3):
        scores = training.scores(fit.model.heads, fit.texts, _asked(tasks, [last, 0, 0, 0]))[0]
        assert KINDS[NEW[int(scores.argmax())]] == (KINDS[last] + 1) % 3


def test_a_query_finds_items_that_nobody_had(fitted: tuple[Fit, Tasks]) -> None:
    fit, tasks = fitted
    for kind in range(3):
        scores = training.scores(fit.model.heads, fit.texts, _asked(tasks, [0, 0, 0, 0], query=5 + kind))[0]
        assert KINDS[NEW[int(scores.argmax())]] == kind


def test_texts_earn_what_they_are_worth_and_shuffled_nothing(fitted: tuple[Fit, Tasks]) -> None:
    fit, tasks = fitted
    num_hidden = len(tasks.judged.rows)
    nothing = np.log(num_hidden)
    assert num_hidden == 6  # A fifth of 30.
    assert fit.arms[FROZEN].nats < nothing - 0.5, "one kind in three is possible: log(3) = 1.1 nats"
    assert fit.arms[FINE_TUNED].nats < nothing - 0.5
    assert fit.arms[SHUFFLED].nats > nothing - 0.3
    assert fit.arms[FINE_TUNED].ndcg.mean() > fit.arms[SHUFFLED].ndcg.mean() + 0.1


def test_the_same_seed_gives_the_same_model(fitted: tuple[Fit, Tasks]) -> None:
    again, _ = _fit()
    for ours, theirs in zip(fitted[0].model.heads.get_weights(), again.model.heads.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_without_a_text_nothing_is_learnt_whatever_people_search_for() -> None:
    catalogue, train = make_world()
    silent = dataclasses.replace(catalogue, token_ids=np.zeros_like(catalogue.token_ids))
    train = dataclasses.replace(train, query_token_ids=np.pad(train.query_token_ids, [(0, 0), (0, 2)]))
    bert = berts.new_bert(len(VOCABULARY), layers=1, width=16, length=16, dropout=0.0)
    fit = fitting.fit(silent, train, train, VOCABULARY, bert, None, SETTINGS)
    assert not fit.arms and not fit.kept and not fit.model.items.any()


def test_texts_without_a_word_in_common_teach_nothing() -> None:
    """Items that are called by their ids alone."""
    catalogue, train = make_world()
    ids = np.arange(len(catalogue.token_ids), dtype=np.int32)[:, None] + len(VOCABULARY)
    ids[0] = 0
    called = dataclasses.replace(catalogue, token_ids=ids)
    train = dataclasses.replace(train, query_token_ids=np.zeros_like(train.query_token_ids))
    vocabulary = [*VOCABULARY, *(f"id-{row}" for row in range(len(ids)))]
    bert = berts.new_bert(len(vocabulary), layers=1, width=16, length=16, dropout=0.0)
    fit = fitting.fit(called, train, train, vocabulary, bert, None, SETTINGS)
    assert not fit.arms and not fit.kept and not fit.model.items.any()


def test_fine_tuning_changes_bert_through_candidates_texts_alone() -> None:
    catalogue, train = make_world()
    tasks = Tasks.of(catalogue, train, train, SETTINGS)
    berts.keras_seed(0)
    bert = berts.new_bert(len(VOCABULARY), layers=1, width=16, length=16, dropout=0.0)
    tokens = Tokens.of(catalogue, tasks.queries, reading.Ends(VOCABULARY, 16))
    before = {weight.path: np.array(weight) for weight in bert.weights}
    heads = training.fit_heads(tokens.read(reading.Reader(bert)), tasks.fitted, tasks.judged, SETTINGS).heads
    for _ in training.fine_tune(bert, heads, tokens, tasks.fitted, 4, SETTINGS):
        pass
    moved = {weight.path for weight in bert.weights if not np.array_equal(before[weight.path], np.array(weight))}
    assert any("self_attention" in path for path in moved) and any("feedforward" in path for path in moved)
    assert not any("pooled" in path for path in moved)


def test_the_round_stays_after_which_hidden_items_are_told_apart_best() -> None:
    catalogue, train = make_world()
    settings = dataclasses.replace(SETTINGS, fine_tuning_steps=12, round_steps=5, head_steps=50)
    tasks = Tasks.of(catalogue, train, train, settings)
    tokens = Tokens.of(catalogue, tasks.queries, reading.Ends(VOCABULARY, 16))
    berts.keras_seed(0)
    bert = berts.new_bert(len(VOCABULARY), layers=1, width=16, length=16, dropout=0.0)
    reader = reading.Reader(bert)
    rounds: list[tuple[float, Texts]] = []

    class Recorded(fitting.Fitter):
        def arm(self, name: str, read: Texts, dropout: float | None = None) -> TextHeads:
            heads = super().arm(name, read, dropout)
            rounds.append((self.arms[name].nats, read))
            return heads

    fitter = Recorded(tasks, tokens, settings)
    heads = fitter.arm(FROZEN, tokens.read(reader))
    read = fitter.tune(bert, heads, VOCABULARY)
    nats = [value for value, _ in rounds[1:]]
    best = 1 + int(np.argmin(nats))
    assert len(nats) == 3, "two whole rounds and a short one"
    assert fitter.arms[FINE_TUNED].nats == min(nats)
    np.testing.assert_array_equal(read.items, rounds[best][1].items)
    np.testing.assert_allclose(tokens.read(reader).items, read.items, atol=1e-4)


def test_without_steps_fine_tuned_is_frozen() -> None:
    catalogue, train = make_world()
    settings = dataclasses.replace(SETTINGS, fine_tuning_steps=0, head_steps=50)
    berts.keras_seed(0)
    bert = berts.new_bert(len(VOCABULARY), layers=1, width=16, length=16, dropout=0.0)
    start = bert.get_weights()
    fit = fitting.fit(catalogue, train, train, VOCABULARY, bert, None, settings)
    assert fit.arms[FINE_TUNED] is fit.arms[FROZEN] and not fit.kept
    assert all(np.array_equal(*pair) for pair in zip(start, bert.get_weights(), strict=True))


def test_a_mean_of_variables_is_taken_for_a_while() -> None:
    variable = tf.Variable([1.0, 2.0])
    mean = training.Mean([variable])
    for value in ([2.0, 4.0], [4.0, 10.0]):
        variable.assign(value)
        mean.add()
    variable.assign([9.0, 9.0])
    with mean.taken():
        np.testing.assert_array_equal(variable.numpy(), [3.0, 7.0])
    np.testing.assert_array_equal(variable.numpy(), [9.0, 9.0])
    mean.add()
    with mean.taken():
        np.testing.assert_array_equal(variable.numpy(), [9.0, 9.0])


def test_heads_on_everything_drop_out_as_much_as_those_that_were_judged() -> None:
    catalogue, train = make_world()
    settings = dataclasses.replace(SETTINGS, head_steps=50)
    tasks = Tasks.of(catalogue, train, train, settings)
    tokens = Tokens.of(catalogue, tasks.queries, reading.Ends(VOCABULARY, 16))
    berts.keras_seed(0)
    bert = berts.new_bert(len(VOCABULARY), layers=1, width=16, length=16, dropout=0.0)
    read = tokens.read(reading.Reader(bert))
    fitter = fitting.Fitter(tasks, tokens, settings)
    assert settings.preset_dropout != settings.dropout
    fitter.arm(PRESET, read, settings.preset_dropout)

    def fitted_with(dropout: float) -> TextHeads:
        berts.keras_seed(1)
        with_it = dataclasses.replace(settings, dropout=dropout)
        return training.fit_heads(read, tasks.train, None, with_it, stop_after=fitter.arms[PRESET].steps).heads

    berts.keras_seed(1)
    ours = fitter.on_everything(PRESET, read).get_weights()[0]
    np.testing.assert_array_equal(ours, fitted_with(settings.preset_dropout).get_weights()[0])
    assert not np.array_equal(ours, fitted_with(settings.dropout).get_weights()[0])


def test_what_is_hidden_is_in_no_request_and_no_history() -> None:
    catalogue, train = make_world()
    tasks = Tasks.of(catalogue, train, train, SETTINGS)
    hidden = tasks.judged.rows
    assert len(hidden) and set(tasks.judged.requests.target) <= set(hidden)
    for rows in (tasks.fitted.rows, tasks.fitted.requests.target, tasks.fitted.requests.history):
        assert not np.isin(rows, hidden).any()
    assert np.isin(tasks.train.requests.history, hidden).any()


def test_popularity_of_texts_is_a_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    items = rng.normal(size=(9, 2)).astype(np.float32)
    counts = rng.normal(size=9).astype(np.float32)
    rows = np.array([1, 2, 4, 5, 7])
    nothing = Requests(np.zeros((0, 1), np.int32), np.zeros((0, 1), np.int32), np.zeros(0, np.int32))
    task = Task(nothing, np.zeros(0, np.int32), rows, counts)
    heads = TextHeads(2, 1)
    texts = Texts(items, items[:1], reading.Scale.of(items))
    training.fit_popularity(heads, texts, task, 3.0)
    x, y = items[rows] - items[rows].mean(axis=0), counts[rows] - counts[rows].mean()
    expected = np.linalg.solve(x.T @ x + 3 * np.eye(2), x.T @ y)
    np.testing.assert_allclose(heads.popularity(items).numpy(), items @ expected, atol=1e-5)


def test_a_repeated_item_counts_each_time() -> None:
    request = Requests(np.array([[3, 3, 5]], np.int32), np.zeros((1, 1), np.int32), np.array([5], np.int32))
    task = Task(request, np.zeros(1, np.int32), np.array([5]), np.zeros(6, np.float32))
    batch = training.assemble(task, task.rows, np.zeros(6, np.int64))
    assert batch["history_rows"].tolist() == [3, 5]
    weights = np.exp(-np.arange(3) / 3.0)
    np.testing.assert_allclose(
        batch["lately"], [np.array([weights[0] + weights[1], weights[2]]) / weights.sum()], rtol=1e-5
    )


def test_requests_are_drawn_where_there_are_too_many() -> None:
    _, train = make_world()
    few = of_events(train, np.arange(1, 31), dataclasses.replace(SETTINGS, max_requests=50))
    assert len(few) == 50


def test_what_is_saved_reads_and_judges_the_same(fitted: tuple[Fit, Tasks], tmp_path: pathlib.Path) -> None:
    model = fitted[0].model
    model.save(tmp_path)
    again = TextModel.load(tmp_path)
    catalogue, _ = make_world()
    np.testing.assert_allclose(again.read(tf.constant(catalogue.token_ids)), model.items, atol=1e-4)
    np.testing.assert_array_equal(again.items, model.items)
    for ours, theirs in zip(model.heads.get_weights(), again.heads.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_sentence_encoder_is_read_beside_and_stays(tmp_path: pathlib.Path) -> None:
    catalogue, train = make_world()
    berts.keras_seed(0)
    bert, preset = (
        berts.new_bert(len(VOCABULARY), layers=1, width=width, length=16, dropout=0.0) for width in (16, 8)
    )
    before = preset.get_weights()
    fit = fitting.fit(catalogue, train, train, VOCABULARY, bert, preset, SETTINGS)
    assert fit.model.width == 16 + 8
    assert fitting.PRESET in fit.arms
    for weight, kept in zip(preset.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)
    fit.model.save(tmp_path)
    again = TextModel.load(tmp_path).read(tf.constant(catalogue.token_ids))
    np.testing.assert_allclose(again, fit.model.items, atol=1e-4)


def test_of_a_large_catalogue_the_most_frequent_items_teach_and_all_are_read() -> None:
    """A third of the items, those with the most events, say what words mean; what nobody learnt from is read too."""
    catalogue, train = make_world()
    few = dataclasses.replace(SETTINGS, max_items=15)
    bert = berts.new_bert(len(VOCABULARY), layers=1, width=16, length=16, dropout=0.0)
    fit = fitting.fit(catalogue, train, train, VOCABULARY, bert, None, few)
    assert fit.model.items.shape[0] == catalogue.num_rows and len(fit.texts.items) == 16
    assert fit.model.items[1:].any(axis=1).all()
    described = fit.model.describe(catalogue).text_vectors
    rows = frequent_items.frequent_rows(catalogue, 15)
    counts = catalogue.train_counts
    assert counts[rows[1:]].min() >= np.delete(counts, rows).max() and described.shape[0] == catalogue.num_rows
    np.testing.assert_allclose(fit.texts.items[1:], fit.model.items[rows[1:]], atol=1e-5)
