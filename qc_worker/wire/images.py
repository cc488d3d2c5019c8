"""Records of `images`: CloudEvents in Kafka's binary mode, or plain headers.

`line` and `camera` come from headers of that name, else from the key `line/camera`. The frame id is `frame-id` or
`ce_id`, the capture time `captured-at` or `ce_time`; a frame without them is named by its position and dated by its
record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from qc_worker.domain import names
from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.domain.frame import Frame, Record
from qc_worker.wire.headers import parse_time, read_headers, write_headers

EVENT_TYPE = "io.qc-worker.frame.v1"


LONGEST_DEADLINE_MS = 86_400_000
"""A day."""


@dataclass(frozen=True, slots=True)
class ImageMessage:
    """What a camera hands to its producer."""

    key: bytes | None
    content: bytes
    headers: list[tuple[str, bytes]]


def encode_frame(
    content: bytes, *, line: str, camera: str, captured_at: datetime, frame_id: str | None = None
) -> ImageMessage:
    """Wrap an encoded image. Raises ValueError for a name the worker would refuse."""
    key = f"{names.line_name(line)}/{names.camera_name(camera)}"
    headers = write_headers(
        [
            ("ce_specversion", "1.0"),
            ("ce_id", names.frame_id(frame_id or uuid4().hex)),
            ("ce_source", f"/lines/{line}/cameras/{camera}"),
            ("ce_type", EVENT_TYPE),
            ("ce_time", captured_at.isoformat()),
            ("line", line),
            ("camera", camera),
        ]
    )
    return ImageMessage(key=key.encode(), content=content, headers=headers)


def decode_record(record: Record) -> Frame:
    """Check headers and names; the image stays encoded. Raises InvalidFrame."""
    headers = read_headers(record.headers)
    key_line, key_camera = _names_in_key(record.key)
    try:
        return Frame(
            position=record.position,
            line=names.line_name(headers.get("line", key_line)),
            camera=names.camera_name(headers.get("camera", key_camera)),
            frame_id=names.frame_id(_frame_id(record, headers)),
            captured_at=_captured_at(record, headers),
            content=record.content,
            traceparent=headers.get("traceparent"),
            deadline_ms=_deadline_ms(headers),
        )
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidFrame(Reason.BAD_HEADERS, str(error)) from None


def claimed_line(record: Record) -> str:
    """The line that the record claims, checked or not; that of a frame if `decode_record` takes it."""
    for name, raw in reversed(record.headers):
        if name.lower() == "line":
            return raw.decode(errors="replace")
    return _names_in_key(record.key)[0]


def _names_in_key(key: bytes | None) -> tuple[str, str]:
    line, _, camera = (key or b"").decode(errors="replace").partition("/")
    return line, camera


def _frame_id(record: Record, headers: Mapping[str, str]) -> str:
    return headers.get("frame-id") or headers.get("ce_id") or str(record.position)


def _deadline_ms(headers: Mapping[str, str]) -> int | None:
    text = headers.get("deadline-ms")
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or not 0 < int(text[:9]) <= LONGEST_DEADLINE_MS:
        raise ValueError(f"deadline-ms {text[:20]!r}: use whole milliseconds from 1 to {LONGEST_DEADLINE_MS}")
    return int(text)


def _captured_at(record: Record, headers: Mapping[str, str]) -> datetime:
    text = headers.get("captured-at") or headers.get("ce_time")
    return parse_time(text) if text else record.appended_at
