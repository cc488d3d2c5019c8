"""Run Apache Kafka brokers as child processes on free loopback ports; each is controller and broker (KRaft)."""

import base64
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from filelock import FileLock

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.server import LOOPBACK, Server, free_port
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.topics import broker_answers
from tests.support.apache_kafka.proxy import Proxy
from tests.support.apache_kafka.secured import Security

POM = Path(__file__).with_name("pom.xml")
CACHE = Path(__file__).parents[3] / ".cache" / "apache-kafka"
FETCH_TIMEOUT_S = 300
FORMAT_TIMEOUT_S = 60
START_TIMEOUT_S = 60
# Brokers must start soon; the second compiler would pay off only after the tests.
JAVA_OPTIONS = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
MAX_MESSAGE_BYTES = 18 * 1024 * 1024


def kafka_jars() -> Path:
    """Fetch Kafka's jars once for each `pom.xml`, and return the folder. Raises SettingsError without JDK or Maven."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise SettingsError(f"Apache Kafka for the tests needs {program}: install a JDK (17 or newer) and Maven")
    folder = CACHE / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / "fetching.lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as fetched:
                _fetch(Path(fetched) / "jars")
                (Path(fetched) / "jars").rename(folder)
    return folder


def _fetch(folder: Path) -> None:
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
    if done.returncode:
        raise SettingsError(f"Maven could not fetch Apache Kafka: {(done.stdout + done.stderr).strip()[-400:]}")


@dataclass(frozen=True)
class Broker:
    """One node: its ports, its folder and its process."""

    node: int
    port: int
    proxy: Proxy
    folder: Path
    server: Server

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start the broker, or restart it with the data in its folder. Raises TransportError."""
        access = KafkaAccess(self.address, connect_timeout_ms=500)
        self.server.start(lambda: broker_answers(access), timeout_s=START_TIMEOUT_S)

    def kill(self) -> None:
        """Kill the broker (SIGKILL), and wait until its process has ended."""
        self.server.stop()


class Cluster:
    """A cluster of brokers; topics have a replica on each, up to three.

    Clients connect directly, through proxies, or, with `security`, through its listeners.
    """

    def __init__(self, brokers: int = 1, security: Security | None = None) -> None:
        self._count = brokers
        self.security = security
        self._folder = Path()
        self.brokers: list[Broker] = []

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(broker.address for broker in self.brokers)

    @property
    def proxied_bootstrap_servers(self) -> str:
        """Bootstrap servers for clients whose network can be cut: they reach the brokers through the proxies only."""
        return ",".join(f"{LOOPBACK}:{broker.proxy.port}" for broker in self.brokers)

    def start(self) -> None:
        """Format and start all brokers. Raises SettingsError, TransportError, and leaves nothing running then."""
        jars = kafka_jars()
        self._folder = Path(tempfile.mkdtemp(prefix="qc-kafka-"))
        controllers = [free_port() for _ in range(self._count)]
        voters = ",".join(f"{node}@{LOOPBACK}:{port}" for node, port in enumerate(controllers, start=1))
        self.brokers = [self._broker(node, port, voters, jars) for node, port in enumerate(controllers, start=1)]
        try:
            _format(self.brokers, jars, self.security.format_options if self.security else ())
            # A quorum needs a majority: all are launched before the first wait.
            for broker in self.brokers:
                broker.server.launch()
            for broker in self.brokers:
                broker.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for broker in self.brokers:
            broker.kill()
            broker.proxy.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _broker(self, node: int, controller_port: int, voters: str, jars: Path) -> Broker:
        port, behind_proxy = free_port(), free_port()
        proxy = Proxy(behind_proxy)
        folder = self._folder / str(node)
        folder.mkdir()
        replicas = min(3, self._count)
        settings: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": node,
            "controller.quorum.voters": voters,
            "listeners": (
                f"DIRECT://{LOOPBACK}:{port},PROXIED://{LOOPBACK}:{behind_proxy},"
                f"CONTROLLER://{LOOPBACK}:{controller_port}"
            ),
            "advertised.listeners": f"DIRECT://{LOOPBACK}:{port},PROXIED://{LOOPBACK}:{proxy.port}",
            "listener.security.protocol.map": "DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "DIRECT",
            "log.dirs": folder / "log",
            "num.partitions": 3,
            "default.replication.factor": replicas,
            "min.insync.replicas": max(1, replicas - 1),
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": max(1, replicas - 1),
            "transaction.state.log.num.partitions": 4,
            "group.initial.rebalance.delay.ms": 0,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
            "log.segment.bytes": 256 * 1024 * 1024,
            # Short timeouts, so that a dead broker is noticed in seconds.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "controller.quorum.election.timeout.ms": 500,
            "controller.quorum.fetch.timeout.ms": 1000,
        }
        if security := self.security:
            settings["listeners"] = f"{settings['listeners']},{security.listeners()}"
            settings["advertised.listeners"] = f"{settings['advertised.listeners']},{security.listeners()}"
            settings["listener.security.protocol.map"] = (
                f"{settings['listener.security.protocol.map']},{security.protocols()}"
            )
            settings |= security.settings()
        properties = folder / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        command = ["java", *JAVA_OPTIONS, "-cp", f"{jars}/*", "kafka.Kafka", str(properties)]
        server = Server(f"Apache Kafka, node {node}", command, {"LC_ALL": "C.UTF-8"})
        return Broker(node, port, proxy, folder, server)


def _format(brokers: list[Broker], jars: Path, options: Sequence[str] = ()) -> None:
    # Kafka writes a UUID as 22 characters; an id that began with "-" would be parsed as an option.
    cluster = "q" + base64.urlsafe_b64encode(uuid4().bytes).decode()[1:22]
    tool = ["java", *JAVA_OPTIONS, "-cp", f"{jars}/*", "kafka.tools.StorageTool", "format", "-t", cluster, "-c"]
    running = [
        subprocess.Popen(
            [*tool, str(broker.folder / "server.properties"), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for broker in brokers
    ]
    for process in running:
        said, _ = process.communicate(timeout=FORMAT_TIMEOUT_S)
        if process.returncode:
            raise SettingsError(
                f"Apache Kafka's storage could not be formatted: {said.decode(errors='replace')[-400:]}"
            )
