"""Reasons made ahead (`--whys-ahead`) beside reasons that are made when somebody asks.

    python -m benchmarks.whys_ahead [--root ROOT] [--seconds 40] [--pages 1] [--dry-run]

Guests with 20 events get pages, at times that wait for no answer, and ask for the reasons of two cards of the first
row some seconds later. Once with nothing made ahead and once with eight cards, on the same models, one after the
other: latencies of pages and reasons, and what a page costs in CPU time. Merges `whys_ahead.*` into `results.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pathlib
import time
from typing import Any

import httpx
import numpy as np

from benchmarks import results
from benchmarks.gateway import Figures, Stage, cpu_seconds, open_loop, stage, summary
from benchmarks.why import guests

NUM_CARDS = 8
THINKING_SECONDS = 4.0  # From a page to the question.
ASKED = (0, 3)  # Places of the first row.


async def measure(stage: Stage, seconds: float, pages_a_second: float) -> Figures:
    """Pages, and reasons of some of their cards."""
    of_pages, of_whys, codes = list[float](), list[float](), list[int]()
    async with httpx.AsyncClient(base_url=stage.url, timeout=30) as http:
        shown = await guests(stage, http)
        await asyncio.sleep(THINKING_SECONDS)

        async def visit(number: int) -> None:
            who = {"session_id": shown[number % len(shown)]["session_id"]}
            page = await _timed(http.get("/v1/page", params={**who, "k": NUM_CARDS}), of_pages)
            await asyncio.sleep(THINKING_SECONDS)
            cards = page.json()["rows"][0]["cards"]
            for place in ASKED:
                path = f"/v1/why/{page.json()['impression_id']}/{cards[place]['item_id']}"
                codes.append((await _timed(http.get(path, params=who), of_whys)).status_code)

        before = cpu_seconds(stage.gateway), cpu_seconds(stage.models)
        await open_loop(pages_a_second, seconds, visit)
        spent = cpu_seconds(stage.gateway) - before[0], cpu_seconds(stage.models) - before[1]
    figures = summary("why", of_whys) | summary("page", of_pages)
    return figures | {
        "pages": len(of_pages),
        "told": codes.count(200) / len(codes),
        "at_once": float(np.mean([seconds < 0.01 for seconds in of_whys])),
        "gateway_cpu_ms_a_page": 1000 * spent[0] / len(of_pages),
        "models_cpu_ms_a_page": 1000 * spent[1] / len(of_pages),
    }


async def _timed(call: Any, latencies: list[float]) -> httpx.Response:
    started = time.perf_counter()
    answer: httpx.Response = await call
    latencies.append(time.perf_counter() - started)
    return answer


def main() -> None:
    """Measures both and merges `whys_ahead.*` into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("var/movielens-100k/root"))
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--pages", type=float, default=1, help="a second")
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    figures: Figures = {}
    for name, cards in (("none", 0), ("eight", NUM_CARDS)):
        print(f"load before: {os.getloadavg()[0]:.1f}")
        with stage(options.root, "--whys-ahead", str(cards)) as staged:
            found = asyncio.run(measure(staged, options.seconds, options.pages))
        figures |= {f"{name}.{figure}": value for figure, value in found.items()}
    results.tell("whys_ahead", figures, keep=not options.dry_run)


if __name__ == "__main__":
    main()
