"""`make bench PART=gateway_storm`: pages while the model server is killed, while models are pushed, and while far
more are asked for than can be made.

The load comes from vegeta, which sends at its rate whatever the answers do and is on PATH:
`go install github.com/tsenart/vegeta/v12@v12.13.0`. Writes `results.json`.
"""

from __future__ import annotations

import argparse
import base64
import collections
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

from benchmarks import results
from benchmarks.gateway import Figures, Stage, running, stage, summary, wait_until_ready

STEADY_RATE, BURST_RATE = 30, 1_400  # Pages a second.
BURST_SECONDS, NUM_PUSHES, PUSH_SECONDS = 30, 20, 3.0


@dataclasses.dataclass(frozen=True)
class Answer:
    """One page that was asked for."""

    at: float  # When it was asked for, seconds since the attack began.
    seconds: float
    status: int  # 0: none came.
    rung: str  # "": no page.


@contextlib.contextmanager
def attack(stage: Stage, rate: int, seconds: float) -> Iterator[list[Answer]]:
    """Asks for pages until the block ends and the time is over; then the list holds the answers."""
    targets = "\n".join(f"GET {stage.url}/v1/page?user_id={user}" for user in stage.users)
    command = ["vegeta", "attack", f"-rate={rate}", f"-duration={seconds}s", "-timeout=10s", "-max-workers=2000"]
    answers: list[Answer] = []
    with tempfile.TemporaryDirectory() as name:
        found = pathlib.Path(name, "answers")
        attacker = subprocess.Popen([*command, f"-output={found}"], stdin=subprocess.PIPE, text=True)
        assert attacker.stdin
        attacker.stdin.write(targets)
        attacker.stdin.close()
        yield answers
        attacker.wait()
        encoded = subprocess.run(["vegeta", "encode", str(found)], check=True, capture_output=True).stdout
    said = [json.loads(line) for line in encoded.splitlines()]
    begin = min(_time(one) for one in said)
    answers += [_answer(one, begin) for one in said]


def _time(said: dict[str, object]) -> float:
    return datetime.datetime.fromisoformat(str(said["timestamp"])).timestamp()


def _answer(said: dict[str, object], begin: float) -> Answer:
    body = base64.b64decode(str(said["body"] or ""))
    rung = json.loads(body)["served_by"] if said["code"] == 200 else ""
    return Answer(_time(said) - begin, float(str(said["latency"])) / 1e9, int(str(said["code"])), rung)


def told(name: str, answers: list[Answer]) -> Figures:
    """Latencies, and the shares of rungs and refusals."""
    count = len(answers)
    figures = summary(name, [answer.seconds for answer in answers])
    refused = sum(answer.status == 429 for answer in answers)
    figures |= {f"{name}.pages": count, f"{name}.share.come_back": refused / count}
    figures[f"{name}.failed"] = sum(answer.status not in (200, 429) for answer in answers)
    rungs = collections.Counter(answer.rung for answer in answers if answer.rung)
    return figures | {f"{name}.share.{rung}": number / count for rung, number in rungs.items()}


def burst(stage: Stage) -> Figures:
    """Ten times as many pages as can be made, and how long it takes until all is as before."""
    with attack(stage, BURST_RATE, BURST_SECONDS) as answers:
        pass
    return told("burst", answers) | {"burst.seconds_to_fused": wait_until_ready(stage.url)}


def pushes(stage: Stage) -> Figures:
    """The same models pushed again and again under load."""
    with tempfile.TemporaryDirectory() as name:
        source = pathlib.Path(name)
        stable = stage.releases.stable()
        for model in stage.releases.models():
            shutil.copytree(stage.releases.path(model, stable), source / model)
        models = {model: source / model for model in stage.releases.models()}
        with attack(stage, STEADY_RATE, NUM_PUSHES * PUSH_SECONDS) as answers:
            for _ in range(NUM_PUSHES):
                began = time.monotonic()
                stage.releases.push(models)
                time.sleep(max(0.0, began + PUSH_SECONDS - time.monotonic()))
    return told("pushes", answers) | {"pushes.number": NUM_PUSHES}


def kills(stage: Stage) -> Figures:
    """The model server killed under load, and started again three seconds later."""
    with attack(stage, STEADY_RATE, 40) as answers:
        time.sleep(5)
        os.kill(stage.models, signal.SIGKILL)
        time.sleep(3)
        with running(stage.model_server):
            listening = _once_serving(stage)
            back = wait_until_ready(stage.url)
            time.sleep(max(0.0, 30 - listening - back))
    return told("kill", answers) | {"kill.seconds_to_serving": listening, "kill.seconds_then_to_fused": back}


def _once_serving(stage: Stage) -> float:
    """Seconds until the model server has loaded its models."""
    import homefeed_client

    address = next(flag.partition("=")[2] for flag in stage.model_server if flag.startswith("--port="))
    begin = time.monotonic()
    with homefeed_client.PredictionClient(f"127.0.0.1:{address}") as client:
        client.wait_until_available("fused", timeout_seconds=120)
    return time.monotonic() - begin


PARTS: dict[str, Callable[[Stage], Figures]] = {"burst": burst, "pushes": pushes, "kill": kills}


def main() -> None:
    """Measures and merges `gateway_storm.*` into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("var/movielens-100k/root"))
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--dry-run", action="store_true", help="print only")
    options = parser.parse_args()
    figures: Figures = {}
    for part in options.parts:
        with stage(options.root) as staged:
            figures |= PARTS[part](staged)
    results.tell("gateway_storm", figures, keep=not options.dry_run)


if __name__ == "__main__":
    main()
