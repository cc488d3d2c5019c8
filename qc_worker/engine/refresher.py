"""Apply releases while frames are judged; a bad one is refused, and the resident model stays."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from qc_worker.domain.errors import DeviceLost, QcError
from qc_worker.domain.release import Release
from qc_worker.engine.model_loader import ModelLoader
from qc_worker.engine.residents import Resident, ResidentModels
from qc_worker.engine.stop import StopSignal
from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock
from qc_worker.ports.models import ReleaseLog
from qc_worker.simplenet.inference.device_errors import lacks_memory, loses_device

POLL_S = 0.25
RETRY_S = 30.0
"""Time until a refused release is tried again."""
DARK_RETRY_S = 5.0
"""Time for a line without any model: until it has one, its frames become dead letters."""

log = structlog.get_logger()


class ModelRefresher:
    """Follow the release log in a thread of its own.

    An error of the device says nothing about the release: the worker ends rather than refuse it. If only memory was
    lacking, lines with a model keep it, and the release is tried again.
    """

    def __init__(
        self,
        releases: ReleaseLog,
        loader: ModelLoader,
        residents: ResidentModels,
        *,
        clock: Clock,
        stop: StopSignal,
        give_up: Callable[[str], None],
    ) -> None:
        """Take the parts; `give_up` ends the worker if its device is lost while a release is loaded in service."""
        self._releases = releases
        self._loader = loader
        self._residents = residents
        self._clock = clock
        self._stop = stop
        self._give_up = give_up
        self._lost: DeviceLost | None = None
        self._no_memory: dict[str, str] = {}  # described only: an error holds the memory of what has failed
        self._retries: dict[str, _Retry] = {}
        self._lines_announced = 0
        self._unreadable = 0
        self._thread = threading.Thread(target=self.run, name="model-refresher", daemon=True)

    def catch_up(self) -> None:
        """Apply the newest usable release of every line, before the first frame. Raises TransportError, DeviceLost.

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
        group may have their models. Raises DeviceLost.
        """
        deadline = self._clock.monotonic() + patience_s
        while self._lines_announced and not len(self._residents) and self._clock.monotonic() < deadline:
            if self._lost is not None:
                raise self._lost
            if self._stop.wait(POLL_S):
                break

    def run(self) -> None:
        """Follow the log until the stop signal, or until the device is lost."""
        try:
            while not self._stop.is_set():
                self._follow()
                self._retry_due()
        except DeviceLost as error:
            log.error("device lost", error=str(error))
            self._lost = error
            self._give_up(str(error))

    def _follow(self) -> None:
        try:
            for release in self._releases.poll(timeout_s=POLL_S):
                self.apply(release)
                self._check_memory(release.line)
            self._count_unreadable()
        except DeviceLost:
            raise
        except Exception as error:  # noqa: BLE001  (later releases must still come)
            log.warning("release log unreachable", error=_described(error))
            self._stop.wait(1.0)

    def close(self) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        if not self._thread.is_alive():  # else it still loads a model, and will use the log again
            self._releases.close()

    def alive(self) -> bool:
        """Return True if the thread runs; also before `start`."""
        return self._thread.ident is None or self._thread.is_alive()

    def apply(self, release: Release) -> bool:
        """Load a release and swap it in; if it is refused, schedule a retry. Return True if it is resident now.

        Raises DeviceLost.
        """
        self._retries.pop(release.line, None)
        self._no_memory.pop(release.line, None)
        if self._try(release):
            return True
        # The store may only be unreachable for a while.
        self._retries[release.line] = _Retry(release, self._clock.monotonic() + self._retry_s(release.line))
        return False

    def _apply_or_fall_back(self, wanted: Release) -> bool:
        """Apply a release; if its line has no model at all, the newest earlier one that can be loaded instead.

        Return True if the line has a model. A refused `wanted` is tried again in any case. Raises DeviceLost.
        """
        if self.apply(wanted) or self._residents.current(wanted.line) is not None:
            return True
        found = any(self._try(earlier) for earlier in reversed(self._loader.earlier(wanted)))
        self._check_memory(wanted.line)
        return found

    def _check_memory(self, line: str) -> None:
        """Raise DeviceLost if a line has no model for lack of memory: all of its frames would become dead letters."""
        error = self._no_memory.get(line)
        if error is not None and self._residents.current(line) is None:
            raise DeviceLost(f"the device has no memory for a model of line {line}: {error}")

    def _retry_due(self) -> None:
        now = self._clock.monotonic()
        for retry in list(self._retries.values()):
            if now >= retry.due_at:
                self._apply_or_fall_back(retry.release)

    def _retry_s(self, line: str) -> float:
        return DARK_RETRY_S if self._residents.current(line) is None else RETRY_S

    def _try(self, release: Release) -> bool:
        """Load a release and swap it in; if that fails, log and count it. Return True if it is resident.

        Raises DeviceLost.
        """
        started = self._clock.monotonic()
        standing = self._residents.current(release.line)
        try:
            resident = self._loader.load(release, standing=standing)
        except Exception as error:  # whatever is wrong with one release, the resident model stays
            if loses_device(error):
                where = f"while {release.line} {release.version} was loaded"
                raise DeviceLost(f"the device is lost to this process {where}: {_described(error)}") from error
            self._count_failed(release, standing, error)
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

    def _count_failed(self, release: Release, standing: Resident | None, error: Exception) -> None:
        """Count the release as refused, or as deferred if only memory was lacking: then it is not to blame."""
        if deferred := lacks_memory(error):
            self._no_memory[release.line] = _described(error)
        metrics.RELEASES.labels(outcome="deferred" if deferred else "refused").inc()
        log.error(
            "release deferred: the device lacks memory" if deferred else "release refused",
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
    """Describe it; errors of the device in one line, behind which torch gives advice to its developers."""
    if isinstance(error, QcError):
        return str(error)
    text = f"{type(error).__name__}: {error}"
    return text.splitlines()[0] if loses_device(error) or lacks_memory(error) else text
