"""Turn feedback into samples: read the frames that people judged back from `images` by position."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from qc_worker.domain.errors import InvalidFrame
from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.frame import Frame
from qc_worker.domain.names import line_name
from qc_worker.imaging.preprocessing import ImageLimits, decode_picture
from qc_worker.ports.feedback import FeedbackSource
from qc_worker.ports.frames import FrameReader
from qc_worker.wire.images import decode_record
from trainer.samples.importing import CHECK_SIZE
from trainer.samples.store import Origin, SampleStore, Stored

POLL_S = 1.0
LAST_IDLE_POLLS = 2
"""Two, because a poll is also empty if no record of its batch was readable."""
JOIN_TIMEOUT_S = 60.0

log = structlog.get_logger()


@dataclass(slots=True)
class CollectReport:
    """Outcome of a collection: `added` counts frames by line and judgement, the other fields count frames."""

    added: dict[str, dict[str, int]] = field(default_factory=dict)
    known: int = 0
    expired: int = 0
    """Frames that retention had removed."""
    mismatched: int = 0
    """Positions whose record is not the frame that the feedback names."""
    undecodable: int = 0

    @property
    def feedback(self) -> int:
        added = sum(sum(by_judgement.values()) for by_judgement in self.added.values())
        return added + self.known + self.expired + self.mismatched + self.undecodable


@dataclass(frozen=True, slots=True)
class Collector:
    """Reads feedback from a source and stores its frames as samples."""

    source: FeedbackSource
    frames: FrameReader
    store: SampleStore
    limits: ImageLimits
    images_topic: str
    joined: Callable[[], bool] = lambda: True
    """True once the consumer group has assigned partitions; before that, polls return nothing."""
    monotonic: Callable[[], float] = time.monotonic
    poll_s: float = POLL_S

    def run(self, report: CollectReport, *, stop: Callable[[], bool] | None = None) -> None:
        """Store all feedback that is there; with `stop`, wait for more until it returns true. Counts into `report`.

        Raises TransportError or OSError; feedback that was not stored is not committed, so it is read again.
        """
        self._wait_for_partitions(report)
        idle_polls = 0
        while not (idle_polls >= LAST_IDLE_POLLS if stop is None else stop()):
            batch = self.source.poll(timeout_s=self.poll_s)
            idle_polls = 0 if batch else idle_polls + 1
            self._take_all(batch, report)

    def _wait_for_partitions(self, report: CollectReport) -> None:
        deadline_s = self.monotonic() + JOIN_TIMEOUT_S
        while not self.joined() and self.monotonic() < deadline_s:
            self._take_all(self.source.poll(timeout_s=self.poll_s), report)
        if not self.joined():
            log.warning("no share of the feedback was assigned: another collector may be running")

    def _take_all(self, batch: Sequence[Feedback], report: CollectReport) -> None:
        for feedback in batch:
            self._take(feedback, report)
        if batch:
            # After a crash before this line, the same feedback is read again, and the store keeps it once.
            self.source.commit()
            log.info("feedback collected", count=len(batch))

    def _take(self, feedback: Feedback, report: CollectReport) -> None:
        if feedback.source.topic != self.images_topic:
            self._refuse(feedback, report, found=f"topic {feedback.source.topic}")
            return
        record = self.frames.read(feedback.source)
        if record is None:
            report.expired += 1
            log.warning("frame of feedback has expired", line=feedback.line, position=str(feedback.source))
            return
        try:
            frame = decode_record(record)
            decode_picture(frame.content, input_size=CHECK_SIZE, aspect="squash", limits=self.limits)
        except InvalidFrame as error:
            report.undecodable += 1
            log.warning("frame of feedback cannot be decoded", position=str(feedback.source), detail=error.detail)
            return
        if (frame.line, frame.frame_id) != (feedback.line, feedback.frame_id):
            self._refuse(feedback, report, found=f"line {frame.line}, frame {frame.frame_id}")
            return
        self._store(feedback, frame, report)

    def _refuse(self, feedback: Feedback, report: CollectReport, *, found: str) -> None:
        report.mismatched += 1
        log.warning(
            "feedback does not match its record",
            line=feedback.line,
            frame_id=feedback.frame_id,
            position=str(feedback.source),
            found=found,
        )

    def _store(self, feedback: Feedback, frame: Frame, report: CollectReport) -> None:
        origin = Origin(
            position=frame.position,
            frame_id=frame.frame_id,
            accepted_by=feedback.accepted_by,
            accepted_at=feedback.accepted_at,
            captured_at=frame.captured_at,
        )
        judgement = Judgement(feedback.verdict)
        stored = self.store.add(line_name(feedback.line), judgement, frame.content, origin=origin)
        if stored is Stored.KNOWN:
            report.known += 1
            return
        by_judgement = report.added.setdefault(feedback.line, {})
        by_judgement[judgement.value] = by_judgement.get(judgement.value, 0) + 1
