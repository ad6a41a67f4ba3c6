"""A store of 40 items and models whose every answer is known: items are found by the distance of their numbers."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import httpx

from homefeed.models.requests import Event, Request
from homefeed.serving.process import free_port, server_command, server_flags
from homefeed.serving.profiles import FILE_NAME, write_profiles
from homefeed.serving.releases import Releases
from tests.serving.servers import eventually

NUM_ITEMS = 40
LATE = ("i39", "i40")  # Not available before 2060.
NEW = ("i31", "i32")
IDS = [f"i{n:02}" for n in range(1, NUM_ITEMS + 1)]
COMMAND = [sys.executable, "-c", "from homefeed.pipeline.cli.main import main; main()", "gateway"]


def save_models(folder: pathlib.Path, *, farthest: bool = False, is_sick: bool = False) -> dict[str, pathlib.Path]:
    """Model name → SavedModel. All find what is nearest to the newest item of the history, or farthest from it.

    The ranking of a sick one says NaN.
    """
    import tensorflow as tf

    ids = tf.constant(["", *IDS])
    numbers = tf.range(NUM_ITEMS + 1, dtype=tf.float32)

    def nearest(history: Any, k: Any) -> dict[str, Any]:
        present = history[:, :, None] == ids[None, None, 1:]
        known = tf.reduce_any(present, axis=2)
        place = tf.reduce_max(tf.where(known, tf.range(tf.shape(history)[1]), -1), axis=1)
        newest = tf.gather(history, tf.maximum(place, 0), batch_dims=1)
        at = tf.reduce_sum(tf.where(newest[:, None] == ids, numbers, 0.0), axis=1)
        scores = (1.0 if farthest else -1.0) * tf.abs(numbers[None, 1:] - at[:, None])
        scores = tf.where(tf.reduce_any(present, axis=1), tf.float32.min, scores)
        best, rows = tf.math.top_k(scores, tf.minimum(tf.reduce_max(k), NUM_ITEMS))
        found = tf.where(best > tf.float32.min, tf.gather(ids[1:], rows), "")
        source = tf.where(tf.reduce_any(known, axis=1), "history", "popular")
        return {"item_ids": found, "titles": found, "scores": best, "source": source}

    class Toy(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None], tf.string, "history"),
                tf.TensorSpec([None], tf.int32, "k"),
                tf.TensorSpec([None], tf.int64, "timestamp"),
            ]
        )
        def find(self, history: Any, k: Any, timestamp: Any) -> Any:
            return nearest(history, k)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, "item_ids"),
                tf.TensorSpec([None], tf.int32, "k"),
            ]
        )
        def similar(self, item_ids: Any, k: Any) -> Any:
            return nearest(item_ids[:, None], k)

        @tf.function(input_signature=find.input_signature)
        def recommend(self, history: Any, k: Any, timestamp: Any) -> Any:
            found = nearest(history, k)
            chance = tf.sigmoid(found["scores"] / 8.0)
            scores = found["scores"] + (float("nan") if is_sick else 0.0)
            return {
                **found,
                "scores": scores,
                "probabilities": chance,
                "probability_deviation": chance * (1.0 - chance),
            }

    toy = Toy()
    for name, signatures in (
        ("retrieval", {"serving_default": toy.find, "retrieve": toy.find, "similar_items": toy.similar}),
        ("fused", {"serving_default": toy.recommend, "recommend": toy.recommend}),
    ):
        tf.saved_model.save(toy, str(folder / name), signatures=signatures)
    return {name: folder / name for name in ("retrieval", "fused")}


def cards() -> dict[str, dict[str, Any]]:
    """i01 … i20 are dramas, the others comedies; every card has a picture and a price."""
    return {
        item_id: {
            "categories": ["drama" if n < 20 else "comedy"],
            "picture": f"https://pictures.test/{item_id}.jpg",
            "price": n + 0.5,
            **({"available_from": 2_900_000_000} if item_id in LATE else {}),
            **({"available_from": 1_500_000_000 + n} if item_id in NEW else {}),
        }
        for n, item_id in enumerate(IDS)
    }


def profiles() -> list[Request]:
    """`fan` had i10; 30 others make i25 the most popular, then i12, then i11."""
    popular = [*["i25"] * 15, *["i12"] * 10, *["i11"] * 5]
    others = [Request(f"other-{n}", [Event(item, timestamp=1_600_000_000)]) for n, item in enumerate(popular)]
    return [Request("fan", [Event("i10", 4.0, "view", 1_600_000_000)]), *others]


def publish(
    serving_dir: pathlib.Path,
    models: dict[str, pathlib.Path],
    user_key: str = "",
    facts: Mapping[str, Mapping[str, list[str]]] = MappingProxyType({}),
    relations: Sequence[tuple[str, str]] = (),
) -> None:
    """Pushes profiles, cards and models; `facts` are item → relation → values."""
    serving_dir.mkdir(parents=True, exist_ok=True)
    known = {item: card | facts.get(item, {}) for item, card in cards().items()}
    names = sorted({name for of_item in facts.values() for name in of_item})
    titles = {i: f"Title of {i}" for i in IDS}
    write_profiles(serving_dir / FILE_NAME, profiles(), titles, user_key, known, names, relations)
    if models:
        Releases(serving_dir).push(models)


@contextlib.contextmanager
def model_server(serving_dir: pathlib.Path, port: int) -> Iterator[None]:
    """The server of `homefeed serve` until the block ends, and then kill -9."""
    log = (serving_dir / "server.log").open("wb")
    process = subprocess.Popen(
        server_command("homefeed", server_flags(str(serving_dir), port)), stdout=log, stderr=log
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()
        log.close()


class Gateway:
    """`homefeed gateway` as a process, and a client of it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int):
        self.process, self.port = process, port
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)

    def page(self, **ask: Any) -> dict[str, Any]:
        answer = self.http.get("/v1/page", params=ask)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def send(self, *events: Any) -> list[dict[str, Any]]:
        answer = self.http.post("/v1/events", json={"events": list(events)})
        assert answer.status_code == 200, answer.text
        told: list[dict[str, Any]] = answer.json()["events"]
        return told

    def did(self, event_id: str, user: str, kind: str, item: str = "", **more: Any) -> dict[str, Any]:
        who = "session_id" if user.startswith("session") else "user_id"
        item_id = {"item_id": item} if item else {}
        return self.send({"event_id": event_id, who: user, "type": kind, **item_id, **more})[0]

    def why(self, page: Mapping[str, Any], item: str, user: str) -> list[dict[str, Any]]:
        """The reasons of a card; a busy gateway says to come back."""

        def answered() -> list[dict[str, Any]]:
            told = self.http.get(f"/v1/why/{page['impression_id']}/{item}", params={"user_id": user})
            assert told.status_code in (200, 429), told.text
            reasons: list[dict[str, Any]] = told.json()["reasons"] if told.status_code == 200 else []
            return reasons

        found: list[dict[str, Any]] = eventually(answered)
        return found

    def stop(self) -> None:
        """As a supervisor does: what was asked is answered, and what was answered is on disk."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


@contextlib.contextmanager
def gateway(root: pathlib.Path, *options: str, models: str = "", port: int = 0) -> Iterator[Gateway]:
    """Runs the verb on a root until the block ends."""
    port = port or free_port()
    arguments = ["--root", str(root), "--models", models, "--port", str(port), *options]
    with running(arguments, port, root / f"gateway-{port}.log") as gateway:
        yield gateway


@contextlib.contextmanager
def running(arguments: Sequence[str], port: int, log_path: pathlib.Path) -> Iterator[Gateway]:
    """Runs the verb with these arguments, which say the port, until the block ends."""
    log = log_path.open("wb")
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=log, stderr=log, env=os.environ | {"PYTHONWARNINGS": "error"}
    )
    gateway = Gateway(process, port)

    def answers() -> bool:
        assert process.poll() is None, pathlib.Path(log.name).read_text()
        with contextlib.suppress(httpx.TransportError):
            return gateway.http.get("/v1/health").status_code == 200
        return False

    try:
        eventually(answers, seconds=120)  # Imports take long on a busy machine.
        yield gateway
    finally:
        gateway.http.close()
        process.kill()
        process.wait()
        log.close()


def items(page: dict[str, Any]) -> list[str]:
    """All items of a page, in order."""
    return [card["item_id"] for row in page["rows"] for card in row["cards"]]


def row(page: dict[str, Any], name: str) -> list[str]:
    """The items of one row."""
    return [card["item_id"] for row in page["rows"] if row["id"] == name for card in row["cards"]]
