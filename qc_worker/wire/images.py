"""Reads and writes records of `images`: CloudEvents in Kafka's binary mode, or plain headers.

`line` and `camera` come from headers of that name, else from the key `line/camera`. The frame id is `frame-id` or
`ce_id`, the capture time `captured-at` or `ce_time`; without them a frame is named by its position and dated by its
record. The serial number of the part is `part` or `ce_subject`. Other headers are ignored. Optional headers that
cannot be used are ignored and noted: a frame that arrives whole is judged.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

from qc_worker.domain import names
from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.domain.frame import Frame, IgnoredHeader, ImageMessage, Record
from qc_worker.domain.names import CameraName, FrameId, LineName, PartNumber
from qc_worker.wire.headers import parse_time, read_headers, text_of, write_headers

EVENT_TYPE = "io.qc-worker.frame.v1"
FRAME_IDS = ("frame-id", "ce_id")
CAPTURE_TIMES = ("captured-at", "ce_time")
PARTS = ("part", "ce_subject")
"""The first of these headers that can be used counts."""
USED_HEADERS = frozenset({"line", "camera", *FRAME_IDS, *CAPTURE_TIMES, *PARTS, "traceparent", "deadline-ms"})

T = TypeVar("T")

LONGEST_DEADLINE_MS = 86_400_000
"""A day."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Headers and key of a record, as far as they can be read; `problem`: why that is not enough to judge its frame."""

    line: LineName | None
    camera: CameraName | None
    frame_id: FrameId | None
    captured_at: datetime | None
    part: PartNumber | None = None
    traceparent: str | None = None
    deadline_ms: int | None = None
    ignored: tuple[IgnoredHeader, ...] = ()
    problem: InvalidFrame | None = None


def encode_frame(
    content: bytes,
    *,
    line: str,
    camera: str,
    captured_at: datetime,
    frame_id: str | None = None,
    part: str | None = None,
) -> ImageMessage:
    """Build the message of an encoded image. Raises ValueError for a name that the worker would refuse."""
    key = f"{names.line_name(line)}/{names.camera_name(camera)}"
    headers = write_headers(
        [
            ("ce_specversion", "1.0"),
            ("ce_id", names.frame_id(frame_id or uuid4().hex)),
            ("ce_source", f"/lines/{line}/cameras/{camera}"),
            ("ce_type", EVENT_TYPE),
            ("ce_time", captured_at.isoformat()),
            ("ce_subject", None if part is None else names.part_number(part)),
            ("line", line),
            ("camera", camera),
        ]
    )
    return ImageMessage(key=key.encode(), content=content, headers=headers)


def decode_record(record: Record) -> Frame:
    """Check headers and names; the image stays encoded. Raises InvalidFrame."""
    claims = read_claims(record)
    if claims.problem is not None or claims.line is None or claims.camera is None or claims.frame_id is None:
        raise claims.problem or InvalidFrame(Reason.BAD_HEADERS, "no line and camera")
    return Frame(
        position=record.position,
        line=claims.line,
        camera=claims.camera,
        frame_id=claims.frame_id,
        captured_at=claims.captured_at,
        part=claims.part,
        content=record.content,
        traceparent=claims.traceparent,
        deadline_ms=claims.deadline_ms,
        ignored=claims.ignored,
    )


def read_claims(record: Record) -> Claims:
    """Read headers and key as far as possible; each on its own, so that a bad one does not affect the others."""
    if record.unreadable is not None:
        return Claims(None, None, None, record.appended_at, problem=InvalidFrame(Reason.UNREADABLE, record.unreadable))
    headers = _Headers(read_headers(record.headers, USED_HEADERS))
    key_line, key_camera = _names_in_key(record.key)
    line = headers.name("line", key_line, names.line_name)
    camera = headers.name("camera", key_camera, names.camera_name)
    return Claims(
        line=line,
        camera=camera,
        frame_id=headers.first(FRAME_IDS, names.frame_id) or _position_as_id(record),
        captured_at=headers.first(CAPTURE_TIMES, parse_time) or _appended_at(record, headers),
        part=headers.first(PARTS, names.part_number),
        traceparent=headers.first(["traceparent"], _graphic),
        deadline_ms=headers.first(["deadline-ms"], _deadline_ms),
        ignored=tuple(headers.ignored),
        problem=InvalidFrame(Reason.BAD_HEADERS, headers.problem) if headers.problem else None,
    )


def claimed_line(record: Record) -> str:
    """Return the line that the record claims, checked or not; a frame from `decode_record` has the same line."""
    raw = read_headers(record.headers, ["line"]).get("line")
    return raw.decode(errors="replace") if raw else _names_in_key(record.key)[0]


@dataclass(slots=True)
class _Headers:
    """The headers that are used, and the problems with them: optional ones are ignored, a bad name is a problem."""

    found: Mapping[str, bytes]
    ignored: list[IgnoredHeader] = field(default_factory=list)
    problem: str | None = None

    def name(self, header: str, in_key: str, check: Callable[[str], T]) -> T | None:
        """Check the header's name, else the key's; None if it is invalid, and the first such is the problem."""
        try:
            return check(text_of(self.found[header]) if header in self.found else in_key)
        except ValueError as error:
            self.problem = self.problem or f"{header}: {error}"
            return None

    def first(self, wanted: Iterable[str], read: Callable[[str], T]) -> T | None:
        """Read the first of these headers that is valid; None if there is none. Invalid ones are noted as ignored."""
        for header in wanted:
            try:
                if header in self.found:
                    return read(text_of(self.found[header]))
            except ValueError as error:
                self.ignored.append(IgnoredHeader(header, str(error)))
        return None


def _names_in_key(key: bytes | None) -> tuple[str, str]:
    line, _, camera = (key or b"").decode(errors="replace").partition("/")
    return line, camera


def _position_as_id(record: Record) -> FrameId:
    try:
        return names.frame_id(str(record.position))
    except ValueError:  # Kafka takes longer topic names than ids are, and such as begin with a dot
        return names.frame_id(f"{record.position.partition}:{record.position.offset}")


def _appended_at(record: Record, headers: _Headers) -> datetime | None:
    """Return the record's time; None if the camera gave a time of its own that cannot be read."""
    return None if any(header in headers.found for header in CAPTURE_TIMES) else record.appended_at


def _graphic(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"{text[:40]!r} has characters that no trace context has")
    return text


def _deadline_ms(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and 0 < int(text) <= LONGEST_DEADLINE_MS):
        raise ValueError(f"{text[:20]!r}: use whole milliseconds from 1 to {LONGEST_DEADLINE_MS}")
    return int(text)
