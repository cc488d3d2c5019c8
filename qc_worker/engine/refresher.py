"""Takes up releases while frames flow; a bad one is refused and the old model stays."""

import threading

import structlog

from qc_worker.domain.errors import QcError
from qc_worker.domain.release import Release
from qc_worker.engine.model_loader import ModelLoader
from qc_worker.engine.residents import ResidentModels
from qc_worker.engine.stop import StopSignal
from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock
from qc_worker.ports.models import ReleaseLog

POLL_S = 0.25
RETRY_S = 30.0
DARK_RETRY_S = 5.0
"""For a line without any model: its frames become dead letters in the meantime."""

log = structlog.get_logger()


class ModelRefresher:
    """Follows the release log in a thread of its own."""

    def __init__(
        self, releases: ReleaseLog, loader: ModelLoader, residents: ResidentModels, *, clock: Clock, stop: StopSignal
    ) -> None:
        self._releases = releases
        self._loader = loader
        self._residents = residents
        self._clock = clock
        self._stop = stop
        self._retry_at: dict[str, tuple[float, Release]] = {}
        self._lines_announced = 0
        self._unreadable = 0
        self._thread = threading.Thread(target=self.run, name="model-refresher", daemon=True)

    def catch_up(self) -> None:
        """Take up the newest usable release of every line; to be done before the first frame. Raises TransportError.

        A line for which neither it nor an earlier one can be had waits alone: its frames get the verdict `no_model`,
        while those of all others are judged.
        """
        newest = self._releases.read_all()
        self._count_unreadable()
        self._lines_announced = len(newest)
        for line, release in newest.items():
            if not self._stop.is_set() and not self._take_up_or_fall_back(release):
                log.error("line has no model: its frames become dead letters", line=line, wanted=release.version)

    def start(self) -> None:
        self._thread.start()

    def wait_for_a_model(self, patience_s: float) -> None:
        """Wait while releases are announced and none can be had, for a store that is away as a rule; after `start`.

        Taken in now, every frame would become a dead letter, though other workers of the group may have its model.
        """
        deadline = self._clock.monotonic() + patience_s
        while self._lines_announced and not len(self._residents) and self._clock.monotonic() < deadline:
            if self._stop.wait(POLL_S):
                break

    def run(self) -> None:
        """Follow the log until told to stop."""
        while not self._stop.is_set():
            try:
                for release in self._releases.poll(timeout_s=POLL_S):
                    self.take_up(release)
                self._count_unreadable()
            except Exception as error:  # noqa: BLE001  (outermost loop of this thread: later releases must still come)
                log.warning("release log unreachable", error=_told(error))
                self._stop.wait(1.0)
            self._retry_refused()

    def close(self) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        if not self._thread.is_alive():  # else it is loading a model, and its reader must not be closed under it
            self._releases.close()

    def alive(self) -> bool:
        """Whether releases are being followed; true until `start`."""
        return self._thread.ident is None or self._thread.is_alive()

    def take_up(self, release: Release) -> bool:
        """Load and swap, or refuse and try again later: a store may only be away for a while."""
        self._retry_at.pop(release.line, None)
        started = self._clock.monotonic()
        standing = self._residents.current(release.line)
        try:
            resident = self._loader.load(release, standing=standing)
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one release, the resident model stays)
            self._refuse(release, error)
            return False
        self._residents.swap(resident)
        self._loader.remember(release)
        metrics.RELEASES.labels(outcome="taken_up").inc()
        metrics.RESIDENT_MODELS.set(len(self._residents))
        load_s = round(self._clock.monotonic() - started, 3)
        log.info(
            "model taken up",
            line=release.line,
            version=release.version,
            replaced=standing.version if standing else None,
            head_kept=standing is not None and resident.head is standing.head,
            load_s=load_s,
        )
        return True

    def _count_unreadable(self) -> None:
        """Records of the log that are no release count as refused ones."""
        metrics.RELEASES.labels(outcome="refused").inc(self._releases.refused - self._unreadable)
        self._unreadable = self._releases.refused

    def _refuse(self, release: Release, error: Exception) -> None:
        stays = self._residents.versions().get(release.line)
        retry_s = RETRY_S if stays else DARK_RETRY_S
        self._retry_at[release.line] = (self._clock.monotonic() + retry_s, release)
        metrics.RELEASES.labels(outcome="refused").inc()
        log.error(
            "release refused",
            line=release.line,
            version=release.version,
            error=_told(error),
            stays=stays,
            retry_s=retry_s,
        )

    def _take_up_or_fall_back(self, wanted: Release) -> bool:
        """Where no model is resident the line would go dark: then the newest earlier release that can be used serves.

        True if the line has a model.
        """
        if self.take_up(wanted) or self._residents.current(wanted.line) is not None:
            return True
        retry = self._retry_at[wanted.line]
        fallen_back = any(self.take_up(release) for release in reversed(self._loader.earlier(wanted)))
        self._retry_at[wanted.line] = retry
        return fallen_back

    def _retry_refused(self) -> None:
        now = self._clock.monotonic()
        for due, release in list(self._retry_at.values()):
            if now >= due:
                self._take_up_or_fall_back(release)


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, QcError) else f"{type(error).__name__}: {error}"
