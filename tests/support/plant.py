"""Run real processes on real services, as a factory would, on topics of the test's own."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen
from uuid import uuid4

from qc_worker.domain.frame import ImageMessage, Position, Record
from qc_worker.domain.inspection import Inspection
from qc_worker.domain.release import Release
from qc_worker.registry.store import FsspecModelStore
from qc_worker.transport.kafka.connecting.access import Connections, KafkaAccess
from qc_worker.transport.kafka.frame_outbox import KafkaFrameOutbox
from qc_worker.transport.kafka.groupless import open_reader, partitions_of, read_to_end
from qc_worker.transport.kafka.inspection_feed import KafkaInspectionFeed
from qc_worker.transport.kafka.records import to_record
from qc_worker.transport.kafka.release_log import KafkaReleaseLog
from qc_worker.transport.limits import MAX_DEAD_LETTER_BYTES
from qc_worker.wire.images import encode_frame
from tests.conftest import Services, eventually
from tests.support import factories

TOPICS = ("images", "results", "dead_letter", "feedback", "samples", "models")
START_TIMEOUT_S = 90.0


class Plant:
    """Topics, model store and state folder of one test, and the processes that use them."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services = services
        self.folder = folder
        self.access = KafkaAccess(services.bootstrap_servers)
        self.store = FsspecModelStore(str(folder / "store"))
        suffix = uuid4().hex[:8]
        self.topics = {name: f"{name}-{suffix}" for name in TOPICS}
        self.environment = {
            **os.environ,
            **{f"QC_{name.upper()}_TOPIC": topic for name, topic in self.topics.items()},
            "QC_KAFKA_BOOTSTRAP_SERVERS": services.bootstrap_servers,
            "QC_REDIS_URL": services.redis_url,
            "QC_SESSION_TIMEOUT_MS": str(services.session_timeout_ms),
            "QC_DELIVERY": services.delivery,
            "QC_CONSUMER_GROUP": f"group-{suffix}",
            "QC_STATE_DIR": str(folder / "state"),
            "QC_MODEL_STORE": str(folder / "store"),
            "QC_HEALTH_PORT": "0",
            "QC_PARTITIONS": "3",
            "QC_COMPILE": "false",  # compilation would take longer than the test
            "QC_MAX_FRAME_BYTES": str(16 * 1024 * 1024),
        }
        self.camera = KafkaFrameOutbox(self.access, topic=self.topics["images"])
        self.reader = KafkaInspectionFeed(self.access, topic=self.topics["results"])
        self._releases = KafkaReleaseLog(self.access, topic=self.topics["models"])
        self._inspections: list[Inspection] = []

    def open(self) -> None:
        self.command("qc_worker.cli", "topics", "--json")
        self.reader.start()

    def close(self) -> None:
        self.camera.close()
        self.reader.close()
        self._releases.close()

    def command(self, module: str, *arguments: str, expect: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run a command line to its end, and check its exit code."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done

    def train(self, line: str, version: str, *, scores: tuple[float, ...] = (-5.0, 0.0, 5.0)) -> Release:
        """Store a small model and announce it."""
        release = self.stored(line, version, scores=scores)
        self.announce(release)
        return release

    def stored(self, line: str, version: str, *, scores: tuple[float, ...] = (-5.0, 0.0, 5.0)) -> Release:
        """Store a small model and record its release, without announcing it."""
        release = factories.add_version(self.store, line, version, scores=scores)
        self.store.record_release(release)
        return release

    def announce(self, release: Release) -> None:
        self._releases.announce(release)

    def push(self, count: int, *, lines: str = "AB", cameras: int = 2, first: int = 0) -> list[Position]:
        """Send frames round robin over lines and cameras, and wait until the broker has acknowledged them."""
        sent = []
        for number in range(first, first + count):
            camera = f"cam{number // len(lines) % cameras}"
            message = encode_frame(
                factories.jpeg(number),
                line=lines[number % len(lines)],
                camera=camera,
                captured_at=factories.NOON,
                frame_id=f"frame-{number}",
            )
            sent.append(self.camera.send(message))
        return [frame.position(timeout_s=30) for frame in sent]

    def push_record(self, record: Record) -> Position:
        """Send a record unchanged, even if its headers are invalid."""
        message = ImageMessage(key=record.key, content=record.content, headers=list(record.headers))
        return self.camera.send(message).position(timeout_s=30)

    def dead_letters(self, count: int) -> list[Record]:
        """Wait for at least `count` dead letters, and return all."""
        letters: list[Record] = []

        def enough() -> bool:
            letters[:] = self.records("dead_letter")
            return len(letters) >= count

        eventually(enough)
        return letters

    def records(self, name: str) -> list[Record]:
        """Read all records that the topic of that name holds now."""
        connections = Connections()
        consumer = open_reader(self.access, connections, max_partition_fetch_bytes=MAX_DEAD_LETTER_BYTES)
        try:
            consumer.assign(partitions_of(consumer, self.topics[name]))
            return [to_record(polled) for polled in read_to_end(consumer)]
        finally:
            consumer.close(autocommit=False)
            connections.close()

    def inspections(self, count: int, *, timeout_s: float = 60.0) -> list[Inspection]:
        """Wait for at least `count` inspections, and return all so far."""

        def enough() -> bool:
            self._inspections += [published.inspection for published in self.reader.poll(timeout_s=0.2)]
            return len(self._inspections) >= count

        eventually(enough, timeout_s=timeout_s)
        return self._inspections

    def settled_inspections(self, count: int) -> list[Inspection]:
        """Wait for at least `count` inspections and until no more arrive for a while, and return all."""
        self.inspections(count)
        while more := self.reader.poll(timeout_s=1.5):
            self._inspections += [published.inspection for published in more]
        return self._inspections

    @contextmanager
    def worker(self, **environment: str) -> Iterator["WorkerProcess"]:
        """Start a worker and wait until it is ready; kill it at the end if it still runs."""
        process = WorkerProcess(self, environment)
        try:
            process.wait_until_ready()
            yield process
        finally:
            process.end()


class WorkerProcess:
    """`qc-worker run` as a process; its log goes to a file."""

    _count = 0

    def __init__(self, plant: Plant, environment: dict[str, str]) -> None:
        WorkerProcess._count += 1
        self.log_file = plant.folder / f"worker-{WorkerProcess._count}.log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qc_worker.cli", "run"],
                env={**plant.environment, **environment},
                cwd=plant.folder,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        eventually(lambda: self.get("/readyz") == 200 or self.pause(), timeout_s=START_TIMEOUT_S)

    def get(self, path: str) -> int:
        """Return the status of a health page; 0 while there is none."""
        try:
            with urlopen(self.health_url + path, timeout=2) as page:
                return int(page.status)
        except HTTPError as error:
            return error.code
        except (OSError, ValueError):
            return 0

    def read(self, path: str) -> str:
        with urlopen(self.health_url + path, timeout=5) as page:
            return str(page.read().decode())

    def partitions(self) -> int:
        """Return the number of partitions that this worker owns, by its own metric."""
        (line,) = [line for line in self.read("/metrics").splitlines() if line.startswith("qc_assigned_partitions ")]
        return int(float(line.split()[-1]))

    @property
    def health_url(self) -> str:
        urls = [entry["url"] for entry in self.log() if entry.get("event") == "health endpoints"]
        return str(urls[0]) if urls else ""

    def log(self) -> list[dict[str, object]]:
        lines = self.log_file.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self) -> Counter[str]:
        return Counter(str(entry.get("event")) for entry in self.log())

    def taken_up(self, version: str) -> dict[str, object]:
        """Wait for the log line that reports this version as resident, and return it."""

        def found() -> dict[str, object] | None:
            self.pause()
            lines = [line for line in self.log() if line.get("event") == "model taken up"]
            return next((line for line in lines if line["version"] == version), None)

        return eventually(found)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        return self.process.wait(timeout_s)

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def pause(self) -> bool:
        """Wait 0.1 s for a starting process; fail if it has ended."""
        try:
            self.process.wait(0.1)
        except subprocess.TimeoutExpired:
            return False
        raise AssertionError(self.log_file.read_text())


@dataclass(frozen=True)
class Books:
    """Comparison of the frames sent with the inspections published."""

    missing: list[Position]
    duplicates: int
    out_of_order: int


def balance(sent: list[Position], inspections: list[Inspection]) -> Books:
    """Compare frames with inspections: one for each frame, in the order of offsets in each partition."""
    counts = Counter(inspection.source for inspection in inspections)
    first_seen = list(dict.fromkeys(inspection.source for inspection in inspections))
    by_partition: dict[int, list[int]] = {}
    for position in first_seen:
        by_partition.setdefault(position.partition, []).append(position.offset)
    return Books(
        missing=[position for position in sent if position not in counts],
        duplicates=sum(counts.values()) - len(counts),
        out_of_order=sum(offsets != sorted(offsets) for offsets in by_partition.values()),
    )
