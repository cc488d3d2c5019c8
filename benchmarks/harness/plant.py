"""Provide a broker, topics and a real worker process to benchmarks, with names of their own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from urllib.request import urlopen
from uuid import uuid4

from kafka import KafkaAdminClient

from qc_worker.embedded.server import free_port
from qc_worker.embedded.services import DELIVERY, EmbeddedCache, EmbeddedServices
from qc_worker.transport.kafka.connecting.access import Connections, KafkaAccess, open_client
from qc_worker.transport.kafka_fixes.register import install_all

LINES = ("A", "B")
READY_WITHIN_S = 240
PATIENT_SESSION_MS = 300_000
"""Long enough for a worker to stay in its group while it is stopped; the embedded broker does not allow it."""


@dataclass(frozen=True, slots=True)
class Plant:
    """Addresses and folders, and the environment that passes them to the commands."""

    bootstrap_servers: str
    broker: str
    session_timeout_ms: int
    health_port: int
    state_dir: Path
    environment: Mapping[str, str]

    @property
    def access(self) -> KafkaAccess:
        return KafkaAccess(self.bootstrap_servers)

    def topic(self, setting: str) -> str:
        return self.environment[f"QC_{setting.upper()}_TOPIC"]

    def side(self, module: str, *, topic: str, frames: int, **own: object) -> dict[str, float]:
        """Run a side's process on a topic to its end, in its own consumer group, and return its figures."""
        options = {
            "bootstrap-servers": self.bootstrap_servers,
            "topic": topic,
            "results-topic": self.topic("feedback"),
            "group": f"{self.environment['QC_CONSUMER_GROUP']}-{uuid4().hex[:8]}",
            "frames": frames,
            "session-timeout-ms": self.session_timeout_ms,
            **{name.replace("_", "-"): value for name, value in own.items()},
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        side = subprocess.run(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        )
        figures: dict[str, float] = json.loads(side.stdout)
        return figures

    def command(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        subprocess.run(command, env=self.environment, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def plant(folder: Path, *, batch_size: int, cache_dir: Path) -> Iterator[Plant]:
    """Provide the broker that QC_TEST_KAFKA names, else the embedded one; create topics, and remove them at the end.

    `folder` holds backbone weights, `cache_dir` compiled kernels.
    """
    install_all()
    with ExitStack() as stack:
        named = os.environ.get("QC_TEST_KAFKA")
        if named:
            cache = EmbeddedCache()
            cache.start()
            stack.callback(cache.stop)
            found = (named, "the one QC_TEST_KAFKA names", PATIENT_SESSION_MS, cache.redis_url, "auto")
        else:
            services = stack.enter_context(EmbeddedServices())
            found = (services.bootstrap_servers, "embedded", services.session_timeout_ms, services.redis_url, DELIVERY)
        bootstrap_servers, broker, session_timeout_ms, redis_url, delivery = found
        health_port, state_dir, run = free_port(), folder / "state", f"stream-{uuid4().hex[:8]}"
        environment = {
            **os.environ,
            "QC_KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "QC_REDIS_URL": redis_url,
            "QC_STATE_DIR": str(state_dir),
            "QC_WEIGHTS_DIR": str(folder),
            "TORCHINDUCTOR_CACHE_DIR": str(cache_dir),
            "QC_SESSION_TIMEOUT_MS": str(session_timeout_ms),
            "QC_DELIVERY": os.environ.get("QC_DELIVERY", delivery),
            "QC_HEALTH_PORT": str(health_port),
            "QC_MAX_BATCH_SIZE": str(batch_size),
            "QC_CONSUMER_GROUP": run,
            **{
                f"QC_{name}_TOPIC": f"{run}.{name}"
                for name in ("IMAGES", "RESULTS", "DEAD_LETTER", "FEEDBACK", "SAMPLES", "MODELS")
            },
        }
        ready = Plant(bootstrap_servers, broker, session_timeout_ms, health_port, state_dir, environment)
        ready.command("qc_worker.cli", "topics", "--json")
        stack.callback(_remove_topics, ready, run)
        yield ready


class WorkerProcess:
    """`qc-worker run`, which can be stopped while other sides are timed."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        command = [sys.executable, "-m", "qc_worker.cli", "run", "--log-format", "json"]
        self._log = plant.state_dir / "worker.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env=plant.environment, stderr=log)

    def wait_until_ready(self) -> None:
        deadline = monotonic() + READY_WITHIN_S
        while monotonic() < deadline and self._process.poll() is None:
            try:
                urlopen(f"http://127.0.0.1:{self._plant.health_port}/readyz", timeout=1).close()
            except OSError:
                sleep(0.05)
                continue
            return
        self.close()
        raise SystemExit(f"the worker did not become ready; end of its log:\n{self._log.read_text()[-2000:]}")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the worker (SIGSTOP) meanwhile, so that it does not compete for cores."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


def _remove_topics(plant: Plant, run: str) -> None:
    connections = Connections()
    admin = open_client(KafkaAdminClient, plant.access, connections)
    admin.delete_topics([topic for topic in admin.list_topics() if topic.startswith(run)])
    admin.close()
    connections.close()
