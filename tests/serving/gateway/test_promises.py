"""What no page may hold and what the next page must know, over random readers: few here, many in the benchmark."""

import asyncio

from benchmarks.gateway_promises import FAULTS, World, read
from tests.serving.gateway import toy


def test_no_reader_sees_what_they_must_not(home: toy.Gateway) -> None:
    users = (one for one in toy.profiles() if one.user_id != "fan")  # Whom other tests know as the data does.
    seen = {one.user_id: frozenset(event.item_id for event in one.history) for one in users}
    world = World(seen, toy.IDS, frozenset(toy.LATE))
    tally = asyncio.run(read(world, [str(home.http.base_url)], {"tries": 100}))
    assert {name: tally[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert tally["rung.fused"] > 100 and tally["cards"] > 1_000
