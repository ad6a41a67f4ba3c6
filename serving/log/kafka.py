"""The log in Kafka: what is sent to it, and what is read of it by offsets."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from homefeed.serving.log.address import Address, LogError
from homefeed.serving.profiles.outbox import Entry

REACH_SECONDS = 10.0
SILENT_SECONDS = 30.0  # A broker that has records and gives none for so long is out of reach.
MAX_BATCH = 10_000  # Records that are read at once.
NUMBER = "number"  # The header that orders records of the same millisecond.
_LOOK_SECONDS = 0.2


class Logged(NamedTuple):
    """A record of the log.

    Attributes:
        partition, offset: where it is.
        at: when a store had it, Unix milliseconds.
        number: of those of the same time, later ones have greater ones.
        user_id: whose it is.
        record: what it says.
    """

    partition: int
    offset: int
    at: int
    number: int
    user_id: str
    record: bytes


class Bounds(NamedTuple):
    """Of a partition: the first offset that is kept, and the one that the next record will have."""

    first: int
    end: int


def _library() -> Any:
    try:
        import confluent_kafka
    except ImportError as error:
        raise LogError("a log needs confluent-kafka: pip install 'homefeed[kafka]'") from error
    return confluent_kafka


class _Client:
    """What a producer and a consumer have in common."""

    def __init__(self, address: Address):
        self._address, self._faults = address, dict[str, str]()
        self._kafka = _library()

    def _settings(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self._address.brokers,
            "error_cb": self._note,
            "log_level": 0,  # What matters is said in our own lines.
            "client.id": "homefeed",
            **self._address.security,
        }

    def _note(self, error: Any) -> None:
        self._faults[error.name()] = error.str()

    def _partitions(self, client: Any) -> list[int]:
        """The partitions of the topic.

        Raises:
            LogError: the log is out of reach, refuses, or has no such topic.
        """
        address = self._address
        try:
            found = client.list_topics(address.topic, timeout=REACH_SECONDS).topics[address.topic]
        except self._kafka.KafkaException as error:
            client.poll(0)  # Tells `_note` why.
            raise self._fault(error.args[0]) from error
        if found.error is not None:
            raise self._fault(found.error)
        return sorted(found.partitions)

    def _fault(self, error: Any) -> LogError:
        name, code = self._address.name, self._kafka.KafkaError
        if error.code() in (code.UNKNOWN_TOPIC_OR_PART, code._UNKNOWN_TOPIC, code._UNKNOWN_PARTITION):
            return LogError(
                f"{name}: the brokers have no topic {self._address.topic!r}; make it: kafka-topics.sh --create "
                f"--topic {self._address.topic} --partitions 12 --bootstrap-server {self._address.brokers}"
            )
        refused = (code._AUTHENTICATION, code.TOPIC_AUTHORIZATION_FAILED, code.SASL_AUTHENTICATION_FAILED)
        if said := self._faults.get("_AUTHENTICATION") or (error.str() if error.code() in refused else ""):
            return LogError(
                f"{name} refuses us: {said}; put user and password into the URL, and let the user read and write"
            )
        return AwayError(f"{name} is out of reach: {error.str()}; start the brokers, or mend the address")


class AwayError(LogError):
    """The log is out of reach: it may come back."""


class Log(_Client):
    """Sends records: each user's in their order, and each on all brokers that are in sync before it is confirmed.

    Args:
        address: of the topic.

    Raises:
        LogError: confluent-kafka is missing, or does not take the settings.
    """

    def __init__(self, address: Address):
        super().__init__(address)
        self._is_closed = False
        self._producer = self._connect()

    def check(self) -> None:
        """Looks for the topic.

        Raises:
            AwayError: no broker answers.
            LogError: they refuse, or there is no such topic.
        """
        self._partitions(self._producer)

    def send(self, entries: Sequence[Entry]) -> None:
        """Returns when the log has all entries; where it is away, after it came back.

        Raises:
            LogError: it did not take one of them, or this was closed. Some may be there nevertheless: send all again.
        """
        faults = list[Any]()

        def told(error: Any, _: Any) -> None:
            if error is not None:
                faults.append(error)

        try:
            for entry in entries:
                self._produce(entry, told)
            while self._producer.flush(_LOOK_SECONDS) and not self._is_closed and not faults:
                pass
        except (self._kafka.KafkaException, BufferError) as error:
            faults.append(error.args[0] if isinstance(error, self._kafka.KafkaException) else None)
        if faults:
            # What was behind it must not stay: the next try begins with the oldest again.
            self._producer.purge()
            self._producer = self._connect()
            raise self._fault(faults[0]) if faults[0] else LogError(f"{self._address.name}: too much waits")
        if self._is_closed:
            raise LogError(f"{self._address.name} was closed while something was sent")

    def _produce(self, entry: Entry, told: Callable[[Any, Any], None]) -> None:
        headers = [(NUMBER, str(entry.mark[1]).encode())]
        self._producer.produce(
            self._address.topic, entry.record, entry.user_id, timestamp=entry.at, headers=headers, on_delivery=told
        )

    def close(self) -> None:
        """Gives up what is not confirmed: it waits in the outbox."""
        self._is_closed = True

    def _connect(self) -> Any:
        settings = {
            "enable.idempotence": True,  # And with it acks=all: its own tries make no double and no other order.
            "message.timeout.ms": 0,  # Never: one that gave up a record would go on with the next of the same user.
            "linger.ms": 0,
            "compression.type": "zstd",
            "message.max.bytes": 4 << 20,
            "partitioner": "murmur2_random",  # As Java's clients have it, so that others find a user's partition.
        }
        try:
            return self._kafka.Producer(self._settings() | settings)
        except (self._kafka.KafkaException, ValueError) as error:
            raise LogError(f"{self._address.name}: {error}; mend the address of the log") from error


class LogReader(_Client):
    """Reads the log by offsets.

    Args:
        address: of the topic.

    Raises:
        LogError: confluent-kafka is missing.
    """

    def __init__(self, address: Address):
        super().__init__(address)
        settings = {
            "group.id": "homefeed",  # None is joined: offsets are kept with what was read.
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
        try:
            self._consumer = self._kafka.Consumer(self._settings() | settings)
        except (self._kafka.KafkaException, ValueError) as error:
            raise LogError(f"{address.name}: {error}; mend the address of the log") from error

    def cluster(self) -> str:
        """The brokers' own name for themselves, for all their life."""
        return str(self._consumer.list_topics(self._address.topic, timeout=REACH_SECONDS).cluster_id)

    def bounds(self) -> dict[int, Bounds]:
        """Partition → what it has now.

        Raises:
            LogError: see `Log.check`.
        """
        partitions = self._partitions(self._consumer)
        try:
            return {
                number: Bounds(
                    *self._consumer.get_watermark_offsets(self._place(number), timeout=REACH_SECONDS, cached=False)
                )
                for number in partitions
            }
        except self._kafka.KafkaException as error:
            raise self._fault(error.args[0]) from error

    def read(self, ranges: dict[int, tuple[int, int]]) -> Iterator[list[Logged]]:
        """Gives the records of ranges of offsets, each partition's in order.

        Args:
            ranges: partition → first offset, and the one to stop before.

        Raises:
            LogError: the brokers do not give them.
        """
        left = {number: end for number, (first, end) in ranges.items() if first < end}
        self._consumer.assign([self._place(number, ranges[number][0]) for number in left])
        heard = time.monotonic()
        while left:
            messages = self._consumer.consume(MAX_BATCH, timeout=_LOOK_SECONDS)
            batch = [found for one in messages if (found := self._read(one, left)) is not None]
            heard = time.monotonic() if messages else heard
            if time.monotonic() - heard > SILENT_SECONDS:
                raise AwayError(f"{self._address.name} gives no more records; start the brokers and try again")
            if batch:
                yield batch

    def _read(self, message: Any, left: dict[int, int]) -> Logged | None:
        """A record that is asked for; takes the partition away from what is left at its end."""
        number, offset, error = message.partition(), message.offset(), message.error()
        if error is not None and error.code() != self._kafka.KafkaError._PARTITION_EOF:
            raise self._fault(error)
        end = left.get(number, 0)
        # The end of what there is, or what came since: places in between may be empty.
        if offset >= end - (error is None) and left.pop(number, None):
            self._consumer.pause([self._place(number)])
        if error is not None or offset >= end:
            return None
        order = dict(message.headers() or ()).get(NUMBER, b"")
        user = (message.key() or b"").decode("utf-8", "replace")
        at, order = message.timestamp()[1], int(order) if order.isdigit() else 0
        return Logged(number, offset, at, order, user, message.value() or b"")

    def _place(self, partition: int, offset: int = -1) -> Any:
        return self._kafka.TopicPartition(self._address.topic, partition, offset)

    def close(self) -> None:
        """Leaves the brokers."""
        with contextlib.suppress(self._kafka.KafkaException):
            self._consumer.close()
