"""Runs the show: frames flow, verdicts come back, one line is retrained and its new model goes live."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from qc_worker.embedded.cameras import interleaved
from qc_worker.embedded.demo.display import Display
from qc_worker.embedded.demo.feeder import Feeder
from qc_worker.embedded.demo.gallery import Gallery, save_gallery
from qc_worker.embedded.demo.processes import Trainer, WorkerProgram
from qc_worker.embedded.demo.refresh import Refresh, Step
from qc_worker.embedded.demo.report import DemoReport
from qc_worker.embedded.demo.stage import LINES, Parts
from qc_worker.embedded.demo.tally import Tally, image_auroc, latency, reject_quality, verdict_counts
from qc_worker.ports.clock import Clock
from qc_worker.registry.store import FsspecModelStore
from qc_worker.settings import Settings
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.feedback import KafkaFeedbackOutbox
from qc_worker.transport.kafka.frame_outbox import KafkaFrameOutbox
from qc_worker.transport.kafka.inspection_feed import KafkaInspectionFeed
from qc_worker.transport.redis.heatmap_cache import open_heatmap_cache

RETRAINED_LINE = LINES[0]
DRAIN_TIMEOUT_S = 60.0
POLL_S = 0.2
LAST_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class ShowPlan:
    """Size and pace of the show.

    `retrain_s` is the duration of the retrain before, `seed` is for the next one, `dashboard` its address. With `stay`,
    cameras go on slowly after the last frame, until Ctrl-C.
    """

    frames: int
    rate_hz: float
    seed: int
    retrain_s: float
    output: Path
    dashboard: str | None = None
    stay: bool = False

    @property
    def reserve(self) -> int:
        """Frames held back until the new model is live: the last fifth."""
        return max(2, self.frames // 5)

    @property
    def retrain_after(self) -> int:
        """Number of inspections after which the retrain starts: a third of the frames."""
        return self.frames // 3


class Show:
    """One run over one set of parts."""

    def __init__(
        self,
        plan: ShowPlan,
        settings: Settings,
        *,
        access: KafkaAccess,
        clock: Clock,
        worker: WorkerProgram,
        trainer: Trainer,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._clock = clock
        self._worker = worker
        self._trainer = trainer
        self._tally = Tally()
        self._producer = KafkaFrameOutbox(access, topic=settings.images_topic)
        self._reader = KafkaInspectionFeed(access, topic=settings.results_topic, from_beginning=False)
        self._feedback = KafkaFeedbackOutbox(access, topic=settings.feedback_topic)

    def run(self, parts: Parts) -> DemoReport:
        """Send all frames and wait for their inspections; Ctrl-C ends it early. Raises QcError."""
        with ExitStack() as stack:
            stack.callback(self._reader.close)
            stack.callback(self._feedback.close)
            stack.callback(self._producer.close)
            self._reader.start()
            shots = interleaved(parts.cameras)
            feeder = Feeder(shots, self._producer, self._tally, clock=self._clock, rate_hz=self._plan.rate_hz)
            stack.callback(feeder.stop)
            refresh = Refresh(
                RETRAINED_LINE,
                tally=self._tally,
                feeder=feeder,
                worker=self._worker,
                trainer=self._trainer,
                store=FsspecModelStore(self._settings.model_store_url),
            )
            stack.callback(refresh.stop)
            interrupted = self._watch(feeder, refresh)
            return self._report(feeder, refresh, interrupted=interrupted)

    def _watch(self, feeder: Feeder, refresh: Refresh) -> bool:
        """Update the display until every frame is judged; return True if the user interrupted before the last one."""
        plan = self._plan
        display = Display(self._tally, feeder, refresh, lines=LINES, frames=plan.frames, dashboard=plan.dashboard)
        feeder.start(plan.frames, reserve=plan.reserve, stay=plan.stay)
        try:
            with display:
                while not feeder.finished():
                    self._look_on(display)
                    self._turn(feeder, refresh)
                self._drain(display)
        except KeyboardInterrupt:
            feeder.stop()
            self._drain(display)
            return not feeder.staying
        return False

    def _turn(self, feeder: Feeder, refresh: Refresh) -> None:
        plan = self._plan
        if refresh.step is not Step.WATCHING:
            refresh.advance(full_rate_hz=plan.rate_hz)
        elif self._tally.inspections >= plan.retrain_after and (refresh.has_candidates() or feeder.holding):
            refresh.begin(self._feedback, self._clock, seed=plan.seed, log=self._settings.state_path / "retrain.log")
            refresh.stretch(plan.frames - plan.reserve - feeder.sent, retrain_s=plan.retrain_s)

    def _drain(self, display: Display) -> None:
        """Wait until every frame sent has its inspection, but not longer than DRAIN_TIMEOUT_S."""
        deadline_s = monotonic() + DRAIN_TIMEOUT_S
        while self._tally.missing and monotonic() < deadline_s:
            self._look_on(display)

    def _look_on(self, display: Display) -> None:
        self._take_inspections(POLL_S)
        self._worker.check()
        display.update()

    def _take_inspections(self, timeout_s: float) -> None:
        for published in self._reader.poll(timeout_s=timeout_s):
            self._tally.record_inspection(published.inspection)

    def _report(self, feeder: Feeder, refresh: Refresh, *, interrupted: bool) -> DemoReport:
        # Stop the worker first: while it runs it may still publish a duplicate.
        self._worker.stop()
        for published in self._reader.read(timeout_s=LAST_LOOK_S):
            self._tally.record_inspection(published.inspection)
        gallery = self._gallery()
        by_line = {line: self._tally.judged(line) for line in LINES}
        return DemoReport(
            frames_sent=self._tally.frames_sent,
            inspections=self._tally.inspections,
            duplicates=self._tally.duplicates,
            missing=self._tally.missing,
            verdicts={line: verdict_counts(frames) for line, frames in by_line.items()},
            frames_per_s=feeder.frames_per_s(),
            latency_ms=latency(self._tally.judged()),
            image_auroc={line: image_auroc(frames) for line, frames in by_line.items()},
            model_versions={line: self._tally.model_versions(line) for line in LINES},
            swap_s=refresh.swap_s(),
            reject_quality={line: reject_quality(frames) for line, frames in by_line.items()},
            heatmap=gallery.heatmap if gallery else None,
            gallery=gallery.sheet if gallery else None,
            dashboard=self._plan.dashboard,
            interrupted=interrupted,
        )

    def _gallery(self) -> Gallery | None:
        cache = open_heatmap_cache(
            self._settings.redis_url,
            ttl_s=self._settings.heatmap_ttl_s,
            timeout_s=self._settings.redis_timeout_ms / 1000,
        )
        try:
            return save_gallery(self._tally.judged(), cache, self._plan.output)
        finally:
            cache.close()
