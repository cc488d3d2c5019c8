"""Send what people say about frames to `feedback`, one message for each judgement."""

from collections.abc import Sequence
from threading import Lock

from qc_dashboard.api.shapes.judgement import GivenJudgement
from qc_dashboard.history.search import StoredInspection
from qc_worker.domain.errors import TransportError
from qc_worker.domain.feedback import Feedback, MarkedBox
from qc_worker.ports.clock import Clock
from qc_worker.ports.feedback import FeedbackOutbox
from qc_worker.wire.json_types import decode_feedback, encode_feedback

PATIENCE_S = 10.0
"""Longest wait for other threads' messages; the browser's user would have pressed again after it."""


class NotAccepted(ValueError):
    """A judgement that `feedback` cannot carry: says why."""


class Judging:
    """Sends judgements; threads may share it."""

    def __init__(self, outbox: FeedbackOutbox, *, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._sending = Lock()

    def send(self, stored: StoredInspection, given: GivenJudgement, *, by: str) -> Feedback:
        """Send the judgement and wait for the acknowledgement. Raises NotAccepted, TransportError."""
        feedback = self._feedback(stored, given, by)
        if not self._sending.acquire(timeout=PATIENCE_S):
            raise TransportError("the broker is slow: other judgements wait too")
        try:
            self._outbox.send(feedback)
        finally:
            self._sending.release()
        return feedback

    def _feedback(self, stored: StoredInspection, given: GivenJudgement, by: str) -> Feedback:
        if stored.line is None or stored.frame_id is None:
            raise NotAccepted("the record could not be read, so there is no frame of a line to judge")
        feedback = Feedback(
            line=stored.line,
            frame_id=stored.frame_id,
            source=stored.source,
            verdict=given.verdict,
            accepted_by=by,
            accepted_at=self._clock.now(),
            model_version=stored.model_version,
            kind=given.kind,
            boxes=tuple(MarkedBox(box.x, box.y, box.width, box.height) for box in given.boxes),
        )
        check_within(feedback.boxes, stored)
        try:
            return decode_feedback(encode_feedback(feedback))
        except ValueError as error:
            raise NotAccepted(str(error)) from None


def check_within(boxes: Sequence[MarkedBox], stored: StoredInspection) -> None:
    """Raise NotAccepted for a box that does not lie within the image, if its size is known."""
    size = stored.inspection.image_size
    if size is None:
        return
    height, width = size
    for box in boxes:
        if box.x + box.width > width or box.y + box.height > height:
            raise NotAccepted(f"boxes: the image is {width} x {height} pixels, and a box ends outside of it")
