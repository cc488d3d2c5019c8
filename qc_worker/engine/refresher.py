"""Apply releases while frames are judged; a bad one is refused, and the resident model stays."""

import threading
from dataclasses import dataclass

import structlog

from qc_worker.domain.errors import QcError
from qc_worker.domain.release import Release
from qc_worker.engine.model_loader import ModelLoader
from qc_worker.engine.residents import Resident, ResidentModels
from qc_worker.engine.stop import StopSignal
from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock
from qc_worker.ports.models import ReleaseLog

POLL_S = 0.25
RETRY_S = 30.0
"""Time until a refused release is tried again."""
DARK_RETRY_S = 5.0
"""Time for a line without any model: until it has one, its frames become dead letters."""

log = structlog.get_logger()


class ModelRefresher:
    """Follow the release log in a thread of its own."""

    def __init__(
        self, releases: ReleaseLog, loader: ModelLoader, residents: ResidentModels, *, clock: Clock, stop: StopSignal
    ) -> None:
        self._releases = releases
        self._loader = loader
        self._residents = residents
        self._clock = clock
        self._stop = stop
        self._retries: dict[str, _Retry] = {}
        self._lines_announced = 0
        self._unreadable = 0
        self._thread = threading.Thread(target=self.run, name="model-refresher", daemon=True)

    def catch_up(self) -> None:
        """Apply the newest usable release of every line, before the first frame. Raises TransportError.

        A line of which no release can be loaded does not hold up the others: its frames get the verdict `no_model`.
        """
        newest = self._releases.read_all()
        self._count_unreadable()
        self._lines_announced = len(newest)
        for line, release in newest.items():
            if not self._stop.is_set() and not self._apply_or_fall_back(release):
                log.error("line has no model: its frames become dead letters", line=line, wanted=release.version)

    def start(self) -> None:
        self._thread.start()

    def wait_for_a_model(self, patience_s: float) -> None:
        """Wait while there are releases and none can be loaded, such as when the store cannot be reached.

        Call it after `start`. Frames polled in this time would all become dead letters, while other workers of the
        group may have their models.
        """
        deadline = self._clock.monotonic() + patience_s
        while self._lines_announced and not len(self._residents) and self._clock.monotonic() < deadline:
            if self._stop.wait(POLL_S):
                break

    def run(self) -> None:
        """Follow the log until the stop signal."""
        while not self._stop.is_set():
            try:
                for release in self._releases.poll(timeout_s=POLL_S):
                    self.apply(release)
                self._count_unreadable()
            except Exception as error:  # noqa: BLE001  (outermost loop of this thread: later releases must still come)
                log.warning("release log unreachable", error=_described(error))
                self._stop.wait(1.0)
            self._retry_due()

    def close(self) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        if not self._thread.is_alive():  # else it still loads a model, and will use the log again
            self._releases.close()

    def alive(self) -> bool:
        """Return True if the thread runs; also before `start`."""
        return self._thread.ident is None or self._thread.is_alive()

    def apply(self, release: Release) -> bool:
        """Load a release and swap it in; if it is refused, schedule a retry. Return True if it is resident now."""
        self._retries.pop(release.line, None)
        if self._try(release):
            return True
        # The store may only be unreachable for a while.
        self._retries[release.line] = _Retry(release, self._clock.monotonic() + self._retry_s(release.line))
        return False

    def _apply_or_fall_back(self, wanted: Release) -> bool:
        """Apply a release; if its line has no model at all, the newest earlier one that can be loaded instead.

        Return True if the line has a model. A refused `wanted` is tried again in any case.
        """
        if self.apply(wanted) or self._residents.current(wanted.line) is not None:
            return True
        return any(self._try(earlier) for earlier in reversed(self._loader.earlier(wanted)))

    def _retry_due(self) -> None:
        now = self._clock.monotonic()
        for retry in list(self._retries.values()):
            if now >= retry.due_at:
                self._apply_or_fall_back(retry.release)

    def _retry_s(self, line: str) -> float:
        return DARK_RETRY_S if self._residents.current(line) is None else RETRY_S

    def _try(self, release: Release) -> bool:
        """Load a release and swap it in; if that fails, log and count it as refused. Return True if it is resident."""
        started = self._clock.monotonic()
        standing = self._residents.current(release.line)
        try:
            resident = self._loader.load(release, standing=standing)
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one release, the resident model stays)
            self._count_refused(release, standing, error)
            return False
        self._residents.swap(resident)
        self._loader.remember(release)
        self._count_applied(resident, standing, load_s=round(self._clock.monotonic() - started, 3))
        return True

    def _count_applied(self, resident: Resident, replaced: Resident | None, *, load_s: float) -> None:
        metrics.RELEASES.labels(outcome="taken_up").inc()
        metrics.RESIDENT_MODELS.set(len(self._residents))
        log.info(
            "model taken up",
            line=resident.line,
            version=resident.version,
            replaced=replaced.version if replaced else None,
            head_kept=replaced is not None and resident.head is replaced.head,
            load_s=load_s,
        )

    def _count_refused(self, release: Release, standing: Resident | None, error: Exception) -> None:
        metrics.RELEASES.labels(outcome="refused").inc()
        log.error(
            "release refused",
            line=release.line,
            version=release.version,
            error=_described(error),
            stays=standing.version if standing else None,
            retry_s=self._retry_s(release.line),
        )

    def _count_unreadable(self) -> None:
        """Count the records of the log that are no release as refused releases."""
        metrics.RELEASES.labels(outcome="refused").inc(self._releases.refused - self._unreadable)
        self._unreadable = self._releases.refused


@dataclass(frozen=True, slots=True)
class _Retry:
    release: Release
    due_at: float
    """By the monotonic clock."""


def _described(error: Exception) -> str:
    return str(error) if isinstance(error, QcError) else f"{type(error).__name__}: {error}"
