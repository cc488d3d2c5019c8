"""Copy evidence into the archive, in a thread of its own that follows the history from a stored place.

The history is the queue: the projection only wakes this thread and never waits for it, a restart goes on where the
last one ended, and what waits takes no memory. The oldest goes first, for its frame expires first.
"""

from collections.abc import Sequence
from datetime import timedelta
from threading import Event, Thread
from typing import Protocol

import structlog

from qc_dashboard.archive.archive import Archive, ArchiveBusy, FrameEvidence
from qc_dashboard.archive.looks import FrameLook, look_of
from qc_dashboard.archive.policy import ArchivePolicy
from qc_dashboard.archive.retention import Retention
from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Offsets, Partition, Position
from qc_worker.domain.inspection import Inspection, Verdict
from qc_worker.imaging.opening import ImageLimits
from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock
from qc_worker.ports.frames import FrameReader
from qc_worker.ports.results import HeatmapCache, HeatmapEntry

LOOKED_AT_ONCE = 500
MAX_BATCH_FRAMES = 32
MAX_BATCH_BYTES = 64 * 1024 * 1024
IDLE_S = 1.0
RETRY_S = 5.0
RETENTION_S = 600.0
CACHE_PATIENCE = timedelta(hours=1)
"""Age of an inspection up to which the archive waits for a heatmap cache that is away."""
WRITTEN_WITHIN = timedelta(seconds=10)
"""Workers publish an inspection before its heatmap is in the cache; from this age on the heatmap counts as gone."""

log = structlog.get_logger()


class CacheAway(TransportError):
    """The heatmap cache cannot be reached; the heatmaps may still be in it."""


class HeatmapPending(TransportError):
    """The worker may still be writing the heatmap."""


class JudgedFrame(Protocol):
    """An inspection in the history."""

    @property
    def source(self) -> Position: ...
    @property
    def results_offset(self) -> int: ...
    @property
    def taken_us(self) -> int: ...
    @property
    def scored_us(self) -> int: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def inspection(self) -> Inspection: ...


class JudgedFrames(Protocol):
    """The history, as far as the archive follows it. Every method may raise TransportError."""

    def places(self, topic: str) -> dict[Partition, int]:
        """Return the topic's next offsets: everything before them is in the history."""
        ...

    def published_after(self, places: Offsets, *, limit: int) -> Sequence[JudgedFrame]:
        """Return inspections in the order of `results` from these next offsets on."""
        ...


