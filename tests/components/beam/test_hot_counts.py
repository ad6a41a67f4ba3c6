"""Counts of a Beam pipeline over the log are those of a gateway that followed the same events."""

from __future__ import annotations

import asyncio
import pathlib
import random

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.testing import test_stream
from apache_beam.testing.util import assert_that
from apache_beam.utils.timestamp import Timestamp

from homefeed.components.beam.hot_counts import DecayedCountsFn, HotCounts, HotItem, read_log, taken
from homefeed.components.beam.pipeline import beam_pipeline
from homefeed.models.hot.board import HALF_LIVES
from homefeed.serving.gateway.hot import Hot
from homefeed.serving.profiles import LiveEvent
from homefeed.serving.profiles.outbox import Entry, event_record
from homefeed.serving.profiles.stores import FileStore
from tests.serving.log.cluster import Cluster, send

NOW = 1_800_000_000
KINDS = ("view", "like", "purchase", "impression", "hide", "undo", "search")


def events(seed: int, number: int = 400) -> list[LiveEvent]:
    """Of guests and users, some late."""
    draw, found = random.Random(seed), list[LiveEvent]()
    for place in range(number):
        received = NOW - 5 * 86_400 + place * 900
        at = received + draw.choice([0, 0, 0, -3_600, -90_000])
        user = draw.choice(["u0", "u1", "u2", "guest:0", "guest:1"])
        item = f"i{draw.randrange(12)}"
        found.append(LiveEvent(str(place), user, draw.choice(KINDS), at, received * 1000, item))
    return found


def followed(path: pathlib.Path, given: list[LiveEvent]) -> tuple[list[Entry], dict[str, list[float]]]:
    """What a gateway's outbox has of them, with log-ins in between, and item → counts as its board has them now."""

    async def follow() -> tuple[list[Entry], dict[str, list[float]]]:
        store, entries = FileStore(path, lambda *_: None, 10, logs=True), list[Entry]()
        hot = Hot(store)
        for first in range(0, len(given), 100):
            await store.append(given[first : first + 100])
            await hot.follow()
            await store.merge("guest:0", "u0")
            while found := await store.outbox().waiting():
                entries += found
                await store.outbox().sent(found[-1].mark)
        await hot.follow()
        await store.close()
        counts = hot._board.counts.as_of(NOW)
        return entries, {item: counts[row].tolist() for item, row in hot._rows.items() if counts[row].any()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: float(NOW))
        return asyncio.run(follow())


def as_of(found: HotItem, now: float) -> list[float]:
    return [count * 0.5 ** ((now - found.as_of) / half) for count, half in zip(found.counts, HALF_LIVES, strict=True)]


def test_a_log_up_to_now_gives_the_counts_of_the_gateway(tmp_path: pathlib.Path) -> None:
    cluster = Cluster()
    url = cluster.new_log()
    entries, expected = followed(tmp_path / "live.sqlite", events(1))
    send(url, [*entries, *entries[100:200], Entry((0, 0), 1, "u", b"none of ours")])  # Some come twice.
    out = tmp_path / "counts"
    with beam_pipeline("DirectRunner", []) as pipeline:
        items = read_log(pipeline, url) | HotCounts()
        lines = items | beam.Map(lambda one: repr((one.item_id, one.as_of, one.counts)))
        lines | beam.io.WriteToText(str(out), shard_name_template="")
    found = [HotItem(*eval(line)) for line in out.read_text().splitlines()]
    assert {one.item_id for one in found} == expected.keys() and len(found) == len(expected) == 12
    for one in found:
        np.testing.assert_allclose(as_of(one, NOW), expected[one.item_id], rtol=1e-9)


def test_a_log_without_an_end_gives_counts_again_when_they_change() -> None:
    """The same transform; the source is one that never said that it has ended when the first counts came."""

    def record(name: str, user: str, item: str, at: int) -> tuple[str, bytes]:
        return user, event_record(LiveEvent(name, user, "view", at, at * 1000, item))

    stream = (
        test_stream.TestStream()
        .add_elements([record("1", "u", "a", NOW), record("2", "v", "a", NOW), record("1", "u", "a", NOW)])
        .advance_watermark_to(Timestamp(NOW))
        .add_elements([record("3", "u", "a", NOW + 5), record("4", "w", "a", NOW + 1_800)])
        .add_elements([record("5", "w", "b", NOW)])
        .advance_watermark_to(Timestamp(NOW + 2_000))
        .advance_watermark_to_infinity()
    )

    def right(rows: list[HotItem]) -> None:
        halves = [round(one.counts[0], 6) for one in rows if one.item_id == "a"]
        # Two people; then, half an hour later, a third: the half-life of the first count.
        assert halves[-1] == 2.0 and len(halves) >= 2, rows
        assert {one.as_of for one in rows if one.item_id == "a"} == {NOW, NOW + 1_800}
        assert 2.0 in {round(sum(one.counts) / len(one.counts), 6) for one in rows if one.as_of == NOW}
        assert [one.counts for one in rows if one.item_id == "b"][-1] == (1.0,) * len(HALF_LIVES)

    # By its name: Beam's own choice would first download another one.
    options = PipelineOptions(streaming=True)
    with beam.Pipeline(runner=BundleBasedDirectRunner(), options=options) as pipeline:
        assert_that(pipeline | stream | HotCounts(), right)


@pytest.mark.parametrize("gap", [0, 3_600, 30 * 86_400])
def test_counted_apart_and_merged_is_counted_together(gap: int) -> None:
    """Also where one part is so much newer that the other one's count has faded to nothing."""
    fn = DecayedCountsFn(HALF_LIVES)
    old, new = [NOW, NOW + 60], [NOW + gap, NOW + gap + 1, NOW + gap + 2]

    def counted(times: list[int]) -> object:
        accumulator = fn.create_accumulator()
        for at in times:
            accumulator = fn.add_input(accumulator, at)
        return accumulator

    together = fn.extract_output(counted([*old, *new]))
    for order in ([old, new], [new, old]):
        apart = fn.extract_output(fn.merge_accumulators(map(counted, order)))
        assert apart[0] == together[0]
        np.testing.assert_allclose(apart[1], together[1], rtol=1e-9)
    assert together[0] == max(NOW + 60, NOW + gap + 2)


def test_a_clock_that_is_fast_makes_nothing_hotter() -> None:
    event = LiveEvent("1", "u", "view", NOW + 500, NOW * 1000, "a")
    assert [one.value for one in taken(("u", event_record(event)))] == [(("u", "a"), NOW)]
    assert not list(taken(("u", event_record(event, "guest:0"))))
