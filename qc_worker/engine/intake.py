"""From a polled record to a decoded frame, or straight to the outcome of one that cannot be judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.domain.frame import Frame
from qc_worker.domain.inspection import DeadLetter, Inspection, Outcome, StageTimings, Verdict
from qc_worker.engine.in_flight import Ticket
from qc_worker.engine.residents import Resident, ResidentModels
from qc_worker.failpoints import failpoint
from qc_worker.observability import metrics
from qc_worker.ports import Clock
from qc_worker.simplenet.preprocessing import Box, ImageLimits, Picture, content_box, decode_picture
from qc_worker.simplenet.spec import Aspect, BackbonePass, EmbeddingSpec, InputSize
from qc_worker.wire.images import decode_record, read_claims

DETAIL_LENGTH = 300
MAX_CRASHES = 3
"""A frame that was in flight in as many dying processes is not decoded again."""


class DecodePicture(Protocol):
    """From encoded bytes to the rectangle that enters the backbone."""

    def __call__(
        self, content: bytes, *, input_size: InputSize, aspect: Aspect, limits: ImageLimits, bit_depth: int
    ) -> Picture:
        """Raises InvalidFrame."""
        ...


@dataclass(frozen=True, slots=True)
class Admitted:
    """A frame with readable headers, bound to the model that will judge it."""

    ticket: Ticket
    frame: Frame
    resident: Resident


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame ready for its batch."""

    ticket: Ticket
    frame: Frame
    resident: Resident
    picture: Picture
    decode_ms: float

    @property
    def spec(self) -> EmbeddingSpec:
        return self.resident.spec

    @property
    def backbone_pass(self) -> BackbonePass:
        return self.resident.spec.backbone_pass

    @property
    def box(self) -> Box:
        """Where in the model's input the picture lies."""
        return content_box(self.picture.image_size, self.spec.input_size, self.spec.aspect)

    @property
    def due_at(self) -> float | None:
        return self.ticket.due_at

    def skip_if_void(self) -> bool:
        return self.ticket.skip_if_void()


def admit(ticket: Ticket, residents: ResidentModels, deadlines: "Deadlines | None" = None) -> Admitted:
    """Read the headers and bind the frame to its line's model of this moment. Raises InvalidFrame.

    An old frame is admitted like any other: late verdicts are flagged, never left out.
    """
    frame = decode_record(ticket.record)
    for header in frame.ignored:
        metrics.IGNORED_HEADERS.labels(header=header.name).inc()
    ticket.due_at = deadlines.due_at(frame, ticket.record.appended_at) if deadlines else None
    if ticket.record.crashes >= MAX_CRASHES:
        raise InvalidFrame(Reason.CRASHED_WORKERS, f"{ticket.record.crashes} worker processes died over it")
    resident = residents.current(frame.line)
    if resident is None:
        raise InvalidFrame(Reason.UNKNOWN_LINE, f"line {frame.line} has no model: train it with qc-trainer retrain")
    return Admitted(ticket, frame, resident)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """When verdicts are wanted: by the frame's own header, else by its line's setting."""

    by_line_ms: Mapping[str, int]
    clock: Clock

    def due_at(self, frame: Frame, appended_at: datetime) -> float | None:
        """By the monotonic clock, but counted from the capture: cameras' clocks must agree with this machine's.

        Where the capture's time cannot be told, it counts from when the record was appended.
        """
        deadline_ms = frame.deadline_ms or self.by_line_ms.get(frame.line)
        if deadline_ms is None:
            return None
        age_s = (self.clock.now() - (frame.captured_at or appended_at)).total_seconds()
        return self.clock.monotonic() + deadline_ms / 1000 - age_s


def decode(
    admitted: Admitted, limits: ImageLimits, clock: Clock, decode_picture: DecodePicture = decode_picture
) -> Decoded:
    """Decode and preprocess; runs in a decode thread. Raises InvalidFrame."""
    failpoint("in-decode", admitted.frame.frame_id)
    started = clock.monotonic()
    spec = admitted.resident.spec
    picture = decode_picture(
        admitted.frame.content,
        input_size=spec.input_size,
        aspect=spec.aspect,
        limits=limits,
        bit_depth=spec.bit_depth,
    )
    decode_ms = 1000 * (clock.monotonic() - started)
    return Decoded(admitted.ticket, admitted.frame, admitted.resident, picture, decode_ms)


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
