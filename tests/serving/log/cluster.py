"""Brokers inside this process, which speak Kafka's protocol: librdkafka brings them for tests like these."""

from __future__ import annotations

import uuid
from typing import Any

import confluent_kafka

from homefeed.serving.log.address import read_address
from homefeed.serving.log.kafka import Log, LogReader
from homefeed.serving.profiles.outbox import Entry


class Cluster:
    """It is there as long as this object; a topic is made when it is first written to, with 4 partitions."""

    def __init__(self) -> None:
        settings: dict[str, Any] = {"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 0}
        self._owner = confluent_kafka.Producer(settings)
        (broker,) = self._owner.list_topics(timeout=10).brokers.values()
        self.servers = f"{broker.host}:{broker.port}"

    def new_log(self) -> str:
        """The URL of an empty log."""
        topic = uuid.uuid4().hex
        self._owner.list_topics(topic, timeout=10)
        return f"kafka://{self.servers}/{topic}"


def send(url: str, entries: list[Entry]) -> None:
    """As a sender does."""
    log = Log(read_address(url))
    for first in range(0, len(entries), 100):
        log.send(entries[first : first + 100])
    log.close()


def records(url: str) -> list[tuple[int, bytes]]:
    """Partition and content of all that is there."""
    reader = LogReader(read_address(url))
    ranges = {part: (bounds.first, bounds.end) for part, bounds in reader.bounds().items()}
    found = [(one.partition, one.record) for batch in reader.read(ranges) for one in batch]
    reader.close()
    return found