class Archivist:
    """Archives what the policy wants of each inspection; `step` and `clean` are what its thread repeats."""

    def __init__(
        self,
        archive: Archive,
        retention: Retention,
        history: JudgedFrames,
        *,
        frames: FrameReader,
        heatmaps: HeatmapCache | None,
        limits: ImageLimits,
        policy: ArchivePolicy,
        results_topic: str,
        clock: Clock,
    ) -> None:
        self._archive = archive
        self._retention = retention
        self._history = history
        self._frames = frames
        self._heatmaps = heatmaps
        self._limits = limits
        self._policy = policy
        self._topic = results_topic
        self._clock = clock
        self._stop = Event()
        self._awake = Event()
        self._cleaned_s: float | None = None
        self._thread = Thread(target=self._run, name="archivist", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Tell that the history has grown; never waits."""
        self._awake.set()

    def close(self, *, timeout_s: float = 10.0) -> None:
        """Stop after the batch at hand; a thread that hangs in a call ends with the process."""
        self._stop.set()
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._frames.close()

    def step(self) -> bool:
        """Look at the next inspections of each partition; False if none can be archived yet. Raises TransportError."""
        known, places = self._history.places(self._topic), self._archive.places(self._topic)
        # A place beyond the history's belongs to an earlier topic of that name.
        behind = {partition: end for partition, end in sorted(known.items()) if places.get(partition, 0) != end}
        starts = {p: stored if (stored := places.get(p, 0)) < end else 0 for p, end in behind.items()}
        metrics.ARCHIVE_LAG.set(sum(end - starts[partition] for partition, end in behind.items()))
        moved = [
            self._copy(partition, places.get(partition, 0), start=starts[partition], end=end)
            for partition, end in behind.items()
        ]
        return any(moved)

    def clean(self) -> None:
        """Remove what need not be kept any more. Raises TransportError."""
        self._retention.run(self._archive.now_us())

    def _copy(self, partition: Partition, stored: int, *, start: int, end: int) -> bool:
        """Archive a batch of one partition, and store the place after it; False if that has not changed."""
        judged = [
            one
            for one in self._history.published_after({partition: start}, limit=LOOKED_AT_ONCE)
            if one.results_offset < end
        ]
        found, stopped_at = self._found(judged)
        # Offsets without an inspection, such as markers of transactions, are passed too.
        after = end if len(judged) < LOOKED_AT_ONCE else judged[-1].results_offset + 1
        after = after if stopped_at is None else stopped_at
        if after == stored:
            return False
        self._archive.keep(found, before={partition: stored}, after={partition: after})
        for each in found:
            metrics.ARCHIVED.labels(verdict=each.verdict.value, outcome="stored").inc()
        return True

    def _found(self, judged: Sequence[JudgedFrame]) -> tuple[list[FrameEvidence], int | None]:
        """Return the evidence of a batch, and the offset with which the next one begins; None: behind all of these."""
        found: list[FrameEvidence] = []
        chosen = [one for one in judged if self._policy.wants(one.verdict, one.source)]
        known = self._archive.evidence_of([one.source for one in chosen])
        for one in chosen:
            try:
                evidence = self._evidence(one) if one.source not in known else None
            except HeatmapPending:
                return found, one.results_offset
            found += [evidence] if evidence is not None else []
            if len(found) >= MAX_BATCH_FRAMES or sum(each.size_bytes for each in found) >= MAX_BATCH_BYTES:
                return found, one.results_offset + 1
        return found, None

    def _evidence(self, judged: JudgedFrame) -> FrameEvidence | None:
        record = self._frames.read(judged.source)
        if record is None or not record.content:
            metrics.ARCHIVED.labels(verdict=judged.verdict.value, outcome="expired").inc()
            return None
        pictures = self._pictures(judged)
        return FrameEvidence(
            judged.source,
            judged.verdict,
            judged.scored_us,
            record.content,
            pictures.heatmap_png if pictures else None,
            pictures.thumbnail_jpeg if pictures else None,
            self._look(judged, (pictures and pictures.thumbnail_jpeg) or record.content),
        )

    def _look(self, judged: JudgedFrame, content: bytes) -> FrameLook | None:
        """Describe how the frame looks; None for one that is of no line, or is no picture."""
        line, camera = judged.inspection.line, judged.inspection.camera
        look = None if line is None or judged.verdict is Verdict.ERROR else look_of(content, self._limits)
        return None if line is None or look is None else FrameLook(line, camera, judged.taken_us, look)

    def _pictures(self, judged: JudgedFrame) -> HeatmapEntry | None:
        """Return the frame's pictures. Raises CacheAway and HeatmapPending as long as waiting may bring them."""
        key = judged.inspection.heatmap_key
        if key is None or self._heatmaps is None:
            return None
        entry = self._heatmaps.get(key)
        if entry is not None:
            return entry
        age = timedelta(microseconds=self._archive.now_us() - judged.scored_us)
        if age < CACHE_PATIENCE and not self._heatmaps.available():
            raise CacheAway("the heatmap cache cannot be reached")
        if abs(age) < WRITTEN_WITHIN:  # not for longer if the worker's clock is ahead
            raise HeatmapPending(f"{key} is not written yet")
        metrics.ARCHIVED_WITHOUT_HEATMAP.inc()
        return None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._clean_if_due()
                if not self.step():
                    self._awake.wait(IDLE_S)
                    self._awake.clear()
            except ArchiveBusy as error:
                log.info("archive is busy", reason=str(error))
                self._cleaned_s = None  # what a crash has left half removed goes first
                self._stop.wait(IDLE_S)
            except Exception as error:  # whatever fails, projection and pages go on, and it is tried again
                metrics.ARCHIVE_FAILURES.inc()
                log.warning("archiving failed", error=str(error), exc_info=not isinstance(error, TransportError))
                self._stop.wait(RETRY_S)

    def _clean_if_due(self) -> None:
        now_s = self._clock.monotonic()
        if self._cleaned_s is None or now_s - self._cleaned_s >= RETENTION_S:
            self._cleaned_s = now_s  # before it: a file that cannot be removed must not stop the archiving
            self.clean()
