"""Kafka headers: reading them once, strictly."""

from collections.abc import Iterable
from datetime import UTC, datetime

from qc_worker.domain.errors import InvalidFrame, Reason

Headers = tuple[tuple[str, bytes], ...]

INSPECTION_TYPE = "io.qc-worker.inspection.v1"
"""CloudEvents type of what lies on `results`."""
CONTENT_BYTES_HEADER = "qc-content-bytes"
"""On a dead letter that was cut: how many bytes the frame had."""
HEADER_BYTES_HEADER = "qc-header-bytes"
"""On a dead letter whose own headers were left out: how many bytes they had."""

MAX_HEADERS = 64
MAX_HEADER_BYTES = 8192


def read_headers(headers: Headers) -> dict[str, str]:
    """Headers by lower-case name; the last of a name counts. Raises InvalidFrame."""
    if len(headers) > MAX_HEADERS:
        raise InvalidFrame(Reason.BAD_HEADERS, f"{len(headers)} headers, at most {MAX_HEADERS} are read")
    return {name.lower(): _text(name, raw) for name, raw in headers}


def write_headers(pairs: Iterable[tuple[str, str | None]]) -> list[tuple[str, bytes]]:
    """Encode the headers that have a value."""
    return [(name, text.encode()) for name, text in pairs if text is not None]


def parse_time(text: str) -> datetime:
    """ISO 8601 with an offset, or milliseconds since 1970. Raises ValueError."""
    stamp = datetime.fromtimestamp(int(text) / 1000, UTC) if text.isdigit() else datetime.fromisoformat(text)
    if stamp.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return stamp.astimezone(UTC)


def _text(name: str, raw: bytes) -> str:
    if len(raw or b"") > MAX_HEADER_BYTES:
        raise InvalidFrame(Reason.BAD_HEADERS, f"header {name[:64]!r} is longer than {MAX_HEADER_BYTES} bytes")
    try:
        return (raw or b"").decode()
    except UnicodeDecodeError:
        raise InvalidFrame(Reason.BAD_HEADERS, f"header {name[:64]!r} is not UTF-8") from None
