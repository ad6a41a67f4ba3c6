"""A real Kafka broker, in KRaft mode, from its jars in Maven's registry: `python -m tests.serving.strangers.broker`.

Run by itself it serves on 127.0.0.1:9092 until it is stopped, with a topic `homefeed` of 12 partitions.
"""

from __future__ import annotations

import contextlib
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from homefeed.serving.process import free_port
from tests.serving.servers import eventually
from tests.serving.strangers.workshop import HERE, built, need, run

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
log.dirs={folder}/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
# Acknowledged is on disk: there is no other broker to have it as well.
log.flush.interval.messages=1
"""
SASL = """\
listeners=SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
inter.broker.listener.name=SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=\\
  org.apache.kafka.common.security.plain.PlainLoginModule required \\
  username="broker" password="of-brokers" user_broker="of-brokers" user_shop="of-the-shop";
"""


def jars() -> pathlib.Path:
    """The folder of the broker's jars."""
    source = HERE / "kafka" / "pom.xml"

    def build(to: pathlib.Path) -> None:
        run(need("mvn"), "-q", "-B", "-f", source, "dependency:copy-dependencies", f"-DoutputDirectory={to}")

    return built("kafka", [source], build)


class Broker:
    """A broker on one port with one folder, which may be killed and started again.

    Attributes:
        port: that it listens on.
    """

    def __init__(self, folder: pathlib.Path, port: int = 0, with_login: bool = False):
        self.port, self._folder = port or free_port(), folder
        self._process: subprocess.Popen[bytes] | None = None
        facts = {"port": self.port, "controller": free_port(), "folder": folder}
        text = PROPERTIES.format(**facts) + (SASL.format(**facts) if with_login else "")
        folder.mkdir(parents=True, exist_ok=True)
        self._settings = folder / "server.properties"
        self._settings.write_text(text)
        storage = ["kafka.tools.StorageTool", "format", "-t", "homefeed-test-cluster00", "--standalone"]
        run(*self._java(*storage, "-c", str(self._settings)))

    def _java(self, *arguments: str) -> list[str]:
        return [need("java"), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars()}/*", *arguments]

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        log = (self._folder / "broker.log").open("ab")
        self._process = subprocess.Popen(self._java("kafka.Kafka", str(self._settings)), stdout=log, stderr=log)
        log.close()
        eventually(self._answers, seconds=180)  # A machine may be busy.

    def _answers(self) -> bool:
        import socket

        assert self._process and self._process.poll() is None, (self._folder / "broker.log").read_text()[-3_000:]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        """kill -9."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Asks it to stop."""
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)

    def make_topic(self, name: str, partitions: int = 3) -> str:
        """Makes a topic; gives the URL of its log."""
        from confluent_kafka.admin import AdminClient
        from confluent_kafka.cimpl import NewTopic

        client = AdminClient({"bootstrap.servers": self.servers})
        client.create_topics([NewTopic(name, partitions, 1)], operation_timeout=30)[name].result(60)
        return f"kafka://{self.servers}/{name}"


@contextlib.contextmanager
def running(folder: pathlib.Path, port: int = 0, with_login: bool = False) -> Iterator[Broker]:
    """A broker until the block ends, and then kill -9."""
    broker = Broker(folder, port, with_login)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place, running(pathlib.Path(place), 9092) as only:
        print(only.make_topic("homefeed", 12), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
        sys.exit()
