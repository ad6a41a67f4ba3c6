"""How far lists move when little changes: an event is missing, a search is mistyped, an item is renamed."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from homefeed.components.evaluator.answers import PAGE_LENGTH, ranks_in
from homefeed.components.evaluator.impressions import batches, html_table, markdown_table
from homefeed.components.evaluator.queries import Queries
from homefeed.models.behaviour_text import tokenize
from homefeed.models.catalogue import Catalogue
from homefeed.models.evaluation import metrics
from homefeed.models.requests import Request, requests_from_sequences
from homefeed.models.sequences import Sequences
from homefeed.models.text.text_alone import TextAlone
from homefeed.models.text.text_model import TextModel
from homefeed.serving.recommender import Recommender

NUM_REQUESTS = 200  # Of each kind.
EVENT, TYPO, RENAMED = "one event missing", "one typo in the search", "the first item renamed"


@dataclasses.dataclass(frozen=True)
class Lists:
    """What a recommender says: [num_requests, num_candidates] item ids and scores, and the ranks of right answers."""

    item_ids: npt.NDArray[np.object_]
    scores: npt.NDArray[np.float32]
    ranks: metrics.Ranks


def measure_robustness(
    recommender: Recommender,
    text: TextModel,
    queries: Queries,
    sequences: Sequences,
    catalogue: Catalogue,
    wordpiece: Sequence[str],
    batch_size: int,
) -> dict[str, dict[str, float]]:
    """Change → `requests`, `kept` (mean share of the first ten that stay there), `first` (how often the first one
    stays first), `moved` (of the first ten: root mean square change of a score beside the mean of them, by the
    deviation of the scores among them), and NDCG@10 `before` and `after`; the last item renamed has no NDCG@10 of its
    own. A change for which no request is fit is left out.
    """
    some = _spread(np.flatnonzero([len(history) > 1 for history in queries.histories]))
    requests, targets = _requests(queries, sequences, catalogue, some)
    found = {EVENT: _compared(recommender, requests, [_without_one(r) for r in requests], targets, batch_size)}
    searched, targets, mistyped = _mistyped(queries, sequences, catalogue, wordpiece)
    found[TYPO] = _compared(recommender, searched, mistyped, targets, batch_size)
    found[RENAMED] = _renamed(text, [queries.histories[at] for at in some])
    return {name: figures for name, figures in found.items() if figures}


def _spread(which: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return which[np.linspace(0, len(which) - 1, min(len(which), NUM_REQUESTS)).astype(np.int64)]


def _requests(
    queries: Queries, sequences: Sequences, catalogue: Catalogue, which: npt.NDArray[np.int64]
) -> tuple[list[Request], npt.NDArray[np.object_]]:
    asked = requests_from_sequences(sequences, catalogue, queries.rows[which], queries.ends[which])
    return list(asked), catalogue.item_ids[queries.targets[which]]


def _without_one(request: Request) -> Request:
    """Without the event in the middle of the newest ten: the newest one is what the page is made from."""
    at = max(len(request.history) - PAGE_LENGTH // 2, 0)
    return dataclasses.replace(request, history=[*request.history[:at], *request.history[at + 1 :]])


def _mistyped(
    queries: Queries, sequences: Sequences, catalogue: Catalogue, wordpiece: Sequence[str]
) -> tuple[list[Request], npt.NDArray[np.object_], list[Request]]:
    tokens = sequences.query_token_ids
    if tokens is None:
        return [], np.empty(0, object), []
    which = _spread(np.flatnonzero(tokens[queries.ends].any(axis=1)))
    wrong = [typo(written([wordpiece[token] for token in tokens[end] if token])) for end in queries.ends[which]]
    which, wrong = which[[bool(text) for text in wrong]], [text for text in wrong if text]
    requests, targets = _requests(queries, sequences, catalogue, which)
    token_ids = tokenize(wrong, wordpiece, tokens.shape[1])
    pairs = zip(requests, token_ids, strict=True)
    return requests, targets, [dataclasses.replace(r, query_token_ids=row[row > 0].tolist()) for r, row in pairs]


def written(tokens: Sequence[str]) -> str:
    """Word pieces as words.

    >>> written(["de", "##sk", "lamp", "灯"])
    'desk lamp 灯'
    """
    return " ".join(tokens).replace(" ##", "")


def typo(text: str) -> str:
    """Two letters in the middle of the longest word change places; of words that are too short, one is lost.

    >>> typo("oak desk"), typo("台 灯 架"), typo("灯")
    ('oak dsek', '台 架', '')
    """
    words = text.split()
    if not words:
        return ""
    at = max(range(len(words)), key=lambda place: len(words[place]))
    word, middle = words[at], len(words[at]) // 2
    if len(word) < 4:
        lost = len(words) // 2
        return " ".join(words[:lost] + words[lost + 1 :])
    words[at] = word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]
    return " ".join(words)


def _compared(
    recommender: Recommender,
    requests: Sequence[Request],
    changed: Sequence[Request],
    targets: npt.NDArray[np.object_],
    batch_size: int,
) -> dict[str, float]:
    if not requests:
        return {}
    moves, ndcg = [], []
    for batch in batches(len(requests), batch_size):
        before, after = (_lists(recommender, [r[at] for at in batch], targets[batch]) for r in (requests, changed))
        had = [{event.item_id.encode() for event in requests[at].history} for at in batch]
        pairs = zip(before.item_ids, before.scores, after.item_ids, after.scores, had, strict=True)
        moves += [_moves(*pair) for pair in pairs]
        ndcg.append([metrics.ndcg(lists.ranks, 10) for lists in (before, after)])
    found = _means(moves)
    ours, theirs = np.concatenate(ndcg, axis=1).mean(axis=1).tolist()
    return found and found | {"before": ours, "after": theirs}


def _lists(recommender: Recommender, requests: Sequence[Request], targets: npt.NDArray[np.object_]) -> Lists:
    found = recommender.candidates(requests)
    return Lists(found.item_ids, found.scores, ranks_in(found.item_ids, found.scores, targets))


def _moves(
    items: npt.NDArray[Any],
    scores: npt.NDArray[Any],
    items_after: npt.NDArray[Any],
    scores_after: npt.NDArray[Any],
    had: Collection[bytes] = (),
) -> tuple[float, float, float]:
    """`kept`, `first` and `moved` of one list: [num_candidates] ids and scores, before and after.

    What the user `had` does not count: without its event, an item of the history can be recommended again.
    """
    first, first_after = (
        [
            (item, float(score))
            for item, score in sorted(zip(i, s, strict=True), key=lambda one: -one[1])
            if item and item not in had
        ]
        for i, s in ((items, scores), (items_after, scores_after))
    )
    page, scores_now = dict(first[:PAGE_LENGTH]), dict(first_after)
    if not page:
        return np.nan, np.nan, np.nan
    kept = len(page.keys() & dict(first_after[:PAGE_LENGTH]).keys()) / len(page)
    pairs = np.array([(score, scores_now[item]) for item, score in page.items() if item in scores_now])
    return kept, float(bool(first_after) and first[0][0] == first_after[0][0]), _moved(pairs)


def _moved(pairs: npt.NDArray[np.float64]) -> float:
    """[num_items, 2] scores before and after: how far they moved against each other."""
    if len(pairs) < 2 or not pairs[:, 0].std():
        return np.nan
    leads = pairs - pairs.mean(axis=0)
    return float(np.sqrt(np.mean((leads[:, 1] - leads[:, 0]) ** 2)) / leads[:, 0].std())


def _renamed(text: TextModel, histories: Sequence[npt.NDArray[np.int32]]) -> dict[str, float]:
    """By the text model, which alone reads names: its first item of a list loses the first word of its text."""
    alone = TextAlone(text)
    fit = np.array([len(without_first_word(row, text.vocabulary)) > 0 for row in text.item_texts])
    if not histories or not fit.any():
        return {}
    scores = np.where(fit, alone.scores(histories), -np.inf)
    for row, history in zip(scores, histories, strict=True):
        row[history] = -np.inf
    first = scores.argmax(axis=1)
    names, place = np.unique(first, return_inverse=True)
    token_ids = np.zeros((len(names), text.item_texts.shape[1]), np.int32)
    for row, name in zip(token_ids, names, strict=True):
        left = without_first_word(text.item_texts[name], text.vocabulary)
        row[: len(left)] = left
    after = alone.scores_of(histories, text.read_all(token_ids))[np.arange(len(first)), place]
    return _means([_own_move(row[np.isfinite(row)], own) for row, own in zip(scores, after, strict=True)])


def _own_move(scores: npt.NDArray[np.float32], own: float) -> tuple[float, float, float]:
    """As `_moves`, of the first item of a list alone, whose score becomes `own`."""
    best = np.sort(scores)[::-1]
    if len(best) < 2 or not best[:PAGE_LENGTH].std():
        return np.nan, np.nan, np.nan
    rivals = best[1 : PAGE_LENGTH + 1]
    kept = len(rivals) < PAGE_LENGTH or own > rivals[-1]
    return float(kept), float(own >= rivals[0]), float(abs(own - best[0]) / best[:PAGE_LENGTH].std())


def without_first_word(tokens: npt.NDArray[np.int32], vocabulary: Sequence[str]) -> npt.NDArray[np.int32]:
    """[num_tokens] 0-padded → what is left behind the first word; empty of a text of one word.

    >>> without_first_word(np.array([2, 3, 4, 0]), ("", "[UNK]", "de", "##sk", "lamp")).tolist()
    [4]
    """
    said = tokens[tokens > 0]
    starts = [at for at, token in enumerate(said.tolist()) if not vocabulary[token].startswith("##")]
    return said[starts[1] :] if len(starts) > 1 else said[:0]


def _means(moves: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    columns = np.array(moves, np.float64)
    columns = columns[np.isfinite(columns).all(axis=1)]
    if not len(columns):
        return {}
    return {"requests": len(columns)} | dict(
        zip(("kept", "first", "moved"), columns.mean(axis=0).tolist(), strict=True)
    )


TITLE = "When little changes"
EXPLAINED = (
    "Requests of test with one thing changed: what stays among the first ten, how often the first stays first, how "
    "far the scores of the ten move against each other (1: as far as they differ from each other), and NDCG@10. The "
    "text model alone reads names: in its lists the first item lost the first word of its text, and it is that item "
    "that stays or not."
)
HEADER = ("change", "requests", "stays in the ten", "first stays first", "scores move by", "NDCG@10", "after")


def _rows(found: Mapping[str, Mapping[str, float]]) -> Iterator[list[str]]:
    for name, one in found.items():
        shares = f"{one['kept']:.1%}", f"{one['first']:.1%}", f"{one['moved']:.2f}"
        ends = (f"{one['before']:.4f}", f"{one['after']:.4f}") if "before" in one else ("", "")
        yield [name, f"{one['requests']:,}", *shares, *ends]


def to_html(found: Mapping[str, Any]) -> str:
    """A part of the report; nothing where nothing was measured."""
    return html_table(TITLE, EXPLAINED, HEADER, _rows(found))


def to_markdown(found: Mapping[str, Any]) -> str:
    """A part of the model card; nothing where nothing was measured."""
    return markdown_table(TITLE, EXPLAINED, HEADER, _rows(found))
