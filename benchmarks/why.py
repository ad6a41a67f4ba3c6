"""Reasons of cards under load: why a card was on a page of a guest with 20 events, beside 50 pages a second.

    python -m benchmarks.why [--root ROOT] [--seconds 30] [--whys 4] [--dry-run]

A model server and a gateway on the pushed models of a root, and the load from this process, as in
`benchmarks.gateway`. Merges `why.*` into `results.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import os
import pathlib
from typing import Any

import httpx
import numpy as np

from benchmarks import results
from benchmarks.gateway import Figures, Stage, cpu_seconds, open_loop, stage, summary

NUM_GUESTS, NUM_EVENTS, PAGES_A_SECOND = 40, 20, 50


async def guests(stage: Stage, http: httpx.AsyncClient) -> list[dict[str, Any]]:
    """A page of each guest, who did 20 things before."""
    rng, found = np.random.default_rng(0), []
    for number in range(NUM_GUESTS):
        taken = rng.choice(stage.items, NUM_EVENTS, replace=False)
        who = {"session_id": f"why-{number}"}
        events = [
            {"event_id": f"why-{number}-{place}", "type": "view", "item_id": str(item), **who}
            for place, item in enumerate(taken)
        ]
        (await http.post("/v1/events", json={"events": events})).raise_for_status()
        page: dict[str, Any] = {}
        while page.get("served_by") != "fused":  # The first ones may be slow.
            page = (await http.get("/v1/page", params={**who, "k": 8})).json()
        found.append(page)
    return found


async def measure(stage: Stage, seconds: float, whys_a_second: float) -> Figures:
    """Pages and reasons at the same time, each at times that wait for no answer."""
    async with httpx.AsyncClient(base_url=stage.url, timeout=30) as http:
        shown = await guests(stage, http)
        cards = [(page, card["item_id"]) for page in shown for row in page["rows"][:1] for card in row["cards"]]

        async def page(number: int) -> httpx.Response:
            return await http.get("/v1/page", params={"user_id": stage.users[number * 7 % len(stage.users)]})

        async def why(number: int) -> httpx.Response:
            at, item = cards[number * 11 % len(cards)]
            who = {"session_id": at["session_id"]}
            return await http.get(f"/v1/why/{at['impression_id']}/{item}", params=who)

        await open_loop(whys_a_second, 3, why)  # Not counted.
        before = cpu_seconds(stage.gateway), cpu_seconds(stage.models)
        of_pages, of_whys = await asyncio.gather(
            open_loop(PAGES_A_SECOND, seconds, page), open_loop(whys_a_second, seconds, why)
        )
    latencies, answers = of_whys
    codes = collections.Counter(answer.status_code for answer in answers)
    told = [answer.json() for answer in answers if answer.status_code == 200]
    rungs = [answer.json()["served_by"] for answer in of_pages[1] if answer.status_code == 200]
    figures: Figures = summary("why", latencies) | summary("pages", of_pages[0])
    return figures | {
        "p95_ms": float(np.percentile(latencies, 95)) * 1000,
        "answers": len(answers),
        "come_back": codes[429],
        "measured": sum(one["is_measured"] for one in told),
        "counterfactual": sum(one["instead"] is not None for one in told),
        "pages.fused": rungs.count("fused") / len(of_pages[1]),
        "gateway_cpus": (cpu_seconds(stage.gateway) - before[0]) / seconds,
        "models_cpus": (cpu_seconds(stage.models) - before[1]) / seconds,
    }


def main() -> None:
    """Measures and merges `why.*` into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("var/movielens-100k/root"))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--whys", type=float, default=4, help="a second")
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f}")
    with stage(options.root) as staged:
        figures = asyncio.run(measure(staged, options.seconds, options.whys))
    results.tell("why", figures, keep=not options.dry_run)


if __name__ == "__main__":
    main()
