"""Turn feedback into samples: read the frames that people judged back from `images` by position.

The last word on a frame counts, also if it comes when the frame has expired but is a sample: `unsure` withdraws it.
The outcome of each goes to `samples` before its offset is committed, so none is missing there; after a crash some are
there twice.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto

import structlog

from qc_worker.domain.collected import Collected, Collection
from qc_worker.domain.errors import InvalidFrame, TrainingError
from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.frame import Frame
from qc_worker.domain.names import LineName, line_name
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import decode_picture
from qc_worker.ports.feedback import CollectedOutbox, FeedbackSource
from qc_worker.ports.frames import FrameReader
from qc_worker.wire.images import decode_record
from trainer.datasets.masks import as_png
from trainer.samples.card import Origin, Word
from trainer.samples.feedback.boxes import mask_of
from trainer.samples.feedback.by_position import SamplesByPosition
from trainer.samples.folders.importing import CHECK_SIZE
from trainer.samples.store import SampleStore, Stored, sha256

POLL_S = 1.0
LAST_IDLE_POLLS = 2
"""Two, because a poll is also empty if no record of its batch was readable."""
JOIN_TIMEOUT_S = 60.0

log = structlog.get_logger()


class Outcome(Enum):
    """Outcome of one feedback."""

    ADDED = auto()
    HELD_BACK = auto()
    KNOWN = auto()
    EXPIRED = auto()
    MISMATCHED = auto()
    UNDECODABLE = auto()


@dataclass(frozen=True, slots=True)
class Taken:
    """One feedback, dealt with."""

    outcome: Outcome
    stands: Collection
    """What it is now. Feedback that comes again is KNOWN, but the frame may well be the sample that it made."""
    sample: str | None = None


@dataclass(slots=True)
class CollectReport:
    """Outcome of a collection: `added` counts frames by line and judgement, the other fields count frames."""

    added: dict[str, dict[str, int]] = field(default_factory=dict)
    held_back: int = 0
    """Frames that a person is unsure of; those that were samples are withdrawn."""
    known: int = 0
    """Frames whose judgement is as it was: repeated, or said before the last word."""
    expired: int = 0
    """Frames that retention had removed."""
    mismatched: int = 0
    """Positions whose record is not the frame that the feedback names."""
    undecodable: int = 0

    @property
    def feedback(self) -> int:
        added = sum(sum(by_judgement.values()) for by_judgement in self.added.values())
        return added + self.held_back + self.known + self.expired + self.mismatched + self.undecodable

    def count(self, feedback: Feedback, outcome: Outcome) -> None:
        """Count one feedback."""
        match outcome:
            case Outcome.ADDED:
                by_judgement = self.added.setdefault(feedback.line, {})
                judgement = Judgement(feedback.verdict).value
                by_judgement[judgement] = by_judgement.get(judgement, 0) + 1
            case Outcome.HELD_BACK:
                self.held_back += 1
            case Outcome.KNOWN:
                self.known += 1
            case Outcome.EXPIRED:
                self.expired += 1
            case Outcome.MISMATCHED:
                self.mismatched += 1
            case Outcome.UNDECODABLE:
                self.undecodable += 1


EXPIRED = Taken(Outcome.EXPIRED, Collection.EXPIRED)
MISMATCHED = Taken(Outcome.MISMATCHED, Collection.MISMATCHED)
UNDECODABLE = Taken(Outcome.UNDECODABLE, Collection.UNDECODABLE)
STANDING = {
    Judgement.GOOD: Collection.SAMPLE,
    Judgement.DEFECT: Collection.SAMPLE,
    Judgement.UNSURE: Collection.HELD_BACK,
}


@dataclass(slots=True)
class Collector:
    """Reads feedback from a source and stores its frames as samples."""

    source: FeedbackSource
    frames: FrameReader
    store: SampleStore
    limits: ImageLimits
    images_topic: str
    outbox: CollectedOutbox
    joined: Callable[[], bool] = lambda: True
    """True once the consumer group has assigned partitions; before that, polls return nothing."""
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    poll_s: float = POLL_S
    stored: SamplesByPosition = field(init=False)

    def __post_init__(self) -> None:
        self.stored = SamplesByPosition(self.store)

    def run(self, *, stop: Callable[[], bool] | None = None) -> CollectReport:
        """Turn all feedback there is into samples; with `stop`, wait for more until that is true or Ctrl-C is pressed.

        Raises TransportError or OSError; feedback that was not stored is not committed, so it is read again.
        """
        report = CollectReport()
        try:
            for batch in self._batches(stop):
                outcomes = [self._collect(feedback, report) for feedback in batch]
                if batch:
                    self.outbox.send(outcomes)
                    # Only now: a crash before this line reads the same feedback again, and the store keeps it once.
                    self.source.commit()
                    log.info("feedback collected", count=len(batch))
        except KeyboardInterrupt:
            if stop is None:
                raise
        return report

    def _batches(self, stop: Callable[[], bool] | None) -> Iterator[Sequence[Feedback]]:
        """Poll until all members have joined, then until `stop`, or until nothing comes any more."""
        deadline_s = self.monotonic() + JOIN_TIMEOUT_S
        while not self.joined() and self.monotonic() < deadline_s:
            yield self.source.poll(timeout_s=self.poll_s)
        if not self.joined():
            log.warning("no share of the feedback was assigned: another collector may be running")
        idle_polls = 0
        while not (idle_polls >= LAST_IDLE_POLLS if stop is None else stop()):
            batch = self.source.poll(timeout_s=self.poll_s)
            idle_polls = 0 if batch else idle_polls + 1
            yield batch

    def _collect(self, feedback: Feedback, report: CollectReport) -> Collected:
        taken = self._take(feedback)
        report.count(feedback, taken.outcome)
        return Collected(
            line=feedback.line,
            source=feedback.source,
            accepted_by=feedback.accepted_by,
            accepted_at=feedback.accepted_at,
            outcome=taken.stands,
            collected_at=self.now(),
            sample=taken.sample,
        )

    def _take(self, feedback: Feedback) -> Taken:
        """Store the frame of one feedback, or log the reason why not."""
        if feedback.source.topic != self.images_topic:
            return self._refuse(feedback, found=f"topic {feedback.source.topic}")
        record = self.frames.read(feedback.source)
        if record is None:
            return self._judge_sample(feedback)
        try:
            frame = decode_record(record)
            mask = self._mask(feedback, frame.content)
        except InvalidFrame as error:
            log.warning("frame of feedback cannot be decoded", position=str(feedback.source), detail=error.detail)
            return UNDECODABLE
        if (frame.line, frame.frame_id) != (feedback.line, feedback.frame_id):
            return self._refuse(feedback, found=f"line {frame.line}, frame {frame.frame_id}")
        return self._store(feedback, frame, mask)

    def _refuse(self, feedback: Feedback, *, found: str) -> Taken:
        log.warning(
            "feedback does not match its record",
            line=feedback.line,
            frame_id=feedback.frame_id,
            position=str(feedback.source),
            found=found,
        )
        return MISMATCHED

    def _store(self, feedback: Feedback, frame: Frame, mask: bytes | None) -> Taken:
        line = line_name(feedback.line)
        origin = Origin(
            position=frame.position,
            frame_id=frame.frame_id,
            part=frame.part,
            accepted_by=feedback.accepted_by,
            accepted_at=feedback.accepted_at,
            captured_at=frame.captured_at,
        )
        stored = self.store.add(line, feedback.verdict, frame.content, origin=origin, mask=mask, word=_word(feedback))
        sample = sha256(frame.content)
        self.stored.note(line, frame.position, sample)
        return self._taken(feedback, line, sample, stored)

    def _judge_sample(self, feedback: Feedback) -> Taken:
        """Judge a frame that has expired but is a sample."""
        line = line_name(feedback.line)
        sample = self.stored.find(line, feedback.source, feedback.frame_id)
        if sample is None:
            log.warning("frame of feedback has expired", line=line, position=str(feedback.source))
            return EXPIRED
        try:
            return self._taken(feedback, line, sample, self._judge_stored(line, sample, feedback))
        except (TrainingError, InvalidFrame) as error:
            log.warning("sample of feedback cannot be read", line=line, sample=sample, detail=str(error))
            return EXPIRED

    def _taken(self, feedback: Feedback, line: LineName, sample: str, stored: Stored) -> Taken:
        card = self.store.find(line, sample)
        counts = card is not None and card.last == _word(feedback)
        stands = STANDING[feedback.verdict] if counts else Collection.REPLACED
        return Taken(_outcome(feedback, stored), stands, sample)

    def _judge_stored(self, line: LineName, sample: str, feedback: Feedback) -> Stored:
        card = self.store.find(line, sample)
        content = self.store.read(line, card.judgement if card else feedback.verdict, sample)
        return self.store.judge(line, sample, _word(feedback), mask=self._mask(feedback, content))

    def _mask(self, feedback: Feedback, content: bytes) -> bytes | None:
        """Check that the picture decodes, and draw the boxes as a mask; None without any. Raises InvalidFrame."""
        picture = decode_picture(content, input_size=CHECK_SIZE, aspect="squash", limits=self.limits)
        mask = mask_of(feedback.boxes, picture.image_size)
        return as_png(mask) if mask is not None else None


def _word(feedback: Feedback) -> Word:
    return Word(
        judgement=feedback.verdict,
        by=feedback.accepted_by,
        at=feedback.accepted_at,
        source=feedback.source,
        model_version=feedback.model_version,
        kind=feedback.kind,
        boxes=feedback.boxes,
    )


def _outcome(feedback: Feedback, stored: Stored) -> Outcome:
    if stored is Stored.KNOWN:
        return Outcome.KNOWN
    return Outcome.HELD_BACK if feedback.verdict is Judgement.UNSURE else Outcome.ADDED
