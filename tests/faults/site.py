"""Workers and frames on a cluster in which things are broken, and the books that must balance in the end."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

from kafka import KafkaAdminClient

from qc_worker.domain.frame import Position
from qc_worker.transport.kafka_config import open_client
from tests.apache_kafka.cluster import Broker, Cluster
from tests.conftest import Services, eventually
from tests.integration.plant import Plant, WorkerProcess

FRAMES = 2_000
CHUNK = 50
CHUNK_S = 0.15
"""About 330 frames a second, so that a fault falls among frames that come, wait and leave."""
DRAIN_S = 150.0


class Site:
    """A plant on three brokers, with frames coming in the background."""

    def __init__(self, cluster: Cluster, services: Services, folder: Path, *, frames: int = FRAMES) -> None:
        self.cluster = cluster
        self.frames = frames
        self.plant = Plant(services, folder)
        self.plant.environment["QC_REPLICATION_FACTOR"] = str(min(3, len(cluster.brokers)))
        self.plant.open()
        self.plant.train("A", "v1")
        self.plant.train("B", "v1")
        self.sent: list[Position] = []
        self.workers: list[WorkerProcess] = []
        self._sender = Thread(target=self._send)

    def start_worker(self, **environment: str) -> WorkerProcess:
        """Start a worker and wait for nothing."""
        worker = WorkerProcess(self.plant, environment)
        self.workers.append(worker)
        return worker

    def ready_worker(self, **environment: str) -> WorkerProcess:
        worker = self.start_worker(**environment)
        worker.wait_until_ready()
        return worker

    def send(self) -> None:
        """Let the frames come."""
        self._sender.start()

    def send_another(self) -> None:
        """One more than planned, once all have been sent."""
        self.sent += self.plant.push(1, first=self.frames)
        self.frames += 1

    def sent_all(self) -> None:
        """Wait until all frames lie on the broker."""
        self._sender.join(120)
        assert len(self.sent) == self.frames

    def wait_for(self, inspections: int, *, timeout_s: float = DRAIN_S) -> None:
        """Wait until readers see so many inspections."""
        self.plant.inspections(inspections, timeout_s=timeout_s)

    def drained(self) -> dict[str, Any]:
        """Wait until every frame has its inspection, with a worker alive; then ask for the account."""
        if not any(worker.process.poll() is None for worker in self.workers):
            self.start_worker()
        self.sent_all()
        self.wait_for(self.frames)
        return eventually(self._settled, timeout_s=60)

    def longest_silence_s(self, lasted_s: float) -> float:
        """Between two verdicts, by the workers' clocks; what is longer than the whole run, a clock has leapt."""
        moments = sorted(inspection.scored_at for inspection in self.plant.inspections(0))
        gaps_s = [(later - earlier).total_seconds() for earlier, later in pairwise(moments)]
        return max((gap_s for gap_s in gaps_s if gap_s < lasted_s), default=0.0)

    def account(self) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "qc_worker.cli", "account", "--json"],
            env=self.plant.environment,
            cwd=self.plant.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.stdout, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def leader_of(self, topic: str, partition: int = 0) -> Broker:
        admin = open_client(KafkaAdminClient, self.plant.access)
        try:
            (described,) = admin.describe_topics([topic])
        finally:
            admin.close()
        leader: int
        (leader,) = [one["leader_id"] for one in described["partitions"] if one["partition_index"] == partition]
        return self.cluster.brokers[leader - 1]

    def coordinator(self) -> Broker:
        """The broker that keeps the group's members, offsets and, of its part, transactions."""
        group = self.plant.environment["QC_CONSUMER_GROUP"]
        return self.leader_of("__consumer_offsets", abs(_java_hash(group)) % 4)

    def close(self) -> None:
        for worker in self.workers:
            worker.end()
        if self._sender.is_alive():
            self._sender.join(60)
        self.plant.close()

    def _settled(self) -> dict[str, Any] | None:
        account = self.account()
        return account if account["totals"]["waiting"] == 0 and account["totals"]["frames"] == self.frames else None

    def _send(self) -> None:
        for first in range(0, self.frames, CHUNK):
            self.sent += self.plant.push(min(CHUNK, self.frames - first), first=first)
            time.sleep(CHUNK_S)


@contextmanager
def open_site(cluster: Cluster, services: Services, folder: Path, *, frames: int = FRAMES) -> Iterator[Site]:
    site = Site(cluster, services, folder, frames=frames)
    try:
        yield site
    finally:
        site.close()


def _java_hash(text: str) -> int:
    """String.hashCode, by which Kafka finds the partition of a group."""
    number = 0
    for character in text:
        number = (31 * number + ord(character)) & 0xFFFFFFFF
    return number - (1 << 32) if number >= 1 << 31 else number
