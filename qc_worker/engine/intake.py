"""Admit a polled record as a frame of its line's model, or make the outcome of one that cannot be judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.domain.frame import Frame
from qc_worker.domain.inspection import DeadLetter, Inspection, Outcome, StageTimings, Verdict
from qc_worker.engine.in_flight import Ticket
from qc_worker.engine.residents import Resident, ResidentModels
from qc_worker.observability import metrics
from qc_worker.ports.clock import Clock
from qc_worker.wire.images import decode_record, read_claims

DETAIL_LENGTH = 300
MAX_CRASHES = 3
"""Crashes of a worker with the frame in flight after which the frame is not decoded again."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A frame with valid headers, bound to the model that will judge it."""

    ticket: Ticket
    frame: Frame
    resident: Resident


def admit(ticket: Ticket, residents: ResidentModels, deadlines: "Deadlines | None" = None) -> Admitted:
    """Read the headers, set the ticket's deadline and bind the frame to its line's current model.

    Raises InvalidFrame. A frame past its deadline is admitted as well: late verdicts are flagged, not dropped.
    """
    frame = decode_record(ticket.record)
    for header in frame.ignored:
        metrics.IGNORED_HEADERS.labels(header=header.name).inc()
    ticket.due_at = deadlines.due_at(frame, ticket.record.appended_at) if deadlines else None
    if ticket.record.crashes >= MAX_CRASHES:
        raise InvalidFrame(Reason.CRASHED_WORKERS, f"{ticket.record.crashes} worker processes crashed on this frame")
    resident = residents.current(frame.line)
    if resident is None:
        raise InvalidFrame(Reason.UNKNOWN_LINE, f"line {frame.line} has no model: train it with qc-trainer retrain")
    return Admitted(ticket, frame, resident)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Deadlines of verdicts: by the frame's own header, else by its line's setting."""

    by_line_ms: Mapping[str, int]
    clock: Clock

    def due_at(self, frame: Frame, appended_at: datetime) -> float | None:
        """Return the frame's deadline by the monotonic clock; None if it has none.

        Counted from the time of capture, so cameras' clocks must agree with this machine's; if that time is unknown,
        from the time when the record was appended.
        """
        deadline_ms = frame.deadline_ms or self.by_line_ms.get(frame.line)
        if deadline_ms is None:
            return None
        age_s = (self.clock.now() - (frame.captured_at or appended_at)).total_seconds()
        return self.clock.monotonic() + deadline_ms / 1000 - age_s


def failure(ticket: Ticket, error: InvalidFrame, clock: Clock) -> Outcome:
    """Make the inspection and the dead letter of a frame that cannot be judged."""
    record, now = ticket.record, clock.monotonic()
    claims = read_claims(record)
    detail = error.detail[:DETAIL_LENGTH]
    inspection = Inspection(
        frame_id=claims.frame_id,
        line=claims.line,
        camera=claims.camera,
        captured_at=claims.captured_at,
        part=claims.part,
        scored_at=clock.now(),
        source=record.position,
        verdict=Verdict.NO_MODEL if error.reason is Reason.UNKNOWN_LINE else Verdict.ERROR,
        reason=error.reason,
        detail=detail,
        late=ticket.is_late(now),
        notes=tuple(map(str, claims.ignored)),
        stage_ms=StageTimings(total=round(1000 * (now - ticket.polled_at), 3)),
    )
    letter = DeadLetter(record.position, record.key, record.content, record.headers, error.reason, detail)
    return Outcome(inspection, record.key, letter)
