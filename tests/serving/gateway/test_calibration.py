"""The alarm when what models predict and what readers do part."""

from __future__ import annotations

import asyncio
import pathlib

import numpy as np

from homefeed.serving.experiments.monitor import Party
from homefeed.serving.gateway.calibration import FIRST_READERS, Calibration
from homefeed.serving.gateway.config import Config
from homefeed.serving.gateway.home import Home
from homefeed.serving.gateway.metrics import Metrics
from homefeed.serving.gateway.schema import Ask
from tests.serving.gateway import toy


def readers(
    calibration: Calibration, count: int, rate: float, seed: int = 0, version: str = "3", begin: int = 0
) -> bool:
    """Each sees ten cards and takes `rate` times as many as predicted. Gives whether any look raised the alarm."""
    rng, alarmed = np.random.default_rng(seed), False
    for number in range(begin, begin + count):
        chances = {f"i{n}": float(chance) for n, chance in enumerate(rng.beta(2, 8, 10))}
        party = Party(f"u{number}", {}, chances, version)
        keen = rng.gamma(4, 0.25)
        for item, chance in chances.items():
            takes = rng.random() < chance * rate * keen
            calibration.happened(party, item, ["seen", "acted"] if takes else ["seen"])
        if number % 50 == 0:
            alarmed |= any(one.is_parted for one in calibration.look() if one.model_version == version)
    return alarmed


def test_steady_readers_raise_no_alarm_however_often_one_looks() -> None:
    """Although half as many act as are predicted: that is this site's own rate."""
    assert sum(readers(Calibration(), FIRST_READERS + 800, 0.5, seed) for seed in range(4)) <= 1


def test_it_is_found_when_they_part_and_stays_told() -> None:
    calibration = Calibration()
    assert not readers(calibration, FIRST_READERS + 500, 0.5)
    assert readers(calibration, 1_500, 0.3, seed=1, begin=5_000)
    clicks, likes = calibration.look()
    assert clicks.is_parted and clicks.now < 0.45 < clicks.before and not likes.is_parted
    assert "clicks on lists of version 3 are 0." in str(clicks)
    readers(calibration, 100, 0.5, seed=2, begin=9_000)
    calibration.forget("u1")
    assert calibration.look()[0].is_parted
    assert not readers(calibration, 300, 0.3, seed=3, version="4"), "another version has rates of its own"


def test_what_nothing_predicted_is_not_counted() -> None:
    calibration = Calibration()
    calibration.happened(Party("u", {}, {}, "3"), "i1", ["seen"])
    calibration.happened(Party("u", {}, {"i1": 0.5}, "3"), "i1", [])
    assert calibration.look() == []


def test_health_and_metrics_tell_it(tmp_path: pathlib.Path) -> None:
    toy.publish(tmp_path, {})

    async def health() -> dict[str, str]:
        home = Home(Config(tmp_path), metrics)
        await home.start()
        try:
            assert "calibration" not in home.health()
            readers(home.known.trials._calibration, FIRST_READERS + 400, 0.5)
            readers(home.known.trials._calibration, 800, 0.2, begin=5_000)
            await home.learn()
            await home.page(Ask(user_id="u", k=2))
            return home.health()
        finally:
            await home.stop()

    metrics = Metrics()
    assert "clicks on lists of version 3" in asyncio.run(health())["calibration"]
    told = metrics.text().decode()
    assert 'homefeed_calibration_parted{model_version="3",outcome="acted"} 1.0' in told
    assert 'homefeed_calibration_parted{model_version="3",outcome="liked"} 0.0' in told
