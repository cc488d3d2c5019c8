"""Workers and frames on a cluster in which things are broken, and the books that must balance in the end."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import Services, eventually
from tests.faults.books import Books, account
from tests.faults.cameras import Cameras
from tests.faults.leadership import Leadership
from tests.faults.verdicts import Verdicts
from tests.support.apache_kafka.cluster import Cluster
from tests.support.plant import Plant, WorkerProcess

FRAMES = 2_000
FRAMES_AFTER = 200
"""Sent once the fault is over, with the worker that it has left."""
FRAMES_LATER = 50
"""Sent once all is judged: what a worker that should be gone still has in hand comes among these, or behind them."""
LATER_S = 5.0
ASK_EVERY_S = 0.2
PATIENCE_S = 150.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How it went."""

    books: Books
    longest_silence_s: float
    """See `Verdicts`."""
    drained_s: float
    """From the last frame to the last verdict."""
    longest_pause_s: float
    """Of the cameras."""


class Site:
    """A plant on three brokers, with frames coming in the background and a reader of what becomes of them."""

    def __init__(self, cluster: Cluster, services: Services, folder: Path, *, frames: int = FRAMES) -> None:
        self.cluster = cluster
        self.frames = frames
        self.plant = Plant(services, folder)
        self.plant.environment["QC_REPLICATION_FACTOR"] = str(min(3, len(cluster.brokers)))
        self.verdicts = Verdicts(self.plant.access, topic=self.plant.topics["results"])
        self.cameras = Cameras(self.plant.access, topic=self.plant.topics["images"], judged=lambda: len(self.verdicts))
        self.leadership = Leadership(self.plant.access, cluster.brokers)
        self.workers: list[WorkerProcess] = []
        self.closing = ExitStack()
        """What ends with the site."""
        self.watch: Callable[[], None] = self._nobody_died
        """Called while something is waited for."""
        self._began_s = 0.0
        self._drained_s = 0.0
        self._buried: list[WorkerProcess] = []

    def open(self) -> None:
        self.plant.open()
        self.verdicts.start()
        for line in "AB":
            self.plant.train(line, "v1")

    @property
    def group(self) -> str:
        return self.plant.environment["QC_CONSUMER_GROUP"]

    @property
    def store(self) -> Path:
        """The folder of the model store."""
        return self.plant.folder / "store"

    def start_worker(self, **environment: str) -> WorkerProcess:
        """Start a worker and wait for nothing."""
        worker = WorkerProcess(self.plant, environment)
        self.workers.append(worker)
        return worker

    def ready_worker(self, **environment: str) -> WorkerProcess:
        worker = self.start_worker(**environment)
        worker.wait_until_ready()
        return worker

    def buried(self, worker: WorkerProcess, exit_code: int, *, timeout_s: float = 120) -> None:
        """Wait for a death that was to be expected, of what was to be expected."""
        ended = worker.wait(timeout_s)
        self._buried.append(worker)
        assert ended == exit_code, f"{ended} is not {exit_code}: {worker.log_file.read_text()[-2000:]}"

    def send(self) -> None:
        """Let the frames come."""
        self.began()
        self.cameras.start()

    def began(self) -> None:
        """From now on verdicts are waited for."""
        self._began_s = self._began_s or time.monotonic()

    def wait_for_more(self, verdicts: int, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until a reader has seen so many more than now."""
        self._wait_for(len(self.verdicts) + verdicts, timeout_s)

    def hold(self, seconds: float) -> None:
        """Let a fault last."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.watch()
            time.sleep(0.1)

    def until(self, found: Callable[[], object], *, timeout_s: float = 60) -> None:
        """Ask until it is so."""
        deadline_s = time.monotonic() + timeout_s
        while not found():
            assert time.monotonic() < deadline_s, f"not within {timeout_s} s"
            self.hold(ASK_EVERY_S)

    def ended(self) -> Ending:
        """Let some more frames come, wait until all are judged, and then see that nothing comes that should not."""
        if self.cameras.flowing():
            self.cameras.wait_for(max(self.frames, self.cameras.sent + FRAMES_AFTER))
        self.drained()
        silence_s = self.verdicts.longest_silence_s(self._began_s)
        self._settled()
        self.cameras.push(FRAMES_LATER)
        self.drained()
        self.hold(LATER_S)
        return Ending(self._settled(), silence_s, self._drained_s, self.cameras.longest_pause_s)

    def drained(self) -> None:
        """Stop the cameras and wait until all is judged."""
        self.cameras.stop()
        stopped_s = time.monotonic()
        self._wait_for(self.cameras.sent, PATIENCE_S)
        self._drained_s = max(self._drained_s, time.monotonic() - stopped_s)

    def heal(self) -> None:
        """For whoever comes next."""
        for broker in self.cluster.brokers:
            broker.proxy.mend()
            broker.server.launch()
        for broker in self.cluster.brokers:
            broker.start()

    def close(self) -> None:
        self.closing.close()
        for worker in self.workers:
            worker.end()
        self.heal()
        self.cameras.close()
        self.verdicts.close()
        self.plant.close()

    def _wait_for(self, verdicts: int, timeout_s: float) -> None:
        def enough() -> bool:
            self.watch()
            if len(self.verdicts) < verdicts:
                self.verdicts.wait(0.2)
            return len(self.verdicts) >= verdicts

        eventually(enough, timeout_s=timeout_s)

    def _settled(self) -> Books:
        """The books, once the group has committed all frames."""

        def settled() -> Books | None:
            books = account(self.plant)
            return books if books.waiting == 0 and books.frames == self.cameras.sent else None

        return eventually(settled, timeout_s=60)

    def _nobody_died(self) -> None:
        for worker in self.workers:
            if worker not in self._buried and worker.process.poll() is not None:
                raise AssertionError(f"a worker ended with {worker.wait(0)}: {worker.log_file.read_text()[-2000:]}")


@contextmanager
def open_site(cluster: Cluster, services: Services, folder: Path, *, frames: int = FRAMES) -> Iterator[Site]:
    site = Site(cluster, services, folder, frames=frames)
    try:
        site.open()
        yield site
    finally:
        site.close()
